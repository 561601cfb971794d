use ledger::statement::v1::{Amendment, Claim, Consent, EvidenceOutcome, EvidenceReason, Kind, MilestoneKind, Ruling};

use super::*;
use crate::{
    decide, may_return,
    world::{Put, World, production, quorum, system, with_emergencies},
};

fn parse(world: &World) -> Policy {
    Policy::parse(&world.charter.policy).unwrap()
}

fn rules(world: &World, proposal: u64) -> Vec<String> {
    match decide(&world.facts(), proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons.into_iter().map(|r| r.rule).collect(),
    }
}

fn open(world: &World) -> Vec<(String, bool, usize)> {
    let found = emergencies(&parse(world), &world.facts());
    found.iter().map(|e| (e.serial.to_string(), e.runs, e.missing.len())).collect()
}

/// Evidence of both suites on what was built, compared with what ran before it.
fn make_good(world: &mut World, put: &mut Put, over: &Put, edit: impl Fn(&mut ledger::statement::v1::Evidence)) {
    let facts = world.facts();
    let change = facts.change(put.change).unwrap().claim.clone();
    let build = facts.build(put.build).unwrap().claim.clone();
    for suite in change.suites.iter().filter(|s| s.kind != SuiteKind::Smoke) {
        let mut evidence = world.good_evidence(suite, put.change, &change, &build);
        evidence.baseline =
            over.evidence.iter().copied().find(|i| facts.one_evidence(*i).is_some_and(|e| e.claim.suite == suite.name));
        edit(&mut evidence);
        let index = world.evidence(evidence);
        put.evidence.push(index);
    }
    world.wait(60);
}

fn first() -> (World, Put) {
    let mut world = World::founded(with_emergencies());
    let first = world.go_live(1, None);
    (world, first)
}

/// The first release, and an emergency over it that went live.
fn gone() -> (World, Put, Put) {
    let (mut world, first) = first();
    let urgent = world.urgent(2, &first, ("dora", "developer"));
    world.approve_both(&urgent);
    assert_eq!(rules(&world, urgent.proposal), Vec::<String>::new());
    world.milestone(&urgent, MilestoneKind::Live);
    world.wait(60);
    (world, first, urgent)
}

#[test]
fn two_persons_let_it_go_without_evidence_and_it_ends_by_itself() {
    let (mut world, first) = first();
    let put = world.urgent(2, &first, ("dora", "developer"));
    assert_eq!(rules(&world, put.proposal), ["quorum-has-approved"]);
    assert_eq!(open(&world), [], "nobody has approved it");
    world.approve("ada", &put);
    world.wait(60);
    assert_eq!(rules(&world, put.proposal), ["quorum-has-approved"]);
    world.approve("ben", &put);
    world.wait(60);
    let Ruling::Granted { until } = decide(&world.facts(), put.proposal).unwrap().verdict.ruling else { panic!() };
    assert!(until.since_s(crate::world::at(world.now)) <= 3_600, "{until}");
    assert_eq!(open(&world), [("bank-000002".to_owned(), false, 3)]);
    // The gate renews nothing: the end is counted from the approval and not from now.
    world.wait(1_800);
    let Ruling::Granted { until: again } = decide(&world.facts(), put.proposal).unwrap().verdict.ruling else {
        panic!()
    };
    assert_eq!(until, again);
    world.wait(1_800);
    assert_eq!(rules(&world, put.proposal), ["emergency-is-in-time"]);
    assert_eq!(open(&world), []);
    // Nor does another yes of the same people make it younger.
    world.approve_both(&put);
    assert_eq!(rules(&world, put.proposal), ["emergency-is-in-time"]);
}

#[test]
fn nothing_that_is_proposed_later_puts_its_alarm_out() {
    let (mut world, first) = first();
    let put = world.urgent(2, &first, ("dora", "developer"));
    world.approve_both(&put);
    let granted = [("bank-000002".to_owned(), false, 3)];
    assert_eq!(open(&world), granted);
    world.urgent(3, &first, ("dora", "developer"));
    world.put(4, Some(&first));
    world.wait(60);
    assert_eq!(rules(&world, put.proposal), Vec::<String>::new(), "it may still go");
    assert_eq!(open(&world), granted);
}

