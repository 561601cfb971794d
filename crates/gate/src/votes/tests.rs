use ledger::statement::v1::{Approval, Asked, Claim, Ruling};
use model::Digest;

use crate::{
    decide,
    decide::Decision,
    world::{DAY, EPOCH, Put, World, at, charter, dig, key_id, quorum},
};

/// The second release, proposed and tested, with nobody's approval.
fn proposed() -> (World, Put, Put) {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let second = world.put(2, Some(&first));
    (world, first, second)
}

fn answer(world: &World, put: &Put) -> Decision {
    decide(&world.facts(), put.proposal).unwrap()
}

fn quorum_reason(world: &World, put: &Put) -> Option<String> {
    match answer(world, put).verdict.ruling {
        Ruling::Granted { .. } => None,
        Ruling::Refused { reasons } => {
            Some(reasons.iter().find(|r| r.rule == "quorum-has-approved").unwrap().found.clone())
        }
    }
}

/// Ben approves as he should, and the other approval is this one.
fn with_ben(edit: impl FnOnce(&mut World, &Put, Approval)) -> (World, Put) {
    let (mut world, _, put) = proposed();
    world.approve("ben", &put);
    let approval = world.good_approval(&put);
    edit(&mut world, &put, approval);
    world.wait(60);
    (world, put)
}

#[test]
fn approvals_of_anything_else_do_not_count() {
    type Edit = fn(&mut Approval);
    let edits: [(&str, Edit); 5] = [
        ("another release", |a| a.release = dig("other")),
        ("another environment", |a| a.environment = "staging".parse().unwrap()),
        ("replacing something else", |a| a.replaces = Some(dig("other"))),
        ("replacing nothing", |a| a.replaces = None),
        ("shown something else", |a| a.shown = dig("other")),
    ];
    for (what, edit) in edits {
        let (world, put) = with_ben(|w, _, mut a| {
            edit(&mut a);
            w.say("ada", "release-manager", Claim::Approval(a));
        });
        let found = quorum_reason(&world, &put).expect(what);
        assert!(found.contains("approvals: 1, approvals needed: 2"), "{what}: {found}");
        assert!(found.contains("approvals that do not fit: ada"), "{what}: {found}");
    }
}

#[test]
fn an_approval_is_of_one_proposal() {
    let (mut world, first, put) = proposed();
    world.approve_both(&put);
    assert!(answer(&world, &put).is_granted());
    // The same release proposed once more: what was said of the one is not said of the other.
    let again = Put { proposal: world.propose(put.claim.clone()), ..put.clone() };
    world.tick();
    assert!(quorum_reason(&world, &again).unwrap().contains("approvals: 0"));
    // And an approval of what is not there yet is of nothing.
    let mut early = world.good_approval(&put);
    early.proposal = world.size() + 3;
    for who in ["ada", "ben"] {
        world.say(who, "release-manager", Claim::Approval(early.clone()));
    }
    world.tick();
    let late = Put { proposal: world.propose(put.claim.clone()), ..put };
    assert_eq!(late.proposal, early.proposal);
    world.tick();
    assert!(quorum_reason(&world, &late).unwrap().contains("approvals: 0"));
    assert_eq!(first.claim.replaces, None);
}

#[test]
fn contributors_do_not_count() {
    // Eve may approve, and wrote a commit.
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let mut change = world.good_change(2, Some(first.change));
    change.commits.push(crate::world::commit(22, "eve"));
    let put = world.put_change(change, Some(&first));
    world.approve("ben", &put);
    world.approve("eve", &put);
    world.wait(60);
    let found = quorum_reason(&world, &put).unwrap();
    assert!(found.contains("approvals by contributors: eve"), "{found}");
    world.approve("ada", &put);
    world.wait(60);
    assert!(answer(&world, &put).is_granted());
}

#[test]
fn contributors_of_any_change_since_what_runs_do_not_count() {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let mut between = world.good_change(2, Some(first.change));
    between.commits = vec![crate::world::commit(2, "eve")];
    let between = world.put_change(between, Some(&first));
    let change = world.good_change(3, Some(between.change));
    let mut put = world.put_with(change, Some(&first), |_| {}, |_| {}, |_| {});
    put.claim.replaces = Some(first.claim.release);
    world.approve("ben", &put);
    world.approve("eve", &put);
    world.wait(60);
    assert!(quorum_reason(&world, &put).unwrap().contains("approvals by contributors: eve"));
}

#[test]
fn who_proposes_does_not_count_nor_who_controls_the_robot_that_did() {
    // Bob controls the builder, which proposed.
    let (mut world, _, put) = proposed();
    world.approve("ben", &put);
    world.approve("bob", &put);
    world.wait(60);
    assert!(quorum_reason(&world, &put).unwrap().contains("approvals by contributors: bob"));
    // Eve proposes herself.
    let own = world.say("eve", "developer", Claim::Proposal(Box::new(put.claim.clone())));
    let own = Put { proposal: own, ..put };
    world.tick();
    world.approve("ben", &own);
    world.approve("eve", &own);
    world.wait(60);
    assert!(quorum_reason(&world, &own).unwrap().contains("approvals by contributors: eve"));
}

