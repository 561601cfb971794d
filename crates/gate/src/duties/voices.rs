//! Voices: whose keys a charter lists, and by which links one person comes to use them.
//!
//! A person has the own keys, those of the robots that the person controls, and every key on a host that the person
//! administers. The log's key is found by being the key of a robot: a charter that lists none does not say who keeps it.
//! What a voice may say is not known here.

use std::{collections::BTreeSet, fmt};

use ledger::{
    note::VerifierKey,
    statement::{
        EntitlementError, public_key,
        v1::{Charter, Robot},
    },
};
use model::{HostName, KeyId, PersonId, RobotId, RoleName};

/// Somebody who can sign.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voice {
    /// A person, with the person's own keys.
    Person(PersonId),
    /// A robot.
    Robot(RobotId),
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "{id}"),
            Self::Robot(id) => write!(f, "robot {id}"),
        }
    }
}

/// A voice with what the charter says of it.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    pub(super) voice: Voice,
    /// One of its keys; which one makes no difference.
    pub(super) key: KeyId,
    pub(super) roles: Vec<RoleName>,
    /// The person, or those who control the robot.
    pub(super) persons: Vec<PersonId>,
}

impl Speaker {
    pub(super) const fn is_person(&self) -> bool {
        matches!(self.voice, Voice::Person(_))
    }
}

/// Everybody who can sign: the members in the charter's order, then the robots.
pub(super) fn speakers(charter: &Charter) -> Result<Vec<Speaker>, EntitlementError> {
    let mut all = Vec::new();
    for member in &charter.members {
        let Some(key) = member.keys.first() else { continue };
        all.push(Speaker {
            voice: Voice::Person(member.id.clone()),
            key: public_key(key)?.id(),
            roles: member.roles.clone(),
            persons: vec![member.id.clone()],
        });
    }
    for robot in &charter.robots {
        all.push(Speaker {
            voice: Voice::Robot(robot.id.clone()),
            key: public_key(&robot.key)?.id(),
            roles: vec![robot.role.clone()],
            persons: robot.controllers.clone(),
        });
    }
    Ok(all)
}

/// The robot whose key is the log's own.
pub(super) fn log_robot(charter: &Charter) -> Option<&Robot> {
    let log: VerifierKey = charter.log.vkey.parse().ok()?;
    charter.robots.iter().find(|r| public_key(&r.key).is_ok_and(|key| key.id() == log.key().id()))
}

/// One link of the chain by which a person comes to something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// The person holds a role.
    Holds(PersonId, RoleName),
    /// The person controls robots.
    Controls(PersonId, Vec<RobotId>),
    /// The person administers a host.
    Administers(PersonId, HostName),
    /// A host keeps the keys of robots.
    Keeps(HostName, Vec<RobotId>),
    /// Something else that the charter says.
    Says(String),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(person, role) => write!(f, "{person} holds the role {role}"),
            Self::Controls(person, robots) => write!(f, "{person} controls {}", of_robots(robots)),
            Self::Administers(person, host) => write!(f, "{person} administers {host}"),
            Self::Keeps(host, robots) if robots.len() == 1 => write!(f, "{host} keeps the key of {}", joined(robots)),
            Self::Keeps(host, robots) => write!(f, "{host} keeps the keys of {}", joined(robots)),
            Self::Says(words) => f.write_str(words),
        }
    }
}

fn of_robots(robots: &[RobotId]) -> String {
    format!("{} {}", if robots.len() == 1 { "the robot" } else { "the robots" }, joined(robots))
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn joined<T: fmt::Display>(words: &[T]) -> String {
    match words {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(T::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

/// What one person can use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reach<'a> {
    pub(super) roles: Vec<&'a RoleName>,
    pub(super) controls: Vec<&'a RobotId>,
    pub(super) hosts: Vec<&'a HostName>,
}

impl<'a> Reach<'a> {
    pub(super) fn of(charter: &'a Charter, person: &PersonId) -> Self {
        let mut roles: Vec<&RoleName> = charter.member(person).into_iter().flat_map(|m| &m.roles).collect();
        roles.sort_unstable();
        roles.dedup();
        let controls = charter.robots.iter().filter(|r| r.controllers.contains(person)).map(|r| &r.id).collect();
        let hosts = charter.hosts.iter().filter(|h| h.administrators.contains(person)).map(|h| &h.name).collect();
        Self { roles, controls, hosts }
    }

    /// The robots whose keys the person can use, through control or through a host.
    pub(super) fn robots(&self, charter: &'a Charter) -> Vec<&'a Robot> {
        charter.robots.iter().filter(|r| self.controls(r) || self.keeps(r)).collect()
    }

    /// Whether the person controls it.
    pub(super) fn controls(&self, robot: &Robot) -> bool {
        self.controls.contains(&&robot.id)
    }

    /// Whether its key is on a host that the person administers.
    pub(super) fn keeps(&self, robot: &Robot) -> bool {
        self.hosts.contains(&&robot.host)
    }

    /// Every role that the person reaches.
    pub(super) fn all_roles(&self, charter: &'a Charter) -> BTreeSet<&'a RoleName> {
        self.roles.iter().copied().chain(self.robots(charter).into_iter().map(|r| &r.role)).collect()
    }

    /// The shortest chain by which the person uses all these robots' keys.
    pub(super) fn links(&self, person: &PersonId, robots: &[&Robot]) -> Vec<Link> {
        let mut ways: Vec<Vec<(&Robot, bool)>> = vec![Vec::new()];
        for robot in robots {
            let choices = [self.controls(robot).then_some(true), self.keeps(robot).then_some(false)];
            ways = ways
                .into_iter()
                .flat_map(|way| choices.iter().flatten().map(move |c| [way.clone(), vec![(*robot, *c)]].concat()))
                .collect();
        }
        ways.iter().map(|way| chain(person, way)).min_by_key(|links| (links.len(), links.clone())).unwrap_or_default()
    }
}

fn chain(person: &PersonId, way: &[(&Robot, bool)]) -> Vec<Link> {
    let mut links = Vec::new();
    let named = |fits: &dyn Fn(&(&Robot, bool)) -> bool| -> Vec<RobotId> {
        let ids: BTreeSet<RobotId> = way.iter().filter(|w| fits(w)).map(|(r, _)| r.id.clone()).collect();
        ids.into_iter().collect()
    };
    let controlled = named(&|(_, by_control)| *by_control);
    if !controlled.is_empty() {
        links.push(Link::Controls(person.clone(), controlled));
    }
    let hosts: BTreeSet<&HostName> = way.iter().filter(|(_, by)| !by).map(|(r, _)| &r.host).collect();
    for host in hosts {
        links.push(Link::Administers(person.clone(), host.clone()));
        links.push(Link::Keeps(host.clone(), named(&|(robot, by_control)| !by_control && &robot.host == host)));
    }
    links
}
