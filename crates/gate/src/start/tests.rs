use ledger::follow::StaleError;

use super::*;
use crate::world::{DAY, Put, World, at, charter, dig, guarded, payout, production, system};

/// Asks as whoever starts it would, after a restart: nothing is remembered.
fn asked(world: &World, put: &Put) -> Result<Footing, StartError> {
    with(world, &mut Starts::default(), put, Ok(world.fresh()), &[])
}

fn with(
    world: &World,
    starts: &mut Starts,
    put: &Put,
    checkpoint: Result<FreshCheckpoint, StaleError>,
    values: &[(ValueName, Digest)],
) -> Result<Footing, StartError> {
    of(world, starts, put, checkpoint, values, false)
}

/// Asks about a version whose release says that it goes on beside the next.
fn beside(world: &World, starts: &mut Starts, put: &Put) -> Result<Footing, StartError> {
    of(world, starts, put, Ok(world.fresh()), &[], true)
}

fn of(
    world: &World,
    starts: &mut Starts,
    put: &Put,
    checkpoint: Result<FreshCheckpoint, StaleError>,
    values: &[(ValueName, Digest)],
    stays: bool,
) -> Result<Footing, StartError> {
    let statements = world.verified();
    let policy = Policy::parse(&world.charter.policy).unwrap();
    let facts = world.facts();
    let wanted = Wanted {
        system: system(),
        environment: production(),
        release: put.claim.release,
        stays,
        values: values.to_vec(),
    };
    starts.may(Read { policy: &policy, facts: &facts, statements: &statements }, checkpoint, &wanted, at(world.now))
}

fn stale() -> Result<FreshCheckpoint, StaleError> {
    Err(StaleError::Old { age_s: 61, max_age_s: 60 })
}

/// Row by row, as a release comes and goes.
#[test]
fn what_has_a_verdict_what_runs_and_what_ran_before_may_be_started_and_nothing_else() {
    let mut world = World::founded(charter());
    let first = world.put(1, None);
    assert!(matches!(asked(&world, &first), Err(StartError::NoVerdict { .. })), "nobody has approved");
    world.approve_both(&first);
    assert_eq!(asked(&world, &first).unwrap(), Footing::Granted(first.proposal));
    world.milestone(&first, MilestoneKind::Live);
    world.wait(60);
    assert_eq!(asked(&world, &first).unwrap(), Footing::Granted(first.proposal));

    let second = world.go_live(2, Some(&first));
    assert_eq!(asked(&world, &first).unwrap(), Footing::Before(first.proposal));
    world.reject("ben", &second);
    assert_eq!(asked(&world, &second).unwrap(), Footing::Runs(second.proposal), "its verdict was withdrawn; it runs");
    let third = world.go_live(3, Some(&second));
    assert_eq!(asked(&world, &second).unwrap(), Footing::Before(second.proposal));
    assert!(matches!(asked(&world, &first), Err(StartError::NoVerdict { .. })), "further back takes a release");
    world.milestone(&third, MilestoneKind::WentBackErrors);
    assert_eq!(asked(&world, &second).unwrap(), Footing::Runs(second.proposal));
    let never = Put { claim: Proposal { release: dig("other"), ..third.claim.clone() }, ..third };
    assert!(matches!(asked(&world, &never), Err(StartError::NotProposed(_))));
}

#[test]
fn a_verdict_that_was_withdrawn_starts_nothing() {
    let (mut world, first, second) = World::two();
    assert_eq!(asked(&world, &second).unwrap(), Footing::Granted(second.proposal));
    world.milestone(&second, MilestoneKind::Begun);
    world.reject("ben", &second);
    assert!(matches!(asked(&world, &second), Err(StartError::NoVerdict { .. })), "begun is not live");
    assert!(asked(&world, &first).is_ok(), "it can go back");
    world.halt("oli");
    assert_eq!(asked(&world, &first).unwrap(), Footing::Runs(first.proposal), "also under a halt");
}

/// The agent's key alone makes nothing that may be started.
#[test]
fn an_agents_word_without_a_verdict_counts_for_nothing() {
    let (mut world, first, second) = World::two();
    let third = world.put(3, Some(&second));
    for what in [MilestoneKind::Begun, MilestoneKind::Live] {
        world.milestone(&third, what);
        assert!(matches!(asked(&world, &third), Err(StartError::NoVerdict { .. })), "{what:?}");
    }
    assert_eq!(asked(&world, &first).unwrap(), Footing::Runs(first.proposal), "what runs can be started all the same");

    // Nor does it lead back, step by step, to what people have long replaced.
    let mut world = World::founded(charter());
    let old = world.go_live(1, None);
    let second = world.go_live(2, Some(&old));
    let third = world.go_live(3, Some(&second));
    world.milestone(&third, MilestoneKind::WentBackErrors);
    world.milestone(&second, MilestoneKind::WentBackErrors);
    world.milestone(&old, MilestoneKind::Live);
    assert!(matches!(asked(&world, &old), Err(StartError::UsedUp(_))));
}

