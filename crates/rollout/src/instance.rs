//! Instances: one running copy of one component of one version, as it is wanted and as it is seen.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, net::SocketAddr, str::FromStr};

use model::{
    Digest, EnvironmentName, Serial, SystemName, Timestamp, ValueName,
    release::{Component, Release},
};
use serde::{Deserialize, Serialize};

/// Which instance: system, environment, version, component and a number from 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceId {
    /// The environment.
    pub environment: EnvironmentName,
    /// The version (and with it the system).
    pub serial: Serial,
    /// The component.
    pub component: model::ComponentName,
    /// Its number among the replicas, from 1.
    pub number: u32,
}

impl fmt::Display for InstanceId {
    /// `production.paydesk-000042.web.1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.environment, self.serial, self.component, self.number)
    }
}

/// Why a text is not an instance id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an instance id, such as `production.paydesk-000042.web.1`")]
pub struct InstanceIdError(String);

impl FromStr for InstanceId {
    type Err = InstanceIdError;
    fn from_str(text: &str) -> Result<Self, InstanceIdError> {
        let wrong = || InstanceIdError(text.to_owned());
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(wrong);
        let id = Self {
            environment: next()?.parse().map_err(|_| wrong())?,
            serial: next()?.parse().map_err(|_| wrong())?,
            component: next()?.parse().map_err(|_| wrong())?,
            number: next()?.parse().map_err(|_| wrong())?,
        };
        if parts.next().is_some() || id.number == 0 { Err(wrong()) } else { Ok(id) }
    }
}

/// Everything that starting an instance needs. Executors check it against the release that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// Which.
    pub id: InstanceId,
    /// The release that it belongs to.
    pub release: Digest,
    /// The component as the release has it.
    pub component: Component,
    /// Addresses of peers by variable: `COUNTERSIGN_PEER_<COMPONENT>` = `ip:port,ip:port`.
    pub peers: BTreeMap<String, Vec<SocketAddr>>,
    /// Whether the edge may connect to it.
    pub from_edge: bool,
    /// The guarded values that the component reads, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<GivenValue>,
}

/// A guarded value as an instance is given it, with what it was committed to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenValue {
    /// Its name, and that of its file.
    pub name: ValueName,
    /// SHA-256(salt ‖ text), as the release was approved with it.
    pub commitment: Digest,
    /// The salt.
    pub salt: [u8; 32],
    /// The value.
    pub text: String,
}

impl GivenValue {
    /// Whether it is what was committed to.
    pub fn holds(&self) -> bool {
        Digest::of(&[self.salt.as_slice(), self.text.as_bytes()].concat()) == self.commitment
    }
}

impl fmt::Debug for GivenValue {
    /// Values are kept beside the log, and not in what processes print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GivenValue({}, {})", self.name, self.commitment)
    }
}

impl InstanceSpec {
    /// The system.
    pub fn system(&self) -> &SystemName {
        self.id.serial.system()
    }
}

/// What is there now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// All instances, whatever their state.
    pub instances: Vec<ObservedInstance>,
    /// All restore points.
    pub restore_points: Vec<RestorePoint>,
}

/// One instance as it is seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedInstance {
    /// Which.
    pub id: InstanceId,
    /// The release that it was started for.
    pub release: Digest,
    /// The image that its root is made of.
    pub image: Digest,
    /// Its address, kept from start to deletion.
    pub address: SocketAddr,
    /// What it is doing.
    pub state: InstanceState,
}

/// What an instance is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum InstanceState {
    /// Runs; not yet well.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// Runs and says that it is well.
    Healthy {
        /// Since when.
        since: Timestamp,
    },
    /// Runs, was well, and is not any more; or was never well within its deadline.
    Unhealthy {
        /// Since when.
        since: Timestamp,
        /// What the last check said.
        why: String,
    },
    /// Has ended.
    Exited {
        /// When.
        at: Timestamp,
        /// Its exit code; 128 plus the number for a signal.
        code: i32,
        /// Whether the kernel ended it for want of memory.
        out_of_memory: bool,
    },
    /// Runs, but not as it was started: another root, without seccomp, with other limits.
    Drifted {
        /// What differs.
        what: String,
    },
}

/// A copy of a component's volumes, taken while nothing wrote to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePoint {
    /// Of which environment.
    pub environment: EnvironmentName,
    /// Of which component of which system.
    pub component: model::ComponentName,
    /// Taken before this version first ran.
    pub before: Serial,
    /// When.
    pub at: Timestamp,
}

/// The address in the fabric that the edge has for listeners that only components may reach
/// (`exclusive` components are reached through the edge, so that their switch can hold requests).
pub const EDGE_ADDRESS_SUFFIX: [u8; 2] = [255, 1];

/// The edge's address in the fabric whose first two bytes are these.
pub const fn edge_address(fabric: [u8; 2]) -> Ipv4Addr {
    Ipv4Addr::new(fabric[0], fabric[1], EDGE_ADDRESS_SUFFIX[0], EDGE_ADDRESS_SUFFIX[1])
}

/// The variable that tells a component where a peer is.
pub fn peer_variable(component: &model::ComponentName) -> String {
    format!("COUNTERSIGN_PEER_{}", component.as_str().replace('-', "_").to_ascii_uppercase())
}

/// Whether the release asks for this instance at all: right component, number within the replicas, same image.
pub fn belongs(spec: &InstanceSpec, release: &Release) -> bool {
    release.serial == spec.id.serial
        && release.component(&spec.id.component).is_some_and(|c| *c == spec.component && spec.id.number <= c.replicas)
}
