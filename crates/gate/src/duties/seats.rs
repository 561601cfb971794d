//! Seats: members of a charter who fill a set of people that is named by roles, each of them once.
//!
//! It knows who may speak in which role, and not what follows from their speaking.

use std::collections::BTreeSet;

use model::{PersonId, RoleName};

use super::{voices::Speaker, votes::Share};

/// People with the roles in which they speak.
pub(super) type Chosen<'a> = Vec<(&'a Speaker, Vec<&'a RoleName>)>;

/// Members who fill a set, each speaking in the role that is counted, with one on top who speaks in every role; nobody
/// who is barred fills it. `None` if there are not enough.
pub(super) fn chosen<'a>(
    shares: &[Share],
    voters: &Chosen<'a>,
    set: &[u32],
    with: Option<&'a Speaker>,
    barred: &BTreeSet<&PersonId>,
) -> Option<Chosen<'a>> {
    let each = shares.iter().zip(set).flat_map(|((role, _), count)| std::iter::repeat_n(role, *count as usize));
    let places: Vec<&Option<RoleName>> = each.collect();
    let is_free =
        |s: &Speaker| with.is_none_or(|w| w.voice != s.voice) && !s.persons.iter().any(|p| barred.contains(p));
    let free: Vec<&(&Speaker, Vec<&RoleName>)> = voters.iter().filter(|(s, _)| is_free(s)).collect();
    let mut seats: Vec<Option<usize>> = vec![None; free.len()];
    for place in 0..places.len() {
        if !seat(place, &places, &free, &mut seats, &mut vec![false; free.len()]) {
            return None;
        }
    }
    let mut all: Chosen<'a> = Vec::new();
    for (voter, place) in free.iter().zip(&seats) {
        let Some(role) = place.and_then(|at| places.get(at)) else { continue };
        let roles = match role {
            Some(role) => voter.1.iter().copied().filter(|r| *r == role).collect(),
            None => voter.1.iter().copied().take(1).collect(),
        };
        all.push((voter.0, roles));
    }
    if let Some(person) = with {
        all.extend(voters.iter().find(|(s, _)| s.voice == person.voice).cloned());
    }
    Some(all)
}

/// Gives a place to a voter who can fill it, moving others where that helps (Kuhn's augmenting paths).
fn seat(
    place: usize,
    places: &[&Option<RoleName>],
    voters: &[&(&Speaker, Vec<&RoleName>)],
    seats: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    let Some(role) = places.get(place) else { return false };
    let fits = |roles: &Vec<&RoleName>| role.as_ref().is_none_or(|role| roles.contains(&role));
    // Somebody who is free, before anybody is moved: in a quorum of hundreds nearly everybody is.
    let free = voters.iter().zip(seats.iter_mut()).find(|((_, roles), slot)| slot.is_none() && fits(roles));
    if let Some((_, slot)) = free {
        *slot = Some(place);
        return true;
    }
    for (at, (_, roles)) in voters.iter().enumerate() {
        if !fits(roles) || tried.get_mut(at).is_none_or(|t| std::mem::replace(t, true)) {
            continue;
        }
        let free = match seats.get(at).copied().flatten() {
            None => true,
            Some(other) => seat(other, places, voters, seats, tried),
        };
        if free && let Some(slot) = seats.get_mut(at) {
            *slot = Some(place);
            return true;
        }
    }
    false
}
