//! Alarms, who saw them, and who keeps them quiet for a while.

use model::{ComponentName, Digest, HostName, RoleName, Timestamp, ValueName};
use serde::{Deserialize, Serialize};

/// Something that people must look at, or that is over. The header names system and environment, if it is about one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// What it is.
    pub what: AlarmKind,
    /// What it is about.
    pub about: AlarmAbout,
    /// Whether it began; otherwise it is over.
    pub firing: bool,
}

/// What an alarm is about. In a silence, what is missing means any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmAbout {
    /// A component.
    pub component: Option<ComponentName>,
    /// A process of Countersign, by its role.
    pub process: Option<RoleName>,
    /// A host.
    pub host: Option<HostName>,
    /// A guarded value.
    pub value: Option<ValueName>,
    /// The log index of the statement that gave rise to it.
    pub statement: Option<u64>,
}

/// What an alarm says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// A component does not answer its probe.
    ProbeFailed,
    /// A process of Countersign does not answer, or has stopped noting that it is alive.
    HeartbeatMissed,
    /// What runs is not what a verdict names.
    Drift,
    /// A new version got no traffic that it could be judged by.
    NoTraffic,
    /// A verdict was withdrawn under something that runs.
    VerdictWithdrawn,
    /// A release went back.
    WentBack,
    /// A stop was obeyed and is not in the log by its deadline.
    StopNotLogged,
    /// Somebody put up another value, or a cool-off began.
    ValueProposed,
    /// A guarded value comes, or came, into force.
    ValueInForce,
    /// Somebody tried to change a guarded value and was refused.
    ValueRefused,
    /// An amendment was put up.
    AmendmentProposed,
    /// Recovery keys put up an amendment; any member can cancel it.
    RecoveryProposed,
    /// An amendment rests on a key that was withdrawn; it stays in force.
    AmendmentByWithdrawnKey,
    /// An emergency release was approved, and its evidence is missing.
    Emergency,
    /// The log, its witnesses or its time stand still.
    LogStale,
    /// Two histories of the log are known.
    Fork,
    /// A silence hides alarms.
    Silenced,
}

/// One person's word that an alarm was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The log index of the alarm.
    pub alarm: u64,
}

/// Alarms that are not sent out for a while; they are still raised and in the log. The header names system and
/// environment, or neither for alarms about Countersign itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Which kinds of alarm; never none.
    pub what: Vec<AlarmKind>,
    /// About what; what is missing means any.
    pub about: AlarmAbout,
    /// When it ends.
    pub ends: Timestamp,
    /// SHA-256(salt ‖ reason); the reason is kept beside the log.
    pub reason: Digest,
}
