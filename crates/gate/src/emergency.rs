//! Emergencies: a release that goes before all its evidence is there, and the evidence that it owes from then on.
//!
//! What an emergency gives away is in the policy text, and only missing evidence: never authorship, what was built, the
//! quorum (its own), a rejection, a halt, or evidence that speaks against the release. It refuses to know what an alarm is.

use std::collections::BTreeSet;

use ledger::statement::{
    Signatory,
    v1::{EmergencyRule, EnvironmentRule, Proposal, Quorum, SuiteKind, SuiteOn},
};
use model::{Digest, EnvironmentName, PersonId, Serial, SystemName, Timestamp};

use crate::{
    decide::decide_with,
    facts::{Facts, Said},
    lineage::{Ground, Lineage},
    policy::Policy,
    standing::{Judge, Standings},
};

/// The rule that a proposal is judged by as an emergency; none for an ordinary one, where the charter knows no emergencies,
/// and where a robot put it up: it takes a person to say that there is an emergency.
pub(crate) fn rule_of<'a>(rule: Option<&'a EnvironmentRule>, proposal: &Said<Proposal>) -> Option<&'a EmergencyRule> {
    let is_said = proposal.claim.emergency && matches!(*proposal.by, Signatory::Person(_));
    rule?.emergency.as_ref().filter(|_| is_said)
}

/// Who must have approved a proposal: the environment's quorum, or that for emergencies.
pub(crate) fn quorum_of<'a>(rule: &'a EnvironmentRule, proposal: &Said<Proposal>) -> &'a Quorum {
    rule_of(Some(rule), proposal).map_or(&rule.quorum, |emergency| &emergency.quorum)
}

/// The evidence that the release which runs owes because it went in an emergency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owed {
    /// What is missing, in words; nothing if it is made good, or if what runs did not go in an emergency.
    pub(crate) missing: BTreeSet<String>,
    /// The statements that this was read from.
    pub(crate) rests_on: BTreeSet<u64>,
}

impl Owed {
    /// What runs in an environment owes. Replaced by another release or gone back from, it owes nothing any more: what
    /// runs then is asked itself.
    pub(crate) fn by_what_runs(
        facts: &Facts,
        system: &SystemName,
        environment: &EnvironmentName,
        now: Timestamp,
    ) -> Self {
        let live = facts.running(system, environment).first();
        // What is owed does not cease to be owed by an amendment.
        let members = live.map_or_else(|| facts.members(), |live| facts.members_at(live.index));
        let rule = members.charter().environment(environment);
        let said = live.and_then(|live| facts.any_proposal(live.proposal));
        let Some(said) = said.filter(|said| rule_of(rule, said).is_some()) else { return Self::default() };
        let (missing, mut rests_on) = missing_evidence(facts, said, now);
        rests_on.extend(live.map(|live| live.index));
        rests_on.insert(said.index);
        let missing = missing.into_iter().map(|words| format!("{}: {words}", said.claim.serial)).collect();
        Self { missing, rests_on }
    }
}

/// What a release lacks of the evidence that it would have had to show ordinarily, and what there is of it.
fn missing_evidence(facts: &Facts, said: &Said<Proposal>, now: Timestamp) -> (BTreeSet<String>, BTreeSet<u64>) {
    let claim = &said.claim;
    let ground = Ground::of(facts, said, facts.running(claim.serial.system(), &claim.environment));
    let Lineage { changes, .. } = Lineage::of(facts, said, ground.base);
    let Some(change) = changes.last() else {
        return (["its change does not stand any more".to_owned()].into(), BTreeSet::new());
    };
    let commits = changes.iter().flat_map(|c| &c.claim.commits);
    let mut contributors: BTreeSet<PersonId> = commits.flat_map(|c| c.contributors.iter().cloned()).collect();
    contributors.extend(said.by.persons().iter().cloned());
    let build = facts.build(claim.build).filter(|b| b.index < said.index);
    let judge = Judge { facts, claim, ground, change, build, contributors: &contributors, now };
    let Standings { suites, rests_on, .. } = judge.standings();
    let mut missing: BTreeSet<String> =
        suites.iter().filter_map(|s| Some(format!("{}: {}", s.suite, s.instead.as_ref()?))).collect();
    let on_containers = |s: &crate::SuiteStanding| s.kind == SuiteKind::Full && s.on == SuiteOn::Containers;
    if !suites.iter().any(|s| on_containers(s) && s.passed.is_some()) {
        missing.insert("no full suite drove containers started from its images".to_owned());
    }
    (missing, rests_on)
}

/// An emergency release that may go, or that went and owes evidence: what an alarm is raised about, for as long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// Its system.
    pub system: SystemName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The log index of its proposal.
    pub proposal: u64,
    /// Its serial.
    pub serial: Serial,
    /// The release.
    pub release: Digest,
    /// Whether it runs; otherwise its verdict is granted, and it has not arrived.
    pub runs: bool,
    /// The evidence that it owes, in words.
    pub missing: BTreeSet<String>,
}

/// The emergency releases of a log that are granted, or run and owe evidence, in the order of the charter. It is over when
/// the evidence is there, when it was gone back from or replaced, and when it was granted and its time ended.
pub fn emergencies(policy: &Policy, facts: &Facts) -> Vec<Emergency> {
    let now = facts.time().map(|t| t.latest).unwrap_or_default();
    let charter = facts.members().charter();
    let mut found = Vec::new();
    for system in charter.systems.iter().map(|s| &s.name) {
        for rule in &charter.environments {
            let running = facts.running(system, &rule.name).first();
            let live = running.map(|live| live.proposal);
            // What is owed does not cease to be owed by an amendment.
            let then =
                running.map_or(Some(rule), |live| facts.members_at(live.index).charter().environment(&rule.name));
            // Any that is granted may go, whatever was proposed after it; what nobody approved is not.
            let newer = facts.proposals_for(system, &rule.name).filter(|said| {
                live.is_none_or(|live| said.index > live)
                    && rule_of(Some(rule), said).is_some()
                    && facts.approvals(said.index).next().is_some()
            });
            for index in live.into_iter().chain(newer.map(|said| said.index)) {
                let runs = live == Some(index);
                let rule_then = if runs { then } else { Some(rule) };
                let Some(said) = facts.any_proposal(index).filter(|said| rule_of(rule_then, said).is_some()) else {
                    continue;
                };
                let (missing, _) = missing_evidence(facts, said, now);
                let is_granted = || decide_with(policy, facts, index).is_ok_and(|decision| decision.is_granted());
                let is_open = if runs { !missing.is_empty() } else { is_granted() };
                if is_open {
                    found.push(Emergency {
                        system: system.clone(),
                        environment: rule.name.clone(),
                        proposal: index,
                        serial: said.claim.serial.clone(),
                        release: said.claim.release,
                        runs,
                        missing,
                    });
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