#[test]
fn an_amendment_that_knows_no_emergencies_ends_no_debt() {
    let mut charter = with_emergencies();
    let manager = charter.roles.iter_mut().find(|r| r.name.as_str() == "release-manager").unwrap();
    manager.says.extend([Kind::Amendment, Kind::Consent]);
    let mut world = World::founded(charter);
    let first = world.go_live(1, None);
    let put = world.urgent(2, &first, ("dora", "developer"));
    world.approve_both(&put);
    world.milestone(&put, MilestoneKind::Live);
    let owed = [("bank-000002".to_owned(), true, 3)];
    assert_eq!(open(&world), owed);
    let mut changed = world.charter.clone();
    changed.environments[1].emergency = None;
    let edits = ledger::charter::diff(&world.charter, &changed).unwrap();
    let (from, becomes) = (world.charter.digest(), changed.digest());
    let amendment = world.say("ada", "release-manager", Claim::Amendment(Box::new(Amendment { from, becomes, edits })));
    for who in ["ben", "cid"] {
        let consent = Consent { amendment, becomes, shown: crate::world::dig("shown") };
        world.say(who, "release-manager", Claim::Consent(consent));
    }
    assert!(world.facts().members().charter().environments[1].emergency.is_none());
    assert_eq!(open(&world), owed);
}

#[test]
fn it_gives_away_missing_evidence_and_nothing_else() {
    type Act = fn(&mut World, &Put);
    let acts: [(&str, Act); 4] = [
        ("nobody-rejected-it", |w, put| {
            w.reject("cid", put);
        }),
        ("not-halted", |w, _| {
            w.halt("oli");
        }),
        ("not-gone-back-from", |w, put| {
            w.milestone(put, MilestoneKind::WentBackErrors);
        }),
        ("full-suites-passed", |w, put| {
            let (facts, mut put) = (w.facts(), put.clone());
            let before = facts.proposal(facts.running(&system(), &production()).first().unwrap().proposal).unwrap();
            let evidence = facts.evidence(before.claim.change).map(|e| e.index).collect();
            let over = Put { evidence, ..put.clone() };
            make_good(w, &mut put, &over, |e| {
                e.outcome = EvidenceOutcome::Failed;
                e.totals.failed = 1;
                e.reasons = vec![EvidenceReason::Failed];
            });
        }),
    ];
    for (rule, act) in acts {
        let (mut world, first) = first();
        let put = world.urgent(2, &first, ("dora", "developer"));
        world.approve_both(&put);
        act(&mut world, &put);
        world.wait(60);
        assert_eq!(rules(&world, put.proposal), [rule]);
    }
    // Authorship, requirements, the branch, what was built, what is replaced.
    type Edit = fn(&mut ledger::statement::v1::Change);
    let edits: [(&str, Edit); 4] = [
        ("commits-are-signed-by-enrolled-people", |c| c.commits[0].key = None),
        ("commits-link-requirements", |c| c.commits[0].requirements.clear()),
        ("change-is-on-the-protected-branch", |c| c.branch = "topic".to_owned()),
        ("edits-of-suites-are-shown", |c| c.suites[0].files = crate::world::dig("weaker")),
    ];
    for (rule, edit) in edits {
        let (mut world, first) = first();
        let mut change = world.good_change(2, Some(first.change));
        edit(&mut change);
        let change = world.change(change);
        let build = world.good_build(2, change);
        let index = world.build(build.clone());
        let mut claim = world.good_proposal(&build, index, Some(first.claim.release));
        claim.emergency = true;
        let proposal = world.say("dora", "developer", Claim::Proposal(Box::new(claim.clone())));
        world.wait(60);
        let put = Put { change, build: index, evidence: Vec::new(), proposal, claim };
        world.approve_both(&put);
        assert!(rules(&world, put.proposal).contains(&rule.to_owned()), "{rule}: {:?}", rules(&world, put.proposal));
    }
}

#[test]
fn only_a_person_says_so_and_only_where_the_charter_knows_emergencies() {
    let (mut world, first) = first();
    let put = world.urgent(2, &first, ("builder", "builder"));
    world.approve_both(&put);
    let said = rules(&world, put.proposal);
    assert!(said.contains(&"emergency-is-allowed".to_owned()), "{said:?}");
    assert!(said.contains(&"full-suites-passed".to_owned()), "{said:?}");

    let mut world = World::founded(crate::world::charter());
    let first = world.go_live(1, None);
    let put = world.urgent(2, &first, ("dora", "developer"));
    world.approve_both(&put);
    let said = rules(&world, put.proposal);
    assert!(said.contains(&"emergency-is-allowed".to_owned()), "{said:?}");
    assert!(said.contains(&"tested-as-containers".to_owned()), "{said:?}");

    // Where the policy forgot to ask, the floor asks.
    let mut charter = crate::world::charter();
    charter.policy = r#"@id("all") permit(principal, action, resource);"#.to_owned();
    let mut world = World::founded(charter);
    let first = world.go_live(1, None);
    let put = world.urgent(2, &first, ("dora", "developer"));
    world.approve_both(&put);
    assert_eq!(rules(&world, put.proposal), ["emergency-is-allowed"]);
}

