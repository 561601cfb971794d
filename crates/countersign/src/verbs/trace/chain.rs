//! The chain of one change, gathered from the log.

use std::collections::{BTreeMap, BTreeSet};

use gate::{Dossier, Facts};
use ledger::{
    Verified,
    statement::{
        Statement,
        v1::{Claim, EvidenceOn, EvidenceOutcome, Image, MilestoneKind, Placed},
    },
};
use model::{Commit, Digest, EnvironmentName, PersonId, RequirementId, Serial, SystemName};
use serde::Serialize;
use serde_json::Value;

use super::super::show;

/// Everything about one change.
#[derive(Debug, Serialize)]
pub(super) struct Chain {
    pub(super) system: SystemName,
    pub(super) requirements: BTreeSet<RequirementId>,
    pub(super) change: ChangeLink,
    pub(super) builds: Vec<BuildLink>,
    pub(super) evidence: Vec<EvidenceLink>,
    pub(super) proposals: Vec<ProposalLink>,
    pub(super) runs: Vec<RunLink>,
    pub(super) tested: Tested,
}

#[derive(Debug, Serialize)]
pub(super) struct ChangeLink {
    pub(super) index: u64,
    pub(super) serial: Serial,
    pub(super) commit: Commit,
    pub(super) branch: String,
    pub(super) accepted: bool,
    pub(super) problems: Vec<String>,
    pub(super) commits: Vec<CommitLink>,
}

