//! A bet over ticks: the vector that another implementation computed.

use super::Mixture;
use crate::{
    block::{Bet, Line, weight},
    tick::Counts,
};

#[test]
fn the_vector_of_ten_ticks() {
    let line = Line { ratio: 1.25, plus: 1e-3 };
    let grid = [0.0145, 0.0425, 0.12, 0.33, 0.7, 0.98];
    let prior = [-(6.0_f64.ln()); 6];
    let mut mixture = Mixture::new(0.5, &prior);
    let (mut flagged, mut units) = (0.0, 0.0);
    let expected = [
        8.632_049,
        4.693_837,
        3.884_577,
        53.680_264,
        11.992_447,
        10.932_642,
        139.424_538,
        122.653_089,
        110.637_132,
        1_631.259_698,
    ];
    for (tick, expected) in (0_u32..).zip(expected) {
        let counts = Counts {
            trial_units: 1,
            trial_flagged: u32::from(tick % 3 == 0),
            control_units: 19,
            control_flagged: u32::from(tick == 4),
        };
        let control = (1e4 * 0.005 + flagged) / (1e4 + units);
        mixture.step(0.5 / 3600.0, &prior, |index| {
            Bet::against(line, weight(&counts), control, grid[index]).ln_e(&counts)
        });
        flagged += f64::from(counts.control_flagged);
        units += 19.0;
        assert!((mixture.value() - expected).abs() < 2e-6 * expected, "{tick}: {}", mixture.value());
    }
}

/// What is not staked yet is kept, and never more is staked than there is.
#[test]
fn what_is_staked_and_kept_adds_up_to_one() {
    const PRIOR: [f64; 2] = [-std::f64::consts::LN_2; 2];
    let mut mixture = Mixture::new(0.5, &PRIOR);
    for _ in 0..200 {
        mixture.step(0.01, &PRIOR, |_| 0.0);
        assert!((mixture.value() - 1.0).abs() < 1e-12, "{}", mixture.value());
    }
}
