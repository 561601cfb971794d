//! Duties: whether a charter lets one person reach two sides that must be apart, and what it lets whom do.
//!
//! [`check`] refuses a charter. [`report()`] and [`promise()`] ask the rules themselves, in made-up logs, what people and
//! robots could do; they have no rules of their own.

mod acts;
mod passage;
mod promise;
mod report;
mod rules;
mod samples;
mod seats;
mod trial;
mod voices;
mod votes;

use std::collections::BTreeSet;

use ledger::{
    charter::{StructureError, check_structure},
    statement::v1::{Charter, Kind},
};
use model::{EnvironmentName, PersonId, RoleName};

use crate::{
    DecideError, FactsError,
    builders::most_apart,
    policy::{Policy, PolicyError},
};

pub use acts::Act;
pub use passage::{Deed, Part, Passage, Passenger, passage};
pub use promise::{Promise, Story, promise};
pub use report::{Profile, Report, RobotDuties, Through, report};
pub use rules::Row;
pub use voices::{Link, Voice};
pub use votes::{Quorate, Share};

/// Why it can not be said what a charter lets whom do. The answer is then that nothing is known to hold.
#[derive(Debug, thiserror::Error)]
pub enum DutiesError {
    /// Keys that do not parse, or somebody who may not say something.
    #[error(transparent)]
    Keys(#[from] ledger::statement::EntitlementError),
    /// The policy does not hold up.
    #[error("the charter's policy is not valid")]
    Policy(#[from] PolicyError),
    /// A made-up log could not be decided about.
    #[error("no decision in a made-up log")]
    Decide(#[from] DecideError),
    /// A made-up log could not be folded.
    #[error("a made-up log does not fold")]
    Facts(#[from] FactsError),
    /// A built-in name does not parse. A defect of this version.
    #[error("a built-in name does not parse")]
    Name(#[from] model::IdError),
    /// A built-in commit id does not parse, or a built-in edit does not fit. A defect of this version.
    #[error("something built in does not fit")]
    Word,
    /// Trying it all takes too long.
    #[error(
        "it takes too many trials to say what it lets whom do: ask for fewer groups in a quorum, or have fewer environments and values, or fewer combinations of roles"
    )]
    TooMuch,
    /// The charter names no system.
    #[error("a charter needs at least one system")]
    NoSystem,
}

/// Why a charter is refused.
#[derive(Debug, thiserror::Error)]
pub enum CharterError {
    /// What every reader of the log would refuse.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// The policy does not hold up.
    #[error("the charter's policy is not valid")]
    Policy(#[from] PolicyError),
    /// What it lets whom do could not be tried.
    #[error("it can not be said what the charter lets whom do")]
    Untried(#[from] DutiesError),
    /// A recovery that is over before anybody learns of it.
    #[error("a recovery would wait {delay_s} s: at least {RECOVERY_LEAST_S} s, so that members can cancel it")]
    Recovery {
        /// How long it would wait.
        delay_s: u64,
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
}

/// As much may be tried to check a charter, in units of about the work of one statement: five times what 1,000 persons in
/// 800 different combinations of 50 roles take. Whoever may put up an amendment could otherwise shape one that takes the log
/// minutes.
const CHECK_LIMIT: u64 = 200_000;

/// A recovery waits at least a day: whoever is asleep when it is put up learns of it and can cancel it.
const RECOVERY_LEAST_S: u64 = 86_400;

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
    /// People who reach conflicting roles through a host that they administer.
    pub through_hosts: Vec<HostReach>,
    /// Whether "no one person can" holds, and if it does not, why.
    pub promise: Promise,
}

impl Duties {
    /// Whether "no one person can" holds.
    pub const fn hold(&self) -> bool {
        self.promise.holds()
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
    if let Some(delay_s) = charter.recovery.as_ref().map(|r| r.delay_s).filter(|s| *s < RECOVERY_LEAST_S) {
        return Err(CharterError::Recovery { delay_s });
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
    Ok(Duties { through_hosts, promise: promise::within(charter, CHECK_LIMIT)? })
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