#[test]
fn two_keys_of_one_person_are_one_person() {
    let (mut world, _, put) = proposed();
    world.approve("ada", &put);
    world.approve("ada/2", &put);
    world.approve("ada", &put);
    world.wait(60);
    assert!(quorum_reason(&world, &put).unwrap().contains("approvals: 1"));
}

#[test]
fn groups_need_different_persons() {
    let mut charter = charter();
    charter.environments[1].quorum = quorum(&[("release-manager", 1), ("risk", 1)]);
    let mut world = World::founded(charter);
    let put = world.put(1, None);
    // Cid holds both roles and signs in both.
    let approval = world.good_approval(&put);
    world.say("cid", "release-manager", Claim::Approval(approval.clone()));
    world.say("cid", "risk", Claim::Approval(approval));
    world.wait(60);
    assert!(!answer(&world, &put).is_granted());
    world.approve("ben", &put);
    world.wait(60);
    assert!(answer(&world, &put).is_granted());
}

#[test]
fn a_proposal_can_not_leave_out_what_the_manifest_asks_for() {
    let mut world = World::founded(charter());
    let mut change = world.good_change(1, None);
    change.asks = vec![Asked { environment: "production".parse().unwrap(), approvals: 3 }];
    let put = world.put_with(change, None, |_| {}, |_| {}, |p| p.approvals = None);
    world.approve_both(&put);
    assert!(!answer(&world, &put).is_granted());
    world.approve("cid", &put);
    world.wait(60);
    assert!(answer(&world, &put).is_granted());
}

#[test]
fn the_manifest_may_ask_for_more_and_never_for_fewer() {
    for (asked, granted) in [(Some(0), true), (Some(1), true), (Some(2), true), (Some(3), false)] {
        let mut world = World::founded(charter());
        let change = world.good_change(1, None);
        let put = world.put_with(change, None, |_| {}, |_| {}, |p| p.approvals = asked);
        world.approve_both(&put);
        assert_eq!(answer(&world, &put).is_granted(), granted, "{asked:?}");
        world.approve("cid", &put);
        world.wait(60);
        assert!(answer(&world, &put).is_granted(), "{asked:?}");
    }
}

#[test]
fn a_verdict_ends_when_too_few_still_count() {
    let (mut world, _, put) = proposed();
    let said = at(world.now);
    world.approve_both(&put);
    let end = |world: &World| match answer(world, &put).verdict.ruling {
        Ruling::Granted { until } => until,
        Ruling::Refused { reasons } => panic!("{reasons:?}"),
    };
    assert_eq!(end(&world), at(world.now + DAY), "as long as a verdict lasts at most");
    world.wait(7 * DAY - 3_600);
    assert_eq!(end(&world), said.plus_s(7 * DAY), "until the approvals are a week old");
    // A third approval that ends at once takes nothing from the two.
    let approval = world.good_approval(&put);
    let soon = at(world.now + 90);
    world.say_with("cid", "release-manager", Claim::Approval(approval.clone()), |h| h.expires = soon);
    world.tick();
    assert_eq!(end(&world), said.plus_s(7 * DAY));
    world.wait(3_600);
    assert!(quorum_reason(&world, &put).unwrap().contains("approvals: 0"));
    // One's own end counts where it is earlier.
    world.approve("ben", &put);
    let soon = at(world.now + 90);
    world.say_with("ada", "release-manager", Claim::Approval(approval), |h| h.expires = soon);
    world.tick();
    assert_eq!(end(&world), soon);
    world.wait(90);
    assert!(!answer(&world, &put).is_granted());
}

#[test]
fn ticks_that_are_held_back_make_no_approval_younger() {
    let (mut world, _, put) = proposed();
    let said = at(world.now);
    world.approve("ada", &put);
    world.approve("ben", &put);
    // For six days whoever writes the ticks writes none.
    world.wait(6 * DAY);
    world.wait(DAY - 1);
    match answer(&world, &put).verdict.ruling {
        Ruling::Granted { until } => assert_eq!(until, said.plus_s(7 * DAY)),
        Ruling::Refused { reasons } => panic!("{reasons:?}"),
    }
}

#[test]
fn an_approval_repeated_by_the_log_is_the_old_one() {
    let (mut world, _, put) = proposed();
    let (a, b) = (world.approve("ada", &put), world.approve("ben", &put));
    world.wait(7 * DAY);
    assert!(!answer(&world, &put).is_granted());
    world.repeat(a);
    world.repeat(b);
    world.wait(60);
    assert!(!answer(&world, &put).is_granted());
}

#[test]
fn a_withdrawn_key_takes_its_approvals_back() {
    let (mut world, _, put) = proposed();
    world.approve_both(&put);
    world.withdraw("oli", "ada", put.proposal);
    assert!(quorum_reason(&world, &put).unwrap().contains("approvals: 1"));
    // What it signed before the index stands.
    let (mut world, _, put) = proposed();
    world.approve_both(&put);
    let size = world.size();
    world.withdraw("oli", "ada", size);
    assert!(answer(&world, &put).is_granted());
    assert_ne!(key_id("ada").digest(), Digest::of(b""));
    assert!(world.now > EPOCH);
}
