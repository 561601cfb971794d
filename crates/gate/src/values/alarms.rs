//! What people must be told about guarded values. A pure function of the log: `watch` raises what it returns, and what it
//! does not return any more is over.

use ledger::statement::v1::{AlarmAbout, AlarmKind};
use model::{EnvironmentName, SystemName, ValueName};

use super::{State, all, rule_in};
use crate::facts::Facts;

/// What came into force, or was refused, is told for a day of the log's time: whoever is asleep learns of it.
const TOLD_FOR_S: u64 = 86_400;

/// An alarm that fires now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueAlarm {
    /// What it says.
    pub what: AlarmKind,
    /// The system whose value it is about.
    pub system: Option<SystemName>,
    /// The environment that it holds in.
    pub environment: Option<EnvironmentName>,
    /// The value, and the statement that gave rise to it.
    pub about: AlarmAbout,
}

/// The alarms about guarded values that fire now:
///
/// - `value-proposed` about each proposal that may still come into force, and, when its quorum is there, about the
///   approval that completed it: the cool-off has begun, and a guardian can still cancel;
/// - `value-in-force` about each proposal that came into force within the last day: the cool-off has ended;
/// - `value-refused` about each proposal and approval of the last day that can not count; and about the withdrawal of a
///   key that the value in force rested on, until another one is in force.
pub fn value_alarms(facts: &Facts) -> Vec<ValueAlarm> {
    let mut alarms = Vec::new();
    for view in all(facts) {
        let alarm = |what, statement| ValueAlarm {
            what,
            system: Some(view.rule.system.clone()),
            environment: Some(view.rule.environment.clone()),
            about: about(&view.rule.name, statement),
        };
        alarms.extend(view.fell.map(|fell| alarm(AlarmKind::ValueRefused, fell.by)));
        for standing in &view.proposals {
            let index = standing.proposal.index;
            match standing.state {
                State::Open => alarms.push(alarm(AlarmKind::ValueProposed, index)),
                State::CoolingOff => {
                    alarms.push(alarm(AlarmKind::ValueProposed, index));
                    alarms.extend(standing.completed.map(|by| alarm(AlarmKind::ValueProposed, by)));
                }
                State::InForce => {
                    let since = view.in_force.as_ref().map_or(index, |value| value.since);
                    if is_new(facts, since) {
                        alarms.push(alarm(AlarmKind::ValueInForce, index));
                    }
                }
                State::Stale if is_new(facts, index) => alarms.push(alarm(AlarmKind::ValueRefused, index)),
                State::Stale | State::Fell(_) | State::Replaced(_) | State::Cancelled(_) | State::Expired => {}
            }
            let unfit = standing.unfit.keys().filter(|index| is_new(facts, **index));
            alarms.extend(unfit.map(|index| alarm(AlarmKind::ValueRefused, *index)));
        }
    }
    let of_none = |system: &Option<SystemName>, environment: &Option<EnvironmentName>, name: &ValueName| {
        let place = system.as_ref().zip(environment.as_ref());
        place.is_none_or(|(system, environment)| rule_in(facts.members(), system, environment, name).is_none())
    };
    for said in facts.value_proposals().filter(|said| is_new(facts, said.index)) {
        if of_none(&said.header.system, &said.header.environment, &said.claim.name) {
            alarms.push(ValueAlarm {
                what: AlarmKind::ValueRefused,
                system: said.header.system.clone(),
                environment: said.header.environment.clone(),
                about: about(&said.claim.name, said.index),
            });
        }
    }
    for said in facts.value_approvals().filter(|said| is_new(facts, said.index)) {
        if facts.value_proposal(said.claim.proposal).is_none() {
            alarms.push(ValueAlarm {
                what: AlarmKind::ValueRefused,
                system: said.header.system.clone(),
                environment: said.header.environment.clone(),
                about: about(&said.claim.name, said.index),
            });
        }
    }
    alarms
}

fn about(name: &ValueName, statement: u64) -> AlarmAbout {
    AlarmAbout { value: Some(name.clone()), statement: Some(statement), ..AlarmAbout::default() }
}

fn is_new(facts: &Facts, index: u64) -> bool {
    match (facts.covered(index), facts.time()) {
        (Some(since), Some(now)) => now.earliest.since_s(since.latest) < TOLD_FOR_S,
        _ => true,
    }
}
