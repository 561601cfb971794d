//! One measure over the ticks: what was counted in sum, and what the bets on it have come to.
//!
//! It refuses to know the other measures.

use serde::{Deserialize, Serialize};

use crate::{
    alternatives::{Alternatives, bounded},
    block::{Bet, weight},
    evidence::Mixture,
    exact::Exact,
    plan::{Margin, Question},
    promotion::{self, Exposure},
    real,
    tick::{Counts, Tick},
};

/// Most is staked at once, because most faults are there from the start, and the rest over the horizon: a fault that begins
/// late costs a fifth of a failure more than with half.
pub(crate) const AT_ONCE: f64 = 0.7;

/// How much of the expected number of requests a tick renews: about the last 16 ticks count.
const RENEWED: f64 = 1.0 / 16.0;
/// Fewer requests a unit and tick are as good as none.
const LEAST_REQUESTS: f64 = 1e-5;

/// What a measure remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Requests that a unit is expected to have in the tick to come, by those past.
    pub(crate) requests_per_unit: Exact,
    /// Ticks in which both versions had units. What follows was counted in them.
    pub(crate) ticks: u64,
    /// Of the trial.
    pub(crate) trial: Sums,
    /// Of the control.
    pub(crate) control: Sums,
    /// That the trial is worse by more than the margin.
    pub(crate) worse: Mixture,
    /// That it is worse at all; none where the margin is nothing already, and the same bet.
    pub(crate) different: Option<Mixture>,
    /// That it is good enough.
    pub(crate) good: Mixture,
}

/// Sums over ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sums {
    /// Units times ticks.
    pub(crate) units: u64,
    /// Of those, flagged.
    pub(crate) flagged: u64,
    /// Requests.
    pub(crate) requests: u64,
}

/// What follows from the plan for one measure, computed once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reader {
    question: Question,
    worse: Alternatives,
    different: Option<Alternatives>,
}

impl Sums {
    fn add(&mut self, units: u32, flagged: u32, requests: u64) {
        self.units = self.units.saturating_add(units.into());
        self.flagged = self.flagged.saturating_add(flagged.into());
        self.requests = self.requests.saturating_add(requests);
    }

    /// Whether sums are such that the logarithms' arguments stay exact.
    pub(crate) fn full(&self) -> bool {
        const EXACT: u64 = 1 << 53;
        self.requests > EXACT - crate::tick::MAX_REQUESTS || self.units > EXACT - u64::from(crate::tick::MAX_UNITS)
    }
}

impl Reader {
    /// For a question that compares; none for an invariant.
    pub(crate) fn new(question: &Question) -> Option<Self> {
        let (worse, different) = match question {
            Question::Events { history_ppm, margin, .. } => {
                let history = real::ppm(*history_ppm);
                let different = (*margin != Margin::NONE).then(|| Alternatives::events(Margin::NONE, history));
                (Alternatives::events(*margin, history), different)
            }
            Question::Slow { .. } => (Alternatives::slow(), None),
            Question::Invariant => return None,
        };
        Some(Self { question: question.clone(), worse, different })
    }

    /// Nothing counted, nothing won.
    pub(crate) fn start(&self) -> State {
        State {
            requests_per_unit: Exact(self.usual_requests()),
            ticks: 0,
            trial: Sums::default(),
            control: Sums::default(),
            worse: Mixture::new(AT_ONCE, &self.worse.ln_prior),
            different: self.different.as_ref().map(|different| Mixture::new(AT_ONCE, &different.ln_prior)),
            good: Mixture::new(1.0, &promotion::LN_PRIOR),
        }
    }

    /// Whether a state has the shape that the plan gives it.
    pub(crate) fn fits(&self, state: &State) -> bool {
        state.worse.len() == self.worse.ln_prior.len()
            && state.different.as_ref().map(Mixture::len) == self.different.as_ref().map(|it| it.ln_prior.len())
            && state.good.len() == promotion::WAYS
            && state.trial.flagged <= state.trial.units
            && state.control.flagged <= state.control.units
    }

