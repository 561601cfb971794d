//! The passage of a release: who did what in which roles from its first commit until it was live, under every charter that
//! was in force meanwhile, and whether one person ever stood on both sides.
//!
//! A role that was held for an hour counts as held. Ids that ever shared a key are one person.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ledger::statement::{
    public_key,
    v1::{Charter, Key, Milestone, MilestoneKind},
};
use model::{KeyId, PersonId, RoleName};

use super::voices::Reach;
use crate::{
    facts::{Facts, Said},
    lineage::{Ground, Lineage},
};

/// What somebody did for a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Wrote some of it.
    Wrote,
    /// Controlled the robot that said what was committed, or that built it.
    Built,
    /// Put it up, or controlled the robot that did.
    Proposed,
    /// Controlled the robot that tested it.
    Tested,
    /// Approved it.
    Approved,
    /// Rejected it.
    Rejected,
    /// Controlled the robot that ran it.
    Ran,
}

impl Part {
    /// Whether it is a part of those who make a release; otherwise of those who judge it. Running it is neither.
    const fn makes(self) -> Option<bool> {
        match self {
            Self::Wrote | Self::Built | Self::Proposed => Some(true),
            Self::Tested | Self::Approved => Some(false),
            // Whoever says no takes nothing away from anybody's duty.
            Self::Rejected | Self::Ran => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wrote => "wrote some of it",
            Self::Built => "controlled what built it",
            Self::Proposed => "put it up",
            Self::Tested => "controlled what tested it",
            Self::Approved => "approved it",
            Self::Rejected => "rejected it",
            Self::Ran => "controlled what ran it",
        })
    }
}

/// One thing that a person did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deed {
    /// The log index of the statement that says so.
    pub index: u64,
    /// What.
    pub part: Part,
    /// The id that the person had then.
    pub as_person: PersonId,
    /// The role in which it was said, by the person or the robot; commits have none.
    pub role: Option<RoleName>,
}

/// A person over the time of the passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passenger {
    /// The ids that shared a key; mostly one.
    pub ids: BTreeSet<PersonId>,
    /// What the person did, in the order of the log.
    pub deeds: Vec<Deed>,
    /// Each role in the person's reach, with the log indices from which on a charter in force gave it.
    pub roles: BTreeMap<RoleName, BTreeSet<u64>>,
    /// Both sides, if the person stood on both: in words.
    pub both_sides: Vec<String>,
}

/// The passage of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The log index of its proposal.
    pub proposal: u64,
    /// The log index of the first change in it.
    pub from: u64,
    /// The log index of the milestone with which it was live; the end of the log if it is not.
    pub to: u64,
    /// Whether it was live.
    pub is_live: bool,
    /// From which log indices on the charters were in force that were so meanwhile.
    pub charters: Vec<u64>,
    /// Everybody who did something for it, or stood on both sides.
    pub people: Vec<Passenger>,
}

impl Passage {
    /// Whether no one person stood on both sides.
    pub fn holds(&self) -> bool {
        self.people.iter().all(|p| p.both_sides.is_empty())
    }
}

