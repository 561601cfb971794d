//! The analysis of one rollout: it takes ticks, and at every moment has one of three answers, with one chance of a false
//! alarm over all measures and all time.
//!
//! It refuses to know time, names and what follows from its answers. It is a plain value: written and read again it goes on
//! with the same bits, and whoever has the plan and the ticks comes to the same.

use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Because, Evidence, MeasureEvidence, Share, Wait},
    exact::Exact,
    forecast::{self, More},
    measure::{Reader, State},
    plan::{HOLD_AT, Plan, PlanError, Question},
    real,
    tick::{Tick, TickError},
};

/// The form in which an analysis is written. Frozen: another method of computing is another form.
const FORM: u32 = 1;

/// The analysis of one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedAnalysis", into = "SavedAnalysis")]
pub struct Analysis {
    plan: Plan,
    ticks: u64,
    quiet_ticks: u64,
    /// One for each measure of the plan; none for an invariant.
    measures: Vec<Option<(Reader, State)>>,
    went_back: Option<WentBack>,
}

/// What made it go back. Once there, it stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WentBack {
    /// After which tick.
    tick: u64,
    /// The invariant that was broken, if one was.
    invariant: Option<usize>,
    /// What the bets on each measure had come to; 0 for an invariant.
    e_values: Vec<Exact>,
}

/// An analysis as it is written: plan, sums and bets. What else it needs follows from the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedAnalysis {
    form: u32,
    plan: Plan,
    ticks: u64,
    quiet_ticks: u64,
    measures: Vec<Option<State>>,
    went_back: Option<WentBack>,
}

impl Analysis {
    /// An analysis that has seen nothing.
    ///
    /// # Errors
    /// If the plan can not be followed.
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let start = |question: &Question| {
            let reader = Reader::new(question)?;
            let state = reader.start();
            Some((reader, state))
        };
        let measures = plan.measures.iter().map(|measure| start(&measure.question)).collect();
        Ok(Self { plan, ticks: 0, quiet_ticks: 0, measures, went_back: None })
    }

    /// Takes the counts of one tick. Each tick may be given once; the caller sees to that.
    ///
    /// # Errors
    /// If the counts can not be. Then nothing has changed.
    pub fn step(&mut self, tick: &Tick) -> Result<(), TickError> {
        tick.check(&self.plan.measures)?;
        let full = |it: &(Reader, State)| it.1.trial.full() || it.1.control.full();
        if self.ticks == u64::MAX || self.measures.iter().flatten().any(full) {
            return Err(TickError::Full);
        }
        self.ticks += 1;
        self.quiet_ticks = if tick.trial_requests == 0 { self.quiet_ticks + 1 } else { 0 };
        let mut broken = None;
        for (index, (measure, counts)) in self.measures.iter_mut().zip(&tick.counts).enumerate() {
            match measure {
                Some((reader, state)) => reader.step(state, tick, counts, self.plan.horizon_ticks),
                None if counts.trial_flagged > 0 => broken = broken.or(Some(index)),
                None => {}
            }
        }
        if self.went_back.is_none() && (broken.is_some() || self.worse() >= self.plan.go_back_at()) {
            let value = |it: &Option<(Reader, State)>| Exact(it.as_ref().map_or(0.0, |(_, state)| state.worse.value()));
            let e_values = self.measures.iter().map(value).collect();
            self.went_back = Some(WentBack { tick: self.ticks, invariant: broken, e_values });
        }
        Ok(())
    }

    /// The answer by all ticks so far.
    #[must_use]
    pub fn answer(&self) -> Answer {
        if let Some(went_back) = &self.went_back {
            return Answer::GoBack { tick: went_back.tick, because: self.because(went_back) };
        }
        let mut waits = Vec::new();
        if self.hold() {
            waits.push(Wait::Difference { e_value: self.different() });
        }
        for (measure, it) in self.measures.iter().enumerate() {
            let Some((reader, state)) = it else { continue };
            let rules_out = match reader.question() {
                Question::Events { promote, .. } | Question::Slow { promote, .. } => promote.at(reader.control(state)),
                Question::Invariant => continue,
            };
            match forecast::until_good(&self.plan, reader, state) {
                More::Nothing => {}
                More::NoTraffic => waits.push(Wait::Traffic { measure }),
                More::Ticks { ticks, requests } => {
                    waits.push(Wait::Requests { measure, requests, ticks, rules_out });
                }
                More::Never => waits.push(Wait::TooClose { measure, rules_out }),
            }
        }
        if self.ticks == 0 && waits.is_empty() {
            waits.push(Wait::Traffic { measure: 0 });
        }
        if waits.is_empty() { Answer::Promote } else { Answer::NotYet { waits } }
    }

    /// Whether it goes back; [`Self::answer`] says why.
    #[must_use]
    pub fn went_back(&self) -> bool {
        self.went_back.is_some()
    }

    /// Whether the answer is to promote.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let good = |state: &State| state.good.value() >= self.plan.promote_at();
        !self.went_back()
            && self.ticks > 0
            && self.measures.iter().flatten().all(|(_, state)| good(state))
            && !self.hold()
    }

    /// Whether the trial's share should stay as it is: the versions differ more than chance explains often. Nobody needs
    /// to be told.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.different() >= HOLD_AT
    }

    /// Whether the trial's share may be raised: it neither holds nor goes back, nor is it about to.
    #[must_use]
    pub fn may_raise(&self) -> bool {
        self.went_back.is_none() && !self.hold() && self.worse() < HOLD_AT
    }

    /// For how many ticks up to the last one the trial had no requests.
    #[must_use]
    pub fn quiet_ticks(&self) -> u64 {
        self.quiet_ticks
    }

    /// Ticks taken so far.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// What it decides by.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the evidence is now, for a picture of it.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let measures = self.measures.iter().zip(&self.plan.measures).enumerate().map(|(index, (it, measure))| {
            let (reader, state) = it.as_ref()?;
            Some(MeasureEvidence {
                worse: state.worse.value(),
                good: state.good.value(),
                trial: (state.trial.units, state.trial.flagged),
                control: (state.control.units, state.control.flagged),
                detectable: forecast::detectable(&self.plan, index, measure.weight_ppm, reader, state),
            })
        });
        Evidence {
            ticks: self.ticks,
            worse: self.worse(),
            go_back_at: self.plan.go_back_at(),
            different: self.different(),
            hold_at: HOLD_AT,
            promote_at: self.plan.promote_at(),
            measures: measures.collect(),
        }
    }

    /// What all bets on the trial being worse by more than is harmless have come to together.
    fn worse(&self) -> f64 {
        self.weighted(|state| state.worse.value())
    }

    /// What all bets on it being worse at all have come to.
    fn different(&self) -> f64 {
        self.weighted(|state| state.different.as_ref().unwrap_or(&state.worse).value())
    }

    /// The average over measures by their weights: again an e-process, however the measures depend on each other.
    fn weighted(&self, value: impl Fn(&State) -> f64) -> f64 {
        let parts =
            self.measures.iter().zip(&self.plan.measures).map(|(it, measure)| {
                it.as_ref().map_or(0.0, |(_, state)| real::ppm(measure.weight_ppm) * value(state))
            });
        parts.fold(0.0, |sum, part| sum + part)
    }

    fn because(&self, went_back: &WentBack) -> Because {
        if let Some(measure) = went_back.invariant {
            return Because::Invariant { measure };
        }
        let mut shares: Vec<Share> = (self.plan.measures.iter().zip(&went_back.e_values).enumerate())
            .map(|(measure, (planned, e_value))| {
                let part = real::ppm(planned.weight_ppm) * e_value.0;
                Share { measure, part, alone: part >= self.plan.go_back_at() }
            })
            .filter(|share| share.part > 0.0)
            .collect();
        shares.sort_by(|a, b| b.part.total_cmp(&a.part));
        Because::Evidence { e_value: shares.iter().fold(0.0, |sum, share| sum + share.part), shares }
    }
}

