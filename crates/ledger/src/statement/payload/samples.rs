//! One statement of each kind with every field filled, for the tests of wire forms.

use model::{CaseId, Digest, Serial, Timestamp, value::Format};

use super::super::{
    Statement,
    v1::{
        Acknowledgement, Action, Alarm, AlarmAbout, AlarmKind, Amendment, Analysis, AnalysisAnswer, AnalysisTick,
        Approval, Arm, Asked, Asks, Build, Cancellation, Change, ChangeProblem, Charter, Claim, CommitFact,
        CommitProblem, Consent, Edit, EmergencyRule, EnvironmentRule, Erasure, Evidence, EvidenceOn, EvidenceOutcome,
        EvidenceReason, Exception, Group, GuardedValue, Halt, Header, Host, Image, Key, KeyScheme, KeyWithdrawal, Kind,
        Line, LogKey, Member, Metric, Milestone, MilestoneKind, Nonce, Placed, Proposal, Quorum, Reason, Recovery,
        Rejection, Report, Resume, Retirement, Robot, Role, Rollback, Ruling, Seen, Silence, SilenceRule, SuiteFact,
        SuiteKind, SuiteOn, SystemRule, Tick, Totals, ValueApproval, ValueProposal, ValueRule, Verdict, WitnessKey,
        Worse,
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
            builders: 2,
            emergency: Some(EmergencyRule { quorum: quorum(2), verdict_s: 6 }),
            after: None,
        }],
        amendment: quorum(4),
        policy: "permit(principal, action, resource);\n\"é\"".to_owned(),
        recovery: Some(Recovery { keys: vec![key(KeyScheme::SkSshsig)], count: 1, delay_s: 7 }),
        key_delay_s: 8,
        values: vec![ValueRule {
            name: "payout".parse().unwrap(),
            system: "bank".parse().unwrap(),
            environment: "production".parse().unwrap(),
            format: Format::Iban,
            guardians: quorum(2),
            cool_off_s: 9,
        }],
        silence: Some(SilenceRule { kinds: vec![AlarmKind::ProbeFailed], longest_s: 10 }),
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
        promotions: Vec::new(),
        values: vec!["payout".parse().unwrap()],
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
                values: vec![GuardedValue { name: "payout".parse().unwrap(), proposal: 6, value: dig("value") }],
                emergency: true,
                reason: Some(dig("reason")),
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
        (
            "retirement",
            Claim::Retirement(Retirement {
                environment: environment(),
                release,
                serial: "bank-000007".parse().unwrap(),
            }),
        ),
        (
            "report",
            Claim::Report(Box::new(Report {
                environment: environment(),
                release,
                serial: "bank-000007".parse().unwrap(),
                component: Some("web".parse().unwrap()),
                arm: Arm::Trial,
                words: dig("reason"),
            })),
        ),
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
    let claims = claims.into_iter().chain(of_people());
    let mut all: Vec<(&str, Statement)> = claims.into_iter().map(|(name, claim)| (name, statement(claim))).collect();
    all.push(("verdict granted", verdict(Ruling::Granted { until: at(60) })));
    let reason =
        Reason { rule: "not-halted".to_owned(), found: "halted: yes".to_owned(), needed: "to resume".to_owned() };
    all.push(("verdict refused", verdict(Ruling::Refused { reasons: vec![reason] })));
    all
}

