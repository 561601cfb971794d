//! How many slow requests make a unit slow: chosen from the control's past so that a known part of its units is flagged.
//!
//! It refuses to know what is slow; the bounds on latency are the caller's. A poor choice costs speed, never validity.

use crate::{
    plan::{Measure, Question, SLOW_PROMOTE_MARGIN},
    real,
};

/// How often units of the control should be flagged, in millionths: often, to see that everything is a bit slower, and
/// seldom, to see that a few requests are much slower. Each latency level is asked both.
pub const TARGETS_PPM: [u32; 2] = [200_000, 30_000];
/// Latency levels that are compared, with the usual margins; their weights add up to 300,000 millionths.
pub const LATENCY_LEVELS: [LatencyLevel; 4] = [
    LatencyLevel { quantile_ppm: 500_000, margin_ppm: 50_000, weight_ppm: 90_000 },
    LatencyLevel { quantile_ppm: 900_000, margin_ppm: 50_000, weight_ppm: 60_000 },
    LatencyLevel { quantile_ppm: 990_000, margin_ppm: 100_000, weight_ppm: 105_000 },
    LatencyLevel { quantile_ppm: 999_000, margin_ppm: 250_000, weight_ppm: 45_000 },
];
/// A unit with more slow requests than this in a tick is not told from one with as many.
const MOST_SLOW: u32 = 100_000;

/// A quantile of the latency that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyLevel {
    /// Which, in millionths: 990,000 is the 99th percentile.
    pub quantile_ppm: u32,
    /// So much slower is harmless, in millionths: the trial's bound is the control's and this part of it more.
    pub margin_ppm: u32,
    /// Its part of alpha, for both targets together, in millionths.
    pub weight_ppm: u32,
}

/// How many slow requests flag a unit, and how often that is expected of the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowCount {
    /// At least so many; 1 or more.
    pub count: u32,
    /// How often that is expected, in millionths of unit-ticks.
    pub history_ppm: u32,
}

impl SlowCount {
    /// The measure that goes with it.
    #[must_use]
    pub fn measure(self, weight_ppm: u32, history_unit_ticks: u32) -> Measure {
        let question =
            Question::Slow { history_ppm: self.history_ppm, history_unit_ticks, promote: SLOW_PROMOTE_MARGIN };
        Measure { weight_ppm, question }
    }
}

/// The smallest count that at most `target_ppm` of the past unit-ticks reached. `unit_ticks[k]` is the number of unit-ticks
/// of the control with exactly `k` slow requests, the last one with that many or more. None if there were no unit-ticks.
#[must_use]
pub fn from_history(unit_ticks: &[u64], target_ppm: u32) -> Option<SlowCount> {
    let all = unit_ticks.iter().fold(0.0, |sum, ticks| sum + real::count(*ticks));
    let mut rest = all;
    if rest <= 0.0 {
        return None;
    }
    for (count, ticks) in (1_u32..).zip(unit_ticks) {
        rest -= real::count(*ticks);
        if rest <= real::ppm(target_ppm) * all {
            return Some(SlowCount { count, history_ppm: ppm_of(rest / all) });
        }
    }
    None
}

/// The same for a control whose units have `mean_ppm` millionths of slow requests a tick on average and independently
/// (Poisson), for when only an average is known.
#[must_use]
pub fn from_mean(mean_ppm: u64, target_ppm: u32) -> SlowCount {
    let mean = real::count(mean_ppm) / 1e6;
    let target = real::ppm(target_ppm);
    // The chance of exactly k, by its logarithm, since that of none may be too small for a number.
    let mut ln_exactly = -mean;
    let mut fewer = 0.0;
    let mut count = 0;
    loop {
        fewer += real::exp(ln_exactly);
        count += 1;
        let reached = (1.0_f64 - fewer).max(0.0);
        if reached <= target || count >= MOST_SLOW {
            return SlowCount { count, history_ppm: ppm_of(reached) };
        }
        ln_exactly += real::ln(mean / f64::from(count));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a chance in millionths is at most a million"
)]
fn ppm_of(chance: f64) -> u32 {
    libm::round(chance.clamp(0.0, 0.5) * 1e6) as u32
}

#[cfg(test)]
mod tests;
