//! The founding file: what people write from which `init` makes a charter.
//!
//! It knows the file's form and the roles that a small firm starts with. Whether the charter holds up is for `gate`.

mod rehearsal;

use std::{collections::BTreeMap, path::Path};

use ledger::{
    keys::PublicKey,
    statement::v1::{
        AfterRule, AlarmKind, Charter, EmergencyRule, EnvironmentRule, Group, Host, Key, KeyScheme, Kind as Says,
        LogKey, Member, Quorum, Recovery, Robot, Role, SilenceRule, SystemRule, ValueRule, WitnessKey,
    },
};
use model::{Digest, EnvironmentName, HostName, PersonId, RobotId, RoleName, SystemName, ValueName, value::Format};
use serde::{Deserialize, Serialize};

use crate::fault::{Because as _, Fault, Kind};

/// An approval counts a week: long enough for a review over a weekend, short enough to be about what is there now.
const APPROVAL_S: u64 = 7 * 86_400;
/// A verdict is granted for a day at most; the gate renews it as long as nothing speaks against it.
const VERDICT_S: u64 = 86_400;
/// No step on a checkpoint older than a minute.
const MAX_AGE_S: u64 = 60;
/// A predecessor whose verdict was withdrawn may run again for an hour, with an alarm.
const ROLLBACK_S: u64 = 3_600;

/// A verdict on an emergency ends an hour after it was approved: who needs longer asks the same people again.
const EMERGENCY_S: u64 = 3_600;

/// A guarded value changes a day after its guardians said so: each of them sees it on a working day.
const VALUE_COOL_OFF_S: u64 = 86_400;

/// A key that an amendment adds counts after a day: long enough that its owner's colleagues see an amendment that they did
/// not expect.
const KEY_DELAY_S: u64 = 86_400;
/// Any member has a week to cancel what recovery keys put up: longer than anybody is away without somebody else.
const RECOVERY_DELAY_S: u64 = 7 * 86_400;

/// 80 characters of a key or a path are enough to recognise it by in a message.
const QUOTED_LIMIT: usize = 80;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founding {
    /// The origin line of the log's checkpoints.
    pub origin: String,
    /// How many operators of witnesses must cosign.
    #[serde(default)]
    pub witness_quorum: u32,
    /// The witnesses.
    #[serde(default)]
    pub witnesses: Vec<FoundingWitness>,
    /// The people, by pseudonym.
    pub people: BTreeMap<PersonId, FoundingPerson>,
    /// The robots of this host, by role.
    pub robots: BTreeMap<RobotId, FoundingRobot>,
    /// The machines.
    pub hosts: BTreeMap<HostName, FoundingHost>,
    /// Further roles, or other grants for the usual ones.
    #[serde(default)]
    pub roles: BTreeMap<RoleName, Vec<Says>>,
    /// Pairs that no one may hold together, beside the usual ones.
    #[serde(default)]
    pub conflicts: Vec<(RoleName, RoleName)>,
    /// The systems.
    pub systems: BTreeMap<SystemName, FoundingSystem>,
    /// The environments in the order of promotion.
    pub environments: Vec<FoundingEnvironment>,
    /// The guarded values.
    #[serde(default)]
    pub values: Vec<FoundingValue>,
    /// Who may change the charter.
    pub amendment: BTreeMap<RoleName, u32>,
    /// Which alarms may be kept quiet, and for how many seconds at most; none if it is missing.
    pub silence: Option<FoundingSilence>,
    /// See the constants above.
    pub key_delay_s: Option<u64>,
    /// Keys that together change the charter when its members no longer can.
    pub recovery: Option<FoundingRecovery>,
    /// A file with another policy than the default.
    pub policy: Option<String>,
    /// The digests of the programs that each robot role may run; any where a role is missing.
    #[serde(default)]
    pub programs: BTreeMap<RoleName, Vec<Digest>>,
}

