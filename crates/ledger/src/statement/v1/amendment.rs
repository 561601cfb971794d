//! Changing the charter: what is put up, who agrees, and who stops it.

use std::collections::BTreeMap;

use model::{Digest, EnvironmentName, HostName, PersonId, RobotId, RoleName, SystemName, ValueName};
use serde::{Deserialize, Serialize};

use super::{
    EnvironmentRule, Host, Member, Quorum, Recovery, Robot, Role, SilenceRule, SystemRule, ValueRule, WitnessKey,
};

/// Another charter, put up for consent: what is edited in the one in force, and what that makes of it.
///
/// It comes into force with the statement that completes the quorum of the charter in force, and from the entry after
/// that one on. By recovery keys it comes into force after the charter's delay, unless a member cancels it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// The digest of the charter that it edits (see `Charter::digest`); it is void if another one is in force.
    pub from: Digest,
    /// The digest of the charter that it makes.
    pub becomes: Digest,
    /// The edits, in order.
    pub edits: Vec<Edit>,
}

/// One edit of a charter. `Set…` replaces what has the same name, or adds it at the end; `Remove…` needs it to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each edit is of the field of the charter that it names")]
pub enum Edit {
    SetMember(Member),
    RemoveMember(PersonId),
    SetRobot(Robot),
    RemoveRobot(RobotId),
    SetHost(Host),
    RemoveHost(HostName),
    SetRole(Role),
    RemoveRole(RoleName),
    AddConflict(RoleName, RoleName),
    RemoveConflict(RoleName, RoleName),
    SetSystem(SystemRule),
    RemoveSystem(SystemName),
    SetEnvironment(EnvironmentRule),
    RemoveEnvironment(EnvironmentName),
    SetWitness(WitnessKey),
    RemoveWitness(String),
    SetValue(ValueRule),
    RemoveValue(ValueName, SystemName, EnvironmentName),
    WitnessQuorum(u32),
    Amendment(Quorum),
    Recovery(Option<Recovery>),
    KeyDelay(u64),
    Silence(Option<SilenceRule>),
    Policy(String),
    Programs(BTreeMap<RoleName, Vec<Digest>>),
}

/// One person's, or one recovery key's, yes to an amendment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The log index of the amendment.
    pub amendment: u64,
    /// The digest of the charter that it makes.
    pub becomes: Digest,
    /// The digest of what was shown, to be compared later: what binds is `becomes`.
    pub shown: Digest,
}

/// One member's no: any member's to an amendment by recovery keys or to a silence, and a guardian's to a change of the
/// value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    /// The log index of what is cancelled.
    pub of: u64,
    /// SHA-256(salt ‖ reason); the reason is kept beside the log.
    pub reason: Option<Digest>,
}
