//! One statement of each kind with every field filled, for the tests of wire forms.

use model::{CaseId, Digest, Serial, Timestamp};

use super::super::{
    Statement,
    v1::{
        Action, Approval, Asked, Build, Change, ChangeProblem, Charter, Claim, CommitFact, CommitProblem,
        EnvironmentRule, Erasure, Evidence, EvidenceOn, EvidenceOutcome, EvidenceReason, Exception, Group, Halt,
        Header, Host, Image, Key, KeyScheme, KeyWithdrawal, Kind, LogKey, Member, Milestone, MilestoneKind, Nonce,
        Placed, Proposal, Quorum, Reason, Rejection, Resume, Robot, Role, Rollback, Ruling, Seen, SuiteFact, SuiteKind,
        SuiteOn, SystemRule, Tick, Totals, Verdict, WitnessKey,
    },
};
use crate::bodies::SubjectDigest;

pub(crate) fn dig(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds)
}

fn images() -> Vec<Image> {
    vec![Image { component: "web".parse().unwrap(), image: dig("web") }]
}

fn serial() -> Serial {
    Serial::new("bank".parse().unwrap(), 42)
}

fn quorum(count: u32) -> Quorum {
    Quorum { groups: vec![Group { role: "release-manager".parse().unwrap(), count }] }
}

pub(crate) fn verdict(ruling: Ruling) -> Statement {
    let verdict = Verdict {
        environment: "production".parse().unwrap(),
        proposal: 7,
        release: dig("release"),
        serial: serial(),
        ruling,
        size: 12,
        rests_on: vec![3, 4, 7],
        decide: "1".to_owned(),
        policy: dig("policy"),
        at: at(0),
        unwitnessed: false,
    };
    statement(Claim::Verdict(Box::new(verdict)))
}

pub(crate) fn statement(claim: Claim) -> Statement {
    let is_charter = claim.kind() == Kind::Charter;
    Statement {
        header: Header {
            charter: (!is_charter).then(|| dig("charter")),
            role: "some-role".parse().unwrap(),
            system: Some("bank".parse().unwrap()),
            environment: Some("production".parse().unwrap()),
            seen: Some(Seen { size: 12, root: dig("root") }),
            nonce: Nonce::from_bytes([7; 16]),
            expires: at(3_600),
            program: Some(dig("program")),
        },
        claim,
    }
}

pub(crate) fn charter() -> Charter {
    let key = |scheme| Key { scheme, public: "ssh-ed25519 AAAA".to_owned() };
    Charter {
        demo: true,
        log: LogKey { origin: "log.example".to_owned(), vkey: "log.example+00000000+AA==".to_owned() },
        witnesses: vec![WitnessKey {
            name: "w".to_owned(),
            operator: "o".to_owned(),
            vkey: "w+00000000+BA==".to_owned(),
            url: "http://w.example/".to_owned(),
        }],
        witness_quorum: 1,
        members: vec![Member {
            id: "ada".parse().unwrap(),
            keys: vec![key(KeyScheme::Sshsig)],
            roles: vec!["release-manager".parse().unwrap()],
            identity: dig("ada"),
            founder: true,
        }],
        robots: vec![Robot {
            id: "builder".parse().unwrap(),
            role: "builder".parse().unwrap(),
            key: key(KeyScheme::Ed25519),
            controllers: vec!["ada".parse().unwrap()],
            host: "main".parse().unwrap(),
            environments: vec!["production".parse().unwrap()],
        }],
        hosts: vec![Host { name: "main".parse().unwrap(), administrators: vec!["ada".parse().unwrap()] }],
        roles: vec![Role { name: "builder".parse().unwrap(), says: Kind::ALL.to_vec() }],
        conflicts: vec![("builder".parse().unwrap(), "tester".parse().unwrap())],
        systems: vec![SystemRule {
            name: "bank".parse().unwrap(),
            remote: "/srv/bank".to_owned(),
            branch: "main".to_owned(),
        }],
        environments: vec![EnvironmentRule {
            name: "production".parse().unwrap(),
            quorum: quorum(2),
            approval_s: 1,
            cool_off_s: 5,
            verdict_s: 2,
            max_age_s: 3,
            rollback_s: 4,
            resume: quorum(3),
        }],
        amendment: quorum(4),
        policy: "permit(principal, action, resource);\n\"é\"".to_owned(),
        programs: [("builder".parse().unwrap(), vec![dig("program")])].into(),
    }
}

