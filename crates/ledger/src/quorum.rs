//! Quorums: people counted, not keys, accounts or signatures.

use std::collections::{BTreeMap, BTreeSet};

use model::{PersonId, RoleName};

use crate::statement::v1::Quorum;

/// How far a quorum is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many persons it takes in all.
    pub needed: u32,
    /// How many of them are there, no person counted twice.
    pub counted: u32,
    /// The persons that count.
    pub persons: BTreeSet<PersonId>,
}

impl Tally {
    /// Whether every group is met by persons of its own.
    pub const fn is_met(&self) -> bool {
        self.counted >= self.needed
    }
}

/// Counts the people who spoke, each in the roles that they exercised, against a quorum whose groups each need
/// persons of their own. This is maximum bipartite matching (Kuhn's augmenting paths): a person who could count
/// in two groups counts where it helps most, and once.
///
/// An empty quorum is met by nobody: it would let everything through, so it asks for one person more than there are.
pub fn tally(quorum: &Quorum, spoke: &BTreeMap<PersonId, BTreeSet<RoleName>>) -> Tally {
    let persons: Vec<(&PersonId, &BTreeSet<RoleName>)> = spoke.iter().collect();
    // No group takes more persons than there are, so a count of billions makes no list of billions.
    let filled = |count: u32| persons.len().min(count as usize);
    let places: Vec<&RoleName> =
        quorum.groups.iter().flat_map(|g| std::iter::repeat_n(&g.role, filled(g.count))).collect();
    let asked = quorum.groups.iter().fold(0u32, |sum, g| sum.saturating_add(g.count));
    let mut held_by: Vec<Option<usize>> = vec![None; places.len()];
    let mut counted = 0;
    for person in 0..persons.len() {
        let mut tried = vec![false; places.len()];
        if place_person(person, &persons, &places, &mut held_by, &mut tried) {
            counted += 1;
        }
    }
    let persons = held_by.iter().flatten().filter_map(|p| persons.get(*p)).map(|(id, _)| (*id).clone()).collect();
    let needed = if asked == 0 { u32::MAX } else { asked };
    Tally { needed, counted, persons }
}

fn place_person(
    person: usize,
    persons: &[(&PersonId, &BTreeSet<RoleName>)],
    places: &[&RoleName],
    held_by: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    let Some((_, roles)) = persons.get(person) else { return false };
    for (place, role) in places.iter().enumerate() {
        // A place is tried once in a search, by whoever could take it: one that a person has no role for stays open to
        // the next.
        if !roles.contains(*role) || tried.get_mut(place).is_none_or(|t| std::mem::replace(t, true)) {
            continue;
        }
        let free = match held_by.get(place).copied().flatten() {
            None => true,
            Some(other) => place_person(other, persons, places, held_by, tried),
        };
        if free && let Some(slot) = held_by.get_mut(place) {
            *slot = Some(person);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
