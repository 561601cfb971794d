//! The e-value of one tick against a line: how much more likely the counts are if the two versions have certain chances than
//! if the new one's chance is on the safe side of a line, where the safe side may mean any pair of chances on it.
//!
//! It refuses to know which chances are worth a bet and what was seen before; validity does not depend on either.
//!
//! Growth-rate-optimal e-variable for two Bernoulli streams (Turner, Ly and Grünwald, arXiv 2106.02693), with an affine null.
//! `docs/statistics.md` has the proof.

use crate::{real, tick::Counts};

/// Enough for bisection alone to use up the 52 bits of a number's fraction; Newton's steps take about six.
const MOST_STEPS: u32 = 64;

/// The line `trial = ratio * control + plus` between chances of a unit to be flagged in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) ratio: f64,
    pub(crate) plus: f64,
}

impl Line {
    /// Both chances equal.
    pub(crate) const EQUAL: Self = Self { ratio: 1.0, plus: 0.0 };

    /// The trial's chance on the line at this chance of the control.
    pub(crate) fn at(self, control: f64) -> f64 {
        self.ratio * control + self.plus
    }

    /// The control's chance p0* of the point of the line that is nearest to (`control`, `trial`) by Kullback-Leibler
    /// divergence, where `weight` is the share of the trial's units: the root of
    /// `weight ratio (trial - p1) / (p1 (1 - p1)) + (1 - weight) (control - p) / (p (1 - p))` with `p1 = at(p)`.
    ///
    /// All arguments are between 0 and 1 and the point is not on the line. The root lies between the point that fits the
    /// control and the point that fits the trial; there the equation, multiplied out, is a cubic with one root.
    pub(crate) fn nearest(self, weight: f64, control: f64, trial: f64) -> f64 {
        let (w1, w0) = (weight * self.ratio, 1.0 - weight);
        if self == Self::EQUAL {
            return weight * trial + w0 * control;
        }
        let fits_trial = (trial - self.plus) / self.ratio;
        let most = (1.0 - self.plus) / self.ratio;
        let (mut low, mut high) = if fits_trial < control { (fits_trial, control) } else { (control, fits_trial) };
        low = low.max(0.0);
        high = high.min(most).min(1.0);
        // The cubic falls through its root, so it is positive below and negative above.
        let cubic = |p: f64| {
            let p1 = self.at(p);
            let (left, right) = (trial - p1, control - p);
            let (spread, spread1) = (p * (1.0 - p), p1 * (1.0 - p1));
            let value = w1 * left * spread + w0 * right * spread1;
            let slope = w1 * (left * (1.0 - 2.0 * p) - self.ratio * spread)
                + w0 * (right * self.ratio * (1.0 - 2.0 * p1) - spread1);
            (value, slope)
        };
        let mut p = weight * fits_trial + w0 * control;
        if !(p > low && p < high) {
            p = 0.5 * (low + high);
        }
        for _ in 0..MOST_STEPS {
            let (value, slope) = cubic(p);
            if value > 0.0 {
                low = p;
            } else if value < 0.0 {
                high = p;
            } else {
                return p;
            }
            let newton = p - value / slope;
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let moved = (next - p).abs();
            p = next;
            if moved <= 1e-15 * p {
                break;
            }
        }
        p
    }
}

/// How much likelier a unit is under the bet than on the line: flagged and not flagged, of each version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bet {
    trial_flagged: f64,
    trial_clear: f64,
    control_flagged: f64,
    control_clear: f64,
}

impl Bet {
    /// The bet on the chances (`control`, `trial`) against the line.
    pub(crate) fn against(line: Line, weight: f64, control: f64, trial: f64) -> Self {
        let p0 = line.nearest(weight, control, trial);
        let p1 = line.at(p0);
        Self {
            trial_flagged: trial / p1,
            trial_clear: (1.0 - trial) / (1.0 - p1),
            control_flagged: control / p0,
            control_clear: (1.0 - control) / (1.0 - p0),
        }
    }

    /// The bet on the trial's chance alone against a fixed limit of it, for when there is no control.
    pub(crate) fn alone(limit: f64, trial: f64) -> Self {
        Self {
            trial_flagged: trial / limit,
            trial_clear: (1.0 - trial) / (1.0 - limit),
            control_flagged: 1.0,
            control_clear: 1.0,
        }
    }

    /// The logarithm of the e-value of these counts.
    pub(crate) fn ln_e(&self, counts: &Counts) -> f64 {
        let clear = (counts.trial_units - counts.trial_flagged, counts.control_units - counts.control_flagged);
        times(counts.trial_flagged.into(), self.trial_flagged)
            + times(clear.0.into(), self.trial_clear)
            + times(counts.control_flagged.into(), self.control_flagged)
            + times(clear.1.into(), self.control_clear)
    }

    /// What a tick with so many units of each version is expected to add to the logarithm if they are flagged with these
    /// chances.
    pub(crate) fn growth(&self, units: (f64, f64), trial: f64, control: f64) -> f64 {
        times(units.0 * trial, self.trial_flagged)
            + times(units.0 * (1.0 - trial), self.trial_clear)
            + times(units.1 * control, self.control_flagged)
            + times(units.1 * (1.0 - control), self.control_clear)
    }
}

/// So many times the logarithm, which is not needed for none; most ticks have no flag.
fn times(count: f64, ratio: f64) -> f64 {
    if count == 0.0 { 0.0 } else { count * real::ln(ratio) }
}

/// The share of the trial's units.
pub(crate) fn weight(counts: &Counts) -> f64 {
    f64::from(counts.trial_units) / (f64::from(counts.trial_units) + f64::from(counts.control_units))
}

#[cfg(test)]
mod tests;
