//! The verdicts of a log, each recomputed over the statements that it names, and whether every rollout had one.

use std::collections::{BTreeMap, BTreeSet};

use gate::{DECIDE_VERSION, Facts, decide_with, policy::Policy};
use ledger::{
    Verified,
    statement::{
        Members, Statement,
        v1::{Claim, MilestoneKind, Verdict},
    },
};

use super::examine::{Finding, Report, chain};
use crate::{
    fault::{Because as _, Fault, Kind},
    verbs::show,
};

/// A question to `decide` over the first statements of the log.
enum Question<'a> {
    /// Whether the verdict at this index is what they say.
    Verdict(u64, &'a Verdict),
    /// Whether what the milestone at this index says was granted.
    Begun(u64, u64),
}

/// Recomputes every verdict over the statements that it names, and whether every rollout had one.
pub(super) fn recompute(
    statements: &[Verified<Statement>],
    members: &Members,
    report: &mut Report,
) -> Result<(), Fault> {
    let policy =
        Policy::parse(&members.charter().policy).because(Kind::Input, "the charter's policy does not hold up")?;
    let mut questions: BTreeMap<u64, Vec<Question<'_>>> = BTreeMap::new();
    let mut other_versions = BTreeSet::new();
    for entry in statements {
        let index = entry.index();
        match &entry.value().claim {
            Claim::Verdict(v) if v.decide != DECIDE_VERSION => {
                other_versions.insert(v.decide.clone());
            }
            Claim::Verdict(v) if v.size > index => report.findings.push(Finding::at(
                index,
                format!(
                    "the verdict at {index} says that it was decided over {} statements, more than there were",
                    v.size
                ),
            )),
            Claim::Verdict(v) => questions.entry(v.size).or_default().push(Question::Verdict(index, v)),
            Claim::Milestone(m) if m.what == MilestoneKind::Begun => {
                let size = entry.value().header.seen.map_or(index, |s| s.size.min(index));
                questions.entry(size).or_default().push(Question::Begun(index, m.proposal));
            }
            _ => {}
        }
    }
    for version in other_versions {
        report.remarks.push(format!(
            "verdicts by version {version} of `decide` were not recomputed; this program has {DECIDE_VERSION}"
        ));
    }
    let mut granted: BTreeSet<u64> = BTreeSet::new();
    let mut facts = Facts::new(members.clone());
    let mut next = statements.iter();
    loop {
        for question in questions.remove(&facts.size()).unwrap_or_default() {
            match question {
                Question::Verdict(index, said) => {
                    report.verdicts += 1;
                    match decide_with(&policy, &facts, said.proposal) {
                        Ok(decision) if decision.verdict == *said => {
                            if decision.is_granted() {
                                granted.insert(said.proposal);
                            }
                        }
                        Ok(decision) => report.findings.push(Finding::at(
                            index,
                            format!(
                                "the verdict at {index} says `{}`, and its statements say `{}`",
                                show::verdict(said),
                                show::verdict(&decision.verdict)
                            ),
                        )),
                        Err(error) => report
                            .findings
                            .push(Finding::at(index, format!("the verdict at {index}: {}", chain(&error)))),
                    }
                }
                Question::Begun(index, proposal) => {
                    let now = decide_with(&policy, &facts, proposal).is_ok_and(|d| d.is_granted());
                    let is_return = facts.proposal(proposal).is_some_and(|p| {
                        facts.live(p.claim.serial.system(), &p.claim.environment).iter().any(|l| l.proposal == proposal)
                    });
                    if !now && !granted.contains(&proposal) && !is_return {
                        report.findings.push(Finding::at(
                            index,
                            format!("the rollout that began at {index} had no granted verdict on proposal {proposal}"),
                        ));
                    }
                }
            }
        }
        let Some(entry) = next.next() else { break };
        facts.apply(entry).because(Kind::Untrue, "the statements do not follow each other")?;
    }
    report.findings.sort_by_key(|f| (f.index.is_none(), f.index));
    Ok(())
}
