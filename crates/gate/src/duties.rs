//! Duties: whether a charter lets one person reach two sides that must be apart.

use std::collections::BTreeSet;

use ledger::{
    charter::{StructureError, check_structure},
    statement::v1::{Charter, Kind},
};
use model::{EnvironmentName, PersonId, RoleName};

use crate::{
    builders::most_apart,
    policy::{Policy, PolicyError},
};

/// Why a charter is refused.
#[derive(Debug, thiserror::Error)]
pub enum CharterError {
    /// What every reader of the log would refuse.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// The policy does not hold up.
    #[error("the charter's policy is not valid")]
    Policy(#[from] PolicyError),
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
    check_structure(charter)?;
    Policy::parse(&charter.policy)?;
    check_builders(charter)?;
    if let Some(rule) = charter.environments.iter().find(|e| e.cool_off_s > 0 && e.cool_off_s >= e.approval_s) {
        let (approval_s, cool_off_s) = (rule.approval_s, rule.cool_off_s);
        return Err(CharterError::CoolOff { environment: rule.name.clone(), approval_s, cool_off_s });
    }
    let through_hosts = charter
        .members
        .iter()
        .filter_map(|member| {
            let mut reach = charter.granted_roles(&member.id);
            let hosts: BTreeSet<_> =
                charter.hosts.iter().filter(|h| h.administrators.contains(&member.id)).map(|h| &h.name).collect();
            reach.extend(charter.robots.iter().filter(|r| hosts.contains(&r.host)).map(|r| r.role.clone()));
            charter.conflict(&reach)?;
            Some(HostReach { person: member.id.clone(), roles: reach })
        })
        .collect();
    Ok(Duties { through_hosts })
}

/// As many builders as an environment asks for are there, each in other people's hands; and an emergency lasts.
fn check_builders(charter: &Charter) -> Result<(), CharterError> {
    let may_build = |role: &RoleName| charter.may_say(role, Kind::Build);
    for rule in &charter.environments {
        if rule.builders == 0 {
            return Err(StructureError::Shape(format!("`{}` asks for no builder; one is the least", rule.name)).into());
        }
        let here = charter.robots.iter().filter(|robot| {
            may_build(&robot.role) && (robot.environments.is_empty() || robot.environments.contains(&rule.name))
        });
        let there = most_apart(charter, here, rule.builders);
        // One builder is not counted: it may come with an amendment, and without any nothing is built.
        if rule.builders > 1 && there < rule.builders {
            let what = format!("builders under different administrators for `{}`", rule.name);
            return Err(StructureError::Unreachable { what, needed: rule.builders, there }.into());
        }
        if rule.emergency.as_ref().is_some_and(|emergency| emergency.verdict_s == 0) {
            return Err(StructureError::Shape(format!(
                "a verdict on an emergency in `{}` would end at once",
                rule.name
            ))
            .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
