//! Votes: whose approvals of a proposal count, and until when.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    quorum::{Tally, tally},
    statement::{
        Members,
        v1::{Approval, Proposal, Quorum},
    },
};
use model::{PersonId, RoleName, Timestamp};

use crate::{
    emergency::{quorum_of, rule_of},
    facts::{Facts, Said},
    shown::shown_digest,
    time::CoolOff,
};

/// The approvals of one proposal, counted.
pub(crate) struct Votes {
    /// How far the quorum is met.
    pub(crate) tally: Tally,
    /// Contributors who approved.
    pub(crate) by_contributors: BTreeSet<String>,
    /// Persons whose approval is of something else, or is over.
    pub(crate) unfit: BTreeSet<String>,
    /// The approvals that count.
    pub(crate) rests_on: BTreeSet<u64>,
    /// Until when enough of them count.
    pub(crate) ends: Timestamp,
    /// When a verdict on an emergency ends by itself: so long after the approval that completed the quorum.
    pub(crate) emergency_ends: Option<Timestamp>,
    /// What must pass after the one that completed the quorum.
    pub(crate) cool_off: CoolOff,
}

/// One person's yes in one role, and until when.
struct Vote<'a> {
    person: &'a PersonId,
    role: &'a RoleName,
    said: Timestamp,
    end: Timestamp,
    index: u64,
}

impl Votes {
    /// Counts them at a time, by the charter that was in force then: a role must hold when it is used.
    pub(crate) fn count(
        facts: &Facts,
        proposal: &Said<Proposal>,
        contributors: &BTreeSet<PersonId>,
        now: Timestamp,
        members: &Members,
    ) -> Self {
        let claim = &proposal.claim;
        let rule = members.charter().environment(&claim.environment);
        let life = rule.map_or(0, |r| r.approval_s);
        let emergency = rule_of(rule, proposal);
        // Who approves an emergency approves that it goes at once.
        let cool_off_s = rule.filter(|_| emergency.is_none()).map_or(0, |r| r.cool_off_s);
        let text = shown_digest(facts, proposal.index);
        let mut cast = Vec::new();
        let (mut by_contributors, mut unfit, mut rests_on) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for approval in facts.approvals(proposal.index) {
            let said = said_at(facts, approval, now);
            let end = approval.header.expires.min(said.plus_s(life));
            let fits = approval.index > proposal.index
                && approval.claim.environment == claim.environment
                && approval.claim.release == claim.release
                && approval.claim.replaces == claim.replaces
                && Some(approval.claim.shown) == text
                && approval.header.system.as_ref() == Some(claim.serial.system())
                && members.holds(approval.key, &approval.by, &approval.header.role)
                && now < end;
            for person in approval.by.persons() {
                if contributors.contains(person) {
                    by_contributors.insert(person.to_string());
                } else if fits {
                    cast.push(Vote { person, role: &approval.header.role, said, end, index: approval.index });
                    rests_on.insert(approval.index);
                } else {
                    unfit.insert(person.to_string());
                }
            }
        }
        unfit.retain(|p| !cast.iter().any(|v| v.person.as_str() == p));
        let none = Quorum { groups: Vec::new() };
        let quorum = rule.map_or(&none, |r| quorum_of(r, proposal));
        // The manifest may ask for more people, by the word of the change; a proposal can only add to that.
        let asked = facts.change(claim.change).and_then(|c| {
            c.claim.asks.iter().filter(|a| a.environment == claim.environment).map(|a| a.approvals).max()
        });
        let asked = asked.max(claim.approvals).filter(|_| emergency.is_none());
        let count = |until: Timestamp| count_votes(quorum, asked, cast.iter().filter(|v| v.end >= until));
        let tally = count(now);
        // Approvals come in the order of the log. One that is over began nothing: a new quorum waits again.
        let completes =
            |last: &&Vote<'_>| count_votes(quorum, asked, cast.iter().filter(|v| v.index <= last.index)).is_met();
        let complete = cast.iter().find(completes).filter(|_| tally.is_met());
        let emergency_ends = emergency.zip(complete).map(|(rule, vote)| vote.said.plus_s(rule.verdict_s));
        let began = complete.and_then(|vote| facts.covered(vote.index));
        rests_on.extend(began.filter(|_| cool_off_s > 0).map(|t| t.index));
        let cool_off = CoolOff::of(cool_off_s, began, facts.time());
        // The latest time until which those who still count are enough: one approval that ends early takes nothing
        // from others that do not.
        let mut ends: Vec<Timestamp> = cast.iter().map(|v| v.end).collect();
        ends.sort_unstable();
        let enough = ends.into_iter().rev().find(|end| tally.is_met() && count(*end).is_met());
        Self { tally, by_contributors, unfit, rests_on, ends: enough.unwrap_or(now), emergency_ends, cool_off }
    }
}

/// Votes against the quorum and what the manifest asks for beyond it, never below it.
fn count_votes<'a>(quorum: &Quorum, asked: Option<u32>, votes: impl Iterator<Item = &'a Vote<'a>>) -> Tally {
    let mut spoke: BTreeMap<PersonId, BTreeSet<RoleName>> = BTreeMap::new();
    for vote in votes {
        spoke.entry(vote.person.clone()).or_default().insert(vote.role.clone());
    }
    let mut tally = tally(quorum, &spoke);
    if let Some(asked) = asked.filter(|asked| *asked > tally.needed && tally.is_met()) {
        tally.needed = asked;
        tally.counted = u32::try_from(spoke.len()).unwrap_or(u32::MAX);
        tally.persons = spoke.into_keys().collect();
    }
    tally
}

/// An approval ages from the last time in the log before it: a later one would be in the hands of whoever writes the
/// ticks, and could be held back to make it younger.
fn said_at(facts: &Facts, approval: &Said<Approval>, now: Timestamp) -> Timestamp {
    facts.time_before(approval.index).or_else(|| facts.covered(approval.index)).map_or(now, |t| t.earliest)
}

#[cfg(test)]
mod tests;
