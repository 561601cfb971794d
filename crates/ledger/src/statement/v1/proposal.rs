//! Proposals: a release put up for an environment.

use model::{Digest, EnvironmentName, Serial, SuiteName};
use serde::{Deserialize, Serialize};

use super::{GuardedValue, Image};

/// One transition of one environment, put up for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The environment.
    pub environment: EnvironmentName,
    /// The digest of the release document.
    pub release: Digest,
    /// Its serial.
    pub serial: Serial,
    /// The log index of the build.
    pub build: u64,
    /// The log index of the change.
    pub change: u64,
    /// Every component's image.
    pub images: Vec<Image>,
    /// The release that it replaces there; none for the first.
    pub replaces: Option<Digest>,
    /// Suites of the release that it replaces which the change edits.
    pub edited_suites: Vec<SuiteName>,
    /// Suites of the release that it replaces which the change removes.
    pub removed_suites: Vec<SuiteName>,
    /// Approvals that the manifest asks for beyond the charter's quorum; never fewer.
    pub approvals: Option<u32>,
    /// The guarded values that it is given, by name.
    pub values: Vec<GuardedValue>,
    /// Whether it is put up in an emergency, before all evidence is there.
    pub emergency: bool,
    /// SHA-256(salt ‖ reason); the reason is kept beside the log.
    pub reason: Option<Digest>,
}
