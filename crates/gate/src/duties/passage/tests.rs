use ledger::statement::v1::Charter;

use super::*;
use crate::world::{World, charter};

fn told(charters: &[(u64, &Charter)], edit: impl FnOnce(&mut World)) -> Passage {
    let mut world = World::founded(charter());
    let put = world.put(1, None);
    edit(&mut world);
    world.approve_both(&put);
    world.milestone(&put, MilestoneKind::Live);
    passage(&world.facts(), charters, put.proposal).unwrap()
}

fn of<'p>(passage: &'p Passage, who: &str) -> &'p Passenger {
    passage.people.iter().find(|p| p.ids.iter().any(|id| id.as_str() == who)).unwrap()
}

fn did(passage: &Passage, who: &str) -> Vec<String> {
    of(passage, who).deeds.iter().map(|d| d.part.to_string()).collect()
}

#[test]
fn each_part_is_told_with_its_person() {
    let charter = charter();
    let passage = told(&[(0, &charter)], |_| {});
    assert!(passage.is_live && passage.holds(), "{passage:#?}");
    assert_eq!(did(&passage, "dora"), ["wrote some of it"]);
    assert_eq!(did(&passage, "bob"), ["controlled what built it", "controlled what built it", "put it up"]);
    assert_eq!(did(&passage, "tess"), ["controlled what tested it", "controlled what tested it"]);
    assert_eq!(did(&passage, "ada"), ["approved it"]);
    assert_eq!(did(&passage, "amy"), ["controlled what ran it"]);
    assert_eq!((passage.from, passage.charters.as_slice()), (3, [0].as_slice()));
    assert!(passage.people.iter().all(|p| p.ids.len() == 1));
}

#[test]
fn who_controls_what_builds_and_approves_stands_on_both_sides() {
    let charter = charter();
    let mut world = World::founded(charter.clone());
    let mut put = world.put(1, None);
    // Somebody else puts the same up, so that bob is no contributor to `decide`.
    put.proposal = world.say("dora", "developer", ledger::statement::v1::Claim::Proposal(Box::new(put.claim.clone())));
    world.approve("bob", &put);
    let passage = passage(&world.facts(), &[(0, &charter)], put.proposal).unwrap();
    assert!(!passage.is_live && !passage.holds());
    let both = &of(&passage, "bob").both_sides;
    assert_eq!(both.len(), 1);
    assert!(both[0].starts_with("bob controlled what built it (at 3), and bob approved it (at "), "{both:?}");
}

#[test]
fn a_role_taken_for_an_hour_counts() {
    let before = charter();
    let set = |charter: &Charter, roles: &[&str]| {
        let mut charter = charter.clone();
        let ada = charter.members.iter_mut().find(|m| m.id.as_str() == "ada").unwrap();
        ada.roles = roles.iter().map(|r| r.parse().unwrap()).collect();
        charter
    };
    let during = set(&before, &["agent"]);
    let after = set(&before, &["release-manager"]);
    // The first charter is in force when the change is said, the second for one entry, and the third after it.
    let passage = told(&[(0, &before), (5, &during), (6, &after)], |_| {});
    assert_eq!(passage.charters, [0, 5, 6]);
    assert_eq!(
        of(&passage, "ada").both_sides,
        [
            "reached agent (by the charter from 5) and release-manager (by the charter from 0, from 6), which no one may hold \
          together"
        ]
    );
    // What was over before the first commit, and what came after it was live, is not of this release.
    let passage = told(&[(0, &during), (2, &before), (400, &during)], |_| {});
    assert_eq!(passage.charters, [2]);
    assert!(passage.holds(), "{passage:#?}");
}

#[test]
fn another_id_with_the_same_key_is_the_same_person() {
    let before = charter();
    let mut after = before.clone();
    let dora = after.members.iter_mut().find(|m| m.id.as_str() == "dora").unwrap();
    let key = dora.keys[0].clone();
    after.members.retain(|m| m.id.as_str() != "dora");
    after.members.iter_mut().find(|m| m.id.as_str() == "ada").unwrap().keys.push(key);
    let passage = told(&[(0, &before), (6, &after)], |_| {});
    let ada = of(&passage, "ada");
    assert_eq!(ada.ids.iter().map(PersonId::as_str).collect::<Vec<_>>(), ["ada", "dora"]);
    assert_eq!(ada.both_sides.len(), 1);
    assert!(ada.both_sides[0].starts_with("dora wrote some of it (at 3), and ada approved it"), "{:?}", ada.both_sides);
}

#[test]
fn nothing_is_told_of_what_is_no_proposal() {
    let charter = charter();
    let world = World::founded(charter.clone());
    assert_eq!(passage(&world.facts(), &[(0, &charter)], 0), None);
}