#[test]
fn its_quorum_is_its_own_and_who_proposes_never_counts() {
    let mut charter = with_emergencies();
    let rule = charter.environments[1].emergency.as_mut().unwrap();
    rule.quorum = quorum(&[("release-manager", 1), ("risk", 1)]);
    charter
        .roles
        .iter_mut()
        .find(|r| r.name.as_str() == "release-manager")
        .unwrap()
        .says
        .push(ledger::statement::v1::Kind::Proposal);
    let mut world = World::founded(charter);
    let first = world.go_live(1, None);
    let put = world.urgent(2, &first, ("ada", "release-manager"));
    world.approve_both(&put);
    assert_eq!(rules(&world, put.proposal), ["quorum-has-approved"], "ada proposed it, and nobody spoke for risk");
    let approval = world.good_approval(&put);
    world.say("cid", "risk", Claim::Approval(approval));
    world.wait(60);
    assert_eq!(rules(&world, put.proposal), Vec::<String>::new());

    // One person is refused when the charter is made.
    let mut charter = with_emergencies();
    charter.environments[1].emergency.as_mut().unwrap().quorum = quorum(&[("release-manager", 1)]);
    let error = crate::duties::check(&charter).unwrap_err().to_string();
    assert!(error.contains("emergencies in `production` is met by one person"), "{error}");
    charter.environments[1].emergency.as_mut().unwrap().quorum = quorum(&[("release-manager", 2)]);
    charter.environments[1].emergency.as_mut().unwrap().verdict_s = 0;
    assert!(crate::duties::check(&charter).unwrap_err().to_string().contains("would end at once"));
}

#[test]
fn the_next_ordinary_release_waits_until_it_is_made_good() {
    let (mut world, first, mut put) = gone();
    assert_eq!(open(&world), [("bank-000002".to_owned(), true, 3)]);
    let next = world.put(3, Some(&put));
    world.approve_both(&next);
    let said = rules(&world, next.proposal);
    assert!(said.contains(&"emergency-is-made-good".to_owned()), "{said:?}");

    // Half of it is not enough, and what does not pass is none.
    let mut half = put.clone();
    make_good(&mut world, &mut half, &first, |e| {
        if e.suite.as_str() == "payments" {
            e.outcome = EvidenceOutcome::NotTested;
            e.reasons = vec![EvidenceReason::NoReport];
        }
    });
    assert!(rules(&world, next.proposal).contains(&"emergency-is-made-good".to_owned()));
    make_good(&mut world, &mut put, &first, |_| {});
    assert_eq!(open(&world), []);

    // What was compared with nothing is compared with what runs, now that there are cases.
    let next = world.put(4, Some(&put));
    let change = world.facts().change(next.change).unwrap().claim.clone();
    assert_eq!(change.previous, Some(put.change));
    world.approve_both(&next);
    let said = rules(&world, next.proposal);
    assert!(!said.contains(&"emergency-is-made-good".to_owned()), "{said:?}");
}

#[test]
fn going_back_is_possible_and_settles_it() {
    let (mut world, first, put) = gone();
    let back = may_return(&parse(&world), &world.facts(), &system(), &production(), first.claim.release).unwrap();
    assert_eq!(back.release(), first.claim.release);
    world.order_back(&put, first.claim.release);
    world.milestone(&put, MilestoneKind::WentBackWithdrawn);
    world.wait(60);
    assert_eq!(open(&world), []);
    let next = world.put(3, Some(&first));
    world.approve_both(&next);
    assert!(!rules(&world, next.proposal).contains(&"emergency-is-made-good".to_owned()));
}

#[test]
fn a_failure_found_later_is_mended_by_another_emergency() {
    let (mut world, first, mut put) = gone();
    make_good(&mut world, &mut put, &first, |e| {
        e.outcome = EvidenceOutcome::Failed;
        e.totals.failed = 1;
        e.reasons = vec![EvidenceReason::Failed];
    });
    let ordinary = world.put(3, Some(&put));
    world.approve_both(&ordinary);
    assert!(rules(&world, ordinary.proposal).contains(&"emergency-is-made-good".to_owned()));
    let mend = world.urgent(4, &Put { change: ordinary.change, ..put.clone() }, ("dora", "developer"));
    world.approve_both(&mend);
    assert_eq!(rules(&world, mend.proposal), Vec::<String>::new());
}

#[test]
fn what_is_shown_says_so() {
    let (mut world, first) = first();
    let put = world.urgent(2, &first, ("dora", "developer"));
    let text = crate::shown(&world.facts(), put.proposal).unwrap();
    assert!(text.contains("EMERGENCY: it goes before its evidence is there"), "{text}");
    assert!(text.contains("NOT RUN: the suite payments"), "{text}");
    let ordinary = world.put(3, Some(&put));
    assert!(!crate::shown(&world.facts(), ordinary.proposal).unwrap().contains("EMERGENCY"));
}
