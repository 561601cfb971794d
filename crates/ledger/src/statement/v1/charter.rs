//! The charter: the first statement of a log and its root of trust.
//!
//! Every founder signs the same payload, so the first entries of a log are that payload once a founder. Its
//! hash is what every process is started with.

use std::collections::{BTreeMap, BTreeSet};

use model::{Digest, EnvironmentName, HostName, PersonId, RobotId, RoleName, SystemName, ValueName, value::Format};
use serde::{Deserialize, Serialize};

use super::{AlarmKind, Kind};

/// Who there is, what they may say and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// Whether all keys were made in one place. Profiles for production refuse such a charter.
    pub demo: bool,
    /// The log.
    pub log: LogKey,
    /// Who cosigns its checkpoints.
    pub witnesses: Vec<WitnessKey>,
    /// How many operators of witnesses must have cosigned a checkpoint for it to count. 0 is *unwitnessed*.
    pub witness_quorum: u32,
    /// The people.
    pub members: Vec<Member>,
    /// The robots.
    pub robots: Vec<Robot>,
    /// The machines, their administrators, and so who holds the keys there.
    pub hosts: Vec<Host>,
    /// What each role may say.
    pub roles: Vec<Role>,
    /// Pairs of roles that nobody may hold together.
    pub conflicts: Vec<(RoleName, RoleName)>,
    /// The systems and where their changes come from.
    pub systems: Vec<SystemRule>,
    /// The environments, in the order of promotion.
    pub environments: Vec<EnvironmentRule>,
    /// Who must sign for the charter to change.
    pub amendment: Quorum,
    /// The Cedar policy text that `decide` evaluates.
    pub policy: String,
    /// Keys that are kept away from everything else, for when the quorum for amendments can not be met any more.
    pub recovery: Option<Recovery>,
    /// Seconds, by the log's ticks, after which a key that an amendment added counts.
    pub key_delay_s: u64,
    /// The guarded values.
    pub values: Vec<ValueRule>,
    /// Which alarms may be kept quiet, and for how long; none may if it is missing.
    pub silence: Option<SilenceRule>,
    /// Program digests allowed for each robot role; an empty list allows any, and verdicts say so.
    pub programs: BTreeMap<RoleName, Vec<Digest>>,
}

/// The log's name and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogKey {
    /// The origin line of its checkpoints (C2SP tlog-checkpoint).
    pub origin: String,
    /// Its verifier key (C2SP signed-note).
    pub vkey: String,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessKey {
    /// Its name.
    pub name: String,
    /// Who runs it; several witnesses of one operator count once.
    pub operator: String,
    /// Its verifier key (C2SP tlog-cosignature).
    pub vkey: String,
    /// Where it takes checkpoints (C2SP tlog-witness submission prefix).
    pub url: String,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// A pseudonym.
    pub id: PersonId,
    /// The person's keys, for statements and for commits.
    pub keys: Vec<Key>,
    /// The person's roles.
    pub roles: Vec<RoleName>,
    /// SHA-256(32-byte salt ‖ e-mail addresses): who authors and committers are. The body is beside the log.
    pub identity: Digest,
    /// Whether the person's signature makes the charter.
    pub founder: bool,
}

/// A public key of a person or robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// How it signs.
    pub scheme: KeyScheme,
    /// The public key in OpenSSH's one-line form without a comment: `ssh-ed25519 AAAA…`, or what `SkSshsig` names.
    pub public: String,
}

/// How a key signs statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyScheme {
    /// Raw Ed25519 (RFC 8032) over the DSSE pre-authentication encoding.
    Ed25519,
    /// SSHSIG (OpenSSH PROTOCOL.sshsig) in Countersign's own namespace over the same bytes.
    Sshsig,
    /// The same by a key in hardware (OpenSSH PROTOCOL.u2f: `sk-ssh-ed25519@openssh.com` and
    /// `sk-ecdsa-sha2-nistp256@openssh.com`), touched for each signature.
    SkSshsig,
}

/// A robot: one process that signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robot {
    /// Its id.
    pub id: RobotId,
    /// Its role.
    pub role: RoleName,
    /// Its key.
    pub key: Key,
    /// The people who control it; what it proposes counts as proposed by them.
    pub controllers: Vec<PersonId>,
    /// The host that keeps its key.
    pub host: HostName,
    /// The environments that it acts in; empty for all.
    pub environments: Vec<EnvironmentName>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Who administers it, and so can use every key on it.
    pub administrators: Vec<PersonId>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// The kinds of statement that it may make.
    pub says: Vec<Kind>,
}