    /// Takes a tick, where late faults are expected over `horizon_ticks`.
    pub(crate) fn step(&self, state: &mut State, tick: &Tick, counts: &Counts, horizon_ticks: u32) {
        let requests = state.requests_per_unit.0;
        let unit = self.control_unit(state);
        let stake = (1.0 - AT_ONCE) / f64::from(horizon_ticks);
        if counts.comparable() {
            let w = weight(counts);
            take(&mut state.worse, &self.worse, stake, &self.worse.bets(w, unit, requests), counts);
            if let (Some(mixture), Some(different)) = (&mut state.different, &self.different) {
                take(mixture, different, stake, &different.bets(w, unit, requests), counts);
            }
        } else if counts.trial_units > 0
            && tick.trial_requests > 0
            && let Question::Events { limit_ppm: Some(limit), .. } = &self.question
        {
            // Requests of this tick, not those expected: without a control beside it, a rush would look like a fault.
            let exposed = real::count(tick.trial_requests) / f64::from(counts.trial_units);
            let bets = self.worse.bets_alone(real::ppm(*limit), exposed);
            take(&mut state.worse, &self.worse, stake, &bets, counts);
        }
        let control = self.control(state);
        let bets = promotion::bets(&self.question, &Exposure::of(tick, counts), control);
        state.good.step(0.0, &promotion::LN_PRIOR, |index| outcome(&bets, index, counts));
        if counts.comparable() {
            let units = f64::from(counts.trial_units) + f64::from(counts.control_units);
            let seen = real::count(tick.trial_requests + tick.control_requests) / units;
            state.requests_per_unit.0 = (requests + RENEWED * (seen - requests)).max(LEAST_REQUESTS);
            state.ticks = state.ticks.saturating_add(1);
            state.trial.add(counts.trial_units, counts.trial_flagged, tick.trial_requests);
            state.control.add(counts.control_units, counts.control_flagged, tick.control_requests);
        }
    }

    /// The chance that a unit of the control is flagged in the tick to come, from the past alone.
    pub(crate) fn control_unit(&self, state: &State) -> f64 {
        let (flagged, units) = (real::count(state.control.flagged), real::count(state.control.units));
        match &self.question {
            Question::Events { history_ppm, history_unit_ticks, .. } => {
                let weight = f64::from(*history_unit_ticks);
                let past = (weight * self.usual_requests() + real::count(state.control.requests)) / (weight + units);
                let history = real::at_least_one(past * real::ppm(*history_ppm));
                let unit = bounded((weight * history + flagged) / (weight + units));
                bounded(real::at_least_one(real::mean_of(unit) * (state.requests_per_unit.0 / past)))
            }
            Question::Slow { history_ppm, history_unit_ticks, .. } => {
                let weight = f64::from(*history_unit_ticks);
                bounded((weight * real::ppm(*history_ppm) + flagged) / (weight + units))
            }
            Question::Invariant => bounded(0.0),
        }
    }

    /// The same for what a margin is about: a request for events, a unit for slow units.
    pub(crate) fn control(&self, state: &State) -> f64 {
        let unit = self.control_unit(state);
        match self.question {
            Question::Events { .. } => real::mean_of(unit) / state.requests_per_unit.0,
            Question::Slow { .. } | Question::Invariant => unit,
        }
    }

    /// What is asked.
    pub(crate) fn question(&self) -> &Question {
        &self.question
    }

    /// What is bet on by those who say that the trial is worse.
    pub(crate) fn alternatives(&self) -> &Alternatives {
        &self.worse
    }

    /// Requests that a unit is expected to have in a tick by the plan.
    fn usual_requests(&self) -> f64 {
        match &self.question {
            Question::Events { requests_per_million_unit_ticks, .. } => {
                (real::count(*requests_per_million_unit_ticks) / 1e6).max(LEAST_REQUESTS)
            }
            Question::Slow { .. } | Question::Invariant => 1.0,
        }
    }
}

fn take(mixture: &mut Mixture, alternatives: &Alternatives, stake: f64, bets: &[Option<Bet>], counts: &Counts) {
    mixture.step(stake, &alternatives.ln_prior, |index| outcome(bets, index, counts));
}

fn outcome(bets: &[Option<Bet>], index: usize, counts: &Counts) -> f64 {
    bets.get(index).copied().flatten().map_or(0.0, |bet| bet.ln_e(counts))
}
