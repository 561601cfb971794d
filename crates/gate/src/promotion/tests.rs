use ledger::statement::v1::{
    AfterRule, Charter, Claim, MilestoneKind, Promotion as Asked, Rejection, Rollback, Ruling,
};
use model::EnvironmentName;

use super::soaks;
use crate::{
    Dossier, decide,
    policy::DEFAULT,
    world::{Put, World, at, charter, dig},
};

const SOAK_S: u64 = 3_600;
const RULE: &str = "ran-in-the-environment-before";

fn staging() -> EnvironmentName {
    "staging".parse().unwrap()
}

/// Production comes after staging, by the charter.
fn asked() -> Charter {
    let mut charter = charter();
    charter.environments[1].after = Some(AfterRule { environment: staging(), soak_s: SOAK_S });
    charter
}

/// The rules that refuse it, with what they found.
fn refused(world: &World, put: &Put) -> Vec<(String, String)> {
    match decide(&world.facts(), put.proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons.into_iter().map(|r| (r.rule, r.found)).collect(),
    }
}

fn waits(world: &World, put: &Put, found: &str) {
    assert_eq!(refused(world, put), [(RULE.to_owned(), format!("promotion missing: staging: {found}"))]);
}

/// A release approved in staging, that has not begun there.
fn in_staging(world: &mut World, ordinal: u64, over: Option<&Put>) -> Put {
    let change = world.good_change(ordinal, over.map(|o| o.change));
    let put = world.put_with(change, over, |_| {}, |_| {}, |p| p.environment = staging());
    world.approve_both(&put);
    put
}

/// The same release, approved in production.
fn in_production(world: &mut World, staged: &Put, replaces: Option<&Put>) -> Put {
    let mut claim = staged.claim.clone();
    claim.environment = "production".parse().unwrap();
    claim.replaces = replaces.map(|put| put.claim.release);
    let proposal = world.propose(claim.clone());
    let put = Put { proposal, claim, ..staged.clone() };
    world.approve_both(&put);
    put
}

fn both(charter: Charter) -> (World, Put, Put) {
    let mut world = World::founded(charter);
    let staged = in_staging(&mut world, 1, None);
    let put = in_production(&mut world, &staged, None);
    (world, staged, put)
}

#[test]
fn it_must_have_run_before_without_a_break_for_as_long_as_is_asked() {
    let (mut world, staged, put) = both(asked());
    waits(&world, &put, "it has not run there");
    world.milestone(&staged, MilestoneKind::Healthy);
    world.wait(SOAK_S);
    waits(&world, &put, "it has not run there");
    world.milestone(&staged, MilestoneKind::Live);
    waits(&world, &put, "its soak begins with the next tick");
    world.wait(60);
    let until = at(world.now + SOAK_S);
    waits(&world, &put, &format!("it must go on running there until {until}"));
    assert_eq!(soaks(&world.facts()), [until]);
    let left = Dossier::gather(&world.facts(), put.proposal).unwrap().promotions[0].left_s(at(world.now));
    assert_eq!(left, Some(SOAK_S));
    // What an agent says again begins nothing again.
    world.wait(SOAK_S - 1);
    world.milestone(&staged, MilestoneKind::Live);
    waits(&world, &put, &format!("it must go on running there until {until}"));
    world.wait(1);
    assert_eq!(refused(&world, &put), []);
    assert_eq!(soaks(&world.facts()), []);
    // And it stays so when staging goes on.
    let next = in_staging(&mut world, 2, Some(&staged));
    world.milestone(&next, MilestoneKind::Live);
    world.wait(60);
    assert_eq!(refused(&world, &put), []);
}

