//! What of a comparison does not follow, and at which statement.

use ledger::statement::v1::AnalysisAnswer;
use model::{ComponentName, Digest};
use stats::{PlanError, TickError};

/// A statement that does not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Its log index.
    pub index: u64,
    /// What is wrong with it.
    pub what: Difference,
}

/// What does not follow from the statements before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Nothing is on its way that could be compared.
    #[error("no rollout of proposal {proposal} is on its way that it could compare")]
    NoRollout {
        /// The proposal that it names.
        proposal: u64,
    },
    /// It counts nothing.
    #[error("nothing is counted in it")]
    Nothing,
    /// Several components in one statement.
    #[error("metrics of several components stand in it, beside those of `{component}`")]
    Mixed {
        /// The first of them.
        component: ComponentName,
    },
    /// Compared with something else than what it replaces.
    #[error("it compares with the release {found}, and the proposal replaces {}", replaced(*replaces))]
    Other {
        /// What it names.
        found: Digest,
        /// What the proposal names.
        replaces: Option<Digest>,
    },
    /// Clients were divided in a way that somebody chose.
    #[error(
        "the name by which clients are divided does not follow from the releases, so that somebody may have chosen who gets which version"
    )]
    Salt,
    /// Judged by other numbers than before.
    #[error("`{component}` is judged by other numbers than in the statements of the same comparison before it")]
    Changed {
        /// Which component.
        component: ComponentName,
    },
    /// The plan makes no sense.
    #[error("the plan for `{component}` can not be followed: {why}")]
    Plan {
        /// Which component.
        component: ComponentName,
        /// Why.
        why: PlanError,
    },
    /// What was approved is stricter.
    #[error(
        "`{component}` is judged by another number than the release documents give: {number} is {found}, approved is {approved}"
    )]
    Looser {
        /// Which component.
        component: ComponentName,
        /// Which number.
        number: String,
        /// What it is.
        found: u64,
        /// What it may be.
        approved: u64,
    },
    /// What is compared was not asked for, or something that was is not.
    #[error("`{component}`: {what}")]
    Metrics {
        /// Which component.
        component: ComponentName,
        /// What is wrong with what is counted.
        what: String,
    },
    /// A tick is missing or there twice.
    #[error(
        "the ticks of `{component}` go on at {found}, and the next one is {expected}: a statement is missing, double or out of order"
    )]
    Gap {
        /// Which component.
        component: ComponentName,
        /// The number of its first tick.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// Counts that can not be.
    #[error("tick {tick} of `{component}` can not be: {why}")]
    Tick {
        /// Which component.
        component: ComponentName,
        /// Which tick.
        tick: u64,
        /// Why.
        why: TickError,
    },
    /// Units that do not add up.
    #[error("in tick {tick} the units do not fit the share of {share} %")]
    Units {
        /// Which tick.
        tick: u64,
        /// The share in percent.
        share: u8,
    },
    /// More clients than the steps so far allow.
    #[error("in tick {tick} the new version had {share} % of clients, which no step so far allows")]
    Share {
        /// Which tick.
        tick: u64,
        /// The share in percent.
        share: u8,
    },
    /// Another answer follows.
    #[error("it answers `{}` for `{component}`, and from its ticks follows `{}`", word(*said), word(*follows))]
    Answer {
        /// Which component.
        component: ComponentName,
        /// What it says.
        said: AnalysisAnswer,
        /// What follows.
        follows: AnalysisAnswer,
    },
    /// Forward, though the answer was to go back.
    #[error("it went on, though the comparison of `{component}` said to go back")]
    WentOn {
        /// Which component.
        component: ComponentName,
    },
    /// More steps than there are.
    #[error("it gave the new version more steps than the {steps} that were approved")]
    Steps {
        /// How many there are, with those before the first share and after the last.
        steps: usize,
    },
    /// Promoted without the answer for it.
    #[error("it was promoted, though the comparison of `{component}` had not answered that it may be")]
    Promoted {
        /// Which component.
        component: ComponentName,
    },
    /// Nothing was compared, and the release documents ask for it.
    #[error("it was promoted without the comparison that the release documents ask for")]
    Uncompared,
    /// It began while a rollout was not over.
    #[error("it begins while the rollout of the proposal at {proposal} is not over")]
    Open {
        /// The log index of that proposal.
        proposal: u64,
    },
    /// It went back for being worse, and no answer said so.
    #[error("it went back as worse than the version before, and no answer says so")]
    NotWorse,
    /// Requests were there when people were told that there were none.
    #[error("it says that the new version got no requests, and the ticks say that it did")]
    NotQuiet,
    /// People were not told.
    #[error("the new version got no requests for a minute of ticks, and nobody was told")]
    Silent,
}

const fn word(answer: AnalysisAnswer) -> &'static str {
    match answer {
        AnalysisAnswer::NotYet => "not yet",
        AnalysisAnswer::GoBack => "go back",
        AnalysisAnswer::Promote => "promote",
    }
}

fn replaced(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string())
}
