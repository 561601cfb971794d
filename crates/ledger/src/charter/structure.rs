//! What every charter must be, whatever its policy: names that resolve, keys that are one holder's each, quorums that take
//! two persons and that there are persons for, and nobody who is granted two roles that conflict.
//!
//! Readers judge amendments by it, so it changes as statement forms change: a new check that refuses what was in force
//! before is a new version beside this one.

use std::collections::{BTreeMap, BTreeSet};

use model::{PersonId, RoleName};

use crate::{
    quorum::tally,
    reader::{KeysError, keys_of},
    statement::{
        EntitlementError, Members,
        v1::{AlarmKind, Charter, Kind, Quorum, Speaker, ValueRule},
    },
};

/// Why a charter can not be in force.
#[derive(Debug, thiserror::Error)]
pub enum StructureError {
    /// Keys that do not parse or belong to two holders.
    #[error(transparent)]
    Keys(#[from] EntitlementError),
    /// Keys of the log or of witnesses that do not parse or can not be counted.
    #[error("the charter's keys of log and witnesses do not hold up")]
    LogKeys(#[from] KeysError),
    /// Something is named that is not there, or named twice.
    #[error("{0}")]
    Shape(String),
    /// One person is granted two sides.
    #[error("`{person}` would hold `{one}` and `{other}`, which no one may hold together")]
    Conflict {
        /// Who.
        person: PersonId,
        /// One role.
        one: RoleName,
        /// The other.
        other: RoleName,
    },
    /// A quorum that the members can not meet.
    #[error("the quorum of {what} asks for {needed} persons, and {there} could give it")]
    Unreachable {
        /// Which quorum.
        what: String,
        /// How many it asks for.
        needed: u32,
        /// How many there are.
        there: u32,
    },
    /// A quorum that one person meets.
    #[error("the quorum of {0} is met by one person; nothing reaches production on one signature")]
    OnePerson(String),
}

/// Checks a charter as far as every reader must agree about it.
pub fn check_structure(charter: &Charter) -> Result<(), StructureError> {
    Members::of(charter.clone(), model::Digest::of(b""))?;
    check_shape(charter)?;
    check_quorums(charter)?;
    keys_of(charter)?;
    let mut witnesses = BTreeSet::new();
    if let Some(again) = charter.witnesses.iter().find(|w| !witnesses.insert(&w.name)) {
        return Err(StructureError::Shape(format!("the witness `{}` stands twice", again.name)));
    }
    for member in &charter.members {
        let granted = charter.granted_roles(&member.id);
        if let Some((one, other)) = charter.conflict(&granted) {
            return Err(StructureError::Conflict { person: member.id.clone(), one, other });
        }
    }
    Ok(())
}

impl Charter {
    /// The roles that a person is granted: the person's own, and those of the robots that the person controls.
    pub fn granted_roles(&self, person: &PersonId) -> BTreeSet<RoleName> {
        let own = self.member(person).into_iter().flat_map(|m| m.roles.iter().cloned());
        let robots = self.robots.iter().filter(|r| r.controllers.contains(person)).map(|r| r.role.clone());
        own.chain(robots).collect()
    }

    /// Two of these roles that nobody may hold together.
    pub fn conflict(&self, roles: &BTreeSet<RoleName>) -> Option<(RoleName, RoleName)> {
        self.conflicts.iter().find(|(a, b)| roles.contains(a) && roles.contains(b)).cloned()
    }
}

fn check_shape(charter: &Charter) -> Result<(), StructureError> {
    let shape = |words: String| Err(StructureError::Shape(words));
    let mut roles = BTreeSet::new();
    for role in &charter.roles {
        if !roles.insert(&role.name) {
            return shape(format!("the role `{}` is defined twice", role.name));
        }
        if role.says.contains(&Kind::Charter) {
            return shape(format!("the role `{}` may not say charters; founders sign the charter", role.name));
        }
    }
    let known = |role: &RoleName| roles.contains(role);
    let mut persons = BTreeSet::new();
    for member in &charter.members {
        if !persons.insert(&member.id) {
            return shape(format!("the member `{}` stands twice", member.id));
        }
        if member.keys.is_empty() {
            return shape(format!("the member `{}` has no key", member.id));
        }
        if let Some(role) = member.roles.iter().find(|r| !known(r)) {
            return shape(format!("the member `{}` holds `{role}`, which is not a role", member.id));
        }
    }
    check_names(charter)?;
    let hosts: BTreeSet<_> = charter.hosts.iter().map(|h| &h.name).collect();
    for robot in &charter.robots {
        if !known(&robot.role) {
            return shape(format!("the robot `{}` holds `{}`, which is not a role", robot.id, robot.role));
        }
        if robot.controllers.is_empty() {
            return shape(format!("the robot `{}` lists nobody who controls it", robot.id));
        }
        if let Some(person) = robot.controllers.iter().find(|p| !persons.contains(p)) {
            return shape(format!("the robot `{}` is controlled by `{person}`, who is not a member", robot.id));
        }
        if !hosts.contains(&robot.host) {
            return shape(format!("the robot `{}` is on `{}`, which is not a host", robot.id, robot.host));
        }
        let says = charter.roles.iter().find(|r| r.name == robot.role).map(|r| r.says.as_slice()).unwrap_or_default();
        if let Some(kind) = says.iter().find(|k| k.speaker() == Speaker::Person) {
            return shape(format!("the robot `{}` could say `{kind}`, which only people may", robot.id));
        }
    }
    for host in &charter.hosts {
        if let Some(person) = host.administrators.iter().find(|p| !persons.contains(p)) {
            return shape(format!("the host `{}` is administered by `{person}`, who is not a member", host.name));
        }
        if host.administrators.is_empty() {
            return shape(format!("the host `{}` lists no administrator", host.name));
        }
    }
    for (one, other) in &charter.conflicts {
        if let Some(role) = [one, other].into_iter().find(|r| !known(r)) {
            return shape(format!("the conflict names `{role}`, which is not a role"));
        }
        if one == other {
            return shape(format!("the role `{one}` can not conflict with itself"));
        }
    }
    if charter.founders().count() == 0 {
        return shape("a charter needs at least one founder".to_owned());
    }
    if charter.environments.is_empty() || charter.systems.is_empty() {
        return shape("a charter needs at least one system and one environment".to_owned());
    }
    if let Some(recovery) = &charter.recovery {
        let (keys, count) = (recovery.keys.len(), recovery.count);
        if count < 2 || (count as usize) > keys {
            return shape(format!(
                "recovery takes at least two keys and at most those there are: {count} of {keys} are asked for"
            ));
        }
    }
    for (at, value) in charter.values.iter().enumerate() {
        let is_same = |other: &ValueRule| {
            (&other.name, &other.system, &other.environment) == (&value.name, &value.system, &value.environment)
        };
        if charter.values.iter().skip(at + 1).any(is_same) {
            return shape(format!("the guarded value `{}` stands twice", value.name));
        }
        let mut groups = value.guardians.groups.iter();
        if let Some(group) = groups.find(|g| known(&g.role) && !charter.may_say(&g.role, Kind::ValueApproval)) {
            return shape(format!(
                "the role `{}` guards the value `{}`, and may not say `{}`",
                group.role,
                value.name,
                Kind::ValueApproval
            ));
        }
        if charter.system(&value.system).is_none() || charter.environment(&value.environment).is_none() {
            return shape(format!(
                "the guarded value `{}` names a system or environment that is not there",
                value.name
            ));
        }
    }
    for rule in &charter.environments {
        // Followed for no more steps than there are environments: a circle would let nothing into any of them.
        let mut at = rule;
        for _ in &charter.environments {
            let Some(after) = &at.after else { break };
            let Some(before) = charter.environment(&after.environment) else {
                return shape(format!(
                    "`{}` comes after `{}`, which is not an environment",
                    at.name, after.environment
                ));
            };
            if before.name == rule.name {
                return shape(format!("the environment `{}` would come after itself", rule.name));
            }
            at = before;
        }
    }
    let silent = charter.silence.iter().flat_map(|rule| &rule.kinds);
    if let Some(kind) = silent.into_iter().find(|kind| AlarmKind::NEVER_SILENT.contains(kind)) {
        return shape(format!("alarms of the kind `{kind}` can not be silenced, and the charter would allow it"));
    }
    let operators: BTreeSet<&str> = charter.witnesses.iter().map(|w| w.operator.as_str()).collect();
    if (charter.witness_quorum as usize) > operators.len() {
        return shape(format!(
            "{} witnesses' operators must cosign, and the charter names {}",
            charter.witness_quorum,
            operators.len()
        ));
    }
    Ok(())
}

/// What is looked up by its name stands once.
fn check_names(charter: &Charter) -> Result<(), StructureError> {
    let names = charter
        .robots
        .iter()
        .map(|r| ("robot", r.id.as_str()))
        .chain(charter.hosts.iter().map(|h| ("host", h.name.as_str())))
        .chain(charter.systems.iter().map(|s| ("system", s.name.as_str())))
        .chain(charter.environments.iter().map(|e| ("environment", e.name.as_str())));
    let mut seen = BTreeSet::new();
    for (what, name) in names {
        if !seen.insert((what, name)) {
            return Err(StructureError::Shape(format!("the {what} `{name}` stands twice")));
        }
    }
    Ok(())
}

fn check_quorums(charter: &Charter) -> Result<(), StructureError> {
    let everyone: BTreeMap<PersonId, BTreeSet<RoleName>> =
        charter.members.iter().map(|m| (m.id.clone(), m.roles.iter().cloned().collect())).collect();
    for (what, quorum) in charter.quorums() {
        let tally = tally(quorum, &everyone);
        if !tally.is_met() {
            let needed = quorum.groups.iter().fold(0u32, |sum, g| sum.saturating_add(g.count));
            return Err(StructureError::Unreachable { what, needed, there: tally.counted });
        }
        if tally.needed < 2 {
            return Err(StructureError::OnePerson(what));
        }
    }
    Ok(())
}

impl Charter {
    /// Every quorum in it, with what it is of.
    pub fn quorums(&self) -> Vec<(String, &Quorum)> {
        let mut quorums: Vec<(String, &Quorum)> = vec![("amendments".to_owned(), &self.amendment)];
        for e in &self.environments {
            quorums.push((format!("the environment `{}`", e.name), &e.quorum));
            quorums.push((format!("resuming `{}`", e.name), &e.resume));
            if let Some(emergency) = &e.emergency {
                quorums.push((format!("emergencies in `{}`", e.name), &emergency.quorum));
            }
        }
        quorums.extend(self.values.iter().map(|v| (format!("the guarded value `{}`", v.name), &v.guardians)));
        quorums
    }
}

/// Whether the members who count can change a charter by its own quorum: somebody puts an amendment up, and others who
/// meet the quorum consent, each in a role that may.
pub fn can_be_amended(charter: &Charter, counts: impl Fn(&PersonId) -> bool) -> bool {
    let roles_that = |kind: Kind| -> BTreeSet<&RoleName> {
        charter.roles.iter().filter(|r| r.says.contains(&kind)).map(|r| &r.name).collect()
    };
    let (may_propose, may_consent) = (roles_that(Kind::Amendment), roles_that(Kind::Consent));
    let present = || charter.members.iter().filter(|m| counts(&m.id));
    let could: BTreeMap<PersonId, BTreeSet<RoleName>> = present()
        .map(|m| (m.id.clone(), m.roles.iter().filter(|r| may_consent.contains(r)).cloned().collect()))
        .collect();
    let all = tally(&charter.amendment, &could);
    if !all.is_met() {
        return false;
    }
    let mut proposers = present().filter(|m| m.roles.iter().any(|r| may_propose.contains(r)));
    proposers.any(|proposer| {
        if !all.persons.contains(&proposer.id) {
            return true;
        }
        let mut others = could.clone();
        others.remove(&proposer.id);
        tally(&charter.amendment, &others).is_met()
    })
}
