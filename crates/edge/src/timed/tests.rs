use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_byte_now_and_then_is_too_slow_and_a_slow_line_is_not() {
    let began = Instant::now();
    // Each second so many bytes; after how many seconds it is too slow.
    let too_slow = |bytes: usize| {
        let mut pace = Pace::default();
        (0..3_600).find(|second| {
            let now = began + SECOND * *second;
            let late = pace.waits(now) < now + SECOND;
            pace.came(bytes, now + SECOND);
            late
        })
    };
    assert_eq!(too_slow(1), Some(20), "it has its grace and no more");
    assert_eq!(too_slow(1_000), None, "twice the slowest rate is served for an hour");
}

#[test]
fn time_that_the_sender_is_not_waited_for_does_not_count() {
    let (mut pace, now) = (Pace::default(), Instant::now());
    pace.came(1, now);
    pace.came(1, now + SECOND * 600);
    assert_eq!(pace.waits(now + SECOND * 1_200), now + SECOND * 1_200 + SLOW_BODY_GRACE);
}
