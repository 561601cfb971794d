//! Which differences are bet on: how much worse a version may be, from twice the margin to everything failing.
//!
//! It refuses to know what is seen in the tick that is bet on: only the past and the plan decide. A poor choice costs speed,
//! never validity.

use crate::{
    block::{Bet, Line},
    plan::Margin,
    real,
};

/// The smallest difference that is bet on, in margins, and the factor between one and the next: each true one is then at
/// most a factor of 1.6 away from one that is bet on.
const FIRST: f64 = 2.0;
const FACTOR: f64 = 2.5;
/// Each larger difference is given this part of the stake of the one before. A small difference needs many failures until it
/// is seen, each of which costs somebody; a large one is seen at once with any stake. Measured against equal stakes, with the
/// stake at the start, on the streams of docs/performance.md: 12 to 15 % fewer failures at 0.5 %, none more elsewhere.
const TILT: f64 = 0.7;
/// Chances of a request above this are left to the last alternative, [`CERTAIN`].
const MOST_REQUEST: f64 = 0.6;
/// Nearly every request fails.
const CERTAIN: f64 = 0.97;
/// A unit's chance that is bet on: not closer to one, so that a unit that is spared does not cost everything.
const MOST_UNIT: f64 = 0.98;
/// A unit's chance is bet on only this far above the line; closer, a bet wins nothing.
const LEAST_ABOVE: f64 = 1.3;
/// A unit of a control that never fails is taken to fail once in a billion ticks.
const LEAST_CONTROL: f64 = 1e-9;
/// A control above this leaves no room for worse.
const MOST_CONTROL: f64 = 0.9;
/// For units that are slow: how many times the odds.
const ODDS: [f64; 5] = [1.5, 2.5, 5.0, 15.0, 60.0];

/// Alternatives that have one shape for a whole analysis: how many there are follows from the plan alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alternatives {
    shape: Shape,
    /// The logarithm of what each is given of what is staked.
    pub(crate) ln_prior: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// Chances of a request, as multiples of the margin, and the last certain.
    Events { margin: Margin, multiples: Vec<f64> },
    /// Odds of a unit.
    Slow,
}

impl Alternatives {
    /// For events of requests, with a chance of `history` in the past.
    pub(crate) fn events(margin: Margin, history: f64) -> Self {
        let at = margin.at(history.max(LEAST_CONTROL));
        let multiples: Vec<f64> = std::iter::successors(Some(FIRST), |multiple| Some(multiple * FACTOR))
            .take_while(|multiple| multiple * at < MOST_REQUEST)
            .collect();
        let ln_prior = shares(multiples.len() + 1);
        Self { shape: Shape::Events { margin, multiples }, ln_prior }
    }

    /// For slow units.
    pub(crate) fn slow() -> Self {
        Self { shape: Shape::Slow, ln_prior: shares(ODDS.len()) }
    }

    /// The bets of a tick in which a unit of the control is expected to be flagged with chance `control` and a unit to have
    /// `requests`; none where there is no room above the line.
    pub(crate) fn bets(&self, weight: f64, control: f64, requests: f64) -> Vec<Option<Bet>> {
        match &self.shape {
            Shape::Events { margin, multiples } => {
                let line = Line { ratio: real::ppm(margin.ratio_ppm), plus: requests * real::ppm(margin.plus_ppm) };
                self.events_above(multiples, *margin, control, requests, line.at(control))
                    .map(|trial| trial.map(|trial| Bet::against(line, weight, control, trial)))
                    .collect()
            }
            Shape::Slow => ODDS
                .iter()
                .map(|odds| {
                    let odds = control / (1.0 - control) * odds;
                    Some(Bet::against(Line::EQUAL, weight, control, odds / (1.0 + odds)))
                })
                .collect(),
        }
    }

    /// The bets of a tick without a control, against a request's chance of `limit`.
    pub(crate) fn bets_alone(&self, limit: f64, requests: f64) -> Vec<Option<Bet>> {
        match &self.shape {
            Shape::Events { multiples, .. } => {
                let unit = (limit * requests).min(MOST_CONTROL);
                let line = Margin::NONE;
                self.events_above(multiples, line, unit, requests, unit)
                    .map(|trial| trial.map(|trial| Bet::alone(unit, trial)))
                    .collect()
            }
            Shape::Slow => ODDS.iter().map(|_| None).collect(),
        }
    }

    /// A unit's chance for each alternative, where it is clearly above the line.
    fn events_above(
        &self,
        multiples: &[f64],
        margin: Margin,
        control: f64,
        requests: f64,
        line: f64,
    ) -> impl Iterator<Item = Option<f64>> {
        let at = margin.at(real::mean_of(control) / requests);
        let certain = std::iter::once(CERTAIN);
        multiples.iter().map(move |multiple| at * multiple).chain(certain).map(move |request| {
            let unit = real::at_least_one(requests * request).max(LEAST_ABOVE * line).min(MOST_UNIT);
            (unit > line).then_some(unit)
        })
    }
}

/// A unit's chance within what can be bet on.
pub(crate) fn bounded(control: f64) -> f64 {
    control.clamp(LEAST_CONTROL, MOST_CONTROL)
}

/// The logarithms of the shares of so many alternatives.
fn shares(alternatives: usize) -> Vec<f64> {
    let parts: Vec<f64> = std::iter::successors(Some(1.0), |part| Some(part * TILT)).take(alternatives).collect();
    let whole = parts.iter().fold(0.0, |sum, part| sum + part);
    parts.iter().map(|part| real::ln(part / whole)).collect()
}
