//! What a charter gives an agent to run: systems in environments, and by which rule.
//!
//! Asked of the charter in force each time, and never kept: an amendment gives, takes away and tightens. It refuses to know
//! what runs, and writes nothing.

use ledger::statement::{
    Members,
    v1::{EnvironmentRule, Robot, SystemRule},
};
use model::{EnvironmentName, KeyId, SystemName};

/// Everything that a charter gives the agent with this key; nothing if the charter does not know the key.
pub(super) fn given(members: &Members, key: KeyId) -> Vec<(&SystemRule, &EnvironmentRule)> {
    let charter = members.charter();
    let is_it = |robot: &&Robot| ledger::statement::public_key(&robot.key).is_ok_and(|public| public.id() == key);
    let Some(robot) = charter.robots.iter().find(is_it) else { return Vec::new() };
    let acts_in = |name: &EnvironmentName| robot.environments.is_empty() || robot.environments.contains(name);
    let rules: Vec<&EnvironmentRule> = charter.environments.iter().filter(|rule| acts_in(&rule.name)).collect();
    charter.systems.iter().flat_map(|system| rules.iter().map(move |rule| (system, *rule))).collect()
}

/// The rule for one system in one environment. `None` if it is not this agent's to run.
pub(super) fn rule<'a>(
    members: &'a Members,
    key: KeyId,
    system: &SystemName,
    environment: &EnvironmentName,
) -> Option<&'a EnvironmentRule> {
    let is_it = |(s, rule): &(&SystemRule, &EnvironmentRule)| &s.name == system && &rule.name == environment;
    given(members, key).into_iter().find(is_it).map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests;
