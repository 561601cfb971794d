use ledger::statement::v1::{ChangeProblem, CommitProblem, MilestoneKind, Ruling};

use crate::{
    decide, shown,
    world::{Put, World, charter, commit, key_id},
};

fn refusal(world: &World, put: &Put) -> Option<String> {
    match decide(&world.facts(), put.proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => None,
        Ruling::Refused { reasons } => {
            Some(reasons.iter().map(|r| format!("{}: {}", r.rule, r.found)).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// A first release that runs, a change over it made otherwise, and a good one over that, proposed and approved.
fn three(
    edit: impl FnOnce(&mut ledger::statement::v1::Change),
    previous: impl FnOnce(u64, u64) -> Option<u64>,
) -> (World, Put) {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let mut between = world.good_change(2, Some(first.change));
    edit(&mut between);
    let between = world.change(between);
    let change = world.good_change(3, previous(first.change, between));
    let put = world.put_change(change, Some(&first));
    world.approve_both(&put);
    (world, put)
}

#[test]
fn every_change_since_what_runs_must_be_in_order() {
    assert_eq!(refusal_of(|_| {}), None);
    let found = refusal_of(|c| c.commits[0].requirements.clear()).unwrap();
    assert!(found.starts_with("commits-link-requirements"), "{found}");
    let found = refusal_of(|c| c.commits[0].problem = Some(CommitProblem::ForgedAuthor)).unwrap();
    assert!(found.contains("000000000000: ForgedAuthor"), "{found}");
    let found = refusal_of(|c| c.problems = vec![ChangeProblem::TooManyCommits]).unwrap();
    assert!(found.contains("change problems: TooManyCommits"), "{found}");
    let found = refusal_of(|c| c.branch = "topic".to_owned()).unwrap();
    assert!(found.contains("change-is-on-the-protected-branch"), "{found}");
    let found = refusal_of(|c| c.commits[0].key = None).unwrap();
    assert!(found.contains("no enrolled key"), "{found}");
    let found = refusal_of(|c| c.commits[0].key = Some(key_id("nobody"))).unwrap();
    assert!(found.contains("no enrolled key"), "{found}");
    let found = refusal_of(|c| c.commits[0].key = Some(key_id("builder"))).unwrap();
    assert!(found.contains("signed by somebody else"), "{found}");
    let found = refusal_of(|c| c.commits[0].key = Some(key_id("eve"))).unwrap();
    assert!(found.contains("signed by somebody else"), "{found}");
}

fn refusal_of(edit: impl FnOnce(&mut ledger::statement::v1::Change)) -> Option<String> {
    let (world, put) = three(edit, |_, between| Some(between));
    refusal(&world, &put)
}

#[test]
fn a_chain_that_leads_elsewhere_is_broken() {
    // Nothing came before, it says.
    let (world, put) = three(|_| {}, |_, _| None);
    let found = refusal(&world, &put).unwrap();
    assert!(found.contains("change problems: a change does not say what came before it"), "{found}");
    // Something that is no change, something that is not there yet, and itself.
    for previous in [0, 7, 9_999] {
        let (world, put) = three(|_| {}, |_, _| Some(previous));
        let found = refusal(&world, &put).unwrap();
        assert!(found.contains("change problems: a change before it is not there"), "{previous}: {found}");
    }
    let (world, put) = three(|_| {}, |_, between| Some(between + 1));
    assert!(refusal(&world, &put).unwrap().contains("a change before it is not there"));
}

#[test]
fn a_change_whose_builder_was_withdrawn_breaks_the_chain() {
    let (mut world, put) = three(|_| {}, |_, between| Some(between));
    world.withdraw("oli", "builder", put.change);
    // The proposal is the builder's too.
    assert!(decide(&world.facts(), put.proposal).is_err());
}

#[test]
fn commits_of_a_withdrawn_key_are_refused() {
    let (mut world, put) = three(|_| {}, |_, between| Some(between));
    assert_eq!(refusal(&world, &put), None);
    world.withdraw("oli", "dora", put.change);
    assert!(refusal(&world, &put).unwrap().contains("signed by a key that was withdrawn"));
}

#[test]
fn a_proposal_is_of_what_stands_before_it() {
    let mut world = World::founded(charter());
    let (change, build) = (world.size() + 1, world.size() + 2);
    let planned = world.good_build(1, change);
    let claim = world.good_proposal(&planned, build, None);
    let proposal = world.propose(claim.clone());
    assert_eq!(world.change(world.good_change(1, None)), change);
    assert_eq!(world.build(planned), build);
    world.tick();
    let put = Put { change, build, evidence: Vec::new(), proposal, claim };
    let found = refusal(&world, &put).unwrap();
    assert!(found.contains("change problems: a change before it is not there; no such change"), "{found}");
    assert!(found.contains("build-names-these-images"), "{found}");
}

#[test]
fn approvers_are_shown_every_commit_since_what_runs() {
    let (world, put) = three(|c| c.commits.push(commit(0x22, "eve")), |_, between| Some(between));
    let text = shown(&world.facts(), put.proposal).unwrap();
    assert!(text.contains("by eve for PAY-142"), "{text}");
    assert_eq!(text.matches(" for PAY-142").count(), 3, "{text}");
    let (world, put) = three(|_| {}, |_, _| None);
    let text = shown(&world.facts(), put.proposal).unwrap();
    assert!(text.contains("NOT ALL COMMITS: a change does not say what came before it"), "{text}");
}

#[test]
fn what_is_shown_stays_the_same_while_the_log_grows() {
    let (mut world, put) = three(|_| {}, |_, between| Some(between));
    let text = shown(&world.facts(), put.proposal).unwrap();
    world.milestone(&put, MilestoneKind::Live);
    let next = world.put(4, Some(&put));
    world.approve_both(&next);
    world.milestone(&next, MilestoneKind::Live);
    world.wait(60);
    assert_eq!(shown(&world.facts(), put.proposal).unwrap(), text);
}

#[test]
fn what_the_agent_says_runs_without_approval_is_nothing_to_build_on() {
    // Between the approved release and this one the agent says that another ran, whose commit nobody signed.
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let mut bad = world.good_change(2, Some(first.change));
    bad.commits[0].requirements.clear();
    bad.commits[0].contributors.push("ada".parse().unwrap());
    bad.suites.retain(|s| s.name.as_str() == "payments");
    let bad = world.put_with(bad, Some(&first), |_| {}, |_| {}, |p| p.removed_suites = vec!["unit".parse().unwrap()]);
    world.milestone(&bad, MilestoneKind::Live);
    let mut change = world.good_change(3, Some(bad.change));
    change.suites.retain(|s| s.name.as_str() == "payments");
    let put = world.put_change(change, Some(&bad));
    world.approve_both(&put);
    let found = refusal(&world, &put).unwrap();
    assert!(found.contains("commits-link-requirements"), "{found}");
    assert!(found.contains("approvals by contributors: ada"), "{found}");
    assert!(found.contains("unit: binds since the release before"), "{found}");

    // Nor does an approval that came only afterwards make it one.
    world.approve_both(&bad);
    assert!(refusal(&world, &put).unwrap().contains("commits-link-requirements"));

    // With nothing approved at all, nobody knows what binds.
    let mut world = World::founded(charter());
    let first = world.put(1, None);
    world.milestone(&first, MilestoneKind::Live);
    let put = world.put(2, Some(&first));
    world.approve_both(&put);
    assert!(refusal(&world, &put).unwrap().contains("what it replaces was never approved"));
}

#[test]
fn a_milestone_of_another_release_than_its_proposal_is_nothing_to_build_on() {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let second = world.put(2, Some(&first));
    world.approve_both(&second);
    // The agent says that the second proposal brought a third release.
    let mut lie = world.good_milestone(&second, MilestoneKind::Live);
    lie.release = crate::world::dig("release 3");
    world.say("agent", "agent", ledger::statement::v1::Claim::Milestone(Box::new(lie)));
    let change = world.good_change(4, Some(second.change));
    let put =
        world.put_with(change, Some(&first), |_| {}, |_| {}, |p| p.replaces = Some(crate::world::dig("release 3")));
    world.approve("ben", &put);
    world.wait(60);
    let text = shown(&world.facts(), put.proposal).unwrap();
    assert_eq!(text.matches(" for PAY-142").count(), 2, "since the first release, not since the second: {text}");
}
