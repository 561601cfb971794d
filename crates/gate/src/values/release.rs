//! The guarded values of a release: that it is given exactly those in force, for exactly the names that it reads.

use std::collections::BTreeSet;

use ledger::statement::v1::{GuardedValue, Proposal};
use model::{EnvironmentName, SystemName, ValueName};

use super::{one, rule_in};
use crate::{
    facts::{Facts, ValueKey},
    time::LogTime,
};

/// How a release stands with its guarded values.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReleaseValues {
    /// How many it reads.
    pub(crate) count: usize,
    /// Names whose value is not the one in force, with what is wrong.
    pub(crate) not_in_force: BTreeSet<String>,
    /// The statements that this rests on.
    pub(crate) rests_on: BTreeSet<u64>,
}

impl ReleaseValues {
    /// Compares what a proposal brings with what is in force, over the names that its change reads.
    pub(crate) fn of(facts: &Facts, claim: &Proposal, names: &[ValueName]) -> Self {
        let (system, environment) = (claim.serial.system(), &claim.environment);
        let mut found = Self { count: names.len(), ..Self::default() };
        for name in names {
            let mut given = claim.values.iter().filter(|value| &value.name == name);
            let first = given.next();
            let now = one(facts, system, environment, name).map(|view| view.in_force);
            let wrong = match (&now, first) {
                (None, _) => Some(format!("the charter has no such value of {system} in {environment}")),
                (Some(None), _) => Some("no value is in force".to_owned()),
                (Some(Some(now)), None) => Some(format!("it is not given, and {} is in force", now.proposal)),
                (Some(Some(now)), Some(value)) if value.proposal != now.proposal || value.value != now.value => {
                    Some(format!("{} is given, and {} is in force", value.proposal, now.proposal))
                }
                (Some(Some(_)), Some(_)) => given.next().map(|_| "it is given twice".to_owned()),
            };
            found.not_in_force.extend(wrong.map(|wrong| format!("{name}: {wrong}")));
            if let Some(Some(now)) = now {
                found.rests_on.extend([now.proposal, now.since]);
                found.rests_on.extend(now.approvals);
            }
        }
        let strange = claim.values.iter().filter(|value| !names.contains(&value.name));
        found.not_in_force.extend(strange.map(|value| format!("{}: nothing reads it", value.name)));
        found
    }
}

/// What a proposal must bring now for these names: the values in force, in the order of the names, and the names for
/// which there is none.
pub fn given(
    facts: &Facts,
    system: &SystemName,
    environment: &EnvironmentName,
    names: &[ValueName],
) -> (Vec<GuardedValue>, Vec<ValueName>) {
    let (mut values, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match one(facts, system, environment, name).and_then(|view| view.in_force) {
            Some(now) => values.push(GuardedValue { name: name.clone(), proposal: now.proposal, value: now.value }),
            None => missing.push(name.clone()),
        }
    }
    (values, missing)
}

/// Every statement from which [`ReleaseValues::of`] makes its answer, and the ticks that it counts time by.
pub(crate) fn read_for(facts: &Facts, claim: &Proposal, names: &[ValueName]) -> (BTreeSet<u64>, Vec<LogTime>) {
    let (mut read, mut times) = (BTreeSet::new(), Vec::new());
    let given = claim.values.iter().map(|value| &value.name);
    let names: BTreeSet<&ValueName> = names.iter().chain(given).collect();
    for name in names {
        let key: ValueKey = (claim.serial.system().clone(), claim.environment.clone(), name.clone());
        for proposal in facts.any_value_proposals_of(&key) {
            read.insert(proposal.index);
            read.extend(facts.cancellations(proposal.index).map(|said| said.index));
            for approval in facts.any_value_approvals(proposal.index) {
                read.insert(approval.index);
                times.extend(facts.time_before(approval.index));
                let began = facts.covered(approval.index);
                times.extend(began);
                let rule = rule_in(facts.members_at(approval.index), &key.0, &key.1, name);
                let cool_off_s = rule.map_or(0, |rule| rule.cool_off_s);
                times.extend(began.and_then(|t| facts.first_time(t.index, t.latest.plus_s(cool_off_s))));
            }
        }
    }
    (read, times)
}
