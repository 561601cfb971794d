use ledger::statement::v1::{
    Acknowledgement, Alarm, AlarmAbout, AlarmKind, Arm, Claim, Kind, Milestone, MilestoneKind, Report,
};

use super::Trouble;
use crate::world::{Put, World, charter, dig, production, system};

/// The second release of a world in which people report, begun.
fn begun() -> (World, Put) {
    let mut charter = charter();
    for role in &mut charter.roles {
        match role.name.as_str() {
            "gate" => role.says.push(Kind::Alarm),
            "operator" => role.says.extend([Kind::Acknowledgement, Kind::Report]),
            "release-manager" => role.says.push(Kind::Report),
            _ => {}
        }
    }
    let (mut world, _, put) = World::two_of(charter);
    milestone(&mut world, &put, MilestoneKind::Begun);
    (world, put)
}

fn milestone(world: &mut World, put: &Put, what: MilestoneKind) -> u64 {
    let claim = world.good_milestone(put, what);
    world.say("agent", "agent", Claim::Milestone(Box::new(claim)))
}

fn report(world: &mut World, put: &Put, who: &str, role: &str, words: &str) {
    let Milestone { environment, release, serial, .. } = world.good_milestone(put, MilestoneKind::Begun);
    let claim = Report { environment, release, serial, component: None, arm: Arm::Trial, words: dig(words) };
    world.say(who, role, Claim::Report(Box::new(claim)));
}

fn trouble(world: &World, put: &Put) -> Trouble {
    let release = world.good_milestone(put, MilestoneKind::Begun).release;
    world.facts().trouble(&system(), &production(), release)
}

/// The alarm about a milestone, and the word of somebody who has seen it.
fn seen(world: &mut World, milestone: u64) {
    let about = AlarmAbout { statement: Some(milestone), ..AlarmAbout::default() };
    let claim = Claim::Alarm(Alarm { what: AlarmKind::TroubleReported, about, firing: true });
    let alarm = world.say_with("gate", "gate", claim, |header| header.environment = Some(production()));
    world.say("oli", "operator", Claim::Acknowledgement(Acknowledgement { alarm }));
}

#[test]
fn who_reports_often_or_with_two_keys_counts_once() {
    let (mut world, put) = begun();
    assert_eq!(trouble(&world, &put), Trouble::default());
    for (who, words) in [("ada", "a"), ("ada", "b"), ("ada/2", "c")] {
        report(&mut world, &put, who, "release-manager", words);
    }
    assert_eq!(trouble(&world, &put).reporters, 1);
    report(&mut world, &put, "ben", "release-manager", "d");
    report(&mut world, &put, "pia", "operator", "e");
    assert_eq!(trouble(&world, &put).reporters, 3);
    // Of another release or in another environment it is none.
    assert_eq!(world.facts().trouble(&system(), &production(), dig("another")), Trouble::default());
    let release = world.good_milestone(&put, MilestoneKind::Begun).release;
    assert_eq!(world.facts().trouble(&system(), &"elsewhere".parse().unwrap(), release), Trouble::default());
}

#[test]
fn somebody_who_looks_covers_what_stood_before_and_nothing_after() {
    let (mut world, put) = begun();
    report(&mut world, &put, "ada", "release-manager", "a");
    report(&mut world, &put, "ben", "release-manager", "b");
    let held = milestone(&mut world, &put, MilestoneKind::Reported);
    // It came before anybody looked, and after what they were told of.
    report(&mut world, &put, "pia", "operator", "c");
    assert_eq!(trouble(&world, &put), Trouble { reporters: 3, seen: 0 });
    seen(&mut world, held);
    assert_eq!(trouble(&world, &put), Trouble { reporters: 1, seen: held });
    report(&mut world, &put, "ada", "release-manager", "d");
    assert_eq!(trouble(&world, &put), Trouble { reporters: 2, seen: held }, "what is new is news");
}

#[test]
fn looking_at_something_else_ends_no_hold() {
    let (mut world, put) = begun();
    report(&mut world, &put, "ada", "release-manager", "a");
    milestone(&mut world, &put, MilestoneKind::Reported);
    let other = milestone(&mut world, &put, MilestoneKind::Quiet);
    seen(&mut world, other);
    assert_eq!(trouble(&world, &put), Trouble { reporters: 1, seen: 0 });
}