fn change() -> Change {
    Change {
        system: "bank".parse().unwrap(),
        ordinal: 42,
        commit: "00000000000000000000000000000000000000aa".parse().unwrap(),
        tree: "00000000000000000000000000000000000000bb".parse().unwrap(),
        branch: "main".to_owned(),
        previous: Some(3),
        commits: vec![CommitFact {
            commit: "00000000000000000000000000000000000000aa".parse().unwrap(),
            contributors: vec!["ada".parse().unwrap()],
            key: Some(model::KeyId::of_wire(b"key")),
            requirements: vec!["PAY-142".parse().unwrap()],
            problem: Some(CommitProblem::ForgedAuthor),
        }],
        manifest: dig("manifest"),
        suites: vec![SuiteFact {
            name: "unit".parse().unwrap(),
            kind: SuiteKind::Full,
            on: SuiteOn::Source,
            definition: dig("definition"),
            files: dig("files"),
            covers: vec!["PAY-142".parse().unwrap()],
        }],
        asks: vec![Asked { environment: "production".parse().unwrap(), approvals: 3 }],
        problems: vec![ChangeProblem::NotFastForward],
    }
}

fn evidence(on: EvidenceOn) -> Claim {
    Claim::Evidence(Box::new(Evidence {
        change: 3,
        suite: "unit".parse().unwrap(),
        kind: SuiteKind::Full,
        definition: dig("definition"),
        files: dig("files"),
        on,
        outcome: EvidenceOutcome::NotTested,
        reasons: vec![EvidenceReason::NoReport, EvidenceReason::TimedOut],
        totals: Totals { passed: 1, failed: 2, skipped: 3, flaky: 4 },
        baseline: Some(2),
        missing: vec![dig("missing")],
        excepted: vec![dig("excepted")],
        covers: vec!["PAY-142".parse().unwrap()],
        cases: Some(dig("cases")),
    }))
}

/// Every kind, and both forms of those that have two.
pub(crate) fn all() -> Vec<(&'static str, Statement)> {
    let environment = || "production".parse().unwrap();
    let release = dig("release");
    let claims = vec![
        ("charter", Claim::Charter(Box::new(charter()))),
        (
            "tick",
            Claim::Tick(Tick { checkpoint: "log.example\n1\nAA==\n\n— log.example AA==\n".to_owned(), at: at(1) }),
        ),
        ("change", Claim::Change(Box::new(change()))),
        (
            "build",
            Claim::Build(Box::new(Build {
                change: 3,
                serial: serial(),
                release,
                images: images(),
                provenance: dig("provenance"),
                sbom: dig("sbom"),
                dependencies: 7,
            })),
        ),
        (
            "evidence on source",
            evidence(EvidenceOn::Source { commit: "00000000000000000000000000000000000000aa".parse().unwrap() }),
        ),
        ("evidence on containers", evidence(EvidenceOn::Containers { release, images: images() })),
        (
            "proposal",
            Claim::Proposal(Box::new(Proposal {
                environment: environment(),
                release,
                serial: serial(),
                build: 4,
                change: 3,
                images: images(),
                replaces: Some(dig("old")),
                edited_suites: vec!["unit".parse().unwrap()],
                removed_suites: vec!["ui".parse().unwrap()],
                approvals: Some(3),
            })),
        ),
        (
            "approval",
            Claim::Approval(Approval {
                action: Action::Release,
                environment: environment(),
                proposal: 7,
                release,
                replaces: None,
                shown: dig("shown"),
            }),
        ),
        ("rejection", Claim::Rejection(Rejection { proposal: 7, release, reason: Some(dig("reason")) })),
        (
            "milestone",
            Claim::Milestone(Box::new(Milestone {
                environment: environment(),
                release,
                serial: serial(),
                other: Some(dig("old")),
                proposal: 7,
                what: MilestoneKind::WentBackErrors,
                component: Some("web".parse().unwrap()),
                requests: 100,
                errors: 9,
                placed: vec![Placed {
                    component: "web".parse().unwrap(),
                    image: dig("web"),
                    address: "10.1.2.3:80".parse().unwrap(),
                }],
            })),
        ),
        ("halt", Claim::Halt(Halt { environment: None, reason: None })),
        ("resume", Claim::Resume(Resume { halt: 9 })),
        ("rollback", Claim::Rollback(Rollback { environment: environment(), from: release, to: dig("old") })),
        (
            "exception",
            Claim::Exception(Exception {
                suite: "unit".parse().unwrap(),
                case: "bank::tests::adds".parse::<CaseId>().unwrap().pseudonym(),
                owner: "ada".parse().unwrap(),
                ends: at(9),
            }),
        ),
        ("key withdrawal", Claim::KeyWithdrawal(KeyWithdrawal { key: model::KeyId::of_wire(b"key"), void_from: 5 })),
        (
            "erasure",
            Claim::Erasure(Erasure {
                subject: SubjectDigest::from_digest(dig("subject")),
                reason: Some(dig("reason")),
            }),
        ),
    ];
    let mut all: Vec<(&str, Statement)> = claims.into_iter().map(|(name, claim)| (name, statement(claim))).collect();
    all.push(("verdict granted", verdict(Ruling::Granted { until: at(60) })));
    let reason =
        Reason { rule: "not-halted".to_owned(), found: "halted: yes".to_owned(), needed: "to resume".to_owned() };
    all.push(("verdict refused", verdict(Ruling::Refused { reasons: vec![reason] })));
    all
}
