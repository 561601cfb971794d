use ledger::statement::v1::{Acknowledgement, Alarm, Claim, Kind, Rejection, Role, Silence, SilenceRule};

use super::*;
use crate::world::{Put, World, at, charter, dig, production, system};

fn watched_charter() -> ledger::statement::v1::Charter {
    let mut charter = charter();
    for role in &mut charter.roles {
        match role.name.as_str() {
            "gate" => role.says.push(Kind::Alarm),
            "operator" => role.says.extend([Kind::Acknowledgement, Kind::Cancellation]),
            _ => {}
        }
    }
    charter
}

fn called(world: &World) -> Vec<(AlarmKind, Option<u64>)> {
    let policy = Policy::parse(&world.charter.policy).unwrap();
    let called = called_for(&policy, &world.facts(), at(world.now)).unwrap();
    called.keys().map(|condition| (condition.what, condition.about.statement)).collect()
}

fn milestone(world: &mut World, put: &Put, what: MilestoneKind, requests: u64) -> u64 {
    let claim = Milestone { requests, ..world.good_milestone(put, what) };
    world.say("agent", "agent", Claim::Milestone(Box::new(claim)))
}

/// The second release of a world under this charter, approved.
fn second() -> (World, Put) {
    let (mut world, _, put) = World::two_of(watched_charter());
    milestone(&mut world, &put, MilestoneKind::Begun, 0);
    (world, put)
}

#[test]
fn nothing_is_called_for_while_all_is_well() {
    let (mut world, put) = second();
    milestone(&mut world, &put, MilestoneKind::Watched, 12);
    milestone(&mut world, &put, MilestoneKind::Live, 0);
    assert_eq!(called(&world), []);
}

#[test]
fn a_release_that_went_back_or_stands_still_is_over_with_the_next_that_is_live() {
    for what in [
        MilestoneKind::WentBackUnhealthy,
        MilestoneKind::WentBackErrors,
        MilestoneKind::WentBackFailed,
        MilestoneKind::WentBackWithdrawn,
        MilestoneKind::Stuck,
    ] {
        let (mut world, put) = second();
        let back = milestone(&mut world, &put, what, 0);
        assert_eq!(called(&world), [(AlarmKind::WentBack, Some(back))], "{what:?}");
        // An agent whose key was withdrawn can not have it forgotten.
        let mut forgotten = world.clone();
        forgotten.withdraw("oli", "agent", back);
        assert!(called(&forgotten).contains(&(AlarmKind::WentBack, Some(back))), "{what:?}");
        milestone(&mut world, &put, MilestoneKind::Live, 0);
        assert!(!called(&world).contains(&(AlarmKind::WentBack, Some(back))), "{what:?}");
    }
}

#[test]
fn what_happened_once_is_over_when_a_person_has_seen_it() {
    let (mut world, put) = second();
    let back = milestone(&mut world, &put, MilestoneKind::WentBackErrors, 0);
    let about = AlarmAbout { statement: Some(back), ..AlarmAbout::default() };
    let alarm = world.say_with(
        "gate",
        "gate",
        Claim::Alarm(Alarm { what: AlarmKind::WentBack, about, firing: true }),
        |header| header.environment = Some(production()),
    );
    assert_eq!(called(&world).len(), 1);
    world.say("oli", "operator", Claim::Acknowledgement(Acknowledgement { alarm }));
    assert_eq!(called(&world), []);
}

#[test]
fn too_little_traffic_and_drift_are_called_until_the_next_rollout_begins() {
    for (what, kind) in [(MilestoneKind::Watched, AlarmKind::NoTraffic), (MilestoneKind::Drifted, AlarmKind::Drift)] {
        let (mut world, put) = second();
        let index = milestone(&mut world, &put, what, 0);
        assert_eq!(called(&world), [(kind, Some(index))]);
        milestone(&mut world, &put, MilestoneKind::Live, 0);
        assert_eq!(called(&world), [(kind, Some(index))], "it is live all the same");
        milestone(&mut world, &put, MilestoneKind::Begun, 0);
        assert_eq!(called(&world), []);
    }
}

#[test]
fn a_verdict_withdrawn_under_what_runs_is_called_while_it_runs() {
    let (mut world, put) = second();
    milestone(&mut world, &put, MilestoneKind::Live, 0);
    assert_eq!(called(&world), []);
    world.say(
        "ada",
        "release-manager",
        Claim::Rejection(Rejection {
            proposal: put.proposal,
            release: world.facts().proposal(put.proposal).unwrap().claim.release,
            reason: None,
        }),
    );
    assert_eq!(called(&world), [(AlarmKind::VerdictWithdrawn, Some(put.proposal))]);
    // A halt takes no verdict away.
    let (mut world, put) = second();
    milestone(&mut world, &put, MilestoneKind::Live, 0);
    world.say("oli", "operator", Claim::Halt(ledger::statement::v1::Halt { environment: None, reason: None }));
    assert_eq!(called(&world), []);
    // Nor does the key of whoever proposed it go unnoticed.
    world.withdraw("pia", "builder", put.change);
    assert_eq!(called(&world), [(AlarmKind::VerdictWithdrawn, Some(put.proposal))]);
}

#[test]
fn a_silence_is_an_alarm_itself_until_it_ends() {
    let mut charter = watched_charter();
    charter.roles.push(Role { name: "duty".parse().unwrap(), says: vec![Kind::Silence] });
    for role in ["developer", "release-manager", "operator", "gate", "builder", "tester", "agent", "risk"] {
        charter.conflicts.push(("duty".parse().unwrap(), role.parse().unwrap()));
    }
    for member in &mut charter.members {
        if member.id.as_str() == "tess" {
            member.roles = vec!["duty".parse().unwrap()];
        }
    }
    charter.silence = Some(SilenceRule { kinds: vec![AlarmKind::ProbeFailed], longest_s: 600 });
    let mut world = World::founded(charter);
    let ends = at(world.now + 500);
    let claim = Silence { what: vec![AlarmKind::ProbeFailed], about: AlarmAbout::default(), ends, reason: dig("r") };
    let said = world.say("tess", "duty", Claim::Silence(Box::new(claim)));
    world.wait(5);
    let policy = Policy::parse(&world.charter.policy).unwrap();
    let called_now = called_for(&policy, &world.facts(), at(world.now)).unwrap();
    let (condition, words) = called_now.first_key_value().unwrap();
    assert_eq!((condition.what, condition.about.statement), (AlarmKind::Silenced, Some(said)));
    assert_eq!(condition.system, Some(system()));
    assert_eq!(words, &format!("tess silenced probe-failed until {ends}, with statement {said}"));
    world.wait(600);
    assert_eq!(called(&world), []);
}
