//! Stopping and starting again. Stopping takes one person, starting again the environment's quorum for it. Retiring a
//! version that nobody uses any more is stopping too.

use model::{Digest, EnvironmentName, Serial};
use serde::{Deserialize, Serialize};

/// No new step and no new verdict, in one environment or in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halt {
    /// The environment; none for all.
    pub environment: Option<EnvironmentName>,
    /// SHA-256(salt ‖ reason); the reason is kept beside the log.
    pub reason: Option<Digest>,
}

/// One person's word that it may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The log index of the halt.
    pub halt: u64,
}

/// Go back to the release that ran immediately before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that runs and should not.
    pub from: Digest,
    /// The release that ran before it.
    pub to: Digest,
}

/// Stop a version that runs beside the latest one, once nobody is its client. Who acts on it looks again for clients, and
/// only until the statement expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retirement {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release.
    pub release: Digest,
    /// Its serial.
    pub serial: Serial,
}
