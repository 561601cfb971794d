//! What should run in one environment, and where that is. It knows nothing of verdicts: the caller says whether
//! there is leave to go forward, and spends one current verdict on each step that needs one.

use std::collections::BTreeMap;

use model::{
    CanonicalError, ComponentName, Digest, EnvironmentName, Serial,
    release::{Environment, Release},
    route::TlsFiles,
};
use serde::{Deserialize, Serialize};

use crate::instance::GivenValue;

/// A release as the planner carries it: the document, its digest and the log index that its routes go by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The document.
    pub release: Release,
    /// Its digest.
    pub digest: Digest,
    /// The log index of the statement that first let this version replace the one before. It becomes the
    /// generation of the route tables. It names one attempt: after going back, the same digest is tried again
    /// only with a higher index, so a verdict that is merely made again must keep the index of the first.
    pub generation: u64,
    /// The guarded values that it was approved with. They stay with the version: what runs is started again with the
    /// same ones, whatever is in force meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<GivenValue>,
}

impl Version {
    /// Computes the digest of the document.
    pub fn new(release: Release, generation: u64) -> Result<Self, CanonicalError> {
        let digest = release.digest()?;
        Ok(Self { release, digest, generation, values: Vec::new() })
    }

    /// The same with its guarded values.
    #[must_use]
    pub fn given(mut self, values: Vec<GivenValue>) -> Self {
        self.values = values;
        self
    }

    /// Its serial.
    pub const fn serial(&self) -> &Serial {
        &self.release.serial
    }

    /// How it is put into this environment.
    pub(crate) fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.release.environment(name)
    }
}

/// Where: one environment on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The environment.
    pub environment: EnvironmentName,
    /// The first two bytes of its fabric's addresses.
    pub fabric: [u8; 2],
    /// The folder in which the keys are that sign clients' tokens.
    pub certificates: String,
    /// Certificates of public listeners, by exposed component.
    pub tls: BTreeMap<ComponentName, TlsFiles>,
}

/// What should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Where.
    pub place: Place,
    /// The version that should run.
    pub target: Version,
    /// The release that it was approved to replace; `None` for the first. An approval is for one transition:
    /// if something else runs, nothing begins.
    pub replaces: Option<Digest>,
    /// A version that was retired and shall run again beside the latest one, with the log index of its proposal; there is
    /// leave for it.
    pub back: Option<Version>,
    /// Versions beside the latest one that people ordered to be retired.
    pub retire: Vec<Digest>,
    /// Trouble that people report with a version, and that nobody has seen yet.
    pub trouble: Option<Trouble>,
    /// Whether steps forward may be taken now: with the version that a rollout brings forward, which need not be the target
    /// if something newer waits, and if none is on its way, with the target.
    pub leave: Leave,
    /// Whether the verdict of that same version was withdrawn: a rollout that is on its way goes back, and none begins.
    /// What already runs goes on.
    pub withdrawn: bool,
}

/// Trouble that people report with a version. It can hold a rollout, and nothing of it ever moves one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// With which.
    pub release: Digest,
    /// Different people, since somebody last looked.
    pub reporters: u32,
    /// The log index up to which somebody has seen them; 0 if nobody looked.
    pub seen: u64,
}

/// Whether steps forward may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// A current verdict is there for each step.
    Granted,
    /// A person halted the environment.
    Halted,
    /// There is no current verdict just now: the reason, in people's words.
    Missing(String),
}

impl Leave {
    /// Whether steps forward may be taken.
    pub const fn is_granted(&self) -> bool {
        matches!(self, Self::Granted)
    }
}
