//! Guarded values: payout accounts, addresses, limits. They change by their own guardians and after a cool-off.

use model::{Digest, ValueName};
use serde::{Deserialize, Serialize};

/// Another value, put up for approval. The header names the system and the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueProposal {
    /// The value's name.
    pub name: ValueName,
    /// SHA-256(salt ‖ value); the value is kept beside the log.
    pub value: Digest,
    /// The log index of the proposal whose value is in force; none for the first.
    pub replaces: Option<u64>,
    /// SHA-256(salt ‖ reason); the reason is kept beside the log.
    pub reason: Option<Digest>,
}

/// One guardian's yes to exactly this change of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueApproval {
    /// The log index of the proposal.
    pub proposal: u64,
    /// The value's name.
    pub name: ValueName,
    /// What is proposed, as the proposal commits to it.
    pub value: Digest,
    /// What it replaces.
    pub replaces: Option<u64>,
    /// The digest of what was shown.
    pub shown: Digest,
}

/// A guarded value that a release is given, by the proposal that put it in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardedValue {
    /// Its name.
    pub name: ValueName,
    /// The log index of the proposal.
    pub proposal: u64,
    /// SHA-256(salt ‖ value), as that proposal commits to it.
    pub value: Digest,
}
