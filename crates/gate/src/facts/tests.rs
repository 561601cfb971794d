mod alike;
mod scans;

use ledger::{
    checkpoint::Checkpoint,
    statement::v1::{Claim, Halt, MilestoneKind, Resume, WitnessKey},
};
use model::Digest;

use super::*;
use crate::{
    decide,
    world::{EPOCH, ORIGIN, Put, World, at, charter, dig, note_of, production, system, witness},
};

#[test]
fn statements_come_in_order() {
    let world = World::founded(charter());
    let (mut reader, _) = (ledger::reader::Reader::new(world.members()).unwrap(), ());
    let said = reader.advance(world.entries(), world.note(3, &[("alpha", EPOCH)]).as_bytes(), at(EPOCH)).unwrap();
    let mut facts = Facts::new(world.members());
    let error = facts.apply(&said[1]).unwrap_err();
    assert_eq!(error.to_string(), "expected the statement at index 0, got 1");
    facts.apply(&said[0]).unwrap();
    assert_eq!(facts.apply(&said[0]).unwrap_err().to_string(), "expected the statement at index 1, got 0");
    assert!(!facts.is_founded());
    facts.apply(&said[1]).unwrap();
    assert!(facts.is_founded());
}

fn running(world: &World) -> Vec<u64> {
    world.facts().live(&system(), &production()).iter().map(|l| l.serial.ordinal()).collect()
}

fn three() -> (World, [Put; 3]) {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let second = world.go_live(2, Some(&first));
    let third = world.go_live(3, Some(&second));
    (world, [first, second, third])
}

#[test]
fn what_runs_after_each_milestone() {
    let (mut world, [first, second, third]) = three();
    assert_eq!(running(&world), [3, 2, 1]);
    // Steps on the way change nothing.
    for what in [
        MilestoneKind::Begun,
        MilestoneKind::Healthy,
        MilestoneKind::GoingBack,
        MilestoneKind::Stuck,
        MilestoneKind::Drifted,
    ] {
        world.milestone(&third, what);
    }
    assert_eq!(running(&world), [3, 2, 1]);
    // Said twice is said once.
    world.milestone(&third, MilestoneKind::Live);
    assert!(!world.facts().live(&system(), &production())[0].returned);
    // A rollback that an operator ordered ends with the predecessor live again; what that replaced stays what it was.
    world.milestone(&second, MilestoneKind::Live);
    let live = world.facts().live(&system(), &production());
    assert_eq!(running(&world), [2, 1]);
    assert_eq!((live[0].before, live[0].returned), (Some(first.claim.release), true));
    // And one that went back by itself from what was live.
    world.milestone(&second, MilestoneKind::WentBackErrors);
    assert_eq!(running(&world), [1]);
    assert!(world.facts().live(&system(), &production())[0].returned);
    world.milestone(&first, MilestoneKind::WentBackUnhealthy);
    assert_eq!(running(&world), [] as [u64; 0]);
}

#[test]
fn a_rollout_that_never_was_live_takes_nothing_back() {
    let (mut world, [_, _, third]) = three();
    let fourth = world.put(4, Some(&third));
    world.milestone(&fourth, MilestoneKind::WentBackFailed);
    assert_eq!(running(&world), [3, 2, 1]);
    assert!(!world.facts().live(&system(), &production())[0].returned);
    assert!(world.facts().spent(fourth.proposal).is_some());
}

#[test]
fn a_milestone_repeated_by_the_log_is_the_old_one() {
    let (mut world, [_, second, third]) = three();
    let live: Vec<u64> = world.facts().live(&system(), &production()).iter().map(|l| l.index).collect();
    world.repeat(live[1]);
    assert_eq!(running(&world), [3, 2, 1]);
    assert!(decide(&world.facts(), third.proposal).unwrap().is_granted());
    assert!(!decide(&world.facts(), second.proposal).unwrap().is_granted());
    assert_eq!(world.facts().size(), world.size(), "it stands in the log all the same");
}

#[test]
fn a_rollback_order_spends_the_release() {
    let (mut world, [first, second, third]) = three();
    let order = world.order_back(&third, second.claim.release);
    assert_eq!(world.facts().spent(third.proposal), Some(order));
    assert_eq!(world.facts().spent(second.proposal), None);
    // The key that ordered it may be withdrawn; the order stands.
    world.withdraw("pia", "oli", order);
    assert_eq!(world.facts().spent(third.proposal), Some(order));
    // A new proposal of the same release after the order is not spent by it.
    let again = world.propose(third.claim.clone());
    assert_eq!(world.facts().spent(again), None);
    assert_eq!(world.facts().spent(first.proposal), None);
}

#[test]
fn what_went_back_stays_spent_when_the_agents_key_is_withdrawn() {
    let (mut world, first, second) = World::two();
    let back = world.milestone(&second, MilestoneKind::WentBackErrors);
    world.withdraw("oli", "agent", back);
    assert_eq!(world.facts().spent(second.proposal), Some(back));
    assert_eq!(running(&world), [1]);
    assert_eq!(first.claim.replaces, None);
}

