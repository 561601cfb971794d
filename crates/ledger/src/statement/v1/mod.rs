//! Version 1 of the statements: frozen. Names, order and meaning of fields never change; a new meaning is a
//! new version beside this one. Golden bytes in `tests.rs` hold it to that.

mod approval;
mod build;
mod change;
mod charter;
mod erasure;
mod evidence;
mod header;
mod milestone;
mod proposal;
mod stop;
mod tick;
mod verdict;

pub use approval::{Action, Approval, Exception, KeyWithdrawal, Rejection};
pub use build::{Build, Image};
pub use change::{Asked, Change, ChangeProblem, CommitFact, CommitProblem, SuiteFact};
pub use charter::{
    Charter, EnvironmentRule, Group, Host, Key, KeyScheme, LogKey, Member, Quorum, Robot, Role, SystemRule, WitnessKey,
};
pub use erasure::Erasure;
pub use evidence::{Evidence, EvidenceOn, EvidenceOutcome, EvidenceReason, SuiteKind, SuiteOn, Totals};
pub use header::{Header, Nonce, Seen};
pub use milestone::{Milestone, MilestoneKind, Placed};
pub use proposal::Proposal;
pub use stop::{Halt, Resume, Rollback};
pub use tick::Tick;
pub(crate) use verdict::EnvironmentVerdict;
pub use verdict::{Reason, Ruling, Verdict};

use model::Digest;
use serde::{Deserialize, Serialize};

/// What a statement says, one variant a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its type")]
pub enum Claim {
    Charter(Box<Charter>),
    Tick(Tick),
    Change(Box<Change>),
    Build(Box<Build>),
    Evidence(Box<Evidence>),
    Proposal(Box<Proposal>),
    Approval(Approval),
    Rejection(Rejection),
    Verdict(Box<Verdict>),
    Milestone(Box<Milestone>),
    Halt(Halt),
    Resume(Resume),
    Rollback(Rollback),
    Exception(Exception),
    KeyWithdrawal(KeyWithdrawal),
    Erasure(Erasure),
}

/// The kinds, as a charter's roles name them and as a predicate type ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each kind is documented at its type")]
pub enum Kind {
    Charter,
    Tick,
    Change,
    Build,
    Evidence,
    Proposal,
    Approval,
    Rejection,
    Verdict,
    Milestone,
    Halt,
    Resume,
    Rollback,
    Exception,
    KeyWithdrawal,
    Erasure,
}

/// The predicate type of verdicts (`slsa-framework/slsa:spec/verification_summary.md`).
const SUMMARY_TYPE: &str = "https://slsa.dev/verification_summary/v1";
const TYPE_PREFIX: &str = "https://countersign.dev/statement/";
const TYPE_SUFFIX: &str = "/v1";

impl Kind {
    /// Every kind, in the order of its wire names' introduction.
    pub const ALL: [Self; 16] = [
        Self::Charter,
        Self::Tick,
        Self::Change,
        Self::Build,
        Self::Evidence,
        Self::Proposal,
        Self::Approval,
        Self::Rejection,
        Self::Verdict,
        Self::Milestone,
        Self::Halt,
        Self::Resume,
        Self::Rollback,
        Self::Exception,
        Self::KeyWithdrawal,
        Self::Erasure,
    ];

    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charter => "charter",
            Self::Tick => "tick",
            Self::Change => "change",
            Self::Build => "build",
            Self::Evidence => "evidence",
            Self::Proposal => "proposal",
            Self::Approval => "approval",
            Self::Rejection => "rejection",
            Self::Verdict => "verdict",
            Self::Milestone => "milestone",
            Self::Halt => "halt",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
            Self::Exception => "exception",
            Self::KeyWithdrawal => "key-withdrawal",
            Self::Erasure => "erasure",
        }
    }

    /// The predicate type of statements of this kind.
    pub fn predicate_type(self) -> String {
        match self {
            Self::Verdict => SUMMARY_TYPE.to_owned(),
            other => format!("{TYPE_PREFIX}{}{TYPE_SUFFIX}", other.name()),
        }
    }

    /// The kind that a predicate type names.
    pub fn of_predicate_type(text: &str) -> Option<Self> {
        if text == SUMMARY_TYPE {
            return Some(Self::Verdict);
        }
        let name = text.strip_prefix(TYPE_PREFIX)?.strip_suffix(TYPE_SUFFIX)?;
        Self::ALL.into_iter().find(|kind| kind.name() == name && *kind != Self::Verdict)
    }

    /// Whether only a robot may say this, only a person, or either. A charter can not change it: people decide,
    /// robots act.
    pub const fn speaker(self) -> Speaker {
        match self {
            Self::Tick | Self::Change | Self::Build | Self::Evidence | Self::Verdict | Self::Milestone => {
                Speaker::Robot
            }
            Self::Charter
            | Self::Approval
            | Self::Rejection
            | Self::Resume
            | Self::Rollback
            | Self::Exception
            | Self::KeyWithdrawal
            | Self::Erasure
            | Self::Halt => Speaker::Person,
            Self::Proposal => Speaker::Either,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Who may say a kind at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Only people.
    Person,
    /// Only robots.
    Robot,
    /// Both.
    Either,
}

impl Claim {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Charter(_) => Kind::Charter,
            Self::Tick(_) => Kind::Tick,
            Self::Change(_) => Kind::Change,
            Self::Build(_) => Kind::Build,
            Self::Evidence(_) => Kind::Evidence,
            Self::Proposal(_) => Kind::Proposal,
            Self::Approval(_) => Kind::Approval,
            Self::Rejection(_) => Kind::Rejection,
            Self::Verdict(_) => Kind::Verdict,
            Self::Milestone(_) => Kind::Milestone,
            Self::Halt(_) => Kind::Halt,
            Self::Resume(_) => Kind::Resume,
            Self::Rollback(_) => Kind::Rollback,
            Self::Exception(_) => Kind::Exception,
            Self::KeyWithdrawal(_) => Kind::KeyWithdrawal,
            Self::Erasure(_) => Kind::Erasure,
        }
    }

    /// The bodies that it commits to, each with the name of its field.
    pub fn commitments(&self) -> Vec<(&'static str, Digest)> {
        let (name, commitment) = match self {
            Self::Evidence(c) => ("cases", c.cases),
            Self::Rejection(c) => ("reason", c.reason),
            Self::Halt(c) => ("reason", c.reason),
            Self::Erasure(c) => ("reason", c.reason),
            Self::Charter(_)
            | Self::Tick(_)
            | Self::Change(_)
            | Self::Build(_)
            | Self::Proposal(_)
            | Self::Approval(_)
            | Self::Verdict(_)
            | Self::Milestone(_)
            | Self::Resume(_)
            | Self::Rollback(_)
            | Self::Exception(_)
            | Self::KeyWithdrawal(_) => ("", None),
        };
        commitment.into_iter().map(|digest| (name, digest)).collect()
    }
}
