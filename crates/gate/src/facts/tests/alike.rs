//! The indexes against the scans: whatever is said, in whatever order, both answer the same.

use std::collections::BTreeSet;

use ledger::{
    dsse::Identity,
    statement::{
        Statement,
        v1::{
            Action, Approval, Build, Change, ChangeProblem, Claim, Evidence, EvidenceOn, EvidenceOutcome, Exception,
            Halt, Header, KeyWithdrawal, Milestone, MilestoneKind, Nonce, Proposal, Rejection, Resume, Rollback,
            SuiteKind, Tick, Totals,
        },
    },
    tick::OpenTick,
};
use model::{Commit, Digest, EnvironmentName, KeyId, Serial};
use proptest::prelude::*;

use super::scans::Scans;
use crate::{
    Facts, Said,
    world::{World, at, charter, dig, key_id, system},
};

/// What one statement of a random log is made of: each number is taken by the remainder of what there is to choose.
type Seed = (u8, u64, u64, u8, u8);

const KEYS: [&str; 8] = ["builder", "tester", "agent", "outside", "ada", "ben", "oli", "pia"];
const PLACES: [&str; 2] = ["staging", "production"];
const WHAT: [MilestoneKind; 5] = [
    MilestoneKind::Live,
    MilestoneKind::Live,
    MilestoneKind::WentBackErrors,
    MilestoneKind::WentBackFailed,
    MilestoneKind::Begun,
];

fn place(number: u8) -> EnvironmentName {
    PLACES[usize::from(number) % 2].parse().unwrap()
}

fn release(number: u64) -> Digest {
    dig(&format!("release {}", number % 5))
}

fn commit(number: u64) -> Commit {
    format!("{:040x}", number % 5).parse().unwrap()
}

fn key(number: u8) -> KeyId {
    key_id(KEYS[usize::from(number) % KEYS.len()])
}

fn claim(index: u64, (kind, a, b, c, d): Seed) -> Claim {
    let earlier = |number: u64| number % (index + 2);
    match kind % 16 {
        0 => Claim::Change(Box::new(Change {
            problems: if c % 4 == 0 { vec![ChangeProblem::Manifest] } else { Vec::new() },
            ..World::empty(charter()).good_change(a % 5, Some(earlier(b)))
        })),
        1 => Claim::Build(Box::new(Build {
            change: earlier(a),
            release: release(b),
            ..World::empty(charter()).good_build(1, 0)
        })),
        2 | 3 => Claim::Evidence(Box::new(Evidence {
            change: earlier(a),
            suite: if c % 2 == 0 { "unit" } else { "payments" }.parse().unwrap(),
            kind: SuiteKind::Full,
            definition: dig("definition"),
            files: dig("files"),
            on: if c % 3 == 0 {
                EvidenceOn::Source { commit: commit(b) }
            } else {
                EvidenceOn::Containers { release: release(b), images: Vec::new() }
            },
            outcome: [EvidenceOutcome::Passed, EvidenceOutcome::Failed, EvidenceOutcome::NotTested][usize::from(d) % 3],
            reasons: Vec::new(),
            totals: Totals::default(),
            baseline: None,
            missing: Vec::new(),
            excepted: Vec::new(),
            covers: Vec::new(),
            cases: None,
        })),
        4 | 5 => Claim::Proposal(Box::new(Proposal {
            environment: place(c),
            release: release(a),
            serial: Serial::new(system(), 1),
            build: 0,
            change: earlier(b),
            images: Vec::new(),
            replaces: None,
            edited_suites: Vec::new(),
            removed_suites: Vec::new(),
            approvals: None,
            values: Vec::new(),
            emergency: false,
            reason: None,
        })),
        6 => Claim::Approval(Approval {
            action: Action::Release,
            environment: place(c),
            proposal: earlier(a),
            release: release(b),
            replaces: None,
            shown: dig("shown"),
        }),
        7 => Claim::Rejection(Rejection { proposal: earlier(a), release: release(b), reason: None }),
        8..=11 => Claim::Milestone(Box::new(Milestone {
            environment: place(c),
            release: release(b),
            serial: Serial::new(system(), 1),
            other: None,
            proposal: a % 6,
            what: WHAT[usize::from(d) % WHAT.len()],
            component: None,
            requests: 0,
            errors: 0,
            placed: Vec::new(),
        })),
        12 => Claim::Halt(Halt { environment: (c % 3 > 0).then(|| place(c)), reason: None }),
        13 => Claim::Resume(Resume { halt: earlier(a) }),
        14 if c % 2 == 0 => Claim::Rollback(Rollback { environment: place(c), from: release(a), to: release(b) }),
        14 => Claim::Exception(Exception {
            suite: "unit".parse().unwrap(),
            case: dig(&format!("case {}", a % 2)),
            owner: "dora".parse().unwrap(),
            ends: at(1_000 + b % 3),
        }),
        _ if c % 2 == 0 => Claim::KeyWithdrawal(KeyWithdrawal { key: key(d), void_from: earlier(a) }),
        _ => Claim::Tick(Tick { checkpoint: String::new(), at: at(a % 50) }),
    }
}