/// What people and alarms say about the charter, guarded values and each other.
fn of_people() -> Vec<(&'static str, Claim)> {
    let about = AlarmAbout {
        component: Some("web".parse().unwrap()),
        process: Some("gate".parse().unwrap()),
        host: Some("main".parse().unwrap()),
        value: Some("payout".parse().unwrap()),
        statement: Some(7),
    };
    let value = dig("value");
    let name = || "payout".parse().unwrap();
    vec![
        (
            "amendment",
            Claim::Amendment(Box::new(Amendment { from: dig("from"), becomes: dig("becomes"), edits: edits() })),
        ),
        ("consent", Claim::Consent(Consent { amendment: 3, becomes: dig("becomes"), shown: dig("shown") })),
        ("cancellation", Claim::Cancellation(Cancellation { of: 3, reason: Some(dig("reason")) })),
        (
            "value proposal",
            Claim::ValueProposal(ValueProposal { name: name(), value, replaces: Some(2), reason: Some(dig("reason")) }),
        ),
        (
            "value approval",
            Claim::ValueApproval(ValueApproval {
                proposal: 6,
                name: name(),
                value,
                replaces: Some(2),
                shown: dig("shown"),
            }),
        ),
        ("alarm", Claim::Alarm(Alarm { what: AlarmKind::ProbeFailed, about: about.clone(), firing: true })),
        ("acknowledgement", Claim::Acknowledgement(Acknowledgement { alarm: 8 })),
        (
            "silence",
            Claim::Silence(Box::new(Silence {
                what: vec![AlarmKind::HeartbeatMissed],
                about,
                ends: at(9),
                reason: dig("reason"),
            })),
        ),
        (
            "analysis",
            Claim::Analysis(Box::new(Analysis {
                environment: "production".parse().unwrap(),
                release: dig("release"),
                serial: serial(),
                other: dig("old"),
                proposal: 7,
                salt: dig("salt"),
                alpha_ppm: 10_000,
                beta_ppm: 50_000,
                horizon_ticks: 3_600,
                metrics: vec![
                    metric(Asks::Failed {
                        requests_per_million_unit_ticks: 9,
                        margin: Line { ratio_ppm: 1_250_000, plus_ppm: 200 },
                    }),
                    metric(Asks::Slower { quantile_ppm: 990_000, control_us: 100, trial_us: 110, count: 3 }),
                ],
                first: 60,
                ticks: vec![AnalysisTick {
                    share: 5,
                    requests: 50,
                    other_requests: 950,
                    counts: vec![[5, 1, 95, 2], [5, 0, 95, 9]],
                }],
                answer: AnalysisAnswer::GoBack,
                times: Vec::new(),
            })),
        ),
        (
            "analysis of a counter",
            Claim::Analysis(Box::new(Analysis {
                environment: "production".parse().unwrap(),
                release: dig("release"),
                serial: serial(),
                other: dig("old"),
                proposal: 7,
                salt: dig("salt"),
                alpha_ppm: 10_000,
                beta_ppm: 50_000,
                horizon_ticks: 3_600,
                metrics: vec![metric(Asks::Counter {
                    name: dig("rejected"),
                    of: dig("payments"),
                    worse: Worse::More,
                    requests_per_million_unit_ticks: 7_000_000,
                    margin: Line { ratio_ppm: 1_250_000, plus_ppm: 1_000 },
                })],
                first: 60,
                ticks: vec![AnalysisTick { share: 5, requests: 14, other_requests: 21, counts: vec![[2, 1, 3, 0]] }],
                answer: AnalysisAnswer::GoBack,
                times: Vec::new(),
            })),
        ),
        (
            "analysis of invariants",
            Claim::Analysis(Box::new(Analysis {
                environment: "production".parse().unwrap(),
                release: dig("release"),
                serial: serial(),
                other: dig("old"),
                proposal: 7,
                salt: dig("salt"),
                alpha_ppm: 10_000,
                beta_ppm: 50_000,
                horizon_ticks: 3_600,
                metrics: vec![metric(Asks::Invariant { name: dig("imbalance") })],
                first: 60,
                ticks: vec![AnalysisTick { share: 5, requests: 0, other_requests: 0, counts: vec![[2, 1, 0, 0]] }],
                answer: AnalysisAnswer::GoBack,
                times: Vec::new(),
            })),
        ),
    ]
}

fn metric(asks: Asks) -> Metric {
    Metric {
        component: "web".parse().unwrap(),
        asks,
        weight_ppm: 500_000,
        history_ppm: 1_000,
        history_unit_ticks: 10_000,
        promote: Line { ratio_ppm: 2_000_000, plus_ppm: 500 },
    }
}

/// Every edit.
fn edits() -> Vec<Edit> {
    let charter = charter();
    vec![
        Edit::SetMember(charter.members[0].clone()),
        Edit::RemoveMember("ada".parse().unwrap()),
        Edit::SetRobot(charter.robots[0].clone()),
        Edit::RemoveRobot("builder".parse().unwrap()),
        Edit::SetHost(charter.hosts[0].clone()),
        Edit::RemoveHost("main".parse().unwrap()),
        Edit::SetRole(charter.roles[0].clone()),
        Edit::RemoveRole("builder".parse().unwrap()),
        Edit::AddConflict("builder".parse().unwrap(), "tester".parse().unwrap()),
        Edit::RemoveConflict("builder".parse().unwrap(), "tester".parse().unwrap()),
        Edit::SetSystem(charter.systems[0].clone()),
        Edit::RemoveSystem("bank".parse().unwrap()),
        Edit::SetEnvironment(charter.environments[0].clone()),
        Edit::RemoveEnvironment("production".parse().unwrap()),
        Edit::SetWitness(charter.witnesses[0].clone()),
        Edit::RemoveWitness("witness".to_owned()),
        Edit::SetValue(charter.values[0].clone()),
        Edit::RemoveValue("payout".parse().unwrap(), "paydesk".parse().unwrap(), "production".parse().unwrap()),
        Edit::WitnessQuorum(1),
        Edit::Amendment(quorum(2)),
        Edit::Recovery(charter.recovery),
        Edit::KeyDelay(8),
        Edit::Silence(charter.silence),
        Edit::Policy("permit(principal, action, resource);".to_owned()),
        Edit::Programs(charter.programs),
    ]
}
