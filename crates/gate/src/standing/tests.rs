use ledger::statement::v1::{
    Claim, Evidence, EvidenceOn, EvidenceOutcome, EvidenceReason, MilestoneKind, Proposal, Ruling, SuiteKind, SuiteOn,
    Totals,
};
use model::Digest;

use crate::{
    WHOLE_SUITE, decide, shown,
    world::{DAY, Put, World, at, charter, dig, suite},
};

fn refusal(world: &World, put: &Put) -> Option<String> {
    match decide(&world.facts(), put.proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => None,
        Ruling::Refused { reasons } => {
            Some(reasons.iter().map(|r| format!("{}: {}", r.rule, r.found)).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// The second release with its evidence made otherwise, approved.
fn tested(edit: impl Fn(&mut Evidence)) -> (World, Put) {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let change = world.good_change(2, Some(first.change));
    let put = world.put_with(change, Some(&first), |_| {}, edit, |_| {});
    world.approve_both(&put);
    (world, put)
}

fn is_payments(e: &Evidence) -> bool {
    e.suite.as_str() == "payments"
}

#[test]
fn evidence_that_does_not_show_it() {
    type Edit = fn(&mut Evidence);
    let rows: [(&str, Edit); 15] = [
        ("payments: only tested on something else", |e| {
            if let EvidenceOn::Containers { images, .. } = &mut e.on {
                images[0].image = dig("another");
            }
        }),
        ("payments: only tested on something else", |e| {
            if let EvidenceOn::Containers { release, .. } = &mut e.on {
                *release = dig("another");
            }
        }),
        ("unit: only tested on something else", |e| {
            if let EvidenceOn::Source { commit } = &mut e.on {
                *commit = "00000000000000000000000000000000000000ff".parse().unwrap();
            }
        }),
        ("payments: only tested on something else", |e| {
            e.on = EvidenceOn::Source { commit: format!("{:040x}", 2).parse().unwrap() };
        }),
        ("payments: tested with another definition", |e| e.definition = dig("another")),
        ("payments: tested with another definition", |e| e.files = dig("another")),
        ("payments: tested with another definition", |e| e.kind = SuiteKind::Smoke),
        ("payments: no case passed", |e| e.totals = Totals::default()),
        ("payments: 2 cases skipped, 0 excepted", |e| e.totals.skipped = 2),
        ("payments: 2 cases skipped, 1 excepted", |e| {
            e.totals.skipped = 2;
            e.excepted = vec![dig("case"), dig("case")];
        }),
        ("payments: 1 exceptions that two persons", |e| {
            e.totals.skipped = 1;
            e.excepted = vec![dig("case")];
        }),
        ("payments: the evidence says that it passed, and why it did not", |e| e.totals.failed = 1),
        ("payments: the evidence says that it passed, and why it did not", |e| e.missing = vec![dig("case")]),
        ("payments: not tested (NoReport), 0 missing, 0 skipped", |e| {
            e.outcome = EvidenceOutcome::NotTested;
            e.reasons = vec![EvidenceReason::NoReport];
        }),
        ("payments: not compared with the cases of what runs", |e| e.baseline = None),
    ];
    for (words, edit) in rows {
        let (world, put) = tested(|e| {
            if is_payments(e) || words.starts_with("unit") {
                edit(e);
            }
        });
        let found = refusal(&world, &put).expect(words);
        assert!(found.contains(words), "wanted {words}, got {found}");
    }
}

#[test]
fn the_baseline_is_something_that_ran_and_passed() {
    // Evidence of a change that never ran.
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let never = world.put(2, Some(&first));
    let change = world.good_change(3, Some(never.change));
    let other = never.evidence[0];
    let put = world.put_with(change, Some(&first), |_| {}, |e| e.baseline = Some(other), |_| {});
    world.approve_both(&put);
    assert!(
        refusal(&world, &put).unwrap().contains("payments: compared with the cases of something that does not run")
    );

    // A run that itself did not count, of what runs: it has no cases, so nothing can be missing.
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let facts = world.facts();
    let mut empty = facts.one_evidence(first.evidence[0]).unwrap().claim.clone();
    empty.outcome = EvidenceOutcome::NotTested;
    let empty = world.evidence(empty);
    let change = world.good_change(2, Some(first.change));
    let put = world.put_with(change, Some(&first), |_| {}, |e| e.baseline = Some(empty), |_| {});
    world.approve_both(&put);
    assert!(refusal(&world, &put).unwrap().contains("compared with the cases of something that does not run"));
}

#[test]
fn a_failure_sticks() {
    let (mut world, put) = tested(|_| {});
    assert_eq!(refusal(&world, &put), None);
    let good = world.facts().one_evidence(put.evidence[0]).unwrap().claim.clone();
    let mut bad = good.clone();
    bad.outcome = EvidenceOutcome::Failed;
    bad.reasons = vec![EvidenceReason::Failed];
    bad.totals.failed = 1;
    let failed = world.evidence(bad.clone());
    world.evidence(good.clone());
    world.wait(60);
    assert!(refusal(&world, &put).unwrap().contains("payments: failed, 1 of 13 cases"));
    // Nor does withdrawing the key that said so make it go away.
    world.withdraw("oli", "tester", failed);
    assert!(refusal(&world, &put).unwrap().contains("payments: failed"));

    // Said about another change, it is still about this release.
    let (mut world, put) = tested(|_| {});
    bad.change = 3;
    world.evidence(bad);
    assert!(refusal(&world, &put).unwrap().contains("payments: failed"));

    // A later run that does not count withdraws too, until one passes again.
    let (mut world, put) = tested(|_| {});
    let mut none = good.clone();
    none.outcome = EvidenceOutcome::NotTested;
    none.reasons = vec![EvidenceReason::TimedOut];
    world.evidence(none);
    assert!(refusal(&world, &put).unwrap().contains("payments: not tested (TimedOut)"));
    // The old pass repeated by the log is no new one.
    world.repeat(put.evidence[0]);
    assert!(refusal(&world, &put).unwrap().contains("payments: not tested (TimedOut)"));
    world.evidence(good);
    assert_eq!(refusal(&world, &put), None);
}

#[test]
fn evidence_of_a_withdrawn_key_is_none() {
    let (mut world, put) = tested(|_| {});
    world.withdraw("oli", "tester", put.evidence[0]);
    let found = refusal(&world, &put).unwrap();
    assert!(found.contains("payments: not run"), "{found}");
    // And the proposal that shows it shows something else now: the approvals were of the other text.
    assert!(found.contains("approvals that do not fit: ada; ben"), "{found}");
}

#[test]
fn no_one_key_makes_both() {
    let mut charter = charter();
    charter
        .roles
        .iter_mut()
        .find(|r| r.name.as_str() == "builder")
        .unwrap()
        .says
        .push(ledger::statement::v1::Kind::Evidence);
    let mut world = World::founded(charter);
    let put = world.put(1, None);
    world.approve_both(&put);
    assert_eq!(refusal(&world, &put), None);
    let mut own = world.facts().one_evidence(put.evidence[0]).unwrap().claim.clone();
    own.cases = None;
    world.say("builder", "builder", Claim::Evidence(Box::new(own)));
    world.wait(60);
    assert!(refusal(&world, &put).unwrap().contains("payments: tested by the one who built it"));
}

#[test]
fn exceptions_take_two_who_did_not_contribute_and_end() {
    let (mut world, put) = tested(|e| {
        if is_payments(e) {
            e.totals.skipped = 1;
            e.excepted = vec![dig("case")];
        }
    });
    let ends = world.now + 3_600;
    world.except("ada", "payments", dig("case"), ends);
    world.except("ada/2", "payments", dig("case"), ends);
    // Bob controls the builder that proposed; other words, another suite and another case do not add up.
    world.except("bob", "payments", dig("case"), ends);
    world.except("ben", "payments", dig("case"), ends + 1);
    world.except("cid", "unit", dig("case"), ends);
    world.except("cid", "payments", dig("other"), ends);
    world.tick();
    assert!(refusal(&world, &put).unwrap().contains("payments: 1 exceptions"));
    let last = world.except("cid", "payments", dig("case"), ends);
    world.tick();
    let verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
    assert_eq!(verdict.ruling, Ruling::Granted { until: at(ends) }, "a verdict ends with what it rests on");
    assert!(verdict.rests_on.contains(&last));
    world.wait(3_600);
    assert!(refusal(&world, &put).unwrap().contains("payments: 1 exceptions"));
}

#[test]
fn what_binds_can_not_be_removed_by_the_change() {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let mut change = world.good_change(2, Some(first.change));
    change.suites.retain(|s| s.name.as_str() != "unit");
    let put =
        world.put_with(change, Some(&first), |_| {}, |_| {}, |p| p.removed_suites = vec!["unit".parse().unwrap()]);
    world.approve_both(&put);
    let found = refusal(&world, &put).unwrap();
    assert!(found.contains("unit: binds since the release before, and the change removes it"), "{found}");
    let ends = world.now + DAY / 2;
    for who in ["ada", "cid"] {
        world.except(who, "unit", Digest::of(WHOLE_SUITE), ends);
    }
    world.tick();
    let verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
    assert_eq!(verdict.ruling, Ruling::Granted { until: at(ends) });
    // Whoever proposed it must have said so.
    let mut silent = put.claim.clone();
    silent.removed_suites.clear();
    let silent = Put { proposal: world.propose(silent.clone()), claim: silent, ..put };
    world.tick();
    world.approve_both(&silent);
    assert!(refusal(&world, &silent).unwrap().contains("edits-of-suites-are-shown"));
}

#[test]
fn making_a_suite_weaker_is_an_edit() {
    type Edit = fn(&mut ledger::statement::v1::SuiteFact);
    let edits: [Edit; 4] = [
        |s| s.kind = SuiteKind::Load,
        |s| s.on = SuiteOn::Containers,
        |s| s.definition = dig("weaker"),
        |s| s.files = dig("weaker"),
    ];
    for (number, edit) in edits.iter().enumerate() {
        for told in [false, true] {
            let mut world = World::founded(charter());
            let first = world.go_live(1, None);
            let mut change = world.good_change(2, Some(first.change));
            edit(change.suites.iter_mut().find(|s| s.name.as_str() == "unit").unwrap());
            let edited = if told { vec!["unit".parse().unwrap()] } else { Vec::new() };
            let put = world.put_with(change, Some(&first), |_| {}, |_| {}, |p| p.edited_suites = edited);
            world.approve_both(&put);
            let found = refusal(&world, &put).unwrap_or_default();
            assert_eq!(found.contains("edits-of-suites-are-shown"), !told, "{number}: {found}");
        }
    }
}

#[test]
fn what_binds_still_binds_when_the_key_that_proposed_it_is_withdrawn() {
    let mut world = World::founded(charter());
    let change = world.good_change(1, None);
    let put = world.put_change(change, None);
    let own = world.say("eve", "developer", Claim::Proposal(Box::new(put.claim.clone())));
    let first = Put { proposal: own, ..put };
    world.tick();
    world.approve_both(&first);
    world.milestone(&first, ledger::statement::v1::MilestoneKind::Live);
    world.wait(60);
    world.withdraw("oli", "eve", first.proposal);
    let mut change = world.good_change(2, Some(first.change));
    change.suites.retain(|s| s.name.as_str() != "unit");
    let second = world.put_change(change, Some(&first));
    world.approve_both(&second);
    let found = refusal(&world, &second).unwrap();
    assert!(found.contains("unit: binds since the release before"), "{found}");
}

#[test]
fn what_ran_here_is_brought_back_by_the_tests_of_its_time_and_a_quorum_of_today() {
    let (mut world, put) = World::brought_back(|_, _| {});
    let text = shown(&world.facts(), put.proposal).unwrap();
    assert!(text.contains("BROUGHT BACK: it came here under proposal"), "{text}");
    let found = refusal(&world, &put).unwrap();
    assert!(found.starts_with("quorum-has-approved") && !found.contains('\n'), "{found}");
    world.approve_both(&put);
    assert_eq!(refusal(&world, &put), None);

    // That it was run again, over cases that it does not have, shows nothing; that it failed does.
    let (mut world, put) = World::brought_back(|world, first| {
        let facts = world.facts();
        let newest = facts.proposals().last().unwrap().claim.change;
        let newer = facts.evidence(newest).find(|e| is_payments(&e.claim)).unwrap().index;
        let old = first.evidence.iter().filter_map(|index| facts.one_evidence(*index)).find(|e| is_payments(&e.claim));
        let mut again = old.unwrap().claim.clone();
        again.baseline = Some(newer);
        again.outcome = EvidenceOutcome::NotTested;
        again.reasons = vec![EvidenceReason::Missing];
        again.missing = vec![dig("a new case")];
        world.evidence(again);
    });
    world.approve_both(&put);
    assert_eq!(refusal(&world, &put), None);
    let (mut world, put) = World::brought_back(|world, first| {
        let mut bad = world.facts().one_evidence(first.evidence[0]).unwrap().claim.clone();
        bad.outcome = EvidenceOutcome::Failed;
        bad.reasons = vec![EvidenceReason::Failed];
        bad.totals.failed = 1;
        world.evidence(bad);
    });
    world.approve_both(&put);
    assert!(refusal(&world, &put).unwrap().contains(": failed, 1 of 13 cases"));
}

/// The agent's word makes nothing that ran here: a release that its people had not approved is judged over what runs.
#[test]
fn what_never_ran_by_approval_is_not_brought_back() {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    let never = world.put(2, Some(&first));
    world.milestone(&never, MilestoneKind::Live);
    world.milestone(&never, MilestoneKind::WentBackErrors);
    let mut change = world.good_change(3, Some(first.change));
    change.suites.push(suite("limits", SuiteKind::Full, SuiteOn::Containers));
    let third = world.put_change(change, Some(&first));
    world.approve_both(&third);
    world.milestone(&third, MilestoneKind::Live);
    let claim = Proposal { replaces: Some(third.claim.release), ..never.claim.clone() };
    let put = Put { proposal: world.propose(claim.clone()), claim, ..never };
    world.wait(60);
    world.approve_both(&put);
    let text = shown(&world.facts(), put.proposal).unwrap();
    assert!(!text.contains("BROUGHT BACK"), "{text}");
    assert!(refusal(&world, &put).unwrap().contains("limits: binds since the release before"));
}

/// What an agent says of a release that people approved and the gate refused does not loosen what it is judged by.
#[test]
fn the_agents_word_for_what_was_replaced_loosens_nothing() {
    let limits = || suite("limits", SuiteKind::Full, SuiteOn::Containers);
    let again = |world: &mut World, put: &Put, over: &Put| {
        let claim = Proposal { replaces: Some(over.claim.release), ..put.claim.clone() };
        let put = Put { proposal: world.propose(claim.clone()), claim, ..put.clone() };
        world.wait(60);
        world.approve_both(&put);
        assert!(!shown(&world.facts(), put.proposal).unwrap().contains("BROUGHT BACK"));
        let found = refusal(world, &put).unwrap();
        assert!(found.contains("limits: binds since the release before"), "{found}");
    };
    for replaced in [true, false] {
        // The second removes a suite, and is refused for that; the agent says that it came, over the first or over nothing.
        let mut world = World::founded(charter());
        let mut change = world.good_change(1, None);
        change.suites.push(limits());
        let first = world.put_change(change, None);
        world.approve_both(&first);
        world.milestone(&first, MilestoneKind::Live);
        world.wait(60);
        let second = world.put(2, Some(&first));
        world.approve_both(&second);
        let mut lie = world.good_milestone(&second, MilestoneKind::Live);
        lie.other = lie.other.filter(|_| replaced);
        world.say("agent", "agent", Claim::Milestone(Box::new(lie)));
        world.milestone(&second, MilestoneKind::WentBackErrors);
        again(&mut world, &second, &first);
    }
    for rejected in [true, false] {
        // The second never ran; the agent says so once something runs that brought a suite.
        let mut world = World::founded(charter());
        let first = world.go_live(1, None);
        let second = world.put(2, Some(&first));
        world.approve_both(&second);
        if rejected {
            world.reject("cid", &second);
        }
        let mut change = world.good_change(3, Some(second.change));
        change.suites.push(limits());
        let third = world.put_change(change, Some(&first));
        world.approve_both(&third);
        world.milestone(&third, MilestoneKind::Live);
        world.wait(60);
        world.milestone(&second, MilestoneKind::Live);
        world.milestone(&second, MilestoneKind::WentBackErrors);
        again(&mut world, &second, &third);
    }
}
