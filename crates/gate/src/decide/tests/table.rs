//! Refusals as a table: a row a reason, in the order of the default policy. Each row changes one thing of a world
//! in which everything is in order, and must be refused by that rule alone.

use ledger::statement::v1::{
    ChangeProblem, Claim, CommitProblem, Evidence, EvidenceOutcome, EvidenceReason, MilestoneKind, Promotion, Reason,
    Ruling, SuiteKind, SuiteOn,
};

use crate::{
    decide,
    world::{DAY, EPOCH, Put, World, charter, dig, guarded, suite, two_builders, with_emergencies},
};

struct Row {
    what: &'static str,
    rules: &'static [&'static str],
    found: &'static str,
    world: fn() -> (World, u64),
}

/// The second release with a change made otherwise.
fn changed(edit: impl FnOnce(&mut ledger::statement::v1::Change)) -> (World, u64) {
    let (mut world, first) = first();
    let mut change = world.good_change(2, Some(first.change));
    edit(&mut change);
    let put = world.put_change(change, Some(&first));
    world.approve_both(&put);
    (world, put.proposal)
}

fn tested(edit: impl Fn(&mut Evidence)) -> (World, u64) {
    let (mut world, first) = first();
    let change = world.good_change(2, Some(first.change));
    let put = world.put_with(change, Some(&first), |_| {}, edit, |_| {});
    world.approve_both(&put);
    (world, put.proposal)
}

fn proposed(edit: impl FnOnce(&mut ledger::statement::v1::Proposal)) -> (World, u64) {
    let (mut world, first) = first();
    let change = world.good_change(2, Some(first.change));
    let put = world.put_with(change, Some(&first), |_| {}, |_| {}, edit);
    world.approve_both(&put);
    (world, put.proposal)
}

pub(super) fn first() -> (World, Put) {
    let mut world = World::founded(charter());
    let first = world.go_live(1, None);
    (world, first)
}

fn then(act: impl FnOnce(&mut World, &Put, &Put)) -> (World, u64) {
    let (mut world, first, second) = World::two();
    act(&mut world, &first, &second);
    (world, second.proposal)
}

