//! Tests of the memory of ticks.

use model::{Digest, route::TickTotals};

use super::*;

fn row() -> TickRow {
    TickRow {
        tick: 0,
        component: "web".parse().unwrap(),
        salt: Digest::of(b"salt"),
        generation: 1,
        revision: 1,
        trial: TickTotals::default(),
        control: TickTotals::default(),
        flags: vec![],
    }
}

#[test]
fn ticks_are_given_in_pages_and_forgotten_after_ten_minutes() {
    let (log, start) = (TickLog::default(), Instant::now());
    for n in 0..2_500_u64 {
        log.add(row(), start + Duration::from_millis(n * 250));
    }
    // 625 s of ticks: those of the first 25 s are gone.
    let (mut from, mut got) = (0, Vec::new());
    loop {
        let ticks = log.from(from);
        if ticks.rows.is_empty() {
            break;
        }
        assert!(ticks.rows.len() <= MAX_TICKS_ANSWERED);
        from = ticks.next;
        got.extend(ticks.rows.into_iter().map(|row| row.tick));
    }
    assert_eq!((got.first(), got.last(), from), (Some(&99), Some(&2_499), 2_500));
    assert!(got.windows(2).all(|two| two[0] + 1 == two[1]));
}

#[test]
fn ticks_are_bounded_in_number() {
    let (log, now) = (TickLog::default(), Instant::now());
    for _ in 0..MAX_TICK_ROWS + 10 {
        log.add(row(), now);
    }
    assert_eq!(log.rows().rows.len(), MAX_TICK_ROWS);
    assert_eq!(log.from(0).rows.first().map(|row| row.tick), Some(10));
}
