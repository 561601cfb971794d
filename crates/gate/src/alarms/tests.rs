use ledger::{
    keys::Signer as _,
    statement::{
        RECOVERY_ROLE,
        v1::{
            Acknowledgement, Alarm, Amendment, Cancellation, Claim, Consent, Key, KeyScheme, Kind, Recovery, Rejection,
            Role, Silence, SilenceRule,
        },
    },
};

use super::*;
use crate::world::{DAY, Put, World, at, charter, dig, key_of, production, system};

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
    let called = called_for(&policy, &world.facts(), at(world.now));
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
fn nobody_acknowledges_the_alarm_about_their_own_act() {
    let mut charter = crate::world::guarded();
    for role in &mut charter.roles {
        match role.name.as_str() {
            "gate" => role.says.push(Kind::Alarm),
            "guardian" => role.says.push(Kind::Acknowledgement),
            _ => {}
        }
    }
    let mut world = World::founded(charter);
    let proposal = world.propose_value("gil", "guardian", "x", None);
    let refused = world.approve_value("gil", proposal);
    let about = AlarmAbout { value: Some(crate::world::payout()), statement: Some(refused), ..AlarmAbout::default() };
    let claim = Claim::Alarm(Alarm { what: AlarmKind::ValueRefused, about, firing: true });
    let alarm = world.say_with("gate", "gate", claim, |header| header.environment = Some(production()));
    let fires = |world: &World| called(world).contains(&(AlarmKind::ValueRefused, Some(refused)));
    for who in ["gil", "gil/2"] {
        world.say(who, "guardian", Claim::Acknowledgement(Acknowledgement { alarm }));
        assert!(fires(&world) && world.facts().acknowledged(alarm).is_none(), "{who}");
    }
    let seen = world.say("hal", "guardian", Claim::Acknowledgement(Acknowledgement { alarm }));
    assert!(!fires(&world));
    assert_eq!(world.facts().acknowledged(alarm), Some(("hal".parse().unwrap(), seen)));
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
fn a_healthy_release_calls_nobody_however_old_and_a_withdrawal_then_is_news() {
    let (mut world, put) = second();
    milestone(&mut world, &put, MilestoneKind::Live, 0);
    for _ in 0..10 {
        world.wait(DAY);
        assert_eq!(called(&world), [], "{}", world.now);
    }
    let withdrawn = [(AlarmKind::VerdictWithdrawn, Some(put.proposal))];
    type Act = fn(&mut World, &Put);
    let acts: [Act; 3] = [
        |w, put| _ = w.reject("cid", put),
        // An approver's key, from before the approval.
        |w, put| _ = w.withdraw("oli", "ada", put.proposal),
        // The tester's, from before the evidence.
        |w, put| _ = w.withdraw("oli", "tester", put.change),
    ];
    for (at, act) in acts.into_iter().enumerate() {
        let mut world = world.clone();
        act(&mut world, &put);
        assert_eq!(called(&world), withdrawn, "{at}");
    }
}

#[test]
fn a_policy_that_can_not_be_read_is_told_and_takes_no_other_alarm_away() {
    let (mut world, put) = second();
    milestone(&mut world, &put, MilestoneKind::Live, 0);
    let drift = milestone(&mut world, &put, MilestoneKind::Drifted, 0);
    let other = Policy::parse("@id(\"all\") permit (principal, action, resource);").unwrap();
    let called: Vec<_> = called_for(&other, &world.facts(), at(world.now)).into_iter().collect();
    let told: Vec<_> = called.iter().map(|(c, _)| (c.what, c.about.statement)).collect();
    assert_eq!(told, [(AlarmKind::Drift, Some(drift)), (AlarmKind::VerdictWithdrawn, Some(put.proposal))]);
    assert!(called[1].1.contains("the charter's policy can not be read"), "{called:?}");
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
    let called_now = called_for(&policy, &world.facts(), at(world.now));
    let (condition, words) = called_now.first_key_value().unwrap();
    assert_eq!((condition.what, condition.about.statement), (AlarmKind::Silenced, Some(said)));
    assert_eq!(condition.system, Some(system()));
    assert_eq!(words, &format!("tess silenced probe-failed until {ends}, with statement {said}"));
    world.wait(600);
    assert_eq!(called(&world), []);
}

/// A charter that its release managers may amend, with recovery keys.
fn amended_charter() -> ledger::statement::v1::Charter {
    let mut charter = watched_charter();
    for role in &mut charter.roles {
        if role.name.as_str() == "release-manager" {
            role.says.extend([Kind::Amendment, Kind::Consent, Kind::Cancellation]);
        }
    }
    let keys = ["r1", "r2", "r3"].map(|who| Key { scheme: KeyScheme::Sshsig, public: key_of(who).key().to_openssh() });
    charter.recovery = Some(Recovery { keys: keys.into(), count: 2, delay_s: 600 });
    charter
}

fn put_up(world: &mut World, who: &str, role: &str) -> (u64, Claim) {
    let mut to = world.charter.clone();
    to.key_delay_s += 60;
    let becomes = to.digest();
    let edits = ledger::charter::diff(&world.charter, &to).unwrap();
    let claim = Amendment { from: world.charter.digest(), becomes, edits };
    let amendment = world.say(who, role, Claim::Amendment(Box::new(claim)));
    (amendment, Claim::Consent(Consent { amendment, becomes, shown: dig("shown") }))
}

#[test]
fn an_amendment_is_called_from_its_beginning_until_it_is_in_force_and_after_if_its_keys_are_withdrawn() {
    let mut world = World::founded(amended_charter());
    let (amendment, yes) = put_up(&mut world, "ada", "release-manager");
    assert_eq!(called(&world), [(AlarmKind::AmendmentProposed, Some(amendment))]);
    let first = world.say("ben", "release-manager", yes.clone());
    assert_eq!(called(&world), [(AlarmKind::AmendmentProposed, Some(amendment))]);
    world.say("cid", "release-manager", yes);
    assert_eq!(called(&world), []);
    world.withdraw("oli", "ben", first);
    assert_eq!(called(&world), [(AlarmKind::AmendmentByWithdrawnKey, Some(amendment))]);
    // One that can not come into force any more is over.
    let mut world = World::founded(amended_charter());
    let (amendment, _) = put_up(&mut world, "ada", "release-manager");
    world.withdraw("oli", "ada", amendment);
    assert_eq!(called(&world), []);
}

#[test]
fn a_recovery_is_called_until_a_member_cancels_it() {
    let mut world = World::founded(amended_charter());
    let (amendment, yes) = put_up(&mut world, "r1", RECOVERY_ROLE);
    assert_eq!(called(&world), [(AlarmKind::RecoveryProposed, Some(amendment))]);
    world.say("r2", RECOVERY_ROLE, yes.clone());
    world.say("r1", RECOVERY_ROLE, yes);
    world.wait(5);
    assert_eq!(called(&world), [(AlarmKind::RecoveryProposed, Some(amendment))], "the delay runs");
    world.say("oli", "operator", Claim::Cancellation(Cancellation { of: amendment, reason: None }));
    assert_eq!(called(&world), []);
}