#[test]
fn what_was_replaced_too_soon_has_not_soaked_and_two_short_times_are_not_a_long_one() {
    let (mut world, staged, put) = both(asked());
    world.milestone(&staged, MilestoneKind::Live);
    world.wait(SOAK_S / 2);
    world.wait(SOAK_S / 2);
    let next = in_staging(&mut world, 2, Some(&staged));
    world.milestone(&next, MilestoneKind::Live);
    world.wait(SOAK_S);
    // The soak counts from the first tick that covers its being live: half of the time, and two minutes.
    waits(&world, &put, &format!("something else ran there before it had run for {SOAK_S} s"));
    let later = in_production(&mut world, &next, None);
    world.wait(SOAK_S);
    assert_eq!(refused(&world, &later), []);
    // The second goes back, and the first runs again: a time of its own.
    world.milestone(&next, MilestoneKind::WentBackErrors);
    world.wait(60);
    let until = at(world.now + SOAK_S);
    waits(&world, &put, &format!("it must go on running there until {until}"));
    world.wait(SOAK_S);
    assert_eq!(refused(&world, &put), []);
}

#[test]
fn what_went_back_there_never_goes_on_whatever_else_is_said() {
    let (mut world, staged, put) = both(asked());
    world.milestone(&staged, MilestoneKind::Live);
    world.wait(60);
    world.wait(SOAK_S);
    assert_eq!(refused(&world, &put), []);
    let back = world.milestone(&staged, MilestoneKind::WentBackErrors);
    let words = format!("it went back there, at log index {back}");
    waits(&world, &put, &words);
    // Put up and approved again, live again for long: bad news sticks to the digest.
    let again = world.propose(staged.claim.clone());
    let again = Put { proposal: again, ..staged };
    world.approve_both(&again);
    world.milestone(&again, MilestoneKind::Live);
    world.wait(60);
    world.wait(SOAK_S);
    waits(&world, &put, &words);
    // Also when the agent's key is withdrawn from before it said so.
    world.withdraw("oli", "agent", back);
    waits(&world, &put, &words);
}

#[test]
fn an_order_to_go_back_and_a_rejection_count_like_going_back() {
    let soaked = || {
        let (mut world, staged, put) = both(asked());
        world.milestone(&staged, MilestoneKind::Live);
        world.wait(60);
        world.wait(SOAK_S);
        assert_eq!(refused(&world, &put), []);
        (world, staged, put)
    };
    let (mut world, staged, put) = soaked();
    let order = Rollback { environment: staging(), from: staged.claim.release, to: dig("before") };
    let order = world.say("oli", "operator", Claim::Rollback(order));
    waits(&world, &put, &format!("going back from it was ordered there, at log index {order}"));

    let (mut world, staged, put) = soaked();
    let rejection = Rejection { proposal: staged.proposal, release: staged.claim.release, reason: None };
    let place = |h: &mut ledger::statement::v1::Header| h.environment = Some(staging());
    world.say_with("cid", "release-manager", Claim::Rejection(rejection), place);
    waits(&world, &put, "what ran there was rejected");
}

#[test]
fn an_agents_word_counts_only_for_what_people_approved_there() {
    let mut world = World::founded(asked());
    let change = world.good_change(1, None);
    let staged = world.put_with(change, None, |_| {}, |_| {}, |p| p.environment = staging());
    world.approve("ada", &staged);
    world.milestone(&staged, MilestoneKind::Live);
    let put = in_production(&mut world, &staged, None);
    world.wait(SOAK_S);
    waits(&world, &put, "it ran there without approval");
    // Approvals that come after it went live made nothing good.
    world.approve("ben", &staged);
    world.wait(SOAK_S);
    waits(&world, &put, "it ran there without approval");
    // Under the proposal for production, or another release's, it is not what ran there.
    let mut milestone = world.good_milestone(&put, MilestoneKind::Live);
    milestone.environment = staging();
    world.say("agent", "agent", Claim::Milestone(Box::new(milestone)));
    world.wait(60);
    world.wait(SOAK_S);
    waits(&world, &put, "it ran there without approval");
}

#[test]
fn what_a_withdrawn_agent_said_is_not_heard() {
    let (mut world, staged, put) = both(asked());
    let live = world.milestone(&staged, MilestoneKind::Live);
    world.wait(60);
    world.wait(SOAK_S);
    assert_eq!(refused(&world, &put), []);
    world.withdraw("oli", "agent", live);
    waits(&world, &put, "it has not run there");
}

