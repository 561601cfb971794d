use gate::alarms::Condition;
use ledger::statement::v1::{Acknowledgement, Alarm, AlarmAbout, AlarmKind, Claim, Silence};
use model::{Clock as _, Digest};

use super::*;
use crate::{clock::SystemClock, verbs::world::World};

fn about(component: &str) -> AlarmAbout {
    AlarmAbout { component: Some(component.parse().unwrap()), ..AlarmAbout::default() }
}

fn condition(what: AlarmKind, component: &str) -> Condition {
    Condition::of(what, about(component))
}

fn seen(called: &[&Condition]) -> Observed {
    let mut observed = Observed::default();
    called.iter().for_each(|c| observed.call((*c).clone(), "it does not answer".to_owned()));
    observed
}

fn say(world: &World, condition: &Condition, firing: bool) -> u64 {
    let claim = Alarm { what: condition.what, about: condition.about.clone(), firing };
    world.say("watch", "watch", Claim::Alarm(claim), false)
}

#[test]
fn every_kind_is_said_once_when_it_begins_and_once_when_it_is_over() {
    let world = World::new();
    let (none, now) = (BTreeSet::new(), SystemClock.now());
    let all: Vec<Condition> = AlarmKind::ALL.into_iter().map(|kind| condition(kind, "web")).collect();
    let called: Vec<&Condition> = all.iter().collect();
    let begin = statements(&seen(&called), &none, world.view().facts());
    assert_eq!(begin, all.iter().cloned().map(|c| (c, true)).collect::<Vec<_>>());
    // Told before the log has them, and with their numbers afterwards.
    let told = current(&seen(&called), &[], world.view().facts(), now);
    assert!(told.len() == all.len() && told.values().all(|c| c.index.is_none() && c.words == "it does not answer"));
    let indices: Vec<u64> = all.iter().map(|c| say(&world, c, true)).collect();
    let view = world.view();
    assert_eq!(statements(&seen(&called), &none, view.facts()), [], "what the log has is not said again");
    let told = current(&seen(&called), &[], view.facts(), now);
    assert_eq!(all.iter().map(|c| told[c].index.unwrap()).collect::<Vec<_>>(), indices);

    // A process that has just started, and knows nothing yet, ends nothing.
    let mut unsure = Observed::default();
    AlarmKind::ALL.into_iter().for_each(|kind| unsure.unsure(kind));
    assert_eq!(statements(&unsure, &none, view.facts()), []);
    assert_eq!(current(&unsure, &[], view.facts(), now).len(), all.len());

    let end = statements(&seen(&[]), &none, view.facts());
    assert_eq!(end, all.iter().cloned().map(|c| (c, false)).collect::<Vec<_>>());
    assert_eq!(current(&seen(&[]), &[], view.facts(), now).len(), 0);
    for condition in &all {
        say(&world, condition, false);
    }
    assert_eq!(statements(&seen(&[]), &none, world.view().facts()), []);
}

#[test]
fn what_was_over_before_the_log_had_it_is_told_to_the_log_afterwards() {
    let world = World::new();
    let web = condition(AlarmKind::ProbeFailed, "web");
    let missed = BTreeSet::from([web.clone()]);
    assert_eq!(statements(&seen(&[]), &missed, world.view().facts()), [(web.clone(), true)]);
    say(&world, &web, true);
    assert_eq!(statements(&seen(&[]), &missed, world.view().facts()), [(web, false)]);
}

#[test]
fn what_was_told_and_is_not_known_to_be_over_goes_on_also_without_the_log() {
    let world = World::new();
    let web = condition(AlarmKind::ProbeFailed, "web");
    let open = [(web.clone(), "it did not answer".to_owned())];
    let (facts, now) = (world.view(), SystemClock.now());
    let mut unsure = Observed::default();
    unsure.unsure(AlarmKind::ProbeFailed);
    let told = current(&unsure, &open, facts.facts(), now);
    assert_eq!(told[&web].words, "it did not answer");
    assert!(current(&Observed::default(), &open, facts.facts(), now).is_empty());
}

#[test]
fn acknowledged_and_silenced_alarms_are_still_there_and_say_so() {
    let world = World::new();
    let (web, ledger) = (condition(AlarmKind::ProbeFailed, "web"), condition(AlarmKind::ProbeFailed, "ledger"));
    let index = say(&world, &web, true);
    world.say("olga", "operator", Claim::Acknowledgement(Acknowledgement { alarm: index }), false);
    let now = SystemClock.now();
    let silence = Silence {
        what: vec![AlarmKind::ProbeFailed],
        about: about("ledger"),
        ends: now.plus_s(3_600),
        reason: Digest::of(b"reason"),
    };
    // The header names a system, and this condition none: it hides nothing of Countersign as a whole.
    world.say("dina", "duty-officer", Claim::Silence(Box::new(silence)), false);
    world.tick();
    let view = world.view();
    let told = current(&seen(&[&web, &ledger]), &[], view.facts(), now);
    assert_eq!((told[&web].acknowledged, told[&web].silenced), (true, false));
    assert_eq!((told[&ledger].acknowledged, told[&ledger].silenced), (false, false));
    let placed = Condition { system: Some(crate::verbs::world::system()), ..ledger };
    let told = current(&seen(&[&placed]), &[], view.facts(), now);
    assert!(told[&placed].silenced && told[&placed].index.is_none(), "also before the log has the alarm");
}

#[test]
fn a_log_that_was_caught_is_not_well_before_somebody_has_seen_it() {
    let world = World::new();
    let caught = Condition::of(AlarmKind::Fork, AlarmAbout::default());
    let told = [(caught.clone(), "the log is not believed: it shrank".to_owned())];
    let why = |untrue: Option<&str>, open: &[(Condition, String)]| fork(untrue, &caught, open, world.view().facts());
    assert_eq!(why(None, &[]), None);
    assert_eq!(why(Some("it shrank"), &[]).unwrap(), told[0].1);
    // Its next answer fits, and the log does not have the alarm yet.
    assert_eq!(why(None, &told).unwrap(), told[0].1);
    // In the log, also for a `watch` that has lost what it was told.
    let index = say(&world, &caught, true);
    assert_eq!(why(None, &told).unwrap(), told[0].1);
    assert!(why(None, &[]).is_some());
    world.say("olga", "operator", Claim::Acknowledgement(Acknowledgement { alarm: index }), false);
    assert_eq!(why(None, &told), None);
    assert_eq!(why(Some("again"), &told).unwrap(), "the log is not believed: again");
}