#[derive(Debug, Serialize)]
pub(super) struct CommitLink {
    pub(super) commit: Commit,
    pub(super) contributors: Vec<PersonId>,
    /// Who holds the key that signed it, by the charter.
    pub(super) signed_by: Option<String>,
    pub(super) requirements: Vec<RequirementId>,
    pub(super) problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct BuildLink {
    pub(super) index: u64,
    pub(super) by: String,
    pub(super) serial: Serial,
    pub(super) release: Digest,
    pub(super) images: Vec<Image>,
    pub(super) provenance: Digest,
    pub(super) sbom: Digest,
    pub(super) dependencies: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct EvidenceLink {
    pub(super) index: u64,
    pub(super) by: String,
    pub(super) suite: model::SuiteName,
    pub(super) kind: &'static str,
    pub(super) on: &'static str,
    pub(super) release: Option<Digest>,
    pub(super) passed: bool,
    pub(super) says: String,
    pub(super) covers: Vec<RequirementId>,
    pub(super) cases: Option<Digest>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProposalLink {
    pub(super) index: u64,
    pub(super) by: String,
    pub(super) environment: EnvironmentName,
    pub(super) replaces: Option<Digest>,
    /// What people and robots said about it and what happened to it, in order.
    pub(super) story: Vec<show::Row>,
}

#[derive(Debug, Serialize)]
pub(super) struct RunLink {
    pub(super) environment: EnvironmentName,
    /// The statement by which the agent said so.
    pub(super) index: u64,
    pub(super) placed: Vec<Placed>,
    /// What the agent sees this moment; none if it could not be asked.
    pub(super) seen_now: Option<Vec<String>>,
}

/// Whether it was fully tested: said plainly, as that is what people ask.
#[derive(Debug, Serialize)]
pub(super) struct Tested {
    pub(super) fully: bool,
    pub(super) why_not: Vec<String>,
}

/// The chain of the change at this index.
pub(super) fn of_change(
    facts: &Facts,
    statements: &[Verified<Statement>],
    index: u64,
    agent: Option<&Value>,
) -> Option<Chain> {
    let change = facts.change(index)?;
    let c = &change.claim;
    let signer = |key: model::KeyId| facts.members().holder(key).map_or_else(|_| key.short(), ToString::to_string);
    let builds: Vec<BuildLink> = facts
        .builds()
        .filter(|b| b.claim.change == index)
        .map(|b| BuildLink {
            index: b.index,
            by: b.by.to_string(),
            serial: b.claim.serial.clone(),
            release: b.claim.release,
            images: b.claim.images.clone(),
            provenance: b.claim.provenance,
            sbom: b.claim.sbom,
            dependencies: b.claim.dependencies,
        })
        .collect();
    let evidence = facts
        .evidence(index)
        .map(|e| EvidenceLink {
            index: e.index,
            by: e.by.to_string(),
            suite: e.claim.suite.clone(),
            kind: show::kind(e.claim.kind),
            on: show::on(&e.claim.on),
            release: match &e.claim.on {
                EvidenceOn::Containers { release, .. } => Some(*release),
                EvidenceOn::Source { .. } => None,
            },
            passed: e.claim.outcome == EvidenceOutcome::Passed,
            says: show::evidence(&e.claim),
            covers: e.claim.covers.clone(),
            cases: e.claim.cases,
        })
        .collect();
    let proposals: Vec<ProposalLink> = facts
        .proposals()
        .filter(|p| p.claim.change == index)
        .map(|p| ProposalLink {
            index: p.index,
            by: p.by.to_string(),
            environment: p.claim.environment.clone(),
            replaces: p.claim.replaces,
            story: story(facts, statements, p.index, p.claim.release),
        })
        .collect();
    let tested = tested(facts, index, &proposals);
    Some(Chain {
        system: c.system.clone(),
        requirements: c.commits.iter().flat_map(|f| f.requirements.iter().cloned()).collect(),
        change: ChangeLink {
            index,
            serial: Serial::new(c.system.clone(), c.ordinal),
            commit: c.commit,
            branch: c.branch.clone(),
            accepted: c.is_accepted(),
            problems: c.problems.iter().map(show::wire_name).collect(),
            commits: c
                .commits
                .iter()
                .map(|f| CommitLink {
                    commit: f.commit,
                    contributors: f.contributors.clone(),
                    signed_by: f.key.map(signer),
                    requirements: f.requirements.clone(),
                    problem: f.problem.as_ref().map(show::wire_name),
                })
                .collect(),
        },
        runs: runs(facts, &c.system, &builds, agent),
        builds,
        evidence,
        proposals,
        tested,
    })
}

fn story(facts: &Facts, statements: &[Verified<Statement>], proposal: u64, release: Digest) -> Vec<show::Row> {
    statements
        .iter()
        .filter(|s| match &s.value().claim {
            Claim::Approval(c) => c.proposal == proposal,
            Claim::Rejection(c) => c.proposal == proposal,
            Claim::Verdict(c) => c.proposal == proposal,
            Claim::Milestone(c) => c.proposal == proposal,
            Claim::Retirement(c) => s.index() > proposal && c.release == release,
            Claim::Report(c) => s.index() > proposal && c.release == release,
            Claim::Rollback(c) => s.index() > proposal && (c.from == release || c.to == release),
            _ => false,
        })
        .map(|s| show::row(facts, s))
        .collect()
}

/// Where the releases of the builds run by the agents' last word.
fn runs(facts: &Facts, system: &SystemName, builds: &[BuildLink], agent: Option<&Value>) -> Vec<RunLink> {
    let mut runs = Vec::new();
    for environment in &facts.members().charter().environments {
        let Some(live) = facts.live(system, &environment.name).into_iter().next() else { continue };
        if !builds.iter().any(|b| b.release == live.release) {
            continue;
        }
        let said = facts
            .milestones(system, &environment.name)
            .rfind(|m| m.index == live.index && m.claim.what == MilestoneKind::Live);
        let seen_now = agent.map(|a| seen(a, system, &environment.name, &live.serial));
        runs.push(RunLink {
            environment: environment.name.clone(),
            index: live.index,
            placed: said.map(|m| m.claim.placed.clone()).unwrap_or_default(),
            seen_now,
        });
    }
    runs
}

fn seen(agent: &Value, system: &SystemName, environment: &EnvironmentName, serial: &Serial) -> Vec<String> {
    let instances = agent
        .get(format!("{system} in {environment}"))
        .and_then(|a| a.get("instances"))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let text = |i: &Value, name: &str| match i.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => "?".to_owned(),
    };
    instances
        .iter()
        .filter(|i| i.get("serial").and_then(Value::as_str) == Some(serial.to_string().as_str()))
        .map(|i| {
            format!("{} at {} {} ({})", text(i, "component"), text(i, "address"), text(i, "image"), text(i, "state"))
        })
        .collect()
}

/// Fully tested is: by the suites that bind for its newest proposal, with at least one full suite on containers.
fn tested(facts: &Facts, change: u64, proposals: &[ProposalLink]) -> Tested {
    if let Some(dossier) = proposals.last().and_then(|p| Dossier::gather(facts, p.index)) {
        let mut why_not: Vec<String> = dossier.suites_not_passed().into_iter().collect();
        if dossier.full_suites_on_containers() == 0 {
            why_not.push("no full suite passed on containers of its images".to_owned());
        }
        return Tested { fully: why_not.is_empty(), why_not };
    }
    let mut why_not = vec!["it was never proposed".to_owned()];
    let last: BTreeMap<_, _> = facts.evidence(change).map(|e| (&e.claim.suite, e.claim.outcome)).collect();
    why_not.extend(
        last.iter().filter(|(_, o)| **o != EvidenceOutcome::Passed).map(|(s, o)| format!("{s}: {}", show::outcome(*o))),
    );
    if last.is_empty() {
        why_not.push("no suite was run on it".to_owned());
    }
    Tested { fully: false, why_not }
}
