//! Selecting: which statements of a log a verdict was made from.
//!
//! It is more than what the verdict rests on: `decide` also looks at what did not change its answer. Whoever makes a
//! bundle has the whole log, so that the selection is tried out before it leaves: it must lead to the same verdict.

use std::collections::BTreeSet;

use ledger::{
    Verified,
    charter::Charters,
    statement::{
        Members, Statement,
        v1::{Claim, Exception, Kind, MilestoneKind, Proposal, Verdict},
    },
};
use model::{Digest, EnvironmentName, SystemName};

use super::verify::fold;
use crate::{
    WHOLE_SUITE,
    decide::{DecideError, decide_with},
    dossier::Dossier,
    facts::{Facts, FactsError, Live, Said, Stack},
    lineage::{Base, Ground, Lineage},
    policy::{Policy, PolicyError},
    promotion,
    time::LogTime,
    values,
};

/// Why nothing was selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The place is another statement's, or there is none.
    #[error("there is no verdict at log index {0}")]
    NoVerdict(u64),
    /// The charter's policy does not hold up.
    #[error("the charter's policy is not valid")]
    Policy(#[from] PolicyError),
    /// Statements that do not follow each other.
    #[error("the statements can not be read in order")]
    Facts(#[from] FactsError),
    /// `decide` has no answer over the whole log.
    #[error("the verdict at {0} does not follow from the log")]
    NoAnswer(u64, #[source] DecideError),
    /// Or another.
    #[error("the verdict at {0} is not what the log says; it proves nothing")]
    Other(u64),
    /// What was selected does not lead to the verdict.
    #[error("the verdict at {0} can only be computed from the whole log")]
    Whole(u64),
}

/// The log indices of the statements that a bundle of a verdict carries, out of all statements of the log, from the first
/// on. `members` are those of the log's first charter.
///
/// # Errors
/// If the log does not say what the verdict says, or if no selection leads to it.
pub fn select(
    members: &Members,
    policy: &Policy,
    statements: &[Verified<Statement>],
    verdict: u64,
) -> Result<BTreeSet<u64>, SelectError> {
    let at = |index: u64| usize::try_from(index).ok().and_then(|at| statements.get(at));
    let Some(Claim::Verdict(said)) = at(verdict).map(|s| &s.value().claim) else {
        return Err(SelectError::NoVerdict(verdict));
    };
    let size = usize::try_from(said.size).unwrap_or(usize::MAX);
    let before = statements.get(..size).ok_or(SelectError::Other(verdict))?;
    let mut facts = Facts::new(members.clone());
    fold(&mut facts, before, said.size)?;
    // The charter in force then may have had another policy than the one at hand.
    let then = facts.policy_after(policy);
    let policy = then.as_ref().unwrap_or(policy);
    let decision = decide_with(policy, &facts, said.proposal).map_err(|e| SelectError::NoAnswer(verdict, e))?;
    if decision.verdict != **said {
        return Err(SelectError::Other(verdict));
    }
    // Who judges the checkpoint follows from every amendment up to it.
    let mut all = Charters::new(members);
    for statement in statements {
        if let Some(identity) = statement.identity().filter(|_| Charters::concerns(&statement.value().claim)) {
            all.take(statement.index(), statement.key(), identity, statement.value(), statement.tick());
        }
    }
    for every_milestone in [false, true] {
        let mut chosen = read_for(&facts, said, every_milestone);
        chosen.extend(all.rests_on());
        chosen.insert(verdict);
        // What the gate said last, so that whoever checks learns of a withdrawal.
        let on_it =
            |s: &&Verified<Statement>| matches!(&s.value().claim, Claim::Verdict(v) if v.proposal == said.proposal);
        chosen.extend(statements.iter().rev().find(on_it).map(Verified::index));
        let stops = |s: &&Verified<Statement>| matches!(s.value().claim.kind(), Kind::Charter | Kind::KeyWithdrawal);
        chosen.extend(statements.iter().filter(stops).map(Verified::index));
        let mut few = Facts::new(members.clone());
        for index in chosen.iter().take_while(|index| **index < said.size) {
            if let Some(statement) = at(*index) {
                few.skip_to(*index);
                few.apply(statement)?;
            }
        }
        few.skip_to(said.size);
        if decide_with(policy, &few, said.proposal).is_ok_and(|d| d.verdict == **said) {
            return Ok(chosen);
        }
    }
    Err(SelectError::Whole(verdict))
}

/// What `decide` reads for a verdict, which was made over these facts.
fn read_for(facts: &Facts, verdict: &Verdict, every_milestone: bool) -> BTreeSet<u64> {
    let mut read: BTreeSet<u64> = verdict.rests_on.iter().copied().collect();
    let Some(said) = facts.proposal(verdict.proposal) else { return read };
    let claim = &said.claim;
    let (system, environment) = (claim.serial.system(), &claim.environment);
    read.extend([said.index, claim.build, claim.change]);

    // What runs, what ran when it was proposed, and what of it people had approved. What went in an emergency is judged
    // again, over what it replaced.
    let now = facts.running(system, environment);
    let emergency = now.first().and_then(|live| facts.any_proposal(live.proposal)).filter(|p| p.claim.emergency);
    let mut proposals = BTreeSet::new();
    let before = facts.running_before(system, environment, said.index);
    // And what ran when it came the first time, if it did.
    let came = Ground::of(facts, said, now).came;
    proposals.extend(came.into_iter().flat_map(|came| [came.live.proposal, came.next.proposal]));
    let then = came.map(|came| (facts.running_before(system, environment, came.live.index), came.live.before));
    for (stack, replaces) in [(now, claim.replaces), (before, claim.replaces)]
        .into_iter()
        .chain(emergency.map(|p| (now, p.claim.replaces)))
        .chain(then)
    {
        for live in down_to_base(facts, stack, replaces) {
            proposals.insert(live.proposal);
            read.insert(live.index);
        }
    }
    for proposal in &proposals {
        read.insert(*proposal);
        read.extend(facts.any_proposal(*proposal).map(|p| p.claim.change));
        read.extend(facts.any_approvals(*proposal).map(|a| a.index));
        read.extend(facts.rejections(*proposal).map(|r| r.index));
    }
    let moves = facts.milestones(system, environment).filter(|m| {
        let is_move = m.claim.what == MilestoneKind::Live || m.claim.what.is_back();
        is_move && (every_milestone || proposals.contains(&m.claim.proposal))
    });
    read.extend(moves.map(|m| m.index));

    // The changes, what was made of them, and what was tested.
    read.extend(facts.first_accepted(system).map(|c| c.index));
    for judged in std::iter::once(said).chain(emergency) {
        read_evidence(facts, judged, &mut read);
    }

    // What people said, and what stops it.
    read.extend(facts.any_approvals(said.index).map(|a| a.index));
    read.extend(facts.rejections(said.index).map(|r| r.index));
    read_stops(facts, system, environment, verdict, &mut read);
    let head = facts.change(claim.change);
    let names = head.map(|c| c.claim.values.as_slice()).unwrap_or_default();
    let (about_values, mut times) = values::read_for(facts, claim, names);
    read.extend(about_values);
    let promotions = Dossier::gather(facts, said.index).map(|dossier| dossier.promotions).unwrap_or_default();
    let (about_promotions, ticks) = promotion::read_for(facts, claim, &promotions, every_milestone);
    read.extend(about_promotions);
    times.extend(ticks);
    read_ticks(facts, verdict.proposal, times, &mut read);
    read.retain(|index| *index < verdict.size);
    read
}

/// The changes of a proposal, all builds of it, and all evidence about it.
fn read_evidence(facts: &Facts, said: &Said<Proposal>, read: &mut BTreeSet<u64>) {
    let claim = &said.claim;
    let system = claim.serial.system();
    let ground = Ground::of(facts, said, facts.running(system, &claim.environment));
    read.extend([claim.build, claim.change]);
    read.extend(Lineage::of(facts, said, ground.base).changes.iter().map(|c| c.index));
    read.extend(facts.any_builds_of(claim.change).map(|b| b.index));
    read_tests(facts, system, claim.change, ground.replaces, read);
    let head = facts.change(claim.change);
    read.extend(head.iter().flat_map(|c| facts.failures_on_source(&c.claim.commit)).map(|e| e.index));
    read.extend(facts.failures_on_release(claim.release).map(|e| e.index));
    let suites: BTreeSet<_> =
        head.iter().flat_map(|c| &c.claim.suites).chain(ground.base.suites()).map(|s| &s.name).collect();
    let mut cases: BTreeSet<Digest> = facts.evidence(claim.change).flat_map(|e| e.claim.excepted.clone()).collect();
    cases.insert(Digest::of(WHOLE_SUITE));
    let about = |e: &&Said<Exception>| suites.contains(&e.claim.suite) && cases.contains(&e.claim.case);
    read.extend(facts.exceptions().filter(about).map(|e| e.index));
}

/// What ran, newest first: what ran last, and from what is replaced down to the newest that people had approved.
fn down_to_base<'a>(facts: &'a Facts, stack: Stack<'a>, replaces: Option<Digest>) -> Vec<&'a Live> {
    let base = match Base::over(facts, replaces, stack) {
        Base::Approved(change) => Some(change.index),
        Base::Nothing | Base::Unknown => None,
    };
    let mut down: Vec<&Live> = stack.first().into_iter().collect();
    for live in replaces.into_iter().flat_map(|release| stack.from_release(release)) {
        down.push(live);
        if facts.any_proposal(live.proposal).map(|p| p.claim.change) == base {
            break;
        }
    }
    down
}

/// Evidence about a change, what it was compared with, and where that ran.
fn read_tests(facts: &Facts, system: &SystemName, change: u64, replaces: Option<Digest>, read: &mut BTreeSet<u64>) {
    for evidence in facts.evidence(change) {
        read.insert(evidence.index);
        let Some(base) = evidence.claim.baseline.and_then(|index| facts.one_evidence(index)) else { continue };
        read.extend([base.index, base.claim.change]);
        for build in facts.builds_of(base.claim.change) {
            read.insert(build.index);
            for environment in &facts.members().charter().environments {
                let mut ran = facts.running(system, &environment.name).from_release(build.claim.release);
                read.extend(ran.next().map(|live| live.index));
            }
        }
    }
    for build in replaces.into_iter().flat_map(|release| facts.builds_as(release)) {
        read.insert(build.index);
        read.extend(facts.evidence(build.claim.change).map(|e| e.index));
    }
}

/// Halts in force, and whether it was tried before.
fn read_stops(
    facts: &Facts,
    system: &SystemName,
    environment: &EnvironmentName,
    verdict: &Verdict,
    read: &mut BTreeSet<u64>,
) {
    read.extend(facts.halted(system, environment).map(|h| h.index));
    read.extend(facts.spent(verdict.proposal));
    let orders = facts.rollbacks(system, environment).filter(|r| r.claim.from == verdict.release);
    read.extend(orders.map(|r| r.index));
}

/// The last tick, and for each approval the one before it and the first that covers it.
fn read_ticks(facts: &Facts, proposal: u64, mut times: Vec<LogTime>, read: &mut BTreeSet<u64>) {
    times.extend(facts.time());
    for approval in facts.any_approvals(proposal) {
        times.extend(facts.time_before(approval.index));
        times.extend(facts.covered(approval.index));
    }
    // Time never runs backwards: what a tick says can be what an earlier one said, and then that one is read too.
    for time in times {
        read.insert(time.index);
        read.extend(facts.sources(time).into_iter().flatten());
    }
}