/// Recovery in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingRecovery {
    /// Public keys, each kept in another place and in nobody's daily use: `ssh-ed25519 AAAA…`, or the path of a `.pub` file.
    pub keys: Vec<String>,
    /// How many of them must sign.
    pub count: u32,
    /// See the constants above.
    pub delay_s: Option<u64>,
}

/// A witness in the file; the fields are those of the charter's witnesses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingWitness {
    pub name: String,
    pub operator: String,
    pub vkey: String,
    pub url: String,
}

/// A person in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingPerson {
    /// Public keys: `ssh-ed25519 AAAA…`, or the path of a `.pub` file.
    pub keys: Vec<String>,
    /// E-mail addresses that the person commits under.
    pub emails: Vec<String>,
    /// Roles.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// Whether the person signs the charter.
    #[serde(default)]
    pub founder: bool,
}

/// A robot in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingRobot {
    /// Its role.
    pub role: RoleName,
    /// Who controls it.
    pub controllers: Vec<PersonId>,
    /// Where its key is.
    pub host: HostName,
    /// Its public key, for a robot of another host or system; `init` makes one otherwise.
    pub key: Option<String>,
    /// The environments that it may act in; all if none is named. Each agent needs its own where there are several.
    #[serde(default)]
    pub environments: Vec<EnvironmentName>,
}

/// A machine in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingHost {
    /// Who administers it.
    pub administrators: Vec<PersonId>,
}

/// A system in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingSystem {
    /// The git remote.
    pub remote: String,
    /// The protected branch.
    pub branch: String,
}

/// An environment in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// Who must approve.
    pub quorum: BTreeMap<RoleName, u32>,
    /// Who must agree to go on after a halt.
    pub resume: BTreeMap<RoleName, u32>,
    /// See the constants above.
    pub approval_s: Option<u64>,
    /// None if it is missing.
    pub cool_off_s: Option<u64>,
    /// See the constants above.
    pub verdict_s: Option<u64>,
    /// See the constants above.
    pub max_age_s: Option<u64>,
    /// See the constants above.
    pub rollback_s: Option<u64>,
    /// How many builders under different administrators must have made the same; one if it is missing.
    pub builders: Option<u32>,
    /// Who may let a release go before its evidence is there; nobody if it is missing.
    pub emergency: Option<FoundingEmergency>,
    /// The environment that a release must have run in before; nowhere if it is missing.
    pub after: Option<EnvironmentName>,
    /// Seconds that it must have run there.
    pub soak_s: Option<u64>,
}

/// What an emergency takes, in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingEmergency {
    /// Who must approve.
    pub quorum: BTreeMap<RoleName, u32>,
    /// See the constants above.
    pub verdict_s: Option<u64>,
}

/// A guarded value in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingValue {
    /// Its name.
    pub name: ValueName,
    /// The system that reads it.
    pub system: SystemName,
    /// The environment that it holds in.
    pub environment: EnvironmentName,
    /// What it must look like.
    pub format: Format,
    /// Who must approve another one.
    pub guardians: BTreeMap<RoleName, u32>,
    /// See the constants above.
    pub cool_off_s: Option<u64>,
}

/// Which alarms may be kept quiet, in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingSilence {
    /// The kinds.
    pub kinds: Vec<AlarmKind>,
    /// Seconds for which a silence lasts at most.
    pub longest_s: u64,
}

/// Who a person's e-mail addresses are, with the salt of the charter's commitment. Kept beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// 32 random bytes as hex.
    pub salt: String,
    /// The addresses, lower case.
    pub emails: Vec<String>,
}

impl Identity {
    /// A new one with a fresh salt.
    pub fn new(emails: &[String]) -> Result<Self, Fault> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|e| Fault::new(Kind::Unavailable, format!("no random bytes: {e}")))?;
        let emails = emails.iter().map(|e| e.trim().to_lowercase()).collect();
        Ok(Self { salt: hex::encode(salt), emails })
    }

    /// SHA-256(salt ‖ addresses, each followed by a line feed).
    pub fn commitment(&self) -> Result<Digest, Fault> {
        let mut bytes = hex::decode(&self.salt).because(Kind::Input, "the salt of an identity is not hex")?;
        for email in &self.emails {
            bytes.extend_from_slice(email.as_bytes());
            bytes.push(b'\n');
        }
        Ok(Digest::of(&bytes))
    }
}

