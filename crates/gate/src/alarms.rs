//! What the log itself calls alarms for: the conditions that follow from its statements alone.
//!
//! It refuses to know probes, heartbeats, and who is told; the `watch` process adds what it sees to what stands here. Each
//! condition is there from the statement that gives rise to it until what ends it is in the log as well, so that whoever
//! asks again, or starts anew, gets the same answer.

use std::collections::BTreeMap;

use ledger::{
    charter::{Hindrance, Put, State},
    statement::v1::{AlarmAbout, AlarmKind, Milestone, MilestoneKind, Reason},
};
use model::{EnvironmentName, SystemName, Timestamp};

pub use crate::facts::{Condition, Firing, SilenceRefusal, Silencing, hidden_roles, may_silence, reports_on};
use crate::{
    decide::floor,
    dossier::Dossier,
    emergency::emergencies,
    facts::{Facts, Said},
    policy::Policy,
    values::{ValueAlarm, value_alarms},
};

/// What the log calls alarms for, each with the reason in words for people. A policy that is not the charter's, because the
/// charter's can not be read, is called about where something runs, and takes nothing else away.
pub fn called_for(policy: &Policy, facts: &Facts, now: Timestamp) -> BTreeMap<Condition, String> {
    let mut called = BTreeMap::new();
    let charter = facts.members().charter();
    for system in &charter.systems {
        for environment in &charter.environments {
            let mut here = |what, statement: u64, words: String| {
                let about = AlarmAbout { statement: Some(statement), ..AlarmAbout::default() };
                called.insert(Condition::of(what, about).within(&system.name, &environment.name), words);
            };
            rollouts(facts, &system.name, &environment.name, &mut here);
            withdrawn(policy, facts, &system.name, &environment.name, &mut here);
        }
    }
    for silence in facts.silences(now) {
        let Ok(until) = silence.until else { continue };
        let said = silence.said;
        let kinds: Vec<&str> = said.claim.what.iter().map(|kind| kind.name()).collect();
        let about = AlarmAbout { statement: Some(said.index), ..AlarmAbout::default() };
        let condition = Condition {
            what: AlarmKind::Silenced,
            system: said.header.system.clone(),
            environment: said.header.environment.clone(),
            about,
        };
        let words = format!("{} silenced {} until {until}, with statement {}", said.by, kinds.join(", "), said.index);
        called.insert(condition, words);
    }
    for alarm in value_alarms(facts) {
        let words = value_words(facts, &alarm);
        let condition =
            Condition { what: alarm.what, system: alarm.system, environment: alarm.environment, about: alarm.about };
        called.insert(condition, words);
    }
    for put in facts.charters().puts() {
        if let Some((what, words)) = amendment(facts, put) {
            let about = AlarmAbout { statement: Some(put.index), ..AlarmAbout::default() };
            called.insert(Condition::of(what, about), words);
        }
    }
    for put in facts.charters().by_withdrawn_keys() {
        let about = AlarmAbout { statement: Some(put.index), ..AlarmAbout::default() };
        let words = format!(
            "the amendment of statement {} rests on a key that was withdrawn for it; it stays in force until another one",
            put.index
        );
        called.insert(Condition::of(AlarmKind::AmendmentByWithdrawnKey, about), words);
    }
    for emergency in emergencies(policy, facts) {
        let about = AlarmAbout { statement: Some(emergency.proposal), ..AlarmAbout::default() };
        let condition = Condition::of(AlarmKind::Emergency, about).within(&emergency.system, &emergency.environment);
        let missing: Vec<&str> = emergency.missing.iter().map(String::as_str).collect();
        let runs = if emergency.runs { "runs" } else { "may go" };
        let words = format!(
            "the emergency release {} {runs} in {} without: {}",
            emergency.serial,
            emergency.environment,
            missing.join(", ")
        );
        called.insert(condition, words);
    }
    // What happened once is over when somebody has seen it; what lasts is not.
    called.retain(|condition, _| {
        let once = matches!(
            condition.what,
            AlarmKind::WentBack
                | AlarmKind::NoTraffic
                | AlarmKind::TroubleReported
                | AlarmKind::Drift
                | AlarmKind::ValueInForce
                | AlarmKind::ValueRefused
                | AlarmKind::AmendmentByWithdrawnKey
        );
        let lasts = condition.what == AlarmKind::ValueRefused
            && condition.about.statement.is_some_and(|statement| facts.is_withdrawal(statement));
        lasts || !(once && seen(facts, condition))
    });
    called
}

