//! How much worse or better: the factors by which the candidate may be divided and not be told from the baseline.
//!
//! It refuses to know what is divided.

use super::{LOOKS, Pair, ratio, signed_rank};

/// From a hundredth to a hundredfold.
const FACTORS_PPM: (u64, u64) = (10_000, 100_000_000);

/// The candidate's value as a part of the baseline's, in millionths: 1 050 000 is 5 % more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The lower end of the interval that has it 19 times in 20; none if the blocks do not say.
    pub low_ppm: Option<u64>,
    /// The Hodges-Lehmann estimate.
    pub estimate_ppm: u64,
    /// The upper end; none if the blocks do not say.
    pub high_ppm: Option<u64>,
    /// The smallest factor that this run would have called regressed 19 times in 20, were nothing harmless: from the upper
    /// end at 5 % to the lower end at the chance that the metric has at worst. None if no factor would have been.
    pub detectable_ppm: Option<u64>,
}

/// The interval of one metric by inverting the signed-rank test (Lehmann 1963). `pairs` gives the counts of each block with
/// the candidate's values divided by a factor in millionths; what it gives must not rise with the factor. `metrics` is how
/// many the policy has.
pub fn interval(metrics: usize, pairs: impl Fn(u64) -> Vec<Pair>) -> Interval {
    let ranked = |factor: u64| {
        let of = |p: &Pair| ratio(2 * u128::from(p.candidate) + 1, 2 * u128::from(p.baseline) + 1);
        signed_rank(&pairs(factor).iter().map(of).collect::<Vec<_>>())
    };
    let alarm = LOOKS.iter().find(|l| l.blocks == pairs(1_000_000).len()).map_or(0, |l| u64::from(l.false_alarm_ppm));
    let among = u64::try_from(metrics.max(1)).unwrap_or(u64::MAX);
    // The last factor at which it is still clearly worse, and the first at which it is clearly better.
    let low = |ppm, among| last(|factor| ranked(factor).at_least.is_within(ppm, among));
    let high = |ppm| last(|factor| !ranked(factor).at_most.is_within(ppm, 1)).filter(|at| *at < FACTORS_PPM.1);
    let detectable_ppm = match (low(alarm, among), high(50_000)) {
        (Some(low), Some(high)) => Some(high.saturating_mul(1_000_000) / low.max(1)),
        _ => None,
    };
    Interval {
        low_ppm: low(25_000, 1),
        estimate_ppm: last(|factor| ranked(factor).above_middle > 0).unwrap_or(FACTORS_PPM.0),
        high_ppm: high(25_000),
        detectable_ppm,
    }
}

/// The last factor of which `holds`, where it holds of all before it; none if it holds of none.
fn last(holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut yes, mut no) = FACTORS_PPM;
    if !holds(yes) {
        return None;
    }
    if holds(no) {
        return Some(no);
    }
    while no - yes > 1 {
        let middle = yes.midpoint(no);
        if holds(middle) { yes = middle } else { no = middle }
    }
    Some(yes)
}