fn halted(world: &World, environment: &str) -> bool {
    world.facts().halted(&system(), &environment.parse().unwrap()).is_some()
}

#[test]
fn one_halts_and_two_resume() {
    let mut world = World::founded(charter());
    let halt = world.halt("oli");
    assert!(halted(&world, "production") && !halted(&world, "staging"));
    world.resume("oli", halt);
    assert!(halted(&world, "production"), "one is not enough");
    world.resume("oli", halt);
    assert!(halted(&world, "production"), "nor is one twice");
    world.resume("pia", halt + 100);
    assert!(halted(&world, "production"), "nor one of another halt");
    let pia = world.resume("pia", halt);
    assert!(!halted(&world, "production"));
    // A new halt is a new halt.
    let second = world.halt("pia");
    assert!(halted(&world, "production"));
    for who in ["oli", "pia/2"] {
        world.resume(who, second);
    }
    assert!(!halted(&world, "production"));
    // A withdrawn key's resume is void, and its halt is not.
    world.withdraw("oli", "pia", pia);
    assert!(halted(&world, "production"));
    world.withdraw("oli", "oli", 0);
    assert!(halted(&world, "production"));
}

#[test]
fn a_resume_counts_until_it_expires_and_what_it_resumed_stays_so() {
    for (late, resumed) in [(59, true), (60, false)] {
        let mut world = World::founded(charter());
        let halt = world.halt("oli");
        let soon = at(world.now + 60);
        world.say_with("oli", "operator", Claim::Resume(Resume { halt }), |h| h.expires = soon);
        world.wait(late);
        world.resume("pia", halt);
        assert_eq!(halted(&world, "production"), !resumed, "{late}");
        world.wait(1_000);
        // Something is weighed again.
        world.withdraw("oli", "pia/2", 0);
        world.resume("pia", halt);
        assert_eq!(halted(&world, "production"), !resumed, "{late}");
    }
}

#[test]
fn keys_of_one_person_resume_once() {
    let mut world = World::founded(charter());
    let halt = world.halt("oli");
    world.resume("pia", halt);
    world.resume("pia/2", halt);
    assert!(halted(&world, "production"));
}

#[test]
fn a_halt_of_everything_is_resumed_where_it_was_said() {
    let mut world = World::founded(charter());
    let halt = world.say("oli", "operator", Claim::Halt(Halt { environment: None, reason: None }));
    assert!(halted(&world, "production") && halted(&world, "staging"));
    for who in ["oli", "pia"] {
        world.say_with(who, "operator", Claim::Resume(Resume { halt }), |h| {
            h.environment = Some("staging".parse().unwrap())
        });
    }
    assert!(halted(&world, "production"), "only staging was meant");
    assert!(!halted(&world, "staging"));
    world.say("oli", "operator", Claim::Resume(Resume { halt }));
    world.say_with("pia", "operator", Claim::Resume(Resume { halt }), |h| h.environment = Some(production()));
    assert!(!halted(&world, "production"));
}

/// A world with two witnesses, of which one must have cosigned.
fn two_witnesses() -> World {
    let mut charter = charter();
    charter.witnesses.push(WitnessKey {
        name: "beta".to_owned(),
        operator: "beta".to_owned(),
        vkey: witness("beta").vkey().to_string(),
        url: "http://127.0.0.1:2/".to_owned(),
    });
    World::founded(charter)
}

#[test]
fn ticks_that_say_nothing() {
    let mut world = World::founded(charter());
    let before = world.facts().time().unwrap();
    world.now += 500;
    let size = usize::try_from(world.size()).unwrap();
    let root = dig("another tree");
    let notes = [
        ("nobody cosigned", world.note(size, &[])),
        ("a stranger cosigned", world.note(size, &[("beta", world.now)])),
        ("older cosignatures", world.note(size, &[("alpha", EPOCH - 1)])),
        ("another log", note_of(&Checkpoint::new("other.example/log", 3, root), &[("alpha", world.now)])),
        ("not a note", "nonsense".to_owned()),
    ];
    for (what, note) in notes {
        world.tick_of(note);
        assert_eq!(world.facts().time(), Some(before), "{what}");
    }
    world.tick();
    assert_eq!(world.facts().time().unwrap().latest, at(world.now));
}