/// Whether an amendment waits, and could still come into force.
fn amendment(facts: &Facts, put: &Put) -> Option<(AlarmKind, String)> {
    let is_over = |hindrance: Hindrance| {
        matches!(hindrance, Hindrance::Stale { .. } | Hindrance::Expired(_) | Hindrance::Withdrawn)
    };
    let edits = put.amendment.edits.len();
    match &put.state {
        State::Open if facts.charters().hindrance(put).is_some_and(is_over) => None,
        State::Open if put.is_recovery() => Some((
            AlarmKind::RecoveryProposed,
            format!("a recovery key put up {edits} edits of the charter, with statement {}", put.index),
        )),
        State::Open => Some((
            AlarmKind::AmendmentProposed,
            format!("{} put up {edits} edits of the charter, with statement {}", put.by, put.index),
        )),
        State::Waiting { delay, .. } => {
            let until = delay.until.map_or_else(|| "after the next tick".to_owned(), |(until, _)| until.to_string());
            Some((
                AlarmKind::RecoveryProposed,
                format!(
                    "recovery keys change the charter by {edits} edits, of statement {}, from {until}; any member can cancel it",
                    put.index
                ),
            ))
        }
        State::InForce { .. } | State::Cancelled { .. } | State::Overtaken { .. } => None,
    }
}

/// What an alarm about a guarded value says; never the value, which the log does not know.
fn value_words(facts: &Facts, alarm: &ValueAlarm) -> String {
    let name = alarm.about.value.as_ref().map(ToString::to_string).unwrap_or_default();
    let statement = alarm.about.statement.unwrap_or_default();
    let by = facts.value_proposal(statement).map(|said| said.by.to_string());
    match (alarm.what, by) {
        (AlarmKind::ValueProposed, Some(by)) => {
            format!("{by} proposes another value for {name}, with statement {statement}")
        }
        (AlarmKind::ValueProposed, None) => {
            format!(
                "the cool-off of another value for {name} has begun with statement {statement}; a guardian can still cancel it"
            )
        }
        (AlarmKind::ValueInForce, _) => format!("the value of {name} proposed with statement {statement} is in force"),
        (_, None) if facts.is_withdrawal(statement) => format!(
            "the value of {name} in force rested on a key that statement {statement} withdrew: none is in force until another one is"
        ),
        (_, Some(by)) => format!("{by} tried to change {name} and was refused, with statement {statement}"),
        (_, None) => format!("an attempt to change {name} was refused, with statement {statement}"),
    }
}

/// When somebody acknowledged an alarm of this condition last, by the log's time.
pub fn last_seen(facts: &Facts, condition: &Condition) -> Option<Timestamp> {
    let acknowledged = |alarm: &Said<ledger::statement::v1::Alarm>| facts.acknowledged(alarm.index);
    let last = of_condition(facts, condition).find_map(acknowledged);
    last.and_then(|(_, index)| facts.time_before(index)).map(|time| time.earliest)
}

/// Whether somebody has acknowledged an alarm of this condition, also one that is over.
pub(crate) fn seen(facts: &Facts, condition: &Condition) -> bool {
    of_condition(facts, condition).any(|alarm| facts.acknowledged(alarm.index).is_some())
}

/// The beginnings of this condition, the last one first.
fn of_condition<'a>(
    facts: &'a Facts,
    condition: &'a Condition,
) -> impl Iterator<Item = &'a Said<ledger::statement::v1::Alarm>> {
    facts.alarms().rev().filter(|alarm| {
        alarm.claim.firing
            && alarm.claim.what == condition.what
            && alarm.claim.about == condition.about
            && alarm.header.system == condition.system
            && alarm.header.environment == condition.environment
    })
}

