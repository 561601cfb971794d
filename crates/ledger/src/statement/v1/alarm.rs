//! Alarms, who saw them, and who keeps them quiet for a while.

use std::{fmt, str::FromStr};

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
    /// A connection was tried that no release asks for.
    FlowDenied,
    /// So many people report trouble with a new version that it is held.
    TroubleReported,
    /// More is asked than a component can take, and what matters most is refused too.
    ImportantShed,
}

impl AlarmKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::ProbeFailed,
        Self::HeartbeatMissed,
        Self::Drift,
        Self::NoTraffic,
        Self::VerdictWithdrawn,
        Self::WentBack,
        Self::StopNotLogged,
        Self::ValueProposed,
        Self::ValueInForce,
        Self::ValueRefused,
        Self::AmendmentProposed,
        Self::RecoveryProposed,
        Self::AmendmentByWithdrawnKey,
        Self::Emergency,
        Self::LogStale,
        Self::Fork,
        Self::Silenced,
        Self::FlowDenied,
        Self::TroubleReported,
        Self::ImportantShed,
    ];

    /// Those that no silence hides, whatever a charter says: they tell of money, of the charter itself, of a log that lies,
    /// and of silences.
    pub const NEVER_SILENT: [Self; 8] = [
        Self::ValueProposed,
        Self::ValueInForce,
        Self::ValueRefused,
        Self::AmendmentProposed,
        Self::RecoveryProposed,
        Self::AmendmentByWithdrawnKey,
        Self::Fork,
        Self::Silenced,
    ];

    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProbeFailed => "probe-failed",
            Self::HeartbeatMissed => "heartbeat-missed",
            Self::Drift => "drift",
            Self::NoTraffic => "no-traffic",
            Self::VerdictWithdrawn => "verdict-withdrawn",
            Self::WentBack => "went-back",
            Self::StopNotLogged => "stop-not-logged",
            Self::ValueProposed => "value-proposed",
            Self::ValueInForce => "value-in-force",
            Self::ValueRefused => "value-refused",
            Self::AmendmentProposed => "amendment-proposed",
            Self::RecoveryProposed => "recovery-proposed",
            Self::AmendmentByWithdrawnKey => "amendment-by-withdrawn-key",
            Self::Emergency => "emergency",
            Self::LogStale => "log-stale",
            Self::Fork => "fork",
            Self::Silenced => "silenced",
            Self::FlowDenied => "flow-denied",
            Self::TroubleReported => "trouble-reported",
            Self::ImportantShed => "important-shed",
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no kind of alarm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of alarm")]
pub struct AlarmKindError(String);

impl FromStr for AlarmKind {
    type Err = AlarmKindError;

    fn from_str(text: &str) -> Result<Self, AlarmKindError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| AlarmKindError(text.to_owned()))
    }
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