/// Where a system's changes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemRule {
    /// The system.
    pub name: SystemName,
    /// The git remote that the builder fetches.
    pub remote: String,
    /// The protected branch.
    pub branch: String,
}

/// What it takes to change an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRule {
    /// Its name.
    pub name: EnvironmentName,
    /// Who must approve a release into it.
    pub quorum: Quorum,
    /// Seconds for which an approval counts at most, whatever it says itself.
    pub approval_s: u64,
    /// Seconds that pass, by the log's ticks, between the approval that completes the quorum and the first step; 0 for none.
    /// Anyone who may reject or halt has that long.
    pub cool_off_s: u64,
    /// Seconds for which a verdict is granted at most.
    pub verdict_s: u64,
    /// Seconds after which a checkpoint is too old to take a step on.
    pub max_age_s: u64,
    /// Seconds for which the predecessor may run again when its verdict was withdrawn; 0 for not at all.
    pub rollback_s: u64,
    /// Who may halt it (one person) and how many must resume it.
    pub resume: Quorum,
    /// How many builders, each under other administrators, must have made the same images; never less than one.
    pub builders: u32,
    /// What it takes to release in an emergency, before all evidence is there; none for not at all.
    pub emergency: Option<EmergencyRule>,
    /// Where the same release must have run before; none for nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AfterRule>,
}

/// Where a release must have run before it comes here, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfterRule {
    /// The environment, another one of the charter.
    pub environment: EnvironmentName,
    /// Seconds, by the log's ticks, for which it was live there without a break.
    pub soak_s: u64,
}

/// What it takes to release before all evidence is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmergencyRule {
    /// Who must approve.
    pub quorum: Quorum,
    /// Seconds after the approval that completes it for which the verdict is granted at most.
    pub verdict_s: u64,
}

/// Keys that together can amend the charter when its members no longer can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The keys, each its own and in nobody's daily use.
    pub keys: Vec<Key>,
    /// How many of them must sign; at least two.
    pub count: u32,
    /// Seconds, by the log's ticks, in which any member can cancel it.
    pub delay_s: u64,
}

/// A guarded value: a name, where it is used, what it looks like, and who guards it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRule {
    /// Its name, once in a charter for each system and environment: the same release reads another account elsewhere.
    pub name: ValueName,
    /// The system that uses it.
    pub system: SystemName,
    /// The environment that it holds in.
    pub environment: EnvironmentName,
    /// What it must look like.
    pub format: Format,
    /// Who must approve another value; each of them alone can cancel one.
    pub guardians: Quorum,
    /// Seconds, by the log's ticks, between the approval that completes the quorum and the first use.
    pub cool_off_s: u64,
}

/// Which alarms may be kept quiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceRule {
    /// These kinds, and no others.
    pub kinds: Vec<AlarmKind>,
    /// Seconds for which a silence lasts at most.
    pub longest_s: u64,
}

/// People, counted: every group must be met, and no person counts in two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// The groups.
    pub groups: Vec<Group>,
}

/// So many different persons of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The role.
    pub role: RoleName,
    /// How many.
    pub count: u32,
}

impl Charter {
    /// The member of this id.
    pub fn member(&self, id: &PersonId) -> Option<&Member> {
        self.members.iter().find(|m| &m.id == id)
    }

    /// The system of this name.
    pub fn system(&self, name: &SystemName) -> Option<&SystemRule> {
        self.systems.iter().find(|s| &s.name == name)
    }

    /// The environment of this name.
    pub fn environment(&self, name: &EnvironmentName) -> Option<&EnvironmentRule> {
        self.environments.iter().find(|e| &e.name == name)
    }

    /// Whether a role may make statements of a kind.
    pub fn may_say(&self, role: &RoleName, kind: Kind) -> bool {
        self.roles.iter().any(|r| &r.name == role && r.says.contains(&kind))
    }

    /// The roles of robots that may say something and for which no programs are listed: any program with a key of theirs may.
    pub fn roles_of_any_program(&self) -> BTreeSet<&RoleName> {
        let speaks = |role: &RoleName| self.roles.iter().any(|r| &r.name == role && !r.says.is_empty());
        self.robots.iter().map(|r| &r.role).filter(|role| speaks(role) && !self.programs.contains_key(*role)).collect()
    }

    /// The founders.
    pub fn founders(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| m.founder)
    }
}