impl From<Analysis> for SavedAnalysis {
    fn from(analysis: Analysis) -> Self {
        let Analysis { plan, ticks, quiet_ticks, measures, went_back } = analysis;
        let measures = measures.into_iter().map(|it| it.map(|(_, state)| state)).collect();
        Self { form: FORM, plan, ticks, quiet_ticks, measures, went_back }
    }
}

impl TryFrom<SavedAnalysis> for Analysis {
    type Error = String;

    fn try_from(saved: SavedAnalysis) -> Result<Self, Self::Error> {
        if saved.form != FORM {
            return Err(format!("the analysis is written in form `{}`, and `{FORM}` is read", saved.form));
        }
        let mut analysis = Self::new(saved.plan).map_err(|error| error.to_string())?;
        if saved.measures.len() != analysis.measures.len() {
            return Err("the analysis has another number of measures than its plan".to_owned());
        }
        for (index, (measure, saved)) in analysis.measures.iter_mut().zip(saved.measures).enumerate() {
            match (measure, saved) {
                (Some((reader, state)), Some(saved)) if reader.fits(&saved) => *state = saved,
                (None, None) => {}
                _ => return Err(format!("measure `{index}` of the analysis does not fit its plan")),
            }
        }
        let places = analysis.measures.len();
        if let Some(went_back) = &saved.went_back
            && (went_back.tick > saved.ticks
                || went_back.e_values.len() != places
                || went_back.invariant.is_some_and(|index| index >= places))
        {
            return Err("the analysis went back for what is not in its plan".to_owned());
        }
        analysis.ticks = saved.ticks;
        analysis.quiet_ticks = saved.quiet_ticks;
        analysis.went_back = saved.went_back;
        Ok(analysis)
    }
}

#[cfg(test)]
mod tests;
