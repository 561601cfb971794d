//! The e-value of one tick: vectors that another implementation computed, and that it is fair on the whole line.

use proptest::prelude::*;

use super::{Bet, Line, weight};
use crate::tick::Counts;

fn counts(trial_units: u32, trial_flagged: u32, control_units: u32, control_flagged: u32) -> Counts {
    Counts { trial_units, trial_flagged, control_units, control_flagged }
}

/// Counts, chances that are bet on, line; and from an implementation in Python by bisection: ln S and p0*.
#[test]
fn vectors() {
    for (counts, control, trial, ratio, plus, ln_e, nearest) in [
        (counts(1, 1, 19, 0), 0.005, 0.1, 1.25, 1e-3, 2.155_794_863, 0.009_249_860),
        (counts(1, 0, 19, 2), 0.005, 0.1, 1.25, 1e-3, -1.250_293_390, 0.009_249_860),
        (counts(5, 1, 95, 0), 0.001, 0.02, 1.25, 2e-4, 2.085_467_292, 0.001_847_746),
        (counts(100, 4, 900, 1), 0.001, 0.02, 1.25, 2e-4, 5.812_807_656, 0.002_722_289),
        (counts(1, 1, 9, 0), 0.01, 0.98, 1.0, 0.0, 3.142_788_997, 0.107),
        (counts(10, 0, 90, 0), 0.001, 0.3, 1.5, 5e-4, -0.504_789_817, 0.029_492_935),
    ] {
        let line = Line { ratio, plus };
        let w = weight(&counts);
        let found = (Bet::against(line, w, control, trial).ln_e(&counts), line.nearest(w, control, trial));
        assert!((found.0 - ln_e).abs() < 1e-8 && (found.1 - nearest).abs() < 1e-8, "{counts:?}: {found:?}");
    }
}

/// The binomial chance of `k` of `n`.
fn binomial(n: u32, k: u32, p: f64) -> f64 {
    let ways = (0..k).fold(1.0, |ways, i| ways * f64::from(n - i) / f64::from(i + 1));
    ways * p.powi(k.cast_signed()) * (1.0 - p).powi((n - k).cast_signed())
}

/// The expected e-value, by enumeration of all counts.
fn expected(bet: &Bet, n1: u32, n0: u32, p1: f64, p0: f64) -> f64 {
    let mut sum = 0.0;
    for k1 in 0..=n1 {
        for k0 in 0..=n0 {
            sum += binomial(n1, k1, p1) * binomial(n0, k0, p0) * bet.ln_e(&counts(n1, k1, n0, k0)).exp();
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Against whatever null on or below the line, whatever is bet on above it.
    #[test]
    fn no_null_below_the_line_is_expected_to_gain(
        n1 in 1_u32..6, n0 in 1_u32..12, control in 1e-5..0.95_f64, ratio in 1.0..3.0_f64, plus in 0.0..0.05_f64,
        above in 0.02..0.98_f64, p0 in 0.0..1.0_f64, below in 0.0..1.0_f64,
    ) {
        let line = Line { ratio, plus };
        prop_assume!(line.at(control) < 0.97);
        let trial = line.at(control) + above * (0.999 - line.at(control));
        let bet = Bet::against(line, f64::from(n1) / f64::from(n1 + n0), control, trial);
        let p0 = p0 * ((1.0 - plus) / ratio).min(1.0);
        for p1 in [line.at(p0).min(1.0), below * line.at(p0).min(1.0)] {
            let e = expected(&bet, n1, n0, p1, p0);
            prop_assert!(e <= 1.0 + 1e-9, "{e} at {p1} against {p0}");
        }
    }

    /// The other way round, for promotion: whatever null on or above the line, whatever is bet on below it.
    #[test]
    fn no_null_above_the_line_is_expected_to_gain(
        n1 in 1_u32..6, n0 in 1_u32..12, control in 1e-5..0.4_f64, ratio in 0.5..2.0_f64, plus in 1e-4..0.1_f64,
        part in 0.05..0.95_f64, p0 in 0.0..1.0_f64, above in 0.0..1.0_f64,
    ) {
        let line = Line { ratio, plus };
        prop_assume!(line.at(control) < 0.99);
        let bet = Bet::against(line, f64::from(n1) / f64::from(n1 + n0), control, part * line.at(control));
        let p0 = p0 * ((1.0 - plus) / ratio).min(1.0);
        let on = line.at(p0).min(1.0);
        for p1 in [on, on + above * (1.0 - on)] {
            let e = expected(&bet, n1, n0, p1, p0);
            prop_assert!(e <= 1.0 + 1e-9, "{e} at {p1} against {p0}");
        }
    }

    /// Without a control.
    #[test]
    fn no_null_below_a_limit_is_expected_to_gain(n1 in 1_u32..8, limit in 1e-5..0.9_f64, above in 0.02..0.98_f64,
        below in 0.0..=1.0_f64) {
        let bet = Bet::alone(limit, limit + above * (0.999 - limit));
        prop_assert!(expected(&bet, n1, 0, below * limit, 0.0) <= 1.0 + 1e-9);
    }

    /// More flags of the trial, or fewer of the control, never speak less against the trial.
    #[test]
    fn evidence_grows_with_the_trials_flags(
        n1 in 1_u32..50, n0 in 1_u32..200, control in 1e-5..0.5_f64, ratio in 1.0..2.0_f64, plus in 0.0..0.01_f64,
        above in 0.02..0.98_f64,
    ) {
        let line = Line { ratio, plus };
        prop_assume!(line.at(control) < 0.97);
        let trial = line.at(control) + above * (0.999 - line.at(control));
        let bet = Bet::against(line, f64::from(n1) / f64::from(n1 + n0), control, trial);
        for k1 in 0..n1 {
            prop_assert!(bet.ln_e(&counts(n1, k1 + 1, n0, 0)) > bet.ln_e(&counts(n1, k1, n0, 0)));
        }
        for k0 in 0..n0 {
            prop_assert!(bet.ln_e(&counts(n1, 0, n0, k0 + 1)) < bet.ln_e(&counts(n1, 0, n0, k0)));
        }
    }
}