/// What `init` fills in: the keys that it made.
pub struct MadeKeys {
    /// The log's verifier key.
    pub log_vkey: String,
    /// Public keys of the robots that have none in the file.
    pub robots: BTreeMap<RobotId, String>,
}

impl Founding {
    /// Reads the file.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        toml_edit::de::from_str(text).map_err(|e| {
            Fault::new(Kind::Input, format!("the founding file does not hold up: {e}"))
                .hint("`countersign init --example` prints one that does")
        })
    }

    /// The charter that it asks for, and the identities that it commits to.
    pub fn charter(
        &self,
        folder: &Path,
        keys: &MadeKeys,
        demo: bool,
    ) -> Result<(Charter, BTreeMap<PersonId, Identity>), Fault> {
        let mut identities = BTreeMap::new();
        let mut members = Vec::new();
        for (id, person) in &self.people {
            let identity = Identity::new(&person.emails)?;
            let public = person.keys.iter().map(|k| public_key(folder, k)).collect::<Result<Vec<_>, _>>()?;
            members.push(Member {
                id: id.clone(),
                keys: public.iter().map(of_person).collect(),
                roles: person.roles.clone(),
                identity: identity.commitment()?,
                founder: person.founder,
            });
            identities.insert(id.clone(), identity);
        }
        let mut robots = Vec::new();
        for (id, robot) in &self.robots {
            let public = match (&robot.key, keys.robots.get(id)) {
                (Some(key), _) => robot_key(folder, id, key)?,
                (None, Some(key)) => key.clone(),
                (None, None) => {
                    return Err(Fault::new(Kind::Internal, format!("no key was made for the robot `{id}`")));
                }
            };
            robots.push(Robot {
                id: id.clone(),
                role: robot.role.clone(),
                key: Key { scheme: KeyScheme::Ed25519, public },
                controllers: robot.controllers.clone(),
                host: robot.host.clone(),
                environments: robot.environments.clone(),
            });
        }
        let recovery = match &self.recovery {
            Some(recovery) => {
                let keys = recovery.keys.iter().map(|k| public_key(folder, k)).collect::<Result<Vec<_>, _>>()?;
                Some(Recovery {
                    keys: keys.iter().map(of_person).collect(),
                    count: recovery.count,
                    delay_s: recovery.delay_s.unwrap_or(RECOVERY_DELAY_S),
                })
            }
            None => None,
        };
        let policy = match &self.policy {
            Some(path) => std::fs::read_to_string(folder.join(path))
                .because(Kind::Usage, format!("the policy file `{path}` can not be read"))?,
            None => gate::policy::DEFAULT.to_owned(),
        };
        let mut roles = usual_roles()?;
        roles.extend(self.roles.clone());
        let mut conflicts = usual_conflicts()?;
        conflicts.retain(|(a, b)| roles.contains_key(a) && roles.contains_key(b));
        conflicts.extend(self.conflicts.iter().cloned());
        let charter = Charter {
            demo,
            log: LogKey { origin: self.origin.clone(), vkey: keys.log_vkey.clone() },
            witnesses: self
                .witnesses
                .iter()
                .map(|w| WitnessKey {
                    name: w.name.clone(),
                    operator: w.operator.clone(),
                    vkey: w.vkey.clone(),
                    url: w.url.clone(),
                })
                .collect(),
            witness_quorum: self.witness_quorum,
            members,
            robots,
            hosts: self
                .hosts
                .iter()
                .map(|(name, host)| Host { name: name.clone(), administrators: host.administrators.clone() })
                .collect(),
            roles: roles.into_iter().map(|(name, says)| Role { name, says }).collect(),
            conflicts,
            systems: self
                .systems
                .iter()
                .map(|(name, s)| SystemRule { name: name.clone(), remote: s.remote.clone(), branch: s.branch.clone() })
                .collect(),
            environments: self
                .environments
                .iter()
                .map(|e| EnvironmentRule {
                    name: e.name.clone(),
                    quorum: quorum(&e.quorum),
                    approval_s: e.approval_s.unwrap_or(APPROVAL_S),
                    cool_off_s: e.cool_off_s.unwrap_or(0),
                    verdict_s: e.verdict_s.unwrap_or(VERDICT_S),
                    max_age_s: e.max_age_s.unwrap_or(MAX_AGE_S),
                    rollback_s: e.rollback_s.unwrap_or(ROLLBACK_S),
                    resume: quorum(&e.resume),
                    builders: e.builders.unwrap_or(1),
                    emergency: e.emergency.as_ref().map(|rule| EmergencyRule {
                        quorum: quorum(&rule.quorum),
                        verdict_s: rule.verdict_s.unwrap_or(EMERGENCY_S),
                    }),
                    after: e.after.as_ref().map(|environment| AfterRule {
                        environment: environment.clone(),
                        soak_s: e.soak_s.unwrap_or(0),
                    }),
                })
                .collect(),
            amendment: quorum(&self.amendment),
            policy,
            recovery,
            key_delay_s: self.key_delay_s.unwrap_or(KEY_DELAY_S),
            values: self
                .values
                .iter()
                .map(|v| ValueRule {
                    name: v.name.clone(),
                    system: v.system.clone(),
                    environment: v.environment.clone(),
                    format: v.format,
                    guardians: quorum(&v.guardians),
                    cool_off_s: v.cool_off_s.unwrap_or(VALUE_COOL_OFF_S),
                })
                .collect(),
            silence: self.silence.as_ref().map(|s| SilenceRule { kinds: s.kinds.clone(), longest_s: s.longest_s }),
            programs: self.programs.clone(),
        };
        Ok((charter, identities))
    }
}

