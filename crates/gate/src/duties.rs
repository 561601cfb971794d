//! Duties: whether a charter lets one person reach two sides that must be apart.

use std::collections::BTreeSet;

use ledger::statement::{
    Members,
    v1::{Charter, Kind, Quorum, Speaker},
};
use model::{EnvironmentName, PersonId, RoleName};

use crate::{
    builders::most_apart,
    policy::{Policy, PolicyError},
};

/// Why a charter is refused.
#[derive(Debug, thiserror::Error)]
pub enum CharterError {
    /// Keys that do not parse or belong to two holders.
    #[error(transparent)]
    Keys(#[from] ledger::statement::EntitlementError),
    /// The policy does not hold up.
    #[error("the charter's policy is not valid")]
    Policy(#[from] PolicyError),
    /// Keys of the log or of witnesses that do not parse or can not be counted.
    #[error("the charter's keys of log and witnesses do not hold up")]
    LogKeys(#[from] ledger::reader::KeysError),
    /// Something is named that is not there, or named twice.
    #[error("{0}")]
    Shape(String),
    /// One person reaches two sides.
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
    /// Approvals that are over before they may be used.
    #[error(
        "approvals for `{environment}` count for {approval_s} s and the cool-off takes {cool_off_s} s: nothing would ever go"
    )]
    CoolOff {
        /// The environment.
        environment: EnvironmentName,
        /// How long an approval counts.
        approval_s: u64,
        /// How long the cool-off takes.
        cool_off_s: u64,
    },
    /// A quorum that one person meets.
    #[error("the quorum of {0} is met by one person; nothing reaches production on one signature")]
    OnePerson(String),
}

/// A person who reaches two sides only by administering a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReach {
    /// Who.
    pub person: PersonId,
    /// The roles in reach.
    pub roles: BTreeSet<RoleName>,
}

/// What a charter promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duties {
    /// People who reach conflicting roles through a host that they administer. Empty: the promise holds.
    pub through_hosts: Vec<HostReach>,
}

impl Duties {
    /// Whether "no one person can" holds.
    pub const fn hold(&self) -> bool {
        self.through_hosts.is_empty()
    }
}

/// Checks a charter as a whole: refuses one in which a person reaches two sides by grants or by robots, and says
/// which people do by administering hosts.
pub fn check(charter: &Charter) -> Result<Duties, CharterError> {
    Members::of(charter.clone(), model::Digest::of(b""))?;
    Policy::parse(&charter.policy)?;
    check_shape(charter)?;
    check_quorums(charter)?;
    check_builders(charter)?;
    if let Some(rule) = charter.environments.iter().find(|e| e.cool_off_s > 0 && e.cool_off_s >= e.approval_s) {
        let (approval_s, cool_off_s) = (rule.approval_s, rule.cool_off_s);
        return Err(CharterError::CoolOff { environment: rule.name.clone(), approval_s, cool_off_s });
    }
    ledger::reader::keys_of(charter)?;
    for member in &charter.members {
        let granted = granted_roles(charter, &member.id);
        if let Some((one, other)) = conflict(charter, &granted) {
            return Err(CharterError::Conflict { person: member.id.clone(), one, other });
        }
    }
    let through_hosts = charter
        .members
        .iter()
        .filter_map(|member| {
            let mut reach = granted_roles(charter, &member.id);
            let hosts: BTreeSet<_> =
                charter.hosts.iter().filter(|h| h.administrators.contains(&member.id)).map(|h| &h.name).collect();
            reach.extend(charter.robots.iter().filter(|r| hosts.contains(&r.host)).map(|r| r.role.clone()));
            conflict(charter, &reach)?;
            Some(HostReach { person: member.id.clone(), roles: reach })
        })
        .collect();
    Ok(Duties { through_hosts })
}

/// The roles that a person holds, directly and through the robots that the person controls.
fn granted_roles(charter: &Charter, person: &PersonId) -> BTreeSet<RoleName> {
    let own = charter.member(person).into_iter().flat_map(|m| m.roles.iter().cloned());
    let robots = charter.robots.iter().filter(|r| r.controllers.contains(person)).map(|r| r.role.clone());
    own.chain(robots).collect()
}

fn conflict(charter: &Charter, roles: &BTreeSet<RoleName>) -> Option<(RoleName, RoleName)> {
    charter.conflicts.iter().find(|(a, b)| roles.contains(a) && roles.contains(b)).cloned()
}

fn check_shape(charter: &Charter) -> Result<(), CharterError> {
    let shape = |words: String| Err(CharterError::Shape(words));
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
fn check_names(charter: &Charter) -> Result<(), CharterError> {
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
            return Err(CharterError::Shape(format!("the {what} `{name}` stands twice")));
        }
    }
    Ok(())
}

/// As many builders as an environment asks for are there, each in other people's hands; and an emergency lasts.
fn check_builders(charter: &Charter) -> Result<(), CharterError> {
    let may_build = |role: &RoleName| charter.may_say(role, Kind::Build);
    for rule in &charter.environments {
        if rule.builders == 0 {
            return Err(CharterError::Shape(format!("`{}` asks for no builder; one is the least", rule.name)));
        }
        let here = charter.robots.iter().filter(|robot| {
            may_build(&robot.role) && (robot.environments.is_empty() || robot.environments.contains(&rule.name))
        });
        let there = most_apart(charter, here, rule.builders);
        // One builder is not counted: it may come with an amendment, and without any nothing is built.
        if rule.builders > 1 && there < rule.builders {
            let what = format!("builders under different administrators for `{}`", rule.name);
            return Err(CharterError::Unreachable { what, needed: rule.builders, there });
        }
        if rule.emergency.as_ref().is_some_and(|emergency| emergency.verdict_s == 0) {
            return Err(CharterError::Shape(format!("a verdict on an emergency in `{}` would end at once", rule.name)));
        }
    }
    Ok(())
}

fn check_quorums(charter: &Charter) -> Result<(), CharterError> {
    let mut quorums: Vec<(String, &Quorum)> = vec![("amendments".to_owned(), &charter.amendment)];
    for e in &charter.environments {
        quorums.push((format!("the environment `{}`", e.name), &e.quorum));
        quorums.push((format!("resuming `{}`", e.name), &e.resume));
        quorums.extend(e.emergency.iter().map(|rule| (format!("emergencies in `{}`", e.name), &rule.quorum)));
    }
    for (what, quorum) in quorums {
        let everyone = charter.members.iter().map(|m| (m.id.clone(), m.roles.iter().cloned().collect())).collect();
        let tally = crate::quorum::tally(quorum, &everyone);
        if !tally.is_met() {
            let needed = quorum.groups.iter().fold(0u32, |sum, g| sum.saturating_add(g.count));
            return Err(CharterError::Unreachable { what, needed, there: tally.counted });
        }
        if tally.needed < 2 {
            return Err(CharterError::OnePerson(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
