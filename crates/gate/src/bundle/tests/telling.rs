use super::*;
use crate::world::{DAY, charter};

#[test]
fn a_selected_bundle_of_a_long_log_is_small() {
    let mut world = World::founded(charter());
    let mut last = world.go_live(1, None);
    for ordinal in 2..12 {
        last = world.go_live(ordinal, Some(&last));
    }
    let put = world.put(12, Some(&last));
    world.approve_both(&put);
    let index = say_verdict(&mut world, &put);
    let report = check(&world, &selected(&world, index)).unwrap();
    assert!(report.is_granted());
    assert!(report.entries * 3 < usize::try_from(world.size()).unwrap(), "{} of {}", report.entries, world.size());
    let people: Vec<&str> = report.approvers.iter().map(|a| a.person.as_str()).collect();
    assert_eq!(people, ["ada", "ben"]);
    assert!(report.approvers.iter().all(|a| a.role.as_str() == "release-manager"));
    let told = report.to_string();
    for words in [
        "approved by ada as release-manager, at ",
        "written or proposed by bob, dora: nobody of them counts as an approver",
        "cosigned by the witnesses of 1 operators; the charter asks for 1\n  alpha at ",
        "DEMO: all keys of this charter were made in one place",
        "what is not here, such as a rejection or a halt, could speak against it",
        "later statements can have withdrawn it",
        "a bundle can not be erased",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
}

/// Whatever was tried before, the selection leads to the same verdict.
#[test]
fn a_release_with_a_past_is_selected_too() {
    let (mut world, first, second) = World::two();
    world.milestone(&second, MilestoneKind::Live);
    world.milestone(&second, MilestoneKind::WentBackErrors);
    world.except("ada", "payments", dig("case"), world.now + DAY);
    let third = world.put(3, Some(&first));
    world.approve("eve", &third);
    world.approve_both(&third);
    let halt = world.halt("oli");
    world.resume("oli", halt);
    world.resume("pia", halt);
    world.withdraw("oli", "cid", 3);
    world.wait(60);
    for put in [&first, &second, &third] {
        let index = say_verdict(&mut world, put);
        let said = decide(&world.facts(), put.proposal).unwrap();
        let report = check(&world, &selected(&world, index)).unwrap();
        assert_eq!(report.verdict.ruling, said.verdict.ruling);
    }
}

#[test]
fn a_cool_off_is_checked_in_a_selected_bundle_too() {
    let mut charter = charter();
    charter.environments[1].cool_off_s = 600;
    let mut world = World::founded(charter);
    let put = world.put(1, None);
    world.approve_both(&put);
    for (wait, granted) in [(30, false), (600, true)] {
        for _ in 0..20 {
            world.wait(wait / 20);
        }
        let index = say_verdict(&mut world, &put);
        let bundle = selected(&world, index);
        assert_eq!(check(&world, &bundle).unwrap().is_granted(), granted);
        assert!(bundle.entries.len() + 10 < world.entries().len(), "not every tick");
    }
}

#[test]
fn without_witnesses_it_says_so() {
    let mut charter = charter();
    charter.witnesses.clear();
    charter.witness_quorum = 0;
    let mut world = World::empty(charter);
    world.found(&["ada", "ben"]);
    world.tick();
    let put = world.put(1, None);
    world.approve_both(&put);
    let index = say_verdict(&mut world, &put);
    for bundle in [whole(&world, index), selected(&world, index)] {
        let report = check(&world, &bundle).unwrap();
        assert!(!report.is_witnessed() && report.verdict.unwitnessed);
        assert!(report.to_string().contains("unwitnessed: the charter asks for no witness"));
        assert!(report.to_string().contains("any program: the charter lists no digests for agent, "), "{report}");
    }
}

/// The value's proposals, approvals, cancellations and the ticks that they count by are in it.
#[test]
fn a_release_with_guarded_values_is_selected_too() {
    let mut world = World::founded(crate::world::guarded());
    let first = world.value_in_force("first", None);
    let cancelled = world.propose_value("tom", "treasurer", "second", Some(first));
    world.approve_value("hal", cancelled);
    world.cancel("gil", "guardian", cancelled);
    let third = world.value_in_force("third", Some(first));
    for _ in 0..30 {
        world.wait(600);
    }
    for (given, granted) in [((third, dig("third")), true), ((first, dig("first")), false)] {
        let mut world = world.clone();
        let put = world.put_reading(1, None, &[given]);
        let index = say_verdict(&mut world, &put);
        let bundle = selected(&world, index);
        assert_eq!(check(&world, &bundle).unwrap().is_granted(), granted);
        assert!(bundle.entries.len() + 10 < world.entries().len(), "not every tick");
    }
}