fn quorum(groups: &BTreeMap<RoleName, u32>) -> Quorum {
    Quorum { groups: groups.iter().map(|(role, count)| Group { role: role.clone(), count: *count }).collect() }
}

/// The key itself, or the first line of the file that is named; without its comment, which may be an address.
pub(crate) fn public_key(folder: &Path, text: &str) -> Result<PublicKey, Fault> {
    let names_itself = text.starts_with("ssh-") || text.starts_with("sk-");
    let line = if names_itself {
        text.to_owned()
    } else {
        std::fs::read_to_string(folder.join(text)).map_err(|e| {
            Fault::from_error(Kind::Usage, e)
                .context(format!("the public key `{text}` can not be read"))
                .hint("write `ssh-ed25519 AAAA…` or the path of a `.pub` file")
        })?
    };
    PublicKey::of_person(&line).map_err(|e| {
        Fault::from_error(Kind::Input, e)
            .context(format!(
                "the public key `{}` can not be used",
                text.chars().take(QUOTED_LIMIT).collect::<String>()
            ))
            .hint("write `ssh-ed25519 AAAA…`, `sk-ssh-ed25519@openssh.com AAAA…` or the path of a `.pub` file")
    })
}

/// How the charter lists a person's key.
pub(crate) fn of_person(key: &PublicKey) -> Key {
    let scheme = if key.algorithm().is_hardware() { KeyScheme::SkSshsig } else { KeyScheme::Sshsig };
    Key { scheme, public: key.to_openssh() }
}

/// A robot signs many times a minute with nobody there to touch anything.
fn robot_key(folder: &Path, robot: &RobotId, text: &str) -> Result<String, Fault> {
    let key = public_key(folder, text)?;
    if key.algorithm().is_hardware() {
        return Err(Fault::new(Kind::Input, format!("the key of the robot `{robot}` is in a security key"))
            .hint("nobody is there to touch it; give the robot an Ed25519 key in a file"));
    }
    Ok(key.to_openssh())
}

