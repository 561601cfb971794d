use std::collections::BTreeSet;

use ledger::statement::v1::{Claim, Ruling};
use model::Digest;
use proptest::prelude::*;

use super::*;
use crate::world::{Put, World, dig};

mod table;

fn verdict(world: &World, proposal: u64) -> Verdict {
    decide(&world.facts(), proposal).unwrap().verdict
}

#[test]
fn the_green_world_is_granted_and_says_what_it_rests_on() {
    let (world, first, second) = World::two();
    let verdict = verdict(&world, second.proposal);
    assert!(matches!(verdict.ruling, Ruling::Granted { .. }), "{:?}", verdict.ruling);
    assert_eq!((verdict.size, verdict.decide.as_str()), (world.size(), "1"));
    assert_eq!(verdict.policy, Digest::of(world.charter.policy.as_bytes()));
    let rests: BTreeSet<u64> = verdict.rests_on.iter().copied().collect();
    assert!([second.change, second.build, second.proposal].iter().chain(&second.evidence).all(|i| rests.contains(i)));
    assert!(!rests.contains(&first.change), "what ran before is done");
    assert!(rests.iter().all(|i| *i < world.size()));
}

#[test]
fn only_proposals_are_decided() {
    let (mut world, _, second) = World::two();
    for index in [0, second.change, world.size(), u64::MAX] {
        let error = decide(&world.facts(), index).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no proposal at log index {index}"));
    }
    world.withdraw("oli", "builder", second.proposal);
    assert!(matches!(decide(&world.facts(), second.proposal), Err(DecideError::NoProposal(_))));
}

/// Something that may be said at any time.
#[derive(Clone, Copy, Debug)]
enum Saying {
    Approve(&'static str),
    Reject,
    Halt,
    Except,
    Order,
    Tick,
    OtherProposal,
    WithdrawUnused,
    Verdict,
    Repeat(u64),
}

fn saying() -> impl Strategy<Value = Saying> {
    prop_oneof![
        4 => prop::sample::select(vec!["ada", "ada/2", "ben", "cid", "eve", "bob"]).prop_map(Saying::Approve),
        1 => Just(Saying::Reject),
        1 => Just(Saying::Halt),
        1 => Just(Saying::Except),
        1 => Just(Saying::Order),
        2 => Just(Saying::Tick),
        1 => Just(Saying::OtherProposal),
        1 => Just(Saying::WithdrawUnused),
        1 => Just(Saying::Verdict),
        2 => (0u64..30).prop_map(Saying::Repeat),
    ]
}

fn say(world: &mut World, put: &Put, first: &Put, saying: Saying) {
    match saying {
        Saying::Approve(who) => drop(world.approve(who, put)),
        Saying::Reject => drop(world.reject("cid", put)),
        Saying::Halt => drop(world.halt("oli")),
        Saying::Except => drop(world.except("cid", "unit", dig("some case"), world.now + 9_000)),
        Saying::Order => drop(world.order_back(put, first.claim.release)),
        Saying::Tick => drop(world.wait(30)),
        Saying::OtherProposal => {
            let mut claim = put.claim.clone();
            claim.environment = "staging".parse().unwrap();
            world.propose(claim);
        }
        Saying::WithdrawUnused => {
            let size = world.size();
            world.withdraw("oli", "ada/2", size + 1_000);
        }
        Saying::Verdict => {
            if let Ok(decision) = decide(&world.facts(), put.proposal) {
                world.say("gate", "gate", Claim::Verdict(Box::new(decision.verdict)));
            }
        }
        // A charter repeated later is refused by the reader already.
        Saying::Repeat(index) => drop(world.repeat((2 + index).min(world.size() - 1))),
    }
}

fn base() -> (World, Put, Put) {
    let mut world = World::founded(crate::world::charter());
    let first = world.go_live(1, None);
    let second = world.put(2, Some(&first));
    (world, first, second)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is said: the same prefix has the same verdict, to the byte; an approval more never takes one back; one
    /// rejection, halt or order is the end; and nothing is granted without two persons of the quorum.
    #[test]
    fn whatever_is_said(sayings in prop::collection::vec(saying(), 0..14)) {
        let (mut world, first, put) = base();
        let (mut stopped, mut said, mut granted_before) = (false, BTreeSet::new(), false);
        for saying in sayings {
            say(&mut world, &put, &first, saying);
            match saying {
                Saying::Reject | Saying::Halt | Saying::Order => stopped = true,
                Saying::Approve(who) => drop(said.insert(who.split('/').next().unwrap())),
                _ => {}
            }
            let verdict = verdict(&world, put.proposal);
            let again = decide(&world.clone().facts(), put.proposal).unwrap().verdict;
            prop_assert_eq!(&verdict, &again);
            let granted = matches!(verdict.ruling, Ruling::Granted { .. });
            prop_assert!(!(granted && stopped), "{:?}", saying);
            let count = ["ada", "ben", "cid", "eve"].iter().filter(|p| said.contains(**p)).count();
            prop_assert_eq!(granted, count >= 2 && !stopped, "{:?} {:?}", saying, &verdict.ruling);
            prop_assert!(!granted_before || granted || stopped);
            granted_before = granted;
        }
    }

    /// Statements that are about something else change nothing, in whatever order they come.
    #[test]
    fn what_is_about_something_else_changes_nothing(order in Just(vec![0usize, 1, 2, 3, 4]).prop_shuffle()) {
        let (mut world, _, put) = World::two();
        let expected = verdict(&world, put.proposal);
        let others = [Saying::Except, Saying::OtherProposal, Saying::WithdrawUnused, Saying::Verdict, Saying::Repeat(4)];
        for which in order {
            let first = put.clone();
            say(&mut world, &put, &first, others[which]);
        }
        let found = verdict(&world, put.proposal);
        prop_assert_eq!(found.ruling, expected.ruling);
        prop_assert_eq!(found.rests_on, expected.rests_on);
    }
}