/// Whatever a statement speaks of must be the tree that its reader has at that size: nothing after it is believed.
#[test]
fn two_histories_meet_in_a_statement() {
    use ledger::{
        follow::Sighting,
        reader::{LogError, Reader},
        statement::v1::Seen,
    };
    let world = || World::founded(charter());
    let halt = |world: &mut World, seen| {
        let claim = Claim::Halt(Halt { environment: None, reason: None });
        world.say_with("oli", "operator", claim, |header| header.seen = Some(seen))
    };
    let mut other = world();
    other.halt("pia");
    let tree = |world: &World, size: usize| {
        let note = world.note(size, &[]);
        let checkpoint: Checkpoint = note[..note.find("\n\n").unwrap() + 1].parse().unwrap();
        Seen { size: checkpoint.size, root: checkpoint.root }
    };
    let mut good = world();
    good.halt("oli");
    for size in 0..=4 {
        let seen = tree(&good, size);
        halt(&mut good, seen);
    }
    good.facts();
    let (same_size, empty) = (tree(&other, 4), Seen { size: 0, root: dig("not nothing") });
    let mut own = world();
    own.halt("oli");
    let later = Seen { size: 9, ..tree(&own, 4) };
    let fork = |size| note_of(&Checkpoint::new(ORIGIN, size, dig("a fork")), &[("alpha", EPOCH)]);
    let rows: [(&str, Option<Seen>, String); 5] = [
        ("another tree", Some(same_size), String::new()),
        ("nothing that is something", Some(empty), String::new()),
        ("later than itself", Some(later), String::new()),
        ("a tick of a fork", None, fork(3)),
        ("a tick of what came later", None, fork(9_999)),
    ];
    for (what, seen, tick) in rows {
        let mut world = world();
        world.halt("oli");
        let index = match seen {
            Some(seen) => halt(&mut world, seen),
            None => world.tick_of(tick),
        };
        world.halt("pia");
        let mut reader = Reader::new(world.members()).unwrap();
        let note = world.note(4, &[("alpha", EPOCH)]);
        reader.advance(&world.entries()[..4], note.as_bytes(), at(EPOCH)).unwrap();
        let note = world.note(6, &[("alpha", EPOCH)]);
        let error = reader.advance(&world.entries()[4..], note.as_bytes(), at(EPOCH)).unwrap_err();
        assert!(error.to_string().ends_with("than these: there are two histories"), "{what}: {error}");
        let LogError::TwoHistories { index: found, evidence, .. } = error else { panic!("{what}") };
        assert_eq!((found, reader.size(), reader.history().size()), (index, 4, 4), "{what}: it stays where it was");
        assert_eq!(Sighting::parse(&evidence.to_bytes()), Some((*evidence).clone()));
        let shown = evidence.is_shown(&world.members(), crate::world::log_signer(ORIGIN).vkey());
        // What is not in the tree can not be compared, and the tree of no entries needs no proof.
        assert_eq!(shown, matches!(what, "another tree" | "a tick of a fork"), "{what}");
    }
}

#[test]
fn a_smaller_checkpoint_cosigned_later_takes_nothing_back() {
    let mut world = two_witnesses();
    for ordinal in 0..4 {
        world.halt(if ordinal % 2 == 0 { "oli" } else { "pia" });
    }
    world.tick_of(world.note(6, &[("alpha", EPOCH + 90)]));
    let first = world.facts().covered(5).unwrap();
    world.tick_of(world.note(4, &[("beta", EPOCH + 100)]));
    assert_eq!(world.facts().covered(5), Some(first));
    assert_eq!(world.facts().covered(6), None);
    let time = world.facts().time().unwrap();
    assert_eq!((time.earliest, time.covers), (at(EPOCH + 100), 6));
    // The witnesses do not agree: the earliest bounds from below and the latest from above, and neither goes back.
    world.tick_of(world.note(7, &[("alpha", EPOCH + 110), ("beta", EPOCH + 900)]));
    world.tick_of(world.note(8, &[("alpha", EPOCH + 120)]));
    let time = world.facts().time().unwrap();
    assert_eq!((time.earliest, time.latest), (at(EPOCH + 120), at(EPOCH + 900)));
}

#[test]
fn without_witnesses_the_robots_tick_and_verdicts_say_so() {
    let mut charter = charter();
    charter.witnesses.clear();
    charter.witness_quorum = 0;
    let mut world = World::empty(charter);
    world.found(&["ada", "ben"]);
    world.tick();
    let put = world.put(1, None);
    world.approve_both(&put);
    let verdict = decide(&world.facts(), put.proposal).unwrap();
    assert!(verdict.is_granted());
    assert!(verdict.verdict.unwitnessed);
    let (world, _, second) = World::two();
    assert!(!decide(&world.facts(), second.proposal).unwrap().verdict.unwitnessed);
}

#[test]
fn the_first_withdrawal_that_reaches_furthest_back_counts() {
    let mut world = World::founded(charter());
    world.withdraw("oli", "ada", 50);
    world.withdraw("pia", "ada", 20);
    world.withdraw("pia", "ada", 90);
    let (facts, key) = (world.facts(), crate::world::key_id("ada"));
    assert!(!facts.is_void(key, 19) && facts.is_void(key, 20));
    assert_eq!(facts.withdrawal(key), Some(3));
    assert_eq!(facts.withdrawal(crate::world::key_id("ben")), None);
    assert_ne!(world.hash(), Digest::of(b""));
}