fn header(claim: &Claim, index: u64, (_, _, b, c, _): Seed) -> Header {
    let environment = match claim {
        Claim::Halt(halt) => halt.environment.clone(),
        Claim::Resume(_) if c % 3 == 0 => Some(place(c)),
        _ => None,
    };
    let names_system = !matches!(claim, Claim::Halt(_) | Claim::Resume(_)) || c % 5 > 0;
    Header {
        charter: None,
        role: "operator".parse().unwrap(),
        system: names_system.then(system),
        environment,
        seen: None,
        nonce: Nonce::from_bytes(u128::from(index).to_be_bytes()),
        expires: at(1_000 + b % 7),
        program: None,
    }
}

fn indices<'a, T: 'a>(said: impl Iterator<Item = &'a Said<T>>) -> Vec<u64> {
    said.map(|s| s.index).collect()
}

fn alike(facts: &Facts, scans: &Scans, index: u64) {
    assert_eq!(facts.size(), scans.size());
    assert_eq!(facts.time(), scans.time());
    for name in PLACES {
        let (system, environment) = (system(), name.parse().unwrap());
        let (new, old) = (facts.running(&system, &environment), scans.live(&system, &environment));
        assert_eq!(facts.live(&system, &environment), old);
        assert_eq!(new.first(), old.first());
        for number in 0..5 {
            let at = old.iter().position(|l| l.release == release(number));
            assert_eq!(new.holds(release(number)), at.is_some());
            let below: Vec<_> = new.from_release(release(number)).cloned().collect();
            assert_eq!(below, old.get(at.unwrap_or(old.len())..).unwrap());
        }
        (0..6).for_each(|p| assert_eq!(new.holds_proposal(p), old.iter().any(|l| l.proposal == p)));
        for size in 0..=index + 1 {
            let (new, old) =
                (facts.running_before(&system, &environment, size), scans.live_before(&system, &environment, size));
            assert_eq!(new.iter().cloned().collect::<Vec<_>>(), old, "before {size}");
            for number in 0..5 {
                assert_eq!(new.holds(release(number)), old.iter().any(|l| l.release == release(number)));
            }
            (0..6).for_each(|p| assert_eq!(new.holds_proposal(p), old.iter().any(|l| l.proposal == p)));
        }
        let halted = |said: Option<&Said<Halt>>| said.map(|h| h.index);
        assert_eq!(halted(facts.halted(&system, &environment)), halted(scans.halted(&system, &environment)));
        assert_eq!(indices(facts.milestones(&system, &environment)), indices(scans.milestones(&system, &environment)));
        assert_eq!(indices(facts.rollbacks(&system, &environment)), indices(scans.rollbacks(&system, &environment)));
        let proposals = scans.proposals().filter(|p| p.claim.environment == environment);
        assert_eq!(indices(facts.proposals_for(&system, &environment)), indices(proposals));
    }
    let elsewhere = "elsewhere".parse().unwrap();
    assert_eq!(
        facts.halted(&system(), &elsewhere).map(|h| h.index),
        scans.halted(&system(), &elsewhere).map(|h| h.index)
    );
    assert_eq!(indices(facts.changes(&system())), indices(scans.changes(&system())));
    let accepted = scans.changes(&system()).find(|c| c.claim.is_accepted());
    assert_eq!(facts.first_accepted(&system()).map(|c| c.index), accepted.map(|c| c.index));
    assert_eq!(indices(facts.builds()), indices(scans.builds()));
    assert_eq!(indices(facts.proposals()), indices(scans.proposals()));
    assert_eq!(indices(facts.exceptions()), indices(scans.exceptions()));
    for number in 0..5 {
        assert_eq!(
            indices(facts.builds_as(release(number))),
            indices(scans.builds().filter(|b| b.claim.release == release(number)))
        );
        let on = |wanted: EvidenceOn| {
            indices(scans.failures().filter(move |e| match (&e.claim.on, &wanted) {
                (EvidenceOn::Source { commit: a }, EvidenceOn::Source { commit: b }) => a == b,
                (EvidenceOn::Containers { release: a, .. }, EvidenceOn::Containers { release: b, .. }) => a == b,
                _ => false,
            }))
        };
        assert_eq!(
            indices(facts.failures_on_source(&commit(number))),
            on(EvidenceOn::Source { commit: commit(number) })
        );
        let containers = EvidenceOn::Containers { release: release(number), images: Vec::new() };
        assert_eq!(indices(facts.failures_on_release(release(number))), on(containers));
    }
    for at in 0..=index + 1 {
        assert_eq!(indices(facts.evidence(at)), indices(scans.evidence(at)));
        assert_eq!(facts.one_evidence(at).map(|e| e.index), scans.one_evidence(at).map(|e| e.index));
        assert_eq!(indices(facts.builds_of(at)), indices(scans.builds().filter(|b| b.claim.change == at)));
        assert_eq!(indices(facts.approvals(at)), indices(scans.approvals(at)));
        assert_eq!(indices(facts.any_approvals(at)), indices(scans.any_approvals(at)));
        assert_eq!(indices(facts.rejections(at)), indices(scans.rejections(at)));
        assert_eq!(facts.spent(at), scans.spent(at));
        assert_eq!(facts.change(at).map(|c| c.index), scans.change(at).map(|c| c.index));
        assert_eq!(facts.any_change(at).map(|c| c.index), scans.any_change(at).map(|c| c.index));
        assert_eq!(facts.build(at).map(|c| c.index), scans.build(at).map(|c| c.index));
        assert_eq!(facts.proposal(at).map(|c| c.index), scans.proposal(at).map(|c| c.index));
        assert_eq!(facts.any_proposal(at).map(|c| c.index), scans.any_proposal(at).map(|c| c.index));
        assert_eq!(facts.covered(at), scans.covered(at));
        assert_eq!(facts.time_before(at), scans.time_before(at));
    }
    let nobody = BTreeSet::new();
    for case in ["case 0", "case 1"].map(dig) {
        let suite = "unit".parse().unwrap();
        let now = at(1_001);
        assert_eq!(
            facts.excepted_until((&system(), &suite, case), &nobody, now, 2),
            scans.excepted_until((&system(), &suite, case), &nobody, now, 2)
        );
        assert_eq!(
            facts.excepted(&system(), &suite, case, &nobody, now),
            scans.excepted(&system(), &suite, case, &nobody, now)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_is_said(seeds in proptest::collection::vec(any::<Seed>(), 1..60), every in 1_usize..9) {
        let members = World::empty(charter()).members();
        let (mut facts, mut scans) = (Facts::new(members.clone()), Scans::new(members));
        let mut said: Vec<(KeyId, Identity)> = Vec::new();
        for (number, seed) in seeds.iter().enumerate() {
            let index = number as u64;
            let claim = claim(index, *seed);
            let statement = Statement { header: header(&claim, index, *seed), claim };
            // One in sixteen is what was said before, in its name.
            let repeated = (seed.1 % 16 == 0).then(|| said.get(usize::try_from(seed.2).unwrap_or(0) % said.len().max(1)));
            let (key, identity) = match repeated.flatten() {
                Some(before) => *before,
                None => (key(seed.4), Identity::from_digest(dig(&format!("statement {index}")))),
            };
            said.push((key, identity));
            let open = OpenTick { size: seed.1 % (index + 2), root: dig("root"), times: vec![at(seed.2 % 40), at(seed.1 % 50)] };
            facts.fold(index, key, identity, Some(&open), &statement).unwrap();
            scans.apply((index, key, identity), Some(&open), &statement);
            if number % every == 0 || number + 1 == seeds.len() {
                alike(&facts, &scans, index);
            }
        }
    }
}