/// The passage of what was put up at a log index, under the charters of the log, each with the index from which on it was in
/// force. `None` if there is no such proposal.
pub fn passage(facts: &Facts, charters: &[(u64, &Charter)], proposal: u64) -> Option<Passage> {
    let said = facts.any_proposal(proposal)?;
    let claim = &said.claim;
    let system = claim.serial.system();
    let live = facts.running_before(system, &claim.environment, proposal);
    let lineage = Lineage::of(facts, said, Ground::of(facts, said, live).base);
    let from = lineage.changes.first().map_or(claim.change, |c| c.index).min(proposal);
    let is_its = |m: &&Said<Milestone>| m.claim.proposal == proposal;
    let milestones: Vec<_> = facts.milestones(system, &claim.environment).filter(is_its).collect();
    let live = milestones.iter().find(|m| m.claim.what == MilestoneKind::Live).map(|m| m.index);
    let to = live.unwrap_or(facts.size());

    let mut deeds: Vec<Deed> = Vec::new();
    for change in &lineage.changes {
        note(&mut deeds, change, Part::Built);
        for commit in &change.claim.commits {
            let key = commit.key.and_then(|key| charters.iter().find_map(|(_, c)| holder(c, key)));
            for person in commit.contributors.iter().cloned().chain(key) {
                deeds.push(Deed { index: change.index, part: Part::Wrote, as_person: person, role: None });
            }
        }
    }
    facts.builds_of(claim.change).for_each(|b| note(&mut deeds, b, Part::Built));
    facts.evidence(claim.change).for_each(|e| note(&mut deeds, e, Part::Tested));
    note(&mut deeds, said, Part::Proposed);
    facts.any_approvals(proposal).for_each(|a| note(&mut deeds, a, Part::Approved));
    facts.rejections(proposal).for_each(|r| note(&mut deeds, r, Part::Rejected));
    milestones.iter().for_each(|m| note(&mut deeds, m, Part::Ran));
    deeds.retain(|deed| deed.index <= to);
    deeds.sort();
    deeds.dedup();

    let began = charters.iter().map(|(index, _)| *index).filter(|index| *index <= from).max().unwrap_or(0);
    let meanwhile: Vec<(u64, &Charter)> =
        charters.iter().filter(|(index, _)| (began..=to).contains(index)).copied().collect();
    let mut people = Vec::new();
    for ids in same_persons(charters, &deeds) {
        let mut roles: BTreeMap<RoleName, BTreeSet<u64>> = BTreeMap::new();
        for (index, charter) in &meanwhile {
            for id in &ids {
                for role in Reach::of(charter, id).all_roles(charter) {
                    roles.entry(role.clone()).or_default().insert(*index);
                }
            }
        }
        let own: Vec<Deed> = deeds.iter().filter(|d| ids.contains(&d.as_person)).cloned().collect();
        // A role that was exercised was held, whatever charters are known.
        for deed in own.iter().filter(|d| d.role.is_some()) {
            roles.extend(
                deed.role.clone().filter(|r| !roles.contains_key(r)).map(|r| (r, BTreeSet::from([deed.index]))),
            );
        }
        let both_sides = sides(&own, &roles, &meanwhile);
        if !own.is_empty() || !both_sides.is_empty() {
            people.push(Passenger { ids, deeds: own, roles, both_sides });
        }
    }
    let charters = meanwhile.iter().map(|(index, _)| *index).collect();
    Some(Passage { proposal, from, to, is_live: live.is_some(), charters, people })
}

fn note<T>(deeds: &mut Vec<Deed>, said: &Said<T>, part: Part) {
    for person in said.by.persons() {
        let role = Some(said.header.role.clone());
        deeds.push(Deed { index: said.index, part, as_person: person.clone(), role });
    }
}

/// The member whose key it is.
fn holder(charter: &Charter, key: KeyId) -> Option<PersonId> {
    let is_it = |k: &Key| public_key(k).is_ok_and(|public| public.id() == key);
    charter.members.iter().find(|m| m.keys.iter().any(is_it)).map(|m| m.id.clone())
}

/// What a person did on one side and on the other, and which roles that no one may hold together the person held at any time
/// meanwhile.
fn sides(deeds: &[Deed], roles: &BTreeMap<RoleName, BTreeSet<u64>>, charters: &[(u64, &Charter)]) -> Vec<String> {
    let mut found = Vec::new();
    let of = |makes: bool| deeds.iter().find(|d| d.part.makes() == Some(makes));
    if let (Some(made), Some(judged)) = (of(true), of(false)) {
        let who = |d: &Deed| format!("{} {} (at {})", d.as_person, d.part, d.index);
        found.push(format!("{}, and {}", who(made), who(judged)));
    }
    let pairs: BTreeSet<&(RoleName, RoleName)> = charters.iter().flat_map(|(_, c)| &c.conflicts).collect();
    for (one, other) in pairs {
        if let (Some(a), Some(b)) = (roles.get(one), roles.get(other)) {
            let since = |role: &RoleName, indices: &BTreeSet<u64>| {
                let indices: Vec<String> = indices.iter().map(u64::to_string).collect();
                format!("{role} (by the charter from {})", indices.join(", from "))
            };
            found.push(format!("reached {} and {}, which no one may hold together", since(one, a), since(other, b)));
        }
    }
    found
}

/// The ids of the charters and of the deeds, those together that ever shared a key.
fn same_persons(charters: &[(u64, &Charter)], deeds: &[Deed]) -> Vec<BTreeSet<PersonId>> {
    let mut by_key: BTreeMap<&str, BTreeSet<PersonId>> = BTreeMap::new();
    let mut groups: Vec<BTreeSet<PersonId>> = Vec::new();
    for member in charters.iter().flat_map(|(_, c)| &c.members) {
        groups.push([member.id.clone()].into());
        for key in &member.keys {
            by_key.entry(key.public.as_str()).or_default().insert(member.id.clone());
        }
    }
    groups.extend(deeds.iter().map(|d| BTreeSet::from([d.as_person.clone()])));
    groups.extend(by_key.into_values());
    let mut apart: Vec<BTreeSet<PersonId>> = Vec::new();
    for mut group in groups {
        // Whatever it meets is the same person.
        let (met, rest): (Vec<_>, Vec<_>) = apart.into_iter().partition(|other| !other.is_disjoint(&group));
        met.into_iter().for_each(|other| group.extend(other));
        apart = rest;
        apart.push(group);
    }
    apart.sort();
    apart
}

#[cfg(test)]
mod tests;
