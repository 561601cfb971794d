use rand::{SeedableRng as _, rngs::ChaCha8Rng};

use super::*;

fn times(segments: &[(f64, f64, f64)], spacing: Spacing) -> Vec<u64> {
    let segments = segments.iter().map(|&(from, to, seconds)| Segment { from, to, seconds }).collect();
    Arrivals::Rates { segments, spacing }.times(ChaCha8Rng::seed_from_u64(7)).collect()
}

#[test]
fn a_constant_rate_is_that_many_at_equal_distances() {
    let times = times(&[(2_000.0, 2_000.0, 3.0)], Spacing::Even);
    assert_eq!(times.len(), 6_000);
    for pair in times.windows(2) {
        assert!((pair[1] - pair[0]).abs_diff(500_000) <= 1, "{pair:?}");
    }
}

#[test]
fn a_ramp_from_nothing_has_half_of_its_arrivals_after_its_root() {
    // 0 to 1 000 a second in 10 s are 5 000; the first quarter of them is there at half of the time.
    let times = times(&[(0.0, 1_000.0, 10.0)], Spacing::Even);
    assert_eq!(times.len(), 5_000);
    assert_eq!(times.iter().filter(|t| **t < 5_000_000_000).count(), 1_250);
    assert!(times.is_sorted());
}

#[test]
fn steps_follow_each_other_without_a_gap() {
    let times = times(&[(10.0, 10.0, 1.06), (100.0, 100.0, 1.0)], Spacing::Even);
    // Half an arrival is carried over.
    assert_eq!(times.len(), 111);
    assert!(times.windows(2).all(|p| p[1] > p[0] && p[1] - p[0] <= 100_000_001));
}

#[test]
fn at_random_is_a_poisson_process() {
    let times = times(&[(1_000.0, 1_000.0, 100.0)], Spacing::Random);
    // 100 000 expected, a deviation of 316.
    assert!(times.len().abs_diff(100_000) < 1_500, "{}", times.len());
    // A Poisson process has as much variance in a tenth of a second as it has mean.
    let mut counts = vec![0_f64; 1_000];
    for time in &times {
        counts[usize::try_from(time / 100_000_000).unwrap()] += 1.0;
    }
    let mean = counts.iter().sum::<f64>() / 1_000.0;
    let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 999.0;
    assert!((0.8..1.25).contains(&(variance / mean)), "{variance} for {mean}");
}

#[test]
fn recorded_times_stay_as_they_are() {
    let recorded = Arrivals::Recorded(vec![0, 5, 5, 900]);
    assert_eq!(recorded.times(ChaCha8Rng::seed_from_u64(1)).collect::<Vec<_>>(), [0, 5, 5, 900]);
    assert!(recorded.seconds() < 1e-6);
}
