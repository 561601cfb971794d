//! Lineage: what a proposal builds on, and every change between that and the proposed one.
//!
//! The builder says which change comes before which, and the agent says what runs. Neither is believed alone: a chain
//! that does not lead where it must is broken, and what runs without ever having been approved is nothing to build on.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    quorum::tally,
    statement::v1::{Change, Proposal, SuiteFact},
};
use model::{Digest, EnvironmentName, PersonId, RoleName, SystemName};

use crate::{
    emergency::quorum_of,
    facts::{Facts, Live, Said, Stack},
};

/// What a proposal builds on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Base<'a> {
    /// It replaces nothing.
    Nothing,
    /// The newest release at or below the one that it replaces which its quorum has approved.
    Approved(&'a Said<Change>),
    /// It replaces something, and nothing there that anybody approved is known.
    Unknown,
}

/// What a proposal is judged over: what it builds on, and whose cases bind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    /// What it builds on.
    pub(crate) base: Base<'a>,
    /// The release with whose cases its tests are compared.
    pub(crate) replaces: Option<Digest>,
    /// How it came the first time, if it ran here before.
    pub(crate) came: Option<&'a Live>,
}

impl<'a> Ground<'a> {
    /// That of what was put up at a log index, over what ran at some time. A release that ran here before, and that the people
    /// had approved then, is judged over what it replaced then: it removes none of the cases that came after it.
    pub(crate) fn of(facts: &'a Facts, said: &Said<Proposal>, live: Stack<'a>) -> Self {
        Self::over(facts, &said.claim, said.index, live)
    }

    /// The same of what would be put up at a log index.
    pub(crate) fn over(facts: &'a Facts, claim: &Proposal, index: u64, live: Stack<'a>) -> Self {
        let place = (claim.serial.system(), &claim.environment);
        Self::between(facts, place, (claim.release, claim.change), claim.replaces, (index, live))
    }

    /// The same by its parts: a release and its change, and the log index with what runs.
    pub(crate) fn between(
        facts: &'a Facts,
        (system, environment): (&SystemName, &EnvironmentName),
        (release, change): (Digest, u64),
        replaces: Option<Digest>,
        (index, live): (u64, Stack<'a>),
    ) -> Self {
        let is_it = |live: &&Live| {
            live.index < index
                && live.proposal != index
                && facts.any_proposal(live.proposal).is_some_and(|p| p.claim.change == change)
                && approved_change(facts, live).is_some()
        };
        let mut stretches = facts.stretches(system, environment, release).into_iter().map(|stretch| stretch.live);
        match stretches.find(is_it).filter(|_| replaces.is_some()) {
            Some(came) => {
                let then = facts.running_before(system, environment, came.index);
                Self { base: Base::over(facts, came.before, then), replaces: came.before, came: Some(came) }
            }
            None => Self { base: Base::over(facts, replaces, live), replaces, came: None },
        }
    }
}

impl<'a> Base<'a> {
    /// The base over what ran at another time.
    pub(crate) fn over(facts: &'a Facts, replaces: Option<Digest>, live: Stack<'_>) -> Self {
        let Some(replaces) = replaces else { return Self::Nothing };
        let mut from = live.from_release(replaces);
        from.find_map(|l| approved_change(facts, l)).map_or(Self::Unknown, Self::Approved)
    }

    /// The suites that bind. They bind also when the key that declared them was withdrawn since.
    pub(crate) fn suites(&self) -> &'a [SuiteFact] {
        match self {
            Self::Approved(change) => &change.claim.suites,
            Self::Nothing | Self::Unknown => &[],
        }
    }
}

/// The change of what ran, if the people who must had said yes to exactly that before it was live. Whether they would
/// count today is not asked: what has run is what the next release changes.
pub(crate) fn approved_change<'a>(facts: &'a Facts, live: &Live) -> Option<&'a Said<Change>> {
    let proposal = facts.any_proposal(live.proposal)?;
    let claim = &proposal.claim;
    if claim.release != live.release {
        return None;
    }
    let rule = facts.members_at(live.index).charter().environment(&claim.environment)?;
    let mut spoke: BTreeMap<PersonId, BTreeSet<RoleName>> = BTreeMap::new();
    for approval in facts.any_approvals(live.proposal) {
        let a = &approval.claim;
        let fits = (proposal.index..live.index).contains(&approval.index)
            && a.environment == claim.environment
            && a.release == claim.release
            && a.replaces == claim.replaces;
        for person in approval.by.persons().iter().filter(|p| fits && !proposal.by.persons().contains(*p)) {
            spoke.entry(person.clone()).or_default().insert(approval.header.role.clone());
        }
    }
    tally(quorum_of(rule, proposal), &spoke).is_met().then(|| facts.any_change(claim.change)).flatten()
}

/// Every change from the one after the base up to the proposed one.
#[derive(Clone, Debug)]
pub(crate) struct Lineage<'a> {
    /// The changes, oldest first.
    pub(crate) changes: Vec<&'a Said<Change>>,
    /// What is wrong with it, if anything: then commits may be hidden, and nothing may be released.
    pub(crate) broken: Option<&'static str>,
}

impl<'a> Lineage<'a> {
    /// Follows the chain backwards from the proposed change, over what stood when it was proposed.
    pub(crate) fn of(facts: &'a Facts, proposal: &Said<Proposal>, base: Base<'_>) -> Self {
        let system = proposal.claim.serial.system();
        let end = match base {
            Base::Approved(change) => Some(change.index),
            Base::Nothing | Base::Unknown => None,
        };
        let mut changes: Vec<&Said<Change>> = Vec::new();
        let mut broken = None;
        let mut at = Some(proposal.claim.change);
        let mut below = proposal.index;
        while let Some(index) = at.filter(|at| Some(*at) != end) {
            // Strictly backwards, so a chain can not loop.
            let Some(change) = facts.change(index).filter(|c| &c.claim.system == system && index < below) else {
                broken = Some("a change before it is not there");
                break;
            };
            changes.push(change);
            below = index;
            at = change.claim.previous;
            // Whoever says that nothing came before would hide all that did.
            if at.is_none() && facts.first_accepted(system).is_some_and(|c| c.index < index) {
                broken = Some("a change does not say what came before it");
            }
        }
        changes.reverse();
        Self { changes, broken }
    }
}

#[cfg(test)]
mod tests;
