use ledger::{
    follow::StaleError,
    reader::Reader,
    statement::v1::{EvidenceOutcome, EvidenceReason, MilestoneKind},
};

use super::*;
use crate::world::{DAY, Put, World, at, charter, dig, production, system};

fn policy(world: &World) -> Policy {
    Policy::parse(&world.charter.policy).unwrap()
}

fn permission(world: &World, put: &Put) -> Result<Current, CurrentError> {
    current(&policy(world), &world.facts(), &world.fresh(), put.proposal, at(world.now))
}

#[test]
fn a_granted_verdict_on_a_fresh_checkpoint_permits() {
    let (world, _, second) = World::two();
    let permission = permission(&world, &second).unwrap();
    assert_eq!((permission.proposal(), permission.release()), (second.proposal, second.claim.release));
    assert_eq!(permission.until(), at(world.now + DAY));
}

#[test]
fn refusals_say_why() {
    let (mut world, _, second) = World::two();
    let facts = world.facts();
    let policy_then = policy(&world);
    // The checkpoint is of more than what was read.
    world.halt("oli");
    let error = current(&policy_then, &facts, &world.fresh(), second.proposal, at(world.now)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the checkpoint covers {} statements, {} are known", world.size(), world.size() - 1)
    );
    assert!(matches!(permission(&world, &second), Err(CurrentError::Refused(_))));
    // No such proposal.
    let error = current(&policy_then, &world.facts(), &world.fresh(), 0, at(world.now)).unwrap_err();
    assert!(matches!(error, CurrentError::NoAnswer(DecideError::NoProposal(0))));
    // Another policy than the charter's, one that permits everything.
    let other = Policy::parse(r#"@id("all") permit(principal, action, resource);"#).unwrap();
    let error = current(&other, &world.facts(), &world.fresh(), second.proposal, at(world.now)).unwrap_err();
    assert!(matches!(error, CurrentError::NoAnswer(DecideError::Policy(crate::policy::PolicyError::Other))));
}

#[test]
fn the_callers_clock_only_shortens() {
    let (world, _, second) = World::two();
    let end = world.now + DAY;
    let with_clock = |now| current(&policy(&world), &world.facts(), &world.fresh(), second.proposal, at(now));
    assert!(with_clock(end - 1).is_ok());
    assert!(matches!(with_clock(end), Err(CurrentError::Over(until)) if until == at(end)));
    assert_eq!(with_clock(0).unwrap().until(), at(end));
}

#[test]
fn a_checkpoint_is_fresh_and_was_checked_for_witnesses() {
    let (world, _, second) = World::two();
    let (reader, facts) = world.reader();
    assert!(matches!(reader.fresh(at(world.now + 61), 60), Err(StaleError::Old { age_s: 61, max_age_s: 60 })));
    let mut looking = Reader::unwitnessed(world.members()).unwrap();
    let note = world.note(world.entries().len(), &[]);
    looking.advance(world.entries(), note.as_bytes(), at(world.now)).unwrap();
    let fresh = looking.fresh(at(world.now), 60).unwrap();
    let error = current(&policy(&world), &facts, &fresh, second.proposal, at(world.now)).unwrap_err();
    assert!(matches!(error, CurrentError::NotWitnessed));
}

/// A log's time that runs ahead would shorten a cool-off, and nothing else.
#[test]
fn a_time_ahead_of_this_clock_ends_no_cool_off() {
    for (cool_off_s, refused) in [(600, true), (0, false)] {
        let mut charter = charter();
        charter.environments[1].cool_off_s = cool_off_s;
        let mut world = World::founded(charter);
        let put = world.put(1, None);
        world.approve_both(&put);
        world.wait(600);
        let with_clock = |now| current(&policy(&world), &world.facts(), &world.fresh(), put.proposal, at(now));
        assert!(with_clock(world.now - 300).is_ok());
        match with_clock(world.now - 301) {
            Ok(_) => assert!(!refused),
            Err(error) => assert!(refused && matches!(error, CurrentError::Ahead(time) if time == at(world.now))),
        }
    }
}

fn back(world: &World, to: &Put) -> Result<Return, ReturnError> {
    may_return(&policy(world), &world.facts(), &system(), &production(), to.claim.release)
}

#[test]
fn going_back_is_to_what_ran_immediately_before() {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    assert!(matches!(back(&world, &first), Err(ReturnError::NotPredecessor(_))));
    let second = world.go_live(2, Some(&first));
    let third = world.go_live(3, Some(&second));
    assert!(matches!(back(&world, &third), Err(ReturnError::NotPredecessor(_))));
    assert!(matches!(back(&world, &first), Err(ReturnError::NotPredecessor(_))));
    let leave = back(&world, &second).unwrap();
    assert_eq!((leave.release(), leave.alarm()), (second.claim.release, false));
    // A week later its approvals have aged, which is no alarm.
    world.wait(8 * DAY);
    assert!(!back(&world, &second).unwrap().alarm());
    // A halt does not keep anybody from going back.
    world.halt("oli");
    assert!(!back(&world, &second).unwrap().alarm());
    // Once back, not further.
    world.milestone(&second, MilestoneKind::Live);
    assert!(matches!(back(&world, &first), Err(ReturnError::AlreadyBack)));
    let (mut world, first, _) = World::two();
    assert!(matches!(back(&world, &first), Err(ReturnError::NotPredecessor(_))));
    world.milestone(&first, MilestoneKind::WentBackErrors);
    assert!(matches!(back(&world, &first), Err(ReturnError::NotPredecessor(_))));
}

#[test]
fn one_person_does_not_walk_back_step_by_step() {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let second = world.go_live(2, Some(&first));
    let third = world.go_live(3, Some(&second));
    world.milestone(&third, MilestoneKind::WentBackWithdrawn);
    assert!(matches!(back(&world, &first), Err(ReturnError::AlreadyBack)));
}

#[test]
fn going_back_to_what_fell_since_is_an_alarm_or_refused() {
    for (rollback_s, refused) in [(3_600, false), (0, true)] {
        let mut charter = charter();
        charter.environments[1].rollback_s = rollback_s;
        let mut world = World::founded(charter);
        let first = world.go_live(1, None);
        world.go_live(2, Some(&first));
        let mut failed = world.facts().one_evidence(first.evidence[0]).unwrap().claim.clone();
        failed.outcome = EvidenceOutcome::Failed;
        failed.reasons = vec![EvidenceReason::Failed];
        world.evidence(failed);
        match back(&world, &first) {
            Ok(leave) => assert!(leave.alarm() && !refused),
            Err(error) => {
                assert!(refused);
                assert!(error.to_string().starts_with("the verdict of "), "{error}");
            }
        }
    }
    // Whatever the policy calls its rules.
    let mut charter = charter();
    charter.policy = charter.policy.replace("full-suites-passed", "all-green").replace("nobody-rejected-it", "no-veto");
    let mut world = World::founded(charter);
    let first = world.go_live(1, None);
    world.go_live(2, Some(&first));
    assert!(!back(&world, &first).unwrap().alarm());
    world.reject("cid", &first);
    assert!(back(&world, &first).unwrap().alarm());
    assert_ne!(first.claim.release, dig("anything"));
}
