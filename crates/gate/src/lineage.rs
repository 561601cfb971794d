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

impl<'a> Base<'a> {
    /// The base of a transition of an environment, over what runs there now.
    pub(crate) fn of(
        facts: &'a Facts,
        system: &SystemName,
        environment: &EnvironmentName,
        replaces: Option<Digest>,
    ) -> Self {
        Self::over(facts, replaces, facts.running(system, environment))
    }

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