/// A release that went back or got stuck, until another one is live; one that was switched to and got no traffic, and one
/// that was seen to drift, until another rollout begins.
fn rollouts(
    facts: &Facts,
    system: &SystemName,
    environment: &EnvironmentName,
    here: &mut impl FnMut(AlarmKind, u64, String),
) {
    let (mut back, mut quiet, mut drift, mut trouble) = (None, None, None, None);
    // Bad news stands, also by an agent's key that was withdrawn since; good news only while the key does.
    for said in facts.any_milestones(system, environment) {
        let stands = !facts.is_void(said.key, said.index);
        match said.claim.what {
            MilestoneKind::Reported => trouble = Some(said),
            what if stands && (what.is_end() || what == MilestoneKind::Begun) => trouble = None,
            _ => {}
        }
        match said.claim.what {
            what if what.is_back() || what == MilestoneKind::Stuck => back = Some(said),
            MilestoneKind::Live if stands => back = None,
            MilestoneKind::Begun if stands => (quiet, drift) = (None, None),
            MilestoneKind::Quiet => quiet = Some(said),
            MilestoneKind::Watched if said.claim.requests == 0 => quiet = Some(said),
            MilestoneKind::Watched | MilestoneKind::Stepped if stands => quiet = None,
            MilestoneKind::Drifted => drift = Some(said),
            _ => {}
        }
    }
    let mut tell = |what, said: Option<&Said<Milestone>>, words: &str| {
        if let Some(said) = said {
            here(what, said.index, format!("{} in {environment} {words}", said.claim.serial));
        }
    };
    let stuck = back.is_some_and(|said| said.claim.what == MilestoneKind::Stuck);
    let words = if stuck { "can neither go on nor back by itself" } else { "went back" };
    tell(AlarmKind::WentBack, back, words);
    tell(AlarmKind::NoTraffic, quiet, "got no traffic that it could be judged by");
    tell(AlarmKind::TroubleReported, trouble, "is held: several people report trouble with it");
    tell(AlarmKind::Drift, drift, "is not what was started");
}

/// A release against which something speaks that would have refused it, while it runs. That its approvals have aged since
/// is none of it: a healthy release calls nobody, and so what is withdrawn later is news.
fn withdrawn(
    policy: &Policy,
    facts: &Facts,
    system: &SystemName,
    environment: &EnvironmentName,
    here: &mut impl FnMut(AlarmKind, u64, String),
) {
    let Some(live) = facts.running(system, environment).first() else { return };
    if facts.proposal(live.proposal).is_none() {
        here(
            AlarmKind::VerdictWithdrawn,
            live.proposal,
            format!("{} runs in {environment}, and the key that proposed it was withdrawn", live.serial),
        );
        return;
    }
    let Some(dossier) = Dossier::gather_going(facts, live.proposal) else { return };
    let (serial, proposal) = (&live.serial, live.proposal);
    if policy.digest() != facts.policy() {
        let words =
            format!("{serial} runs in {environment}, and the charter's policy can not be read: nothing judges it");
        here(AlarmKind::VerdictWithdrawn, proposal, words);
        return;
    }
    let rules = match policy.judge(&dossier) {
        Ok(reasons) if reasons.is_empty() => rules_of(floor(&dossier)),
        Ok(reasons) => rules_of(reasons),
        Err(error) => error.to_string(),
    };
    if !rules.is_empty() {
        let words = format!("{serial} runs in {environment} and would be refused now: {rules}");
        here(AlarmKind::VerdictWithdrawn, proposal, words);
    }
}

fn rules_of(reasons: Vec<Reason>) -> String {
    let rules: Vec<String> = reasons.into_iter().map(|reason| reason.rule).collect();
    rules.join(", ")
}

#[cfg(test)]
mod tests;
