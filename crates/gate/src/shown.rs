//! What an approver is shown before signing, and its digest: what is shown is what is signed.
//!
//! The text is made of statements that stand before the proposal and of nothing else, so that everyone who has
//! the log makes the same text, now and in ten years.

use ledger::statement::v1::{EvidenceOn, EvidenceOutcome, SuiteKind};
use model::{Digest, SuiteName};

use crate::{
    facts::Facts,
    lineage::{Ground, Lineage},
};

/// The text for a proposal.
pub fn shown(facts: &Facts, proposal: u64) -> Option<String> {
    let said = facts.proposal(proposal)?;
    let p = &said.claim;
    let change = facts.change(p.change)?;
    let live = facts.running_before(p.serial.system(), &p.environment, proposal);
    let ground = Ground::of(facts, said, live);
    let lineage = Lineage::of(facts, said, ground.base);
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!("proposal {proposal}: {} into {}", p.serial, p.environment));
    line(format!("proposed by {}", said.by));
    if p.emergency {
        line("EMERGENCY: it goes before its evidence is there, and ends by itself".to_owned());
    }
    line(format!("release {}", p.release));
    line(match p.replaces {
        Some(old) => format!("replaces {old}"),
        None => "replaces nothing: this is the first release there".to_owned(),
    });
    if let Some(came) = ground.came {
        line(format!(
            "BROUGHT BACK: it came here under proposal {}; it is judged over what it replaced then, and tests that came \
             since do not bind it",
            came.live.proposal
        ));
    }
    line(format!("commit {} on {}", change.claim.commit, change.claim.branch));
    for commit in lineage.changes.iter().flat_map(|c| &c.claim.commits) {
        let people: Vec<&str> = commit.contributors.iter().map(model::PersonId::as_str).collect();
        let requirements: Vec<&str> = commit.requirements.iter().map(model::RequirementId::as_str).collect();
        line(format!("  {} by {} for {}", commit.commit.short(), people.join(", "), or_none(&requirements)));
    }
    if let Some(broken) = lineage.broken {
        line(format!("NOT ALL COMMITS: {broken}"));
    }
    for image in &p.images {
        line(format!("image {} {}", image.component, image.image));
    }
    for value in &p.values {
        line(format!("guarded value {} of proposal {} {}", value.name, value.proposal, value.value));
    }
    for evidence in facts.evidence(p.change).filter(|e| e.index < proposal) {
        let e = &evidence.claim;
        let on = match &e.on {
            EvidenceOn::Source { .. } => "the source tree",
            EvidenceOn::Containers { release, .. } if *release == p.release => "containers of these images",
            EvidenceOn::Containers { .. } => "containers of other images",
        };
        let kind = match e.kind {
            SuiteKind::Smoke => "smoke",
            SuiteKind::Full => "full",
            SuiteKind::Load => "load",
            SuiteKind::Ui => "ui",
        };
        let outcome = match e.outcome {
            EvidenceOutcome::Passed => "passed",
            EvidenceOutcome::Failed => "failed",
            EvidenceOutcome::NotTested => "not tested",
        };
        let t = e.totals;
        line(format!(
            "suite {} ({kind}, on {on}) {outcome}: {} passed, {} failed, {} skipped, {} flaky, {} missing, {} excepted",
            e.suite,
            t.passed,
            t.failed,
            t.skipped,
            t.flaky,
            e.missing.len(),
            e.excepted.len()
        ));
    }
    let is_run = |name: &SuiteName| facts.evidence(p.change).any(|e| e.index < proposal && e.claim.suite == *name);
    let binding = change.claim.suites.iter().filter(|s| s.kind != SuiteKind::Smoke);
    for suite in binding.filter(|s| p.emergency && !is_run(&s.name)) {
        line(format!("NOT RUN: the suite {}; it is owed once this runs", suite.name));
    }
    for suite in &p.edited_suites {
        line(format!("EDITS the suite {suite}"));
    }
    for suite in &p.removed_suites {
        line(format!("REMOVES the suite {suite}"));
    }
    Some(text)
}

/// The digest that an approval of the proposal must carry.
pub fn shown_digest(facts: &Facts, proposal: u64) -> Option<Digest> {
    shown(facts, proposal).map(|text| Digest::of(text.as_bytes()))
}

fn or_none(words: &[&str]) -> String {
    if words.is_empty() { "no requirement".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests;
