//! Version 1 of the statements: frozen. Names, order and meaning of fields never change; a new meaning is a
//! new version beside this one. Golden bytes in `tests.rs` hold it to that.

mod alarm;
mod amendment;
mod analysis;
mod approval;
mod build;
mod change;
mod charter;
mod erasure;
mod evidence;
mod header;
mod milestone;
mod proposal;
mod report;
mod stop;
mod tick;
mod value;
mod verdict;

pub use alarm::{Acknowledgement, Alarm, AlarmAbout, AlarmKind, AlarmKindError, Silence};
pub use amendment::{Amendment, Cancellation, Consent, Edit};
pub use analysis::{Analysis, AnalysisAnswer, AnalysisTick, Asks, Line, Metric, Times, Worse};
pub use approval::{Action, Approval, Exception, KeyWithdrawal, Rejection};
pub use build::{Build, Image};
pub use change::{Asked, Change, ChangeProblem, CommitFact, CommitProblem, Promotion, SuiteFact};
pub use charter::{
    AfterRule, Charter, EmergencyRule, EnvironmentRule, Group, Host, Key, KeyScheme, LogKey, Member, Quorum, Recovery,
    Robot, Role, SilenceRule, SystemRule, ValueRule, WitnessKey,
};
pub use erasure::Erasure;
pub use evidence::{Evidence, EvidenceOn, EvidenceOutcome, EvidenceReason, SuiteKind, SuiteOn, Totals};
pub use header::{Header, Nonce, Seen};
pub use milestone::{Milestone, MilestoneKind, Placed};
pub use proposal::Proposal;
pub use report::{Arm, Report};
pub use stop::{Halt, Resume, Retirement, Rollback};
pub use tick::Tick;
pub use value::{GuardedValue, ValueApproval, ValueProposal};
pub(crate) use verdict::EnvironmentVerdict;
pub use verdict::{Reason, Ruling, Verdict};

use model::Digest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Who may say a kind at all. A charter can not change it: people decide, robots act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Only people.
    Person,
    /// Only robots.
    Robot,
    /// Both.
    Either,
}

/// Reads the claim of one kind, whose type it is told.
pub(super) trait ReadClaim {
    /// What it makes of it.
    type Read;

    /// Reads a claim of this type, which `claim` makes one of.
    fn read<C: Serialize + DeserializeOwned>(self, claim: impl FnOnce(C) -> Claim) -> Self::Read;
}

/// The kinds, each once: variant, what it says, wire name, who may say it at all. The first has a predicate of its own
/// form, which `payload` reads and writes.
macro_rules! kinds {
    (
        $own:ident($owns:ty), $own_name:literal, $own_speaker:ident;
        $($variant:ident($claim:ty), $name:literal, $speaker:ident;)*
    ) => {
        /// What a statement says, one variant a kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented at its type")]
        pub enum Claim {
            $own($owns),
            $($variant($claim),)*
        }

        /// The kinds, as a charter's roles name them and as a predicate type ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "each kind is documented at its type")]
        pub enum Kind {
            $own,
            $($variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$own_name, $($name),*].len()] = [Self::$own, $(Self::$variant),*];

            /// The wire name.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$own => $own_name,
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether only a robot may say this, only a person, or either.
            pub const fn speaker(self) -> Speaker {
                match self {
                    Self::$own => Speaker::$own_speaker,
                    $(Self::$variant => Speaker::$speaker,)*
                }
            }

            /// Reads a claim of this kind; none for the kind that has a form of its own.
            pub(super) fn read<R: ReadClaim>(self, reader: R) -> Option<R::Read> {
                match self {
                    Self::$own => None,
                    $(Self::$variant => Some(reader.read(Claim::$variant)),)*
                }
            }
        }

        impl Claim {
            /// Its kind.
            pub const fn kind(&self) -> Kind {
                match self {
                    Self::$own(_) => Kind::$own,
                    $(Self::$variant(_) => Kind::$variant,)*
                }
            }
        }

        /// What it says, without its kind.
        impl Serialize for Claim {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::$own(_) => Err(serde::ser::Error::custom("this kind has a form of its own")),
                    $(Self::$variant(claim) => claim.serialize(serializer),)*
                }
            }
        }
    };
}

kinds! {
    Verdict(Box<Verdict>), "verdict", Robot;
    Charter(Box<Charter>), "charter", Person;
    Tick(Tick), "tick", Robot;
    Change(Box<Change>), "change", Robot;
    Build(Box<Build>), "build", Robot;
    Evidence(Box<Evidence>), "evidence", Robot;
    Proposal(Box<Proposal>), "proposal", Either;
    Approval(Approval), "approval", Person;
    Rejection(Rejection), "rejection", Person;
    Milestone(Box<Milestone>), "milestone", Robot;
    Halt(Halt), "halt", Person;
    Resume(Resume), "resume", Person;
    Rollback(Rollback), "rollback", Person;
    Exception(Exception), "exception", Person;
    KeyWithdrawal(KeyWithdrawal), "key-withdrawal", Person;
    Erasure(Erasure), "erasure", Person;
    Amendment(Box<Amendment>), "amendment", Person;
    Consent(Consent), "consent", Person;
    Cancellation(Cancellation), "cancellation", Person;
    ValueProposal(ValueProposal), "value-proposal", Person;
    ValueApproval(ValueApproval), "value-approval", Person;
    Alarm(Alarm), "alarm", Robot;
    Acknowledgement(Acknowledgement), "acknowledgement", Person;
    Silence(Box<Silence>), "silence", Person;
    Analysis(Box<Analysis>), "analysis", Robot;
    Retirement(Retirement), "retirement", Person;
    Report(Box<Report>), "report", Person;
}

/// The predicate type of verdicts (`slsa-framework/slsa:spec/verification_summary.md`).
const SUMMARY_TYPE: &str = "https://slsa.dev/verification_summary/v1";
const TYPE_PREFIX: &str = "https://countersign.dev/statement/";
const TYPE_SUFFIX: &str = "/v1";

impl Kind {
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
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl Claim {
    /// The bodies that it commits to, each with the name of its field.
    pub fn commitments(&self) -> Vec<(&'static str, Digest)> {
        let named: [(&'static str, Option<Digest>); 2] = match self {
            Self::Evidence(c) => [("cases", c.cases), ("", None)],
            Self::Proposal(c) => [("reason", c.reason), ("", None)],
            Self::Rejection(c) => [("reason", c.reason), ("", None)],
            Self::Halt(c) => [("reason", c.reason), ("", None)],
            Self::Erasure(c) => [("reason", c.reason), ("", None)],
            Self::Cancellation(c) => [("reason", c.reason), ("", None)],
            Self::Report(c) => [("words", Some(c.words)), ("", None)],
            Self::Silence(c) => [("reason", Some(c.reason)), ("", None)],
            Self::ValueProposal(c) => [("value", Some(c.value)), ("reason", c.reason)],
            Self::Charter(_)
            | Self::Tick(_)
            | Self::Change(_)
            | Self::Build(_)
            | Self::Approval(_)
            | Self::Verdict(_)
            | Self::Milestone(_)
            | Self::Resume(_)
            | Self::Rollback(_)
            | Self::Retirement(_)
            | Self::Exception(_)
            | Self::KeyWithdrawal(_)
            | Self::Amendment(_)
            | Self::Consent(_)
            | Self::ValueApproval(_)
            | Self::Alarm(_)
            | Self::Acknowledgement(_)
            | Self::Analysis(_) => [("", None), ("", None)],
        };
        named.into_iter().filter_map(|(name, digest)| Some((name, digest?))).collect()
    }
}
