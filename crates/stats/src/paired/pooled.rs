//! Counts beyond a quantile of both versions together, tick by tick: what happens to both in a tick happens to the quantile,
//! and leaves the comparison as it is.
//!
//! It refuses to know the unit of a latency.

use super::Pair;

/// Latencies of one version in one tick: each value with how many requests had it, values ascending.
pub type Latencies = [(u64, u64)];

/// Both versions in one tick.
#[derive(Clone, Copy, Debug)]
pub struct PooledTick<'a> {
    /// The candidate's.
    pub candidate: &'a Latencies,
    /// The baseline's.
    pub baseline: &'a Latencies,
}

/// Requests of each version beyond the quantile of both together, summed over the ticks of a block. The candidate's
/// latencies are divided by `scale_ppm` / 1 000 000 first: with 1 050 000, a candidate that is 5 % slower is as slow as the
/// baseline. The quantile is the smallest value that at least its part of all requests of the tick are at or below.
///
/// A tick needs about ten requests beyond the quantile to say much: half a second for a median, a second for p99, a block
/// for p99.9.
pub fn exceedances(ticks: &[PooledTick<'_>], quantile_ppm: u32, scale_ppm: u64) -> Pair {
    let mut sum = Pair { candidate: 0, baseline: 0 };
    for tick in ticks {
        let of = beyond(tick, quantile_ppm, scale_ppm);
        sum.candidate = sum.candidate.saturating_add(of.candidate);
        sum.baseline = sum.baseline.saturating_add(of.baseline);
    }
    sum
}

fn beyond(tick: &PooledTick<'_>, quantile_ppm: u32, scale_ppm: u64) -> Pair {
    let total = |of: &Latencies| of.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let mut left = Pair { candidate: total(tick.candidate), baseline: total(tick.baseline) };
    let all = u128::from(left.candidate) + u128::from(left.baseline);
    let wanted = (all * u128::from(quantile_ppm)).div_ceil(1_000_000);
    // Both sides times the scale, so that nothing is rounded.
    let key_candidate = |at: usize| tick.candidate.get(at).map(|(value, _)| u128::from(*value) * 1_000_000);
    let key_baseline = |at: usize| tick.baseline.get(at).map(|(value, _)| u128::from(*value) * u128::from(scale_ppm));
    let (mut candidate, mut baseline, mut seen) = (0, 0, 0_u128);
    while seen < wanted {
        let Some(value) = key_candidate(candidate).into_iter().chain(key_baseline(baseline)).min() else { break };
        while key_candidate(candidate) == Some(value) {
            let count = tick.candidate.get(candidate).map_or(0, |(_, count)| *count);
            (left.candidate, seen) = (left.candidate.saturating_sub(count), seen + u128::from(count));
            candidate += 1;
        }
        while key_baseline(baseline) == Some(value) {
            let count = tick.baseline.get(baseline).map_or(0, |(_, count)| *count);
            (left.baseline, seen) = (left.baseline.saturating_sub(count), seen + u128::from(count));
            baseline += 1;
        }
    }
    left
}
