//! Builders: how many of them, under different administrators, made the same of a change.
//!
//! A builder's key is in the hands of whoever controls the robot and of whoever administers its host. Two builders count as
//! two only where these people are different ones.

use std::collections::BTreeSet;

use ledger::statement::{
    Members, Signatory,
    v1::{Build, Charter, Kind, Proposal, Robot},
};
use model::{PersonId, RobotId};

use crate::facts::{Facts, Said};

/// The builds of one change, compared with what is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builders {
    /// How many the charter asks for.
    pub needed: u32,
    /// How many builders with nobody in common made exactly what is proposed; where one is asked for they are not counted.
    pub agree: u32,
    /// Builders that made something else, each with what it made; empty where the charter asks for one builder.
    pub disagree: BTreeSet<String>,
    /// The builds that were looked at.
    pub(crate) rests_on: BTreeSet<u64>,
}

impl Builders {
    /// Looks at all builds of the proposed change. One that differs speaks against the release also when its signer's key
    /// was withdrawn since: a withdrawal must not make it disappear.
    pub(crate) fn of(facts: &Facts, claim: &Proposal, members: &Members) -> Self {
        let charter = members.charter();
        let needed = charter.environment(&claim.environment).map_or(1, |rule| rule.builders).max(1);
        if needed == 1 {
            // There is the one that the proposal names, which is asked about by itself, and nobody to agree with.
            return Self { needed, agree: 1, disagree: BTreeSet::new(), rests_on: BTreeSet::new() };
        }
        let mut made: BTreeSet<RobotId> = BTreeSet::new();
        let (mut disagree, mut rests_on) = (BTreeSet::new(), BTreeSet::new());
        for said in facts.any_builds_of(claim.change).filter(|said| charter.may_say(&said.header.role, Kind::Build)) {
            let Signatory::Robot { id, .. } = &*said.by else { continue };
            if is_same(&said.claim, claim) {
                if !facts.is_void(said.key, said.index) {
                    rests_on.insert(said.index);
                    made.insert(id.clone());
                }
            } else {
                rests_on.insert(said.index);
                disagree.insert(difference(said, claim, id));
            }
        }
        let robots = charter.robots.iter().filter(|robot| made.contains(&robot.id));
        let agree = most_apart(charter, robots, needed);
        // Both are named: who made what is proposed, and who made something else of it.
        if !disagree.is_empty() {
            let who: Vec<&str> = made.iter().map(RobotId::as_str).collect();
            disagree.insert(format!("{} made what is proposed", or_nobody(&who)));
        }
        Self { needed, agree, disagree, rests_on }
    }

    /// Whether enough builders agree and none differs.
    pub fn are_agreed(&self) -> bool {
        self.agree >= self.needed && self.disagree.is_empty()
    }
}

fn is_same(build: &Build, claim: &Proposal) -> bool {
    build.release == claim.release && build.serial == claim.serial && build.images == claim.images
}

fn difference(said: &Said<Build>, claim: &Proposal, id: &RobotId) -> String {
    let other = said.claim.images.iter().find(|image| !claim.images.contains(image));
    match other {
        Some(image) => format!("{id} made {} {}", image.component, image.image.short()),
        None => format!("{id} made the release {}", said.claim.release.short()),
    }
}

fn or_nobody(who: &[&str]) -> String {
    if who.is_empty() { "nobody".to_owned() } else { who.join(", ") }
}

/// The people who can use a robot's key: who controls it, and who administers its host.
fn hands<'a>(charter: &'a Charter, robot: &'a Robot) -> BTreeSet<&'a PersonId> {
    let host = charter.hosts.iter().find(|host| host.name == robot.host);
    robot.controllers.iter().chain(host.into_iter().flat_map(|host| &host.administrators)).collect()
}

/// How many of these robots have nobody in common with each other, at most `enough`.
///
/// It tries all ways to choose them, which are few: a charter lists as many builders as a firm has machines for them, and it
/// stops at `enough`. A greedy choice could take one in the middle of two that are apart.
pub(crate) fn most_apart<'a>(charter: &Charter, robots: impl Iterator<Item = &'a Robot>, enough: u32) -> u32 {
    let hands: Vec<BTreeSet<PersonId>> =
        robots.take(CHOICES).map(|robot| hands(charter, robot).into_iter().cloned().collect()).collect();
    choose(&hands, &BTreeSet::new(), enough)
}

/// As many builders of one change as are compared: 2^16 choices are done within a verdict.
const CHOICES: usize = 16;

fn choose(left: &[BTreeSet<PersonId>], taken: &BTreeSet<PersonId>, enough: u32) -> u32 {
    let Some((first, rest)) = left.split_first().filter(|_| enough > 0) else { return 0 };
    let mut best = choose(rest, taken, enough);
    if best < enough && first.is_disjoint(taken) {
        let more: BTreeSet<PersonId> = taken.union(first).cloned().collect();
        best = best.max(1 + choose(rest, &more, enough - 1));
    }
    best
}

#[cfg(test)]
mod tests;