const ROWS: &[Row] = &[
    Row {
        what: "a founder has not signed the charter",
        rules: &["charter-is-signed"],
        found: "",
        world: || {
            let mut world = World::empty(charter());
            world.found(&["ada"]);
            world.tick();
            let put = world.put(1, None);
            world.approve_both(&put);
            (world, put.proposal)
        },
    },
    Row {
        what: "the proposal has expired",
        rules: &["proposal-is-in-time"],
        found: "",
        world: || {
            let (mut world, first) = first();
            let put = world.put(2, Some(&first));
            let mut short = put.clone();
            short.proposal = world.say_with("builder", "builder", Claim::Proposal(Box::new(put.claim.clone())), |h| {
                h.expires = crate::world::at(EPOCH + 3_600);
            });
            world.approve_both(&short);
            world.wait(3_600);
            (world, short.proposal)
        },
    },
    Row {
        what: "another branch",
        rules: &["change-is-on-the-protected-branch"],
        found: "",
        world: || changed(|c| c.branch = "topic".to_owned()),
    },
    Row {
        what: "not a fast-forward",
        rules: &["change-is-on-the-protected-branch"],
        found: "change problems: NotFastForward",
        world: || changed(|c| c.problems = vec![ChangeProblem::NotFastForward]),
    },
    Row {
        what: "an unsigned commit",
        rules: &["change-is-on-the-protected-branch", "commits-are-signed-by-enrolled-people"],
        found: "000000000000: Unsigned",
        world: || {
            changed(|c| {
                c.commits[0].problem = Some(CommitProblem::Unsigned);
                c.commits[0].key = None;
            })
        },
    },
    Row {
        what: "a commit without a requirement",
        rules: &["commits-link-requirements"],
        found: "commits without requirement: 000000000000",
        world: || changed(|c| c.commits[0].requirements.clear()),
    },
    Row {
        what: "the build is of other images",
        rules: &["build-names-these-images"],
        found: "",
        world: || {
            let (mut world, first) = first();
            let change = world.good_change(2, Some(first.change));
            let images = world.good_build(2, 0).images;
            let evidence = images.clone();
            let put = world.put_with(
                change,
                Some(&first),
                |b| b.images[0].image = crate::world::dig("slipped in"),
                |e| {
                    if let ledger::statement::v1::EvidenceOn::Containers { images, .. } = &mut e.on {
                        images.clone_from(&evidence);
                    }
                },
                |p| p.images = images,
            );
            world.approve_both(&put);
            (world, put.proposal)
        },
    },
    Row {
        what: "one builder where two are asked for",
        rules: &["builders-agree"],
        found: "builders: 1, builders needed: 2",
        world: || {
            let mut world = World::founded(two_builders("cid"));
            let put = world.put(1, None);
            world.approve_both(&put);
            (world, put.proposal)
        },
    },
    Row {
        what: "two builders that made different images",
        rules: &["builders-agree"],
        found: "second made web ",
        world: || {
            let mut world = World::founded(two_builders("cid"));
            let put = world.put(1, None);
            let mut build = world.good_build(1, put.change);
            build.images[1].image = crate::world::dig("other");
            world.say("second", "builder", Claim::Build(Box::new(build)));
            world.approve_both(&put);
            (world, put.proposal)
        },
    },
    Row {
        what: "an emergency by a robot, where the charter knows none",
        rules: &["emergency-is-allowed"],
        found: "",
        world: || proposed(|p| p.emergency = true),
    },
    Row {
        what: "what runs went in an emergency and owes its evidence",
        rules: &["emergency-is-made-good"],
        found: "emergency owes: bank-000002: no full suite drove containers started from its images; bank-000002: payments: not run",
        world: || {
            let mut world = World::founded(with_emergencies());
            let first = world.go_live(1, None);
            let urgent = world.urgent(2, &first, ("dora", "developer"));
            world.approve_both(&urgent);
            world.milestone(&urgent, MilestoneKind::Live);
            let next = world.put(3, Some(&urgent));
            world.approve_both(&next);
            (world, next.proposal)
        },
    },
    Row {
        what: "a suite failed",
        rules: &["full-suites-passed", "tested-as-containers"],
        found: "suites not passed: payments: failed, 1 of 13 cases",
        world: || {
            tested(|e| {
                if e.suite.as_str() == "payments" {
                    e.outcome = EvidenceOutcome::Failed;
                    e.totals.failed = 1;
                    e.reasons = vec![EvidenceReason::Failed];
                }
            })
        },
    },
    Row {
        what: "no suite on containers",
        rules: &["tested-as-containers"],
        found: "full suites on containers: 0",
        world: || {
            let mut world = World::founded(charter());
            let mut change = world.good_change(1, None);
            change.suites = vec![suite("unit", SuiteKind::Full, SuiteOn::Source)];
            let put = world.put_change(change, None);
            world.approve_both(&put);
            (world, put.proposal)
        },
    },
    Row {
        what: "an edited suite is not told",
        rules: &["edits-of-suites-are-shown"],
        found: "",
        world: || changed(|c| c.suites[0].files = crate::world::dig("weaker")),
    },
    Row {
        what: "an edit is told that there is not",
        rules: &["edits-of-suites-are-shown"],
        found: "",
        world: || proposed(|p| p.edited_suites = vec!["unit".parse().unwrap()]),
    },
    Row {
        what: "one approval",
        rules: &["quorum-has-approved"],
        found: "approvals: 1, approvals needed: 2",
        world: || {
            let (mut world, first) = first();
            let put = world.put(2, Some(&first));
            world.approve("ada", &put);
            world.wait(60);
            (world, put.proposal)
        },
    },
    Row {
        what: "the cool-off is not over",
        rules: &["cool-off-is-over"],
        found: "cool off s: 900, cool off left: until ",
        world: || {
            let mut charter = charter();
            charter.environments[1].cool_off_s = 900;
            let mut world = World::founded(charter);
            let put = world.put(1, None);
            world.approve_both(&put);
            world.wait(899);
            (world, put.proposal)
        },
    },
    Row {
        what: "a guarded value that is not in force any more",
        rules: &["guarded-values-are-in-force"],
        found: "values not in force: payout: ",
        world: || {
            let mut world = World::founded(guarded());
            let old = world.value_in_force("first", None);
            world.value_in_force("second", Some(old));
            let put = world.put_reading(1, None, &[(old, dig("first"))]);
            (world, put.proposal)
        },
    },
    Row {
        what: "a rejection",
        rules: &["nobody-rejected-it"],
        found: "rejections: 1",
        world: || {
            then(|w, _, second| {
                w.reject("cid", second);
            })
        },
    },
    Row {
        what: "it has not run in staging",
        rules: &["ran-in-the-environment-before"],
        found: "promotion missing: staging: it has not run there",
        world: || {
            changed(|c| {
                let (environment, after) = (crate::world::production(), "staging".parse().unwrap());
                c.promotions.push(Promotion { environment, after, soak_s: 0 });
            })
        },
    },
    Row {
        what: "something else runs by now",
        rules: &["replaces-what-runs"],
        found: "",
        world: || {
            then(|w, first, _| {
                let mut other = w.put(3, Some(first));
                other.claim.replaces = Some(first.claim.release);
                w.approve_both(&other);
                w.milestone(&other, MilestoneKind::Live);
            })
        },
    },
    Row {
        what: "it went back",
        rules: &["not-gone-back-from"],
        found: "",
        world: || {
            then(|w, _, second| {
                w.milestone(second, MilestoneKind::WentBackErrors);
            })
        },
    },
    Row {
        what: "a halt",
        rules: &["not-halted"],
        found: "",
        world: || {
            then(|w, _, _| {
                w.halt("oli");
            })
        },
    },
];

