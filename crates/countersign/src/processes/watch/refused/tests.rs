use ledger::statement::v1::{Acknowledgement, Alarm, Claim, Kind as Says};
use model::Clock as _;

use super::*;
use crate::{
    clock::SystemClock,
    processes::watch::board::{current, statements},
    verbs::world::World,
};

fn attempt(number: u64, value: &str, at: Timestamp) -> Refused {
    Refused {
        number,
        at,
        times: 2,
        kind: Says::ValueProposal,
        value: Some(value.parse().unwrap()),
        system: None,
        environment: None,
        signer: Some("eve".to_owned()),
        reason: "the charter does not list its key".to_owned(),
    }
}

/// What is to be said after a look: each condition's value and whether it fires, and the words of what there is.
fn looked(attempts: &mut Attempts, world: &World, now: Timestamp) -> (Vec<(String, bool)>, Vec<String>) {
    let view = world.view();
    let mut observed = Observed::default();
    attempts.look(view.facts(), now, &mut observed);
    let said = statements(&observed, &Default::default(), view.facts());
    let value = |c: &Condition| c.about.value.as_ref().unwrap().to_string();
    let words = current(&observed, &[], view.facts(), now).into_values().map(|c| c.words).collect();
    (said.iter().map(|(c, firing)| (value(c), *firing)).collect(), words)
}

fn say(world: &World, value: &str, firing: bool) -> u64 {
    let about = AlarmAbout { value: Some(value.parse().unwrap()), ..AlarmAbout::default() };
    world.say("watch", "watch", Claim::Alarm(Alarm { what: AlarmKind::ValueRefused, about, firing }), false)
}

#[test]
fn each_attempt_is_an_alarm_of_its_own_until_somebody_has_seen_it() {
    let world = World::new();
    let now = SystemClock.now();
    let mut attempts = Attempts::default();
    attempts.set(vec![attempt(1, "payout", now)]);
    let (said, words) = looked(&mut attempts, &world, now);
    assert_eq!(said, [("payout".to_owned(), true)]);
    let why = "eve tried to change payout and was refused: the charter does not list its key (2 attempts)";
    assert_eq!(words, [why]);
    say(&world, "payout", true);
    assert_eq!(looked(&mut attempts, &world, now).0, [], "it fires");
    // Another attempt ends the first alarm and begins the next.
    attempts.set(vec![attempt(1, "payout", now), attempt(2, "payout", now)]);
    assert_eq!(looked(&mut attempts, &world, now).0, [("payout".to_owned(), false)]);
    say(&world, "payout", false);
    assert_eq!(looked(&mut attempts, &world, now).0, [("payout".to_owned(), true)]);
    let index = say(&world, "payout", true);
    world.say("olga", "operator", Claim::Acknowledgement(Acknowledgement { alarm: index }), false);
    assert_eq!(looked(&mut attempts, &world, now).0, [("payout".to_owned(), false)]);
    say(&world, "payout", false);
    world.tick();
    assert_eq!(looked(&mut attempts, &world, now).0, [], "somebody has seen it");
    // What a process that starts anew finds was seen, if it was before that.
    let before = Timestamp::from_unix(now.unix() - 60);
    let mut anew = Attempts::default();
    anew.set(vec![attempt(2, "payout", before)]);
    assert_eq!(looked(&mut anew, &world, now).0, []);
    anew.set(vec![attempt(2, "payout", before), attempt(3, "payout", now.plus_s(60))]);
    looked(&mut anew, &world, now);
    assert_eq!(looked(&mut anew, &world, now).0, [("payout".to_owned(), true)], "one that came since");
}

#[test]
fn an_attempt_is_forgotten_after_a_day() {
    let world = World::new();
    let now = SystemClock.now();
    let mut attempts = Attempts::default();
    attempts.set(vec![attempt(1, "payout", now)]);
    assert_eq!(looked(&mut attempts, &world, now.plus_s(86_399)).0.len(), 1);
    assert_eq!(looked(&mut attempts, &world, now.plus_s(86_400)).0, []);
}