#[test]
fn neither_the_new_manifest_nor_a_persons_proposal_loosens_it() {
    // The charter asks for nothing; the manifest of what runs does.
    let ask = |soak_s| vec![Asked { environment: "production".parse().unwrap(), after: staging(), soak_s }];
    let mut world = World::founded(charter());
    let mut change = world.good_change(1, None);
    change.promotions = ask(SOAK_S);
    let staged = world.put_with(change, None, |_| {}, |_| {}, |p| p.environment = staging());
    world.approve_both(&staged);
    let first = in_production(&mut world, &staged, None);
    waits(&world, &first, "it has not run there");
    world.milestone(&staged, MilestoneKind::Live);
    world.wait(60);
    world.wait(SOAK_S);
    assert_eq!(refused(&world, &first), []);
    world.milestone(&first, MilestoneKind::Live);
    world.wait(60);
    // The next change takes it out, and a person puts that up: it is judged by what runs.
    let next = in_staging(&mut world, 2, Some(&staged));
    let mut claim = next.claim.clone();
    claim.environment = "production".parse().unwrap();
    claim.replaces = Some(first.claim.release);
    let proposal = world.say("dora", "developer", Claim::Proposal(Box::new(claim.clone())));
    let second = Put { proposal, claim, ..next.clone() };
    world.approve_both(&second);
    waits(&world, &second, "it has not run there");
    world.milestone(&next, MilestoneKind::Live);
    world.wait(60);
    world.wait(SOAK_S);
    assert_eq!(refused(&world, &second), []);
    world.milestone(&second, MilestoneKind::Live);
    world.wait(60);
    // What runs now asks for nothing any more; the third asks for more than it is given.
    let mut change = world.good_change(3, Some(next.change));
    change.promotions = ask(2 * SOAK_S);
    let third = world.put_with(change, Some(&second), |_| {}, |_| {}, |_| {});
    world.approve_both(&third);
    waits(&world, &third, "it has not run there");
}

#[test]
fn a_policy_that_forgot_it_gives_nothing_away() {
    let mut charter = asked();
    charter.policy = r#"@id("all") permit(principal, action, resource);"#.to_owned();
    let (world, _, put) = both(charter);
    let rules: Vec<String> = refused(&world, &put).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, [RULE]);
    assert!(DEFAULT.contains(&format!("@id(\"{RULE}\")")));
}

#[test]
fn an_environment_that_the_charter_does_not_have_is_never_run_in() {
    let mut world = World::founded(charter());
    let mut change = world.good_change(1, None);
    let into: EnvironmentName = "production".parse().unwrap();
    for (after, words) in [("elsewhere", "elsewhere"), ("production", "production")] {
        change.promotions = vec![Asked { environment: into.clone(), after: after.parse().unwrap(), soak_s: 0 }];
        change.ordinal += 1;
        let put = world.put_change(change.clone(), None);
        world.approve_both(&put);
        let found = format!("promotion missing: {words}: the charter has no such environment before this one");
        assert!(refused(&world, &put).contains(&(RULE.to_owned(), found)));
        change.previous = Some(put.change);
    }
}

#[test]
fn an_emergency_goes_before_it_ran_there_but_never_against_what_was_found() {
    let mut charter = crate::world::with_emergencies();
    charter.environments[1].after = Some(AfterRule { environment: staging(), soak_s: SOAK_S });
    let mut world = World::founded(charter);
    let staged = in_staging(&mut world, 1, None);
    world.milestone(&staged, MilestoneKind::Live);
    world.wait(60);
    world.wait(SOAK_S);
    let first = in_production(&mut world, &staged, None);
    world.milestone(&first, MilestoneKind::Live);
    world.wait(60);
    let urgent = world.urgent(2, &first, ("dora", "developer"));
    world.approve_both(&urgent);
    assert_eq!(refused(&world, &urgent), []);
    // It is tried in staging after all, and goes back there.
    let mut claim = urgent.claim.clone();
    (claim.environment, claim.replaces, claim.emergency) = (staging(), Some(staged.claim.release), false);
    let proposal = world.propose(claim.clone());
    let tried = Put { proposal, claim, ..urgent.clone() };
    let back = world.milestone(&tried, MilestoneKind::WentBackErrors);
    waits(&world, &urgent, &format!("it went back there, at log index {back}"));
}
