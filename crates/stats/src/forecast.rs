//! Forecasts for people: how much longer it takes, and what could have been seen by now. They are estimates, and nothing is
//! decided by them.
//!
//! It refuses to know how long a tick is.

use crate::{
    block::Bet,
    measure::{Reader, State},
    plan::{Plan, Question},
    promotion::{self, Exposure},
    real,
};

/// Half the bits of a number's fraction are far more than an estimate deserves.
const HALVINGS: u32 = 26;
/// A forecast of more ticks than this (a year of seconds) is no forecast.
const MOST_TICKS: f64 = 31_536_000.0;

/// The smallest difference that would probably have been seen by now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detectable {
    /// The measure's place in the plan.
    pub measure: usize,
    /// The control's chance, of a request (`Events`) or of a unit in a tick (`Slow`).
    pub control: f64,
    /// A chance of the trial from which on it would have gone back by now, if nothing else differed; none if even a trial
    /// that always fails would not have been seen yet.
    pub trial: Option<f64>,
}

/// How long promotion of a measure takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum More {
    /// It could be said already.
    Nothing,
    /// Nothing was seen to go by.
    NoTraffic,
    /// So many ticks, and requests of the trial, at the rates seen.
    Ticks { ticks: u64, requests: u64 },
    /// Not at the rates seen, however long it takes.
    Never,
}

/// What was seen of the traffic, on average; none if the trial had no requests yet.
fn exposure(state: &State) -> Option<Exposure> {
    let each = |part: u64, whole: u64| if whole == 0 { 0.0 } else { real::count(part) / real::count(whole) };
    (state.ticks > 0 && state.trial.requests > 0 && state.control.requests > 0).then(|| Exposure {
        trial_units: each(state.trial.units, state.ticks),
        trial_requests: each(state.trial.requests, state.trial.units),
        control_units: each(state.control.units, state.ticks),
        control_requests: each(state.control.requests, state.control.units),
    })
}

/// What more is needed before a measure is ready for promotion.
pub(crate) fn until_good(plan: &Plan, reader: &Reader, state: &State) -> More {
    if state.good.value() >= plan.promote_at() {
        return More::Nothing;
    }
    let Some(seen) = exposure(state) else { return More::NoTraffic };
    let units = (seen.trial_units, seen.control_units);
    let control = real::count(state.control.flagged) / real::count(state.control.units);
    // One more unit, as good as the control, so that a trial without a flag is not taken to be perfect.
    let trial = (real::count(state.trial.flagged) + control) / (real::count(state.trial.units) + 1.0);
    let bets = promotion::bets(reader.question(), &seen, reader.control(state));
    let goal = real::ln(plan.promote_at());
    let ticks = bets
        .iter()
        .zip(state.good.ln_weights())
        .filter_map(|(bet, ln_weight)| {
            let growth = bet.as_ref()?.growth(units, trial, control);
            (growth > 0.0).then(|| (goal - ln_weight) / growth)
        })
        .fold(f64::INFINITY, f64::min);
    if ticks < MOST_TICKS {
        let ticks = real::up(ticks).max(1);
        More::Ticks { ticks, requests: real::up(real::count(ticks) * seen.trial_units * seen.trial_requests) }
    } else {
        More::Never
    }
}

/// The smallest difference that would probably have been seen by now.
pub(crate) fn detectable(plan: &Plan, measure: usize, weight_ppm: u32, reader: &Reader, state: &State) -> Detectable {
    let control = reader.control(state);
    let Some(seen) = exposure(state) else { return Detectable { measure, control, trial: None } };
    let unit = reader.control_unit(state);
    let requests = state.requests_per_unit.0;
    let bets = reader.alternatives().bets(seen.weight(), unit, requests);
    let goal = real::ln(plan.go_back_at() / real::ppm(weight_ppm));
    let ticks = real::count(state.ticks);
    let chance = |trial: f64| match reader.question() {
        Question::Events { .. } => real::at_least_one(requests * trial),
        Question::Slow { .. } | Question::Invariant => trial,
    };
    let seen_at = |trial: f64| {
        let growth = |bet: &Bet| ticks * bet.growth((seen.trial_units, seen.control_units), chance(trial), unit);
        let best = bets
            .iter()
            .zip(&reader.alternatives().ln_prior)
            .filter_map(|(bet, share)| Some(growth(bet.as_ref()?) + real::ln(crate::measure::AT_ONCE) + share));
        best.fold(f64::NEG_INFINITY, f64::max) >= goal
    };
    if !seen_at(1.0) {
        return Detectable { measure, control, trial: None };
    }
    let (mut low, mut high) = (control, 1.0);
    for _ in 0..HALVINGS {
        // Halved on a scale of ratios, on which chances lie.
        let middle = libm::sqrt(low * high);
        if seen_at(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Detectable { measure, control, trial: Some(high) }
}
