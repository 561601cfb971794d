//! Cool-offs: when they begin, when they are over, and what begins them again.

use ledger::statement::v1::{Claim, Ruling, Tick, WitnessKey};

use super::*;
use crate::{
    decide,
    world::{DAY, Put, World, at, charter, witness},
};

const ASKED_S: u64 = 600;

fn asked() -> ledger::statement::v1::Charter {
    let mut charter = charter();
    charter.environments[1].cool_off_s = ASKED_S;
    charter
}

/// The first release, proposed and tested, without an approval.
fn proposed(charter: ledger::statement::v1::Charter) -> (World, Put) {
    let mut world = World::founded(charter);
    let put = world.put(1, None);
    (world, put)
}

/// What refuses: rule and what is left of the cool-off.
fn refused(world: &World, put: &Put) -> Vec<(String, String)> {
    match decide(&world.facts(), put.proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons.into_iter().map(|r| (r.rule, r.found)).collect(),
    }
}

fn waits(world: &World, put: &Put, left: &str) {
    let found = format!("cool off s: {ASKED_S}, cool off left: {left}");
    assert_eq!(refused(world, put), [("cool-off-is-over".to_owned(), found)]);
}

const NOT_BEGUN: &str = "it begins with a tick after the last approval needed";

#[test]
fn it_counts_from_the_approval_that_completes_the_quorum() {
    let (mut world, put) = proposed(asked());
    world.approve("ada", &put);
    world.wait(DAY);
    let rules: Vec<String> = refused(&world, &put).into_iter().map(|r| r.0).collect();
    assert_eq!(rules, ["cool-off-is-over", "quorum-has-approved"], "one approval begins nothing");
    world.approve("ben", &put);
    waits(&world, &put, NOT_BEGUN);
    world.wait(60);
    let until = world.now + ASKED_S;
    waits(&world, &put, &format!("until {}", at(until)));
    // One more approval begins nothing again, and an agent's own clock can not shorten it.
    world.wait(ASKED_S - 1);
    world.approve("cid", &put);
    waits(&world, &put, &format!("until {}", at(until)));
    world.wait(1);
    assert_eq!(refused(&world, &put), []);
    let rests = decide(&world.facts(), put.proposal).unwrap().verdict.rests_on;
    let first = world.facts().covered(put.proposal).unwrap().index;
    assert!(rests.iter().filter(|i| **i > first).count() >= 2, "it rests on the tick that began it: {rests:?}");
}

#[test]
fn one_rejection_or_halt_in_that_time_is_the_end() {
    let (mut world, put) = proposed(asked());
    world.approve_both(&put);
    world.reject("cid", &put);
    world.wait(ASKED_S);
    let rules: Vec<String> = refused(&world, &put).into_iter().map(|r| r.0).collect();
    assert_eq!(rules, ["nobody-rejected-it"]);
}

#[test]
fn an_approval_that_is_void_began_nothing() {
    let (mut world, put) = proposed(asked());
    world.approve_both(&put);
    world.wait(ASKED_S);
    assert_eq!(refused(&world, &put), []);
    world.approve("cid", &put);
    world.withdraw("oli", "ben", put.proposal);
    waits(&world, &put, NOT_BEGUN);
    world.wait(1);
    waits(&world, &put, &format!("until {}", at(world.now + ASKED_S)));
    world.wait(ASKED_S);
    assert_eq!(refused(&world, &put), []);
}

#[test]
fn what_the_manifest_asks_for_beyond_the_quorum_begins_it() {
    let mut world = World::founded(asked());
    let change = world.good_change(1, None);
    let put = world.put_with(change, None, |_| {}, |_| {}, |p| p.approvals = Some(3));
    world.approve_both(&put);
    world.wait(ASKED_S);
    world.approve("cid", &put);
    waits(&world, &put, NOT_BEGUN);
    world.wait(60);
    world.wait(ASKED_S);
    assert_eq!(refused(&world, &put), []);
}

/// From the latest of the first tick's times to the earliest of a later one's: a witness whose clock is wrong makes it
/// longer, never shorter.
#[test]
fn the_times_that_make_it_longest_count() {
    let mut charter = asked();
    charter.witnesses.push(WitnessKey {
        name: "beta".to_owned(),
        operator: "beta".to_owned(),
        vkey: witness("beta").vkey().to_string(),
        url: "http://127.0.0.1:2/".to_owned(),
    });
    let (mut world, put) = proposed(charter);
    world.approve("ada", &put);
    world.approve("ben", &put);
    let tick = |world: &mut World, alpha: u64, beta: u64| {
        let note = world.note(world.entries().len(), &[("alpha", alpha), ("beta", beta)]);
        world.say("gate", "gate", Claim::Tick(Tick { checkpoint: note, at: at(world.now) }))
    };
    let start = world.now;
    tick(&mut world, start, start + 50);
    waits(&world, &put, &format!("until {}", at(start + 50 + ASKED_S)));
    tick(&mut world, start + ASKED_S + 49, start + ASKED_S + 90);
    waits(&world, &put, &format!("until {}", at(start + 50 + ASKED_S)));
    tick(&mut world, start + ASKED_S + 50, start + ASKED_S + 90);
    assert_eq!(refused(&world, &put), []);
}

#[test]
fn no_policy_gives_it_away_and_other_environments_have_none() {
    let mut charter = asked();
    charter.policy = r#"@id("all") permit(principal, action, resource);"#.to_owned();
    let (mut world, put) = proposed(charter);
    world.approve_both(&put);
    assert_eq!(refused(&world, &put), [("cool-off-is-over".to_owned(), "too early".to_owned())]);
    let mut charter = crate::world::charter();
    charter.environments[0].cool_off_s = ASKED_S;
    let (mut world, put) = proposed(charter);
    world.approve_both(&put);
    assert_eq!(refused(&world, &put), []);
}

#[test]
fn the_tick_that_begins_it_does_not_end_it() {
    let tick = |index, earliest, latest| LogTime {
        index,
        covers: index,
        earliest: at(earliest),
        latest: at(latest),
        witnessed: true,
    };
    let began = tick(5, 900, 1_000);
    assert!(!CoolOff::of(1, Some(began), Some(began)).is_over());
    assert!(!CoolOff::of(u64::MAX, Some(began), Some(tick(9, u64::MAX - 1, u64::MAX - 1))).is_over());
    assert!(!CoolOff::of(10, Some(began), Some(tick(9, 1_009, 2_000))).is_over());
    assert!(CoolOff::of(10, Some(began), Some(tick(9, 1_010, 2_000))).is_over());
    assert_eq!(CoolOff::of(10, None, Some(began)), CoolOff::NotBegun { asked_s: 10 });
    assert!(CoolOff::of(0, None, None).is_over());
}
