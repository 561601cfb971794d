//! Counts that flag a unit.

use super::{LATENCY_LEVELS, SlowCount, TARGETS_PPM, from_history, from_mean};

#[test]
fn the_smallest_count_that_few_enough_reach() {
    let history = [700, 200, 70, 25, 4, 1];
    assert_eq!(from_history(&history, 300_000), Some(SlowCount { count: 1, history_ppm: 300_000 }));
    assert_eq!(from_history(&history, TARGETS_PPM[0]), Some(SlowCount { count: 2, history_ppm: 100_000 }));
    assert_eq!(from_history(&history, TARGETS_PPM[1]), Some(SlowCount { count: 3, history_ppm: 30_000 }));
    assert_eq!(from_history(&history, 0), Some(SlowCount { count: 6, history_ppm: 0 }));
    assert_eq!(from_history(&[], 30_000), None);
    assert_eq!(from_history(&[0, 0], 30_000), None);
}

/// Chances of a Poisson variable of mean 2: 0.5940 for 2 or more, 0.1429 for 4 or more, 0.0166 for 6 or more.
#[test]
fn a_mean_gives_poissons_counts() {
    assert_eq!(from_mean(2_000_000, TARGETS_PPM[0]), SlowCount { count: 4, history_ppm: 142_877 });
    assert_eq!(from_mean(2_000_000, TARGETS_PPM[1]), SlowCount { count: 6, history_ppm: 16_564 });
    assert_eq!(from_mean(10_000, TARGETS_PPM[0]), SlowCount { count: 1, history_ppm: 9_950 });
    assert_eq!(from_mean(0, TARGETS_PPM[0]), SlowCount { count: 1, history_ppm: 0 });
    let large = from_mean(1_000_000_000, TARGETS_PPM[0]);
    assert!((1026..=1028).contains(&large.count) && (180_000..=200_000).contains(&large.history_ppm), "{large:?}");
}

#[test]
fn the_usual_weights_leave_half_for_errors_and_a_fifth_for_the_rest() {
    assert_eq!(LATENCY_LEVELS.iter().map(|level| level.weight_ppm).sum::<u32>(), 300_000);
}
