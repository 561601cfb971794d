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
    pub(crate) came: Option<Came<'a>>,
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
        let place = (system, environment);
        let mut stretches = facts.stretches(system, environment, release).into_iter().map(|stretch| stretch.live);
        let came = stretches.find_map(|live| {
            let is_earlier = live.index < index && live.proposal != index;
            Came::of(facts, place, live).filter(|came| is_earlier && came.next.index < index && came.change == change)
        });
        match came.filter(|_| replaces.is_some()) {
            Some(came) => {
                let then = facts.running_before(system, environment, came.live.index);
                Self { base: Base::over(facts, came.live.before, then), replaces: came.live.before, came: Some(came) }
            }
            None => Self { base: Base::over(facts, replaces, live), replaces, came: None },
        }
    }
}

/// How a release came into an environment where something else runs now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came<'a> {
    /// What the agent said of it.
    pub(crate) live: &'a Live,
    /// What came in its place.
    pub(crate) next: &'a Live,
    /// The log index of its change.
    change: u64,
}

impl<'a> Came<'a> {
    /// An agent's word alone makes nothing that came: people had approved it over what ran then and nobody rejected it, and
    /// people approved what came in its place *as* its replacement. An agent that lied about either would have had to
    /// deceive them about what runs from the one to the other.
    fn of(facts: &'a Facts, (system, environment): (&SystemName, &EnvironmentName), live: &'a Live) -> Option<Self> {
        let said = facts.any_proposal(live.proposal)?;
        let before = facts.running_before(system, environment, live.index).first().map(|before| before.release);
        let is_true = said.claim.replaces == live.before
            && before == live.before
            && facts.rejections(live.proposal).next().is_none()
            && approved_change(facts, live).is_some();
        if !is_true {
            return None;
        }
        let over = |next: &&Said<Proposal>| next.index > live.index && next.claim.replaces == Some(live.release);
        let next = facts.proposals_for(system, environment).filter(over).find_map(|next| {
            let all = facts.stretches(system, environment, next.claim.release);
            let came = all.into_iter().map(|stretch| stretch.live).find(|came| came.proposal == next.index);
            came.filter(|came| came.before == Some(live.release) && approved_change(facts, came).is_some())
        });
        Some(Self { live, next: next?, change: said.claim.change })
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
