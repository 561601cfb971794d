//! Trouble with a version, as a person met it.

use model::{ComponentName, Digest, EnvironmentName, Serial};
use serde::{Deserialize, Serialize};

/// A person had trouble with a version. Enough of these hold a rollout; none ever moves one on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release.
    pub release: Digest,
    /// Its serial.
    pub serial: Serial,
    /// The component, if it is known.
    pub component: Option<ComponentName>,
    /// What the version was then, as its reporter read the log.
    pub arm: Arm,
    /// SHA-256(salt ‖ words); the words are kept beside the log.
    pub words: Digest,
}

/// Which of the versions that are compared one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The new one of a rollout on its way.
    Trial,
    /// The one that it would replace.
    Control,
    /// No rollout is on its way, or it is about others.
    Alone,
}
