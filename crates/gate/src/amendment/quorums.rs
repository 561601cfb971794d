//! Who could newly complete a quorum, and who no more: by trying the sets of people who just suffice.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    quorum::tally,
    statement::v1::{Charter, Quorum},
};
use model::{PersonId, RoleName};

use super::Differences;

/// More sets than these are counted and not listed: nobody reads more, and one new person in a large firm makes hundreds.
const LISTED: usize = 4;
/// Sets are tried while there are at most this many: 16 people for a quorum of four. Beyond them the words say how many
/// people each side has.
const TRIED_LIMIT: usize = 2_000;

pub(super) fn compare(from: &Charter, to: &Charter, found: &mut Differences) {
    let (old, new) = (by_name(from), by_name(to));
    for (what, quorum) in &new {
        match old.get(what) {
            None => found.changes.push(format!("to {what} takes {}", words(quorum))),
            Some(before) => one(what, (from, before), (to, quorum), found),
        }
    }
    for what in old.keys().filter(|what| !new.contains_key(*what)) {
        found.takes.push(format!("nobody could {what} any more"));
    }
}

/// Every quorum, by what it is for.
fn by_name(charter: &Charter) -> BTreeMap<String, &Quorum> {
    let mut quorums: BTreeMap<String, &Quorum> = [("amend the charter".to_owned(), &charter.amendment)].into();
    for e in &charter.environments {
        quorums.insert(format!("approve releases into {}", e.name), &e.quorum);
        quorums.insert(format!("resume {}", e.name), &e.resume);
        if let Some(emergency) = &e.emergency {
            quorums.insert(format!("approve emergency releases into {}", e.name), &emergency.quorum);
        }
    }
    for v in &charter.values {
        quorums
            .insert(format!("change the guarded value {} of {} in {}", v.name, v.system, v.environment), &v.guardians);
    }
    quorums
}

fn one(what: &str, (from, before): (&Charter, &Quorum), (to, now): (&Charter, &Quorum), found: &mut Differences) {
    if before != now {
        let (old, new) = (count(before), count(now));
        let line = format!("to {what} takes {}; it took {}", words(now), words(before));
        match new.cmp(&old) {
            std::cmp::Ordering::Less => found.allows.push(format!("{} fewer is needed: {line}", old - new)),
            std::cmp::Ordering::Greater => found.takes.push(format!("{} more are needed: {line}", new - old)),
            std::cmp::Ordering::Equal => found.changes.push(line),
        }
    }
    let (Some(old), Some(new)) = (sets(from, before), sets(to, now)) else {
        let (old, new) = (able(from, before).len(), able(to, now).len());
        if old != new {
            let line = format!("{new} people could have a part in it, where it was {old}: {what}");
            if new > old { found.allows.push(line) } else { found.takes.push(line) }
        }
        return;
    };
    let meets = |charter: &Charter, quorum: &Quorum, set: &BTreeSet<PersonId>| {
        tally(quorum, &able(charter, quorum).into_iter().filter(|(id, _)| set.contains(id)).collect()).is_met()
    };
    let newly: Vec<_> = new.iter().filter(|set| !meets(from, before, set)).collect();
    let no_more: Vec<_> = old.iter().filter(|set| !meets(to, now, set)).collect();
    found.allows.extend(list(&newly, |who| format!("{who} could {what}")));
    found.takes.extend(list(&no_more, |who| format!("{who} could not {what} any more")));
}

fn list(sets: &[&BTreeSet<PersonId>], line: impl Fn(&str) -> String) -> Vec<String> {
    let names = |set: &BTreeSet<PersonId>| {
        let names: Vec<&str> = set.iter().map(PersonId::as_str).collect();
        match names.split_last() {
            Some((last, [])) => format!("{last} alone"),
            Some((last, rest)) => format!("{} and {last} together", rest.join(", ")),
            None => "nobody".to_owned(),
        }
    };
    let mut lines: Vec<String> = sets.iter().take(LISTED).map(|set| line(&names(set))).collect();
    if sets.len() > LISTED {
        lines.push(line(&format!("{} sets of people more", sets.len() - LISTED)));
    }
    lines
}

/// Who holds a role that the quorum asks for, with those roles.
fn able(charter: &Charter, quorum: &Quorum) -> BTreeMap<PersonId, BTreeSet<RoleName>> {
    let asked: BTreeSet<&RoleName> = quorum.groups.iter().map(|g| &g.role).collect();
    let roles = |roles: &[RoleName]| roles.iter().filter(|r| asked.contains(r)).cloned().collect::<BTreeSet<_>>();
    let members = charter.members.iter().map(|m| (m.id.clone(), roles(&m.roles)));
    members.filter(|(_, roles)| !roles.is_empty()).collect()
}

/// Every set of as many people as it takes who meet a quorum; none if there are too many to try.
fn sets(charter: &Charter, quorum: &Quorum) -> Option<BTreeSet<BTreeSet<PersonId>>> {
    let able = able(charter, quorum);
    let needed = usize::try_from(count(quorum)).ok()?;
    let people: Vec<&PersonId> = able.keys().collect();
    let mut tried: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..needed {
        let longer = tried.iter().flat_map(|set| {
            let next = set.last().map_or(0, |last| last + 1);
            (next..people.len()).map(move |at| set.iter().copied().chain([at]).collect())
        });
        tried = longer.take(TRIED_LIMIT + 1).collect();
        if tried.len() > TRIED_LIMIT {
            return None;
        }
    }
    let all =
        tried.into_iter().map(|set| set.iter().filter_map(|at| people.get(*at)).map(|id| (*id).clone()).collect());
    let meets = |set: &BTreeSet<PersonId>| {
        tally(quorum, &able.iter().filter(|(id, _)| set.contains(*id)).map(|(id, r)| (id.clone(), r.clone())).collect())
            .is_met()
    };
    Some(all.filter(meets).collect())
}

fn count(quorum: &Quorum) -> u32 {
    quorum.groups.iter().fold(0, |sum, group| sum.saturating_add(group.count))
}

/// A quorum in words: `2 of release-manager and 1 of risk`.
pub(super) fn words(quorum: &Quorum) -> String {
    let groups: Vec<String> = quorum.groups.iter().map(|g| format!("{} of {}", g.count, g.role)).collect();
    groups.join(" and ")
}
