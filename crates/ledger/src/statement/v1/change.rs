//! Changes: what the builder found in the protected branch, commit by commit.

use model::{Commit, Digest, EnvironmentName, KeyId, PersonId, RequirementId, SuiteName, SystemName, ValueName};
use serde::{Deserialize, Serialize};

use super::{SuiteKind, SuiteOn};

/// A head of the protected branch and every commit since the last accepted change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The system.
    pub system: SystemName,
    /// Its number among the system's changes in this log, from 1; the serial is made of it.
    pub ordinal: u64,
    /// The head.
    pub commit: Commit,
    /// Its tree.
    pub tree: Commit,
    /// The branch that it was found on.
    pub branch: String,
    /// The log index of the last accepted change of the system.
    pub previous: Option<u64>,
    /// Every commit since, oldest first.
    pub commits: Vec<CommitFact>,
    /// The digest of the manifest's bytes.
    pub manifest: Digest,
    /// The suites that the manifest declares.
    pub suites: Vec<SuiteFact>,
    /// How many approvals in all the manifest asks for, in environments where it asks for more than the charter.
    pub asks: Vec<Asked>,
    /// Where the manifest says that a release must have run before it comes into an environment, beside what the charter
    /// says of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promotions: Vec<Promotion>,
    /// The guarded values that the manifest's components read, in order. The proposal must bring those in force.
    pub values: Vec<ValueName>,
    /// Why it is not accepted, if it is not.
    pub problems: Vec<ChangeProblem>,
}

impl Change {
    /// Whether later changes build on it.
    pub fn is_accepted(&self) -> bool {
        self.problems.is_empty() && self.commits.iter().all(|c| c.problem.is_none())
    }
}

/// What a manifest asks for in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The environment.
    pub environment: EnvironmentName,
    /// So many approvals in all; never fewer than the charter's quorum.
    pub approvals: u32,
}

/// What a manifest says of the way from one environment to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Into this environment.
    pub environment: EnvironmentName,
    /// Only what has run in this one,
    pub after: EnvironmentName,
    /// for so many seconds without a break, by the log's ticks.
    pub soak_s: u64,
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitFact {
    /// The commit.
    pub commit: Commit,
    /// Author, committer, co-authors and signer, as far as they are enrolled. None of them may approve.
    pub contributors: Vec<PersonId>,
    /// The enrolled key that signed it.
    pub key: Option<KeyId>,
    /// The requirements that its trailers name.
    pub requirements: Vec<RequirementId>,
    /// What is wrong with its authorship.
    pub problem: Option<CommitProblem>,
}

/// What is wrong with a commit's authorship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitProblem {
    /// It has no signature.
    Unsigned,
    /// Its signature is not by an SSH key.
    NotSsh,
    /// Its signature does not fit its bytes.
    BadSignature,
    /// It is signed by a key that the charter does not list.
    UnknownKey,
    /// Its author, committer or a co-author is not an enrolled person.
    UnknownAuthor,
    /// It names one person as author or committer and is signed by another.
    ForgedAuthor,
}

/// What is wrong with a change as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeProblem {
    /// The branch was rewritten: the last accepted head is not an ancestor.
    NotFastForward,
    /// More commits than one statement can hold.
    TooManyCommits,
    /// No manifest, or one with errors.
    Manifest,
}

/// A suite that the manifest declares at this commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteFact {
    /// Its name.
    pub name: SuiteName,
    /// Smoke, full, load or UI.
    pub kind: SuiteKind,
    /// On the source tree or on containers.
    pub on: SuiteOn,
    /// The digest of its definition.
    pub definition: Digest,
    /// The digest of the files that make it.
    pub files: Digest,
    /// The requirements that it says it covers.
    pub covers: Vec<RequirementId>,
}
