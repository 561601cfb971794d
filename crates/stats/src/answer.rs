//! What an analysis answers: go back, promote, or not yet and what it waits for.
//!
//! It refuses to know how to say it to people, and the names of measures: they are given by their places in the plan.

use crate::forecast::Detectable;

/// The answer after so many ticks.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The new version is worse. It stays so, whatever comes.
    GoBack {
        /// After which tick that was clear, counted from 1.
        tick: u64,
        /// Why.
        because: Because,
    },
    /// The new version is good enough, by what is known now. Later ticks may still go back.
    Promote,
    /// Neither is clear yet.
    NotYet {
        /// What it waits for, at least one.
        waits: Vec<Wait>,
    },
}

/// Why it goes back.
#[derive(Clone, Debug, PartialEq)]
pub enum Because {
    /// What may never happen did.
    Invariant {
        /// The measure's place in the plan.
        measure: usize,
    },
    /// All measures together.
    Evidence {
        /// What the bets on all measures came to: under the null it is ever so large with a chance of at most one in it.
        e_value: f64,
        /// The measures that it came from, largest part first.
        shares: Vec<Share>,
    },
}

/// A measure's part in the evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The measure's place in the plan.
    pub measure: usize,
    /// What the bets on it came to, times its weight.
    pub part: f64,
    /// Whether it would have gone back by itself, so that it may be called the culprit.
    pub alone: bool,
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Requests of both versions side by side; nothing can be said before.
    Traffic {
        /// The measure's place in the plan.
        measure: usize,
    },
    /// More requests of the trial.
    Requests {
        /// The measure's place in the plan.
        measure: usize,
        /// About so many, at the rates seen.
        requests: u64,
        /// They take about so many ticks.
        ticks: u64,
        /// Then a chance above this would be ruled out: of a request (`Events`) or of a unit in a tick (`Slow`).
        rules_out: f64,
    },
    /// At the rates seen, the trial is too close to what must be ruled out, or beyond it: time alone does not help.
    TooClose {
        /// The measure's place in the plan.
        measure: usize,
        /// What must be ruled out.
        rules_out: f64,
    },
    /// The versions differ more than chance explains often; whether by more than is harmless is not clear yet.
    Difference {
        /// What the bets on any difference came to.
        e_value: f64,
    },
}

/// What the evidence is now, for a picture of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Ticks taken.
    pub ticks: u64,
    /// That the trial is worse by more than is harmless, over all measures.
    pub worse: f64,
    /// From here on it goes back.
    pub go_back_at: f64,
    /// That the trial is worse at all.
    pub different: f64,
    /// From here on its share is held.
    pub hold_at: f64,
    /// Each measure must come to this for promotion.
    pub promote_at: f64,
    /// The measures in the plan's order; none for an invariant.
    pub measures: Vec<Option<MeasureEvidence>>,
}

/// What the evidence of one measure is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasureEvidence {
    /// That the trial is worse by more than is harmless.
    pub worse: f64,
    /// That it is good enough.
    pub good: f64,
    /// Unit-ticks of the trial, and how many of them were flagged.
    pub trial: (u64, u64),
    /// The same of the control.
    pub control: (u64, u64),
    /// What would have been seen by now.
    pub detectable: Detectable,
}
