//! Evidence that a version is good enough: that its chance is below the margin for promotion.
//!
//! It refuses to know whether it is worse than the old one by less; that is what a margin is for. Only requests that the
//! new version answered count, so that silence never speaks for it.

use crate::{
    block::{Bet, Line},
    plan::{Margin, Question},
    real,
    tick::{Counts, Tick},
};

/// Three ways to be good: half as many as the control, as many, and halfway between that and the margin.
pub(crate) const WAYS: usize = 3;
/// The logarithm of a third: the three ways are staked on alike.
pub(crate) const LN_PRIOR: [f64; WAYS] = [-1.098_612_288_668_109_8; WAYS];
/// The bound on units is a chord of a curve; it holds while the control's chance is at most this many times what was
/// expected.
const CHORD: f64 = 3.0;
/// A chord beyond this chance of a unit would be too far from its curve to be of use.
const MOST_CHORD: f64 = 0.8;
/// A bet this close to the line wins nothing.
const LEAST_BELOW: f64 = 0.999;
/// A tick in which the trial's units had fewer requests than this part of the control's says nothing about slow units.
const LEAST_EXPOSED: f64 = 0.8;

/// How much of the traffic each version had in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exposure {
    /// Units of the trial.
    pub(crate) trial_units: f64,
    /// Requests of each of them.
    pub(crate) trial_requests: f64,
    /// Units of the control.
    pub(crate) control_units: f64,
    /// Requests of each of them.
    pub(crate) control_requests: f64,
}

impl Exposure {
    /// Of this tick.
    pub(crate) fn of(tick: &Tick, counts: &Counts) -> Self {
        let each = |requests: u64, units: f64| if units > 0.0 { real::count(requests) / units } else { 0.0 };
        let (trial_units, control_units) = (f64::from(counts.trial_units), f64::from(counts.control_units));
        Self {
            trial_units,
            trial_requests: each(tick.trial_requests, trial_units),
            control_units,
            control_requests: each(tick.control_requests, control_units),
        }
    }

    /// The share of the trial's units.
    pub(crate) fn weight(&self) -> f64 {
        self.trial_units / (self.trial_units + self.control_units)
    }
}

/// The bets of a tick for each way of being good, where `control` is the chance of a request (`Events`) or of a unit
/// (`Slow`) of the control. None where the tick says nothing.
pub(crate) fn bets(question: &Question, exposure: &Exposure, control: f64) -> [Option<Bet>; WAYS] {
    const NOTHING: [Option<Bet>; WAYS] = [None; WAYS];
    let Exposure { control_units, trial_requests, control_requests, .. } = *exposure;
    if trial_requests == 0.0 {
        return NOTHING;
    }
    match question {
        Question::Events { promote, limit_ppm, .. } => {
            if control_units == 0.0 {
                return limit_ppm.map_or(NOTHING, |limit| alone(real::ppm(limit), control, trial_requests));
            }
            if control_requests == 0.0 {
                return NOTHING;
            }
            let line = chord(*promote, control, trial_requests, control_requests);
            let unit = real::at_least_one(control_requests * control);
            ways(control, promote.at(control))
                .map(|request| below(line, exposure.weight(), unit, real::at_least_one(trial_requests * request)))
        }
        Question::Slow { promote, .. } => {
            if control_units == 0.0 || trial_requests < LEAST_EXPOSED * control_requests {
                return NOTHING;
            }
            let line = Line { ratio: real::ppm(promote.ratio_ppm), plus: real::ppm(promote.plus_ppm) };
            ways(control, line.at(control)).map(|unit| below(line, exposure.weight(), control, unit))
        }
        Question::Invariant => NOTHING,
    }
}

fn ways(control: f64, margin: f64) -> [f64; WAYS] {
    [0.5 * control, control, 0.5 * (control + margin)]
}

fn below(line: Line, weight: f64, control: f64, trial: f64) -> Option<Bet> {
    let on = line.at(control);
    (on < 1.0 && trial < LEAST_BELOW * on).then(|| Bet::against(line, weight, control, trial))
}

/// A line below which units of the trial are flagged only if its requests' chance is below the margin.
///
/// With `x1` and `x0` requests a unit, a request's chance on or above `ratio p0 + plus` gives units of the trial a chance of
/// at least `1 - exp(-x1 plus) (1 - P0)^s`, `s = ratio x1 / x0`, where `P0 = 1 - exp(-x0 p0)`. For `s > 1` that is concave
/// in P0 and so above its chord from 0 to any chance that the control does not exceed; else it is convex and above its
/// tangent at 0.
fn chord(promote: Margin, control: f64, trial_requests: f64, control_requests: f64) -> Line {
    let s = real::ppm(promote.ratio_ppm) * trial_requests / control_requests;
    let shift = trial_requests * real::ppm(promote.plus_ppm);
    let kept = real::exp(-shift);
    let end = real::at_least_one(CHORD * control * control_requests).min(MOST_CHORD);
    let slope = if s > 1.0 { real::at_least_one(s * real::mean_of(end)) / end } else { s };
    Line { ratio: kept * slope, plus: real::at_least_one(shift) }
}

/// Without a control: against the limit itself.
fn alone(limit: f64, control: f64, trial_requests: f64) -> [Option<Bet>; WAYS] {
    let on = real::at_least_one(limit * trial_requests);
    ways(control, limit).map(|request| {
        let trial = real::at_least_one(request * trial_requests);
        (on < 1.0 && trial < LEAST_BELOW * on).then(|| Bet::alone(on, trial))
    })
}