#[test]
fn values_are_those_of_the_proposal() {
    let mut world = World::founded(guarded());
    let value = world.value_in_force("old account", None);
    let given = |value: &str| vec![(payout(), dig(value))];
    let put = world.put_reading(1, None, &[(value, dig("old account"))]);
    let ask = |world: &World, values: &[(ValueName, Digest)], checkpoint| {
        with(world, &mut Starts::default(), &put, checkpoint, values)
    };
    assert_eq!(ask(&world, &given("old account"), Ok(world.fresh())).unwrap(), Footing::Granted(put.proposal));
    assert_eq!(ask(&world, &[], Ok(world.fresh())).unwrap(), Footing::Granted(put.proposal), "a component without any");
    for other in [given("mine"), vec![("limit".parse().unwrap(), dig("old account"))]] {
        assert!(matches!(ask(&world, &other, Ok(world.fresh())), Err(StartError::Values(..))));
    }
    world.milestone(&put, MilestoneKind::Live);
    world.wait(30 * DAY);
    assert_eq!(ask(&world, &given("old account"), stale()).unwrap(), Footing::Runs(put.proposal));
    assert!(matches!(ask(&world, &given("mine"), stale()), Err(StartError::Values(..))), "also of what runs");
}

#[test]
fn without_the_log_what_was_begun_goes_on_and_nothing_begins() {
    let (mut world, _, second) = World::two();
    let mut starts = Starts::default();
    let mut ask = |world: &World, checkpoint| with(world, &mut starts, &second, checkpoint, &[]);
    assert!(matches!(ask(&world, stale()), Err(StartError::NoVerdict { source: CurrentError::Stale(_), .. })));
    ask(&world, Ok(world.fresh())).unwrap();
    assert_eq!(ask(&world, stale()).unwrap(), Footing::Begun(second.proposal));
    world.reject("ben", &second);
    assert!(ask(&world, stale()).is_err(), "what was read before the log went away counts");
    assert!(ask(&world, Ok(world.fresh())).is_err());
}

/// Row by row, as versions stay, go and come back; each row is asked with nothing remembered and with everything.
#[test]
fn a_version_beside_the_latest_is_started_until_it_is_retired_and_then_by_a_new_verdict_alone() {
    let mut world = World::founded(charter());
    let mut starts = Starts::default();
    let first = world.put(1, None);
    world.approve_both(&first);
    assert_eq!(beside(&world, &mut starts, &first).unwrap(), Footing::Granted(first.proposal), "remembered as begun");
    world.milestone(&first, MilestoneKind::Live);
    world.wait(60);
    let second = world.go_live(2, Some(&first));
    let third = world.go_live(3, Some(&second));
    let mut both = |world: &World, put: &Put| {
        let fresh = beside(world, &mut Starts::default(), put).ok();
        assert_eq!(beside(world, &mut starts, put).ok(), fresh, "what is remembered changes nothing");
        fresh
    };
    assert_eq!(both(&world, &first), Some(Footing::Beside(first.proposal)), "two releases back, and still beside");
    assert!(matches!(asked(&world, &first), Err(StartError::NoVerdict { .. })), "where nothing stays, it does not");

    world.milestone(&first, MilestoneKind::Retired);
    assert_eq!(both(&world, &first), None);
    world.milestone(&first, MilestoneKind::BroughtBack);
    assert_eq!(both(&world, &first), None, "the agent's word alone does not bring it back");

    let claim = Proposal { replaces: Some(third.claim.release), ..first.claim.clone() };
    let again = Put { proposal: world.propose(claim.clone()), claim, evidence: first.evidence.clone(), ..first };
    world.milestone(&again, MilestoneKind::BroughtBack);
    assert_eq!(both(&world, &again), None, "nobody has approved");
    world.approve_both(&again);
    assert_eq!(both(&world, &again), Some(Footing::Granted(again.proposal)));
    world.milestone(&again, MilestoneKind::BroughtBack);
    assert!(both(&world, &again).is_some());
    world.reject("ben", &again);
    assert_eq!(both(&world, &again), Some(Footing::Beside(again.proposal)), "its verdict was withdrawn; it runs");
    world.milestone(&again, MilestoneKind::Retired);
    // Nor does whatever the agent says of the transitions that were made.
    for what in [MilestoneKind::BroughtBack, MilestoneKind::Begun, MilestoneKind::Live] {
        for put in [&again, &first] {
            world.milestone(put, what);
            assert_eq!(both(&world, put), None, "{what:?}");
        }
    }
}

#[test]
fn a_version_that_was_gone_back_from_does_not_stay_beside() {
    let (mut world, first, second) = World::two();
    world.milestone(&second, MilestoneKind::Live);
    world.milestone(&second, MilestoneKind::WentBackErrors);
    let third = world.go_live(3, Some(&first));
    assert!(!matches!(beside(&world, &mut Starts::default(), &second), Ok(Footing::Beside(_))));
    assert!(beside(&world, &mut Starts::default(), &third).is_ok());
}
