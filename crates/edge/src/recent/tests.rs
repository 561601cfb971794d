//! Tests of the times of the last minute.

use super::*;

#[test]
fn quantiles_are_right_to_two_digits_and_a_minute_is_forgotten() {
    let (mut recent, start) = (Recent::default(), Instant::now());
    assert_eq!(recent.quantiles_us(start), []);
    // 1 to 10,000 ms, spread over 50 s.
    for ms in 1..=10_000_u64 {
        recent.took(Duration::from_millis(ms), start + Duration::from_millis(ms * 5));
    }
    let now = start + Duration::from_secs(50);
    for (ppm, us) in recent.quantiles_us(now) {
        let wanted = u64::from(ppm) * 10;
        assert!(us.abs_diff(wanted) <= wanted / 100 + 1_000, "{ppm} ppm: {us} µs, not {wanted}");
    }
    assert!(recent.slots.len() <= 6);
    // Only the last slot is left, of times from 8 s.
    let later = recent.quantiles_us(start + Duration::from_secs(95));
    assert!(later.first().is_some_and(|(_, us)| *us > 7_900_000), "{later:?}");
    assert_eq!(recent.quantiles_us(start + Duration::from_secs(120)), []);
    recent.took(Duration::from_secs(86_400), start + Duration::from_secs(121));
    assert!(recent.quantiles_us(start + Duration::from_secs(121)).iter().all(|(_, us)| *us >= RECENT_MAX_US));
}
