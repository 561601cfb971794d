//! What people sign: approvals, rejections, exceptions and withdrawals of keys.

use model::{CaseId, Digest, EnvironmentName, KeyId, PersonId, SuiteName, Timestamp};
use serde::{Deserialize, Serialize};

/// Yes to exactly one transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What is approved.
    pub action: Action,
    /// The environment.
    pub environment: EnvironmentName,
    /// The log index of the proposal.
    pub proposal: u64,
    /// The release.
    pub release: Digest,
    /// The release that it replaces.
    pub replaces: Option<Digest>,
    /// The digest of what the signer was shown.
    pub shown: Digest,
}

/// What is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A rollout of the release.
    Release,
}

/// No to a proposal. One is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The log index of the proposal.
    pub proposal: u64,
    /// The release.
    pub release: Digest,
    /// SHA-256(salt ‖ reason); the reason is kept beside the log.
    pub reason: Option<Digest>,
}

/// A case that may be skipped or missing for a while. Counts when two persons who did not contribute say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The suite.
    pub suite: SuiteName,
    /// The case's pseudonym (see [`CaseId::pseudonym`]).
    pub case: Digest,
    /// Who owns putting it right.
    pub owner: PersonId,
    /// When it ends.
    pub ends: Timestamp,
}

impl Exception {
    /// Whether it is about this case.
    pub fn covers(&self, suite: &SuiteName, case: &CaseId) -> bool {
        &self.suite == suite && self.case == case.pseudonym()
    }
}

/// A key that must not be believed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyWithdrawal {
    /// The key.
    pub key: KeyId,
    /// What it signed at this log index and later is void.
    pub void_from: u64,
}
