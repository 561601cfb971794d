use ledger::statement::v1::{Claim, Ruling};

use super::*;
use crate::{
    decide,
    duties::{CharterError, check},
    world::{Put, World, dig, two_builders},
};

/// A first release by `builder`, approved, and the build that `second` made of it, if any.
fn built(controller: &str, second: Option<fn(&mut Build)>) -> (World, Put) {
    let mut world = World::founded(two_builders(controller));
    let put = world.put(1, None);
    if let Some(edit) = second {
        let mut build = world.good_build(1, put.change);
        edit(&mut build);
        world.say("second", "builder", Claim::Build(Box::new(build)));
    }
    world.approve_both(&put);
    (world, put)
}

fn refusals(world: &World, put: &Put) -> Vec<(String, String)> {
    match decide(&world.facts(), put.proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons.into_iter().map(|r| (r.rule, r.found)).collect(),
    }
}

#[test]
fn two_builders_that_agree_are_enough_and_one_is_not() {
    let (world, put) = built("cid", None);
    let said = refusals(&world, &put);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, "builders-agree");
    assert!(said[0].1.contains("builders: 1, builders needed: 2"), "{said:?}");

    let (world, put) = built("cid", Some(|_| {}));
    assert_eq!(refusals(&world, &put), []);
    let verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
    let builds: Vec<u64> = world.facts().builds_of(put.change).map(|b| b.index).collect();
    assert!(builds.iter().all(|index| verdict.rests_on.contains(index)), "{builds:?} {:?}", verdict.rests_on);
}

#[test]
fn a_builder_that_made_something_else_is_named_beside_the_one_that_it_contradicts() {
    let (mut world, put) = built("cid", Some(|build| build.images[0].image = dig("slipped in")));
    let said = refusals(&world, &put);
    let found = &said.iter().find(|(rule, _)| rule == "builders-agree").unwrap().1;
    assert!(found.contains(&format!("second made ledger {}", dig("slipped in").short())), "{found}");
    assert!(found.contains("builder made what is proposed"), "{found}");

    // Saying the right thing afterwards does not take back what was said, nor does a withdrawal of the key.
    let build = world.good_build(1, put.change);
    world.say("second", "builder", Claim::Build(Box::new(build)));
    world.tick();
    assert!(refusals(&world, &put).iter().any(|(rule, _)| rule == "builders-agree"));
    world.withdraw("oli", "second", 0);
    world.tick();
    assert!(refusals(&world, &put).iter().any(|(rule, _)| rule == "builders-agree"));
}

#[test]
fn one_builder_twice_or_two_in_the_same_hands_are_one() {
    let (mut world, put) = built("cid", None);
    let build = world.good_build(1, put.change);
    world.build(build);
    world.tick();
    assert!(refusals(&world, &put)[0].1.contains("builders: 1, builders needed: 2"));

    // The charter is refused where nobody could ever meet it: bob holds both, by control or by administering the host.
    let refused = |charter: &Charter| match check(charter).unwrap_err() {
        CharterError::Structure(ledger::charter::StructureError::Unreachable { what, needed, there }) => {
            (what, needed, there)
        }
        other => panic!("{other}"),
    };
    let same = two_builders("bob");
    assert_eq!(refused(&same), ("builders under different administrators for `staging`".to_owned(), 2, 1));
    let mut by_host = two_builders("cid");
    for host in &mut by_host.hosts {
        if host.name.as_str() == "host-second" {
            host.administrators.push("bob".parse().unwrap());
        }
    }
    assert_eq!(refused(&by_host).2, 1);
    check(&two_builders("cid")).unwrap();
    let mut none = two_builders("cid");
    none.environments[0].builders = 0;
    assert!(check(&none).unwrap_err().to_string().contains("asks for no builder"));
    let (world, put) = built("bob", Some(|_| {}));
    assert!(refusals(&world, &put)[0].1.contains("builders: 1, builders needed: 2"));
}

#[test]
fn a_withdrawn_builder_does_not_count() {
    let (mut world, put) = built("cid", Some(|_| {}));
    world.withdraw("oli", "second", 0);
    world.tick();
    assert_eq!(refusals(&world, &put)[0].0, "builders-agree");
}

#[test]
fn the_largest_set_is_found_not_the_first() {
    let mut charter = two_builders("cid");
    // In the order of the charter: one that shares with both others comes first.
    let middle = charter.robots.iter_mut().find(|r| r.id.as_str() == "builder").unwrap();
    middle.controllers = ["ada", "ben"].map(|p| p.parse().unwrap()).into();
    for (id, who) in [("one", "ada"), ("two", "ben")] {
        let mut robot = charter.robots[0].clone();
        robot.id = id.parse().unwrap();
        robot.controllers = vec![who.parse().unwrap()];
        robot.host = format!("host-{id}").parse().unwrap();
        charter.robots.push(robot);
    }
    let of = |ids: &[&str], enough| {
        let robots = charter.robots.iter().filter(|r| ids.contains(&r.id.as_str()));
        most_apart(&charter, robots, enough)
    };
    assert_eq!(of(&["builder", "one", "two"], 2), 2);
    assert_eq!(of(&["builder", "one"], 2), 1);
    assert_eq!(of(&["builder", "one", "two", "second"], 9), 3);
    assert_eq!(of(&[], 2), 0);
}