/// The roles that a firm starts with.
fn usual_roles() -> Result<BTreeMap<RoleName, Vec<Says>>, Fault> {
    let rows: [(&str, &[Says]); 14] = [
        // Whoever proposes an amendment does not count for it, so that others than those who decide may.
        ("developer", &[Says::Proposal, Says::Amendment, Says::Report]),
        (
            "release-manager",
            &[
                Says::Approval,
                Says::Rejection,
                Says::Exception,
                Says::Halt,
                Says::Resume,
                Says::Rollback,
                Says::Retirement,
                Says::Report,
                Says::KeyWithdrawal,
                Says::Erasure,
                Says::Acknowledgement,
                Says::Cancellation,
                Says::Amendment,
                Says::Consent,
            ],
        ),
        (
            "operator",
            &[
                Says::Halt,
                Says::Resume,
                Says::Rollback,
                Says::Retirement,
                Says::Report,
                Says::KeyWithdrawal,
                Says::Acknowledgement,
                Says::Cancellation,
                Says::Amendment,
            ],
        ),
        // Whoever may keep alarms quiet does nothing that an alarm could be about.
        ("duty-officer", &[Says::Silence, Says::Acknowledgement, Says::Cancellation]),
        ("gate", &[Says::Verdict, Says::Tick, Says::Alarm]),
        ("watch", &[Says::Alarm]),
        ("builder", &[Says::Change, Says::Build, Says::Proposal]),
        ("tester", &[Says::Evidence]),
        ("agent", &[Says::Milestone, Says::Analysis]),
        ("outside-tester", &[Says::Evidence]),
        ("monitor", &[Says::Tick]),
        ("guardian", &[Says::ValueProposal, Says::ValueApproval, Says::Cancellation]),
        // These two hold something and say nothing: a robot of the first has the log's own key.
        ("log", &[]),
        ("storage", &[]),
    ];
    rows.into_iter().map(|(name, says)| Ok((role(name)?, says.to_vec()))).collect()
}

/// The sides that nobody may stand on two of: deploying code, holding storage, running monitors, keeping the log, and moving
/// money.
const SIDES: [&[&str]; 5] =
    [&["release-manager", "builder", "agent"], &["storage"], &["monitor", "watch"], &["log"], &["guardian"]];

fn usual_conflicts() -> Result<Vec<(RoleName, RoleName)>, Fault> {
    let pairs = [
        ("builder", "tester"),
        ("builder", "outside-tester"),
        ("builder", "gate"),
        ("builder", "release-manager"),
        ("tester", "release-manager"),
        ("gate", "release-manager"),
        ("agent", "release-manager"),
        ("agent", "gate"),
        ("developer", "builder"),
        ("developer", "tester"),
        ("developer", "agent"),
        ("guardian", "developer"),
        ("guardian", "gate"),
        ("duty-officer", "developer"),
        ("duty-officer", "release-manager"),
        ("duty-officer", "operator"),
        ("duty-officer", "gate"),
        ("duty-officer", "builder"),
        ("duty-officer", "tester"),
        ("duty-officer", "outside-tester"),
        ("duty-officer", "agent"),
        ("duty-officer", "monitor"),
        ("duty-officer", "watch"),
    ];
    let apart = SIDES.iter().enumerate().flat_map(|(at, side)| {
        let others = SIDES.iter().skip(at + 1).flat_map(|other| other.iter());
        others.flat_map(move |b| side.iter().map(move |a| (*a, *b)))
    });
    pairs.into_iter().chain(apart).map(|(a, b)| Ok((role(a)?, role(b)?))).collect()
}

fn role(name: &str) -> Result<RoleName, Fault> {
    name.parse().because(Kind::Internal, "a built-in role name does not parse")
}

#[cfg(test)]
mod tests;