fn reasons(world: &World, proposal: u64) -> Vec<Reason> {
    match decide(&world.facts(), proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons,
    }
}

#[test]
fn each_rule_refuses_alone() {
    for row in ROWS {
        let (world, proposal) = (row.world)();
        let reasons = reasons(&world, proposal);
        let rules: Vec<&str> = reasons.iter().map(|r| r.rule.as_str()).collect();
        assert_eq!(rules, row.rules, "{}: {reasons:#?}", row.what);
        let found: Vec<&str> = reasons.iter().map(|r| r.found.as_str()).collect();
        assert!(found.iter().any(|f| f.contains(row.found)), "{}: {found:?}", row.what);
        assert!(reasons.iter().all(|r| !r.needed.is_empty()), "{}", row.what);
    }
}

#[test]
fn every_rule_of_the_default_policy_has_a_row() {
    let text = crate::policy::DEFAULT;
    for id in text.split("@id(\"").skip(1).filter_map(|t| t.split('"').next()) {
        // Without a time in the log nothing can be in time, so these two are tried in rows of their own.
        let elsewhere = ["may-release", "time-is-known"];
        assert!(elsewhere.contains(&id) || ROWS.iter().any(|r| r.rules.contains(&id)), "{id}");
    }
}

#[test]
fn without_a_tick_there_is_no_time() {
    let mut world = World::empty(charter());
    world.found(&["ada", "ben"]);
    let change = world.change(world.good_change(1, None));
    let build = world.good_build(1, change);
    let index = world.build(build.clone());
    let proposal = world.propose(world.good_proposal(&build, index, None));
    let rules: Vec<String> = reasons(&world, proposal).into_iter().map(|r| r.rule).collect();
    assert!(rules.contains(&"time-is-known".to_owned()), "{rules:?}");
}

#[test]
fn making_good_what_was_missing_grants() {
    let (mut world, first) = first();
    let put = world.put(2, Some(&first));
    assert!(!reasons(&world, put.proposal).is_empty());
    world.approve_both(&put);
    assert_eq!(reasons(&world, put.proposal), []);
    let halt = world.halt("oli");
    assert!(!reasons(&world, put.proposal).is_empty());
    world.resume("oli", halt);
    world.resume("pia", halt);
    assert_eq!(reasons(&world, put.proposal), []);
    world.wait(8 * DAY);
    assert!(reasons(&world, put.proposal).iter().any(|r| r.rule == "quorum-has-approved"));
    world.approve_both(&put);
    assert_eq!(reasons(&world, put.proposal), []);
}
