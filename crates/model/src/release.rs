//! A release: one version of a whole system, as one frozen document whose digest is what people approve.
//!
//! `v1` is a wire form: its field order and names never change. A release is composed once, from the
//! manifest at a commit and the images that were built from it, and is promoted, rolled back and retired as one.

mod analysis;
mod readings;
mod surge;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

pub use analysis::{Analysis, Cohort, Margins, QUIET_TICKS, Slower};
pub use readings::{COUNTERS_PERCENT, Counter, Invariant, Readings, Worse};
use serde::{Deserialize, Serialize};
pub use surge::{HeaderIs, OTHER_CLASS, PriorityClass, RequestRate, Surge};
pub use versions::{Channel, Versions};

use crate::{
    CanonicalError, Commit, ComponentName, Digest, EnvironmentName, SecretName, Serial, SystemName, ValueName,
    VolumeName, ZoneName, from_json_strict, to_json,
};

/// A release document, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The system.
    pub system: SystemName,
    /// The serial of the change that it was built from.
    pub serial: Serial,
    /// The commit.
    pub commit: Commit,
    /// Every component, in the order of their names.
    pub components: Vec<Component>,
    /// Who may open connections to whom; everything else is denied.
    pub flows: Vec<Flow>,
    /// How it is put into each environment.
    pub environments: Vec<Environment>,
}

impl Release {
    /// The bytes that are stored and digested.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        to_json(self)
    }

    /// Reads exactly those bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonicalError> {
        from_json_strict(bytes)
    }

    /// What people approve and the agent checks.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    /// The component of this name.
    pub fn component(&self, name: &ComponentName) -> Option<&Component> {
        self.components.iter().find(|c| &c.name == name)
    }

    /// How it is put into this environment.
    pub fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.environments.iter().find(|e| &e.name == name)
    }
}

/// One component of a release: an image by digest and everything that it may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name.
    pub name: ComponentName,
    /// The digest of its OCI image manifest.
    pub image: Digest,
    /// What to run instead of the image's own entry point and command; empty for the image's own.
    pub command: Vec<String>,
    /// The TCP port that it listens on.
    pub port: u16,
    /// How it says that it is well.
    pub health: Health,
    /// The zone that its instances live in.
    pub zone: ZoneName,
    /// How many instances.
    pub replicas: u32,
    /// What each instance may use.
    pub limits: Limits,
    /// Its volumes; the only places that it can write beside `/tmp`.
    pub volumes: Vec<Volume>,
    /// Migrations of its state that this version brings, oldest first.
    pub migrations: Vec<Migration>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Secrets by reference: the name of the variable that holds the path of the file, and the reference.
    pub secrets: BTreeMap<String, SecretName>,
    /// The guarded values that it reads, in the order of their names; each is a file below `/run/countersign/values`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueName>,
    /// How an instance is told that it takes nothing new and will be stopped; without it, it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
}

/// How an instance is told that it drains: by one of both or both, the signal first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// A signal to its first process, which must have a handler for it.
    pub signal: Option<DrainSignal>,
    /// A path that gets a POST without a body on its port and answers 2xx.
    pub path: Option<String>,
}

/// Signals that programs take for draining. SIGTERM is for stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DrainSignal {
    /// 1.
    Sighup,
    /// 3, as nginx.
    Sigquit,
    /// 10, as HAProxy.
    Sigusr1,
    /// 12.
    Sigusr2,
    /// 28, as Apache.
    Sigwinch,
}

impl Component {
    /// Whether only one instance may run at a time, because it has a volume that only one may write.
    pub fn is_exclusive(&self) -> bool {
        self.volumes.iter().any(|v| v.exclusive)
    }
}

/// How a component says that it is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// An HTTP path that answers 2xx; `None` asks only that the port accepts a connection.
    pub path: Option<String>,
    /// Milliseconds between checks.
    pub interval_ms: u32,
    /// Milliseconds that one check may take.
    pub timeout_ms: u32,
    /// Milliseconds from start within which it must have become well.
    pub deadline_ms: u32,
}

/// What each instance may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory in MiB; more is killed.
    pub memory_mib: u32,
    /// Share of one core in percent; 150 is a core and a half.
    pub cpu_percent: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Size of `/tmp`, which is in memory, in MiB.
    pub tmp_mib: u32,
    /// Milliseconds between SIGTERM and SIGKILL.
    pub stop_timeout_ms: u32,
}

/// A declared volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its name, within the component.
    pub name: VolumeName,
    /// Where it is mounted.
    pub path: String,
    /// Whether only one instance may have it at a time.
    pub exclusive: bool,
}

/// A declared migration of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// Its name, unique within the component and never used again.
    pub id: String,
    /// Whether it adds (older versions still work) or takes away (they no longer do).
    pub phase: MigrationPhase,
    /// Whether the version before works on the state after it, so that a rollback needs no restore.
    pub reversible: bool,
}

/// The two halves of a change of schema that never stops the service (expand, then contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationPhase {
    /// Adds; older versions still work.
    Expand,
    /// Takes away what no running version uses.
    Contract,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The edge, for clients outside.
    Edge,
    /// A component.
    Component(ComponentName),
}

/// One allowed direction of connection, to the port of the target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Who opens the connection.
    pub from: Origin,
    /// Who accepts it.
    pub to: ComponentName,
}

/// How a release is put into one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its name, as in the charter.
    pub name: EnvironmentName,
    /// The way of replacing one version by the next.
    pub strategy: Strategy,
    /// Where clients reach which component: component and the address that the edge listens on.
    pub expose: BTreeMap<ComponentName, std::net::SocketAddr>,
    /// Seconds of watching after the switch.
    pub watch_s: u32,
    /// The share of failed requests, in hundredths of a percent, above which it goes back.
    pub error_limit_bp: u32,
    /// The number of requests below which the share says nothing.
    pub error_min_requests: u32,
    /// Seconds that the old version has to finish what it is doing.
    pub drain_s: u32,
    /// Milliseconds that the edge may hold requests while an exclusive component hands over.
    pub hold_ms: u32,
    /// Approvals in all, where that is more than the charter asks for; never fewer.
    pub approvals: Option<u32>,
    /// How the new version is compared with the one that it replaces; without it only by its share of failed requests.
    /// Present with [`Strategy::Canary`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// How versions live side by side; without it the next release stops the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// Exposed components that are spoken to over plain TCP (FIX) and not by HTTP.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tcp: BTreeSet<ComponentName>,
    /// What is done for an exposed component when more is asked than it can take; without it the edge passes on all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub surge: BTreeMap<ComponentName, Surge>,
    /// What a newer release does that is approved to replace the same, while this one is on its way.
    #[serde(default, skip_serializing_if = "Newer::is_usual")]
    pub newer: Newer,
}

/// What becomes of a release on its way when a newer one was approved to replace the same that runs. The rule of the release
/// on its way holds, which was approved with it; two never mix under any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Newer {
    /// It makes way as long as no client was sent to it; from then on the newer one waits until it is live or went back.
    #[default]
    Usual,
    /// The newer one waits from the first step on.
    Waits,
    /// It makes way also once clients are on it, unless it made a state that the version before can not work on.
    Replaces,
}

impl Newer {
    /// Whether nothing needs to be written of it. Documents from before there was a choice keep their bytes.
    pub const fn is_usual(&self) -> bool {
        matches!(self, Self::Usual)
    }
}

/// The way of replacing one version by the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The new set beside the old, then one switch.
    BlueGreen,
    /// The new set beside the old, and clients in steps.
    Canary,
}
