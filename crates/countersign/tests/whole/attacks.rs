//! The table of attacks: a row an attack, each run for real against the processes of one installation.
//!
//! A row says what the attacker has, what could be done with it, and what could not; the row's code shows both. What takes
//! another installation, or no processes at all, is in tests of its own: the table names them, and they must be there.

mod doors;
pub(crate) mod forger;
mod taken;

use std::time::{Duration, Instant};

use ledger::statement::v1::{Approval, Claim, Halt, Proposal, Seen, Tick};
use model::{Digest, Timestamp};

use self::forger::{approval, now_s};
use crate::{
    installation::{Installation, LONG},
    request::{ask, get},
    wait::wait_for,
};

/// One attack.
struct Attack {
    /// What the attacker has and tries.
    what: &'static str,
    /// What could be done, if anything.
    could: &'static str,
    /// What could not.
    could_not: &'static str,
    run: fn(&Scene<'_>),
}

/// The installation: the first version runs, and a second is proposed that nobody has approved.
struct Scene<'a> {
    it: &'a Installation,
    index: u64,
    proposal: Proposal,
}

const RUNS: &str = "visits-000001";
const WAITS: &str = "visits-000002";

const TABLE: &[Attack] = &[
    Attack {
        what: "statements by keys that nobody enrolled, or in roles that their holders do not have",
        could: "nothing",
        could_not: "be taken by the log",
        run: |s| {
            let yes = || Claim::Approval(approval(s.index, &s.proposal));
            s.it.say("eve", "release-manager", yes()).refused("the charter lists no key");
            s.it.say("ada", "release-manager", yes()).refused("ada does not hold the role");
            s.it.say("ada", "developer", yes()).refused("may not make a statement of kind approval");
            s.it.say("dan", "founder", yes()).refused("does not hold the role");
        },
    },
    Attack {
        what: "a robot's key that decides, a person's key that makes evidence",
        could: "nothing",
        could_not: "sign approvals with a builder's key, builds with a person's, nor anything that its role may not say",
        run: |s| {
            for robot in ["builder", "tester", "gate", "agent", "watch"] {
                s.it.say(robot, robot, Claim::Approval(approval(s.index, &s.proposal)))
                    .refused("may not make a statement");
                let role = s.it.say(robot, "release-manager", Claim::Approval(approval(s.index, &s.proposal)));
                role.refused("does not hold the role");
            }
            let (_, build) = s.it.claim_of::<ledger::statement::v1::Build>("build", |_| true);
            s.it.say("cora", "release-manager", Claim::Build(Box::new(build.clone())))
                .refused("may not make a statement");
            s.it.say("tester", "tester", Claim::Build(Box::new(build.clone()))).refused("may not make a statement");
            s.it.say("log", "log", Claim::Build(Box::new(build))).refused("the charter lists no key");
        },
    },
    Attack {
        what: "truncated, changed and re-signed envelopes",
        could: "nothing",
        could_not: "be taken by the log",
        run: |s| {
            let good = s.it.forged("dan", "release-manager", Claim::Approval(approval(s.index, &s.proposal)), |_| {});
            let text = String::from_utf8(good.canonical_bytes()).unwrap();
            for at in [1, text.len() / 3, text.len() - 2] {
                assert!(s.it.hand_in_text(&text[..at]).status >= 400, "cut at {at}");
            }
            // The payload of one under the signature of another.
            let other =
                s.it.forged("dan", "release-manager", Claim::Approval(approval(s.index + 1, &s.proposal)), |_| {});
            let mixed = ledger::dsse::Envelope::from_parts(
                ledger::statement::PAYLOAD_TYPE,
                good.payload().to_vec(),
                other.signer(),
                other.signature().to_vec(),
            );
            if let Ok(mixed) = mixed {
                s.it.hand_in(&mixed).refused("signature");
            }
        },
    },
    Attack {
        what: "statements of another charter, another environment, another time",
        could: "nothing",
        could_not: "be taken by the log: each names charter, system, environment and an end",
        run: |s| {
            let forged = |edit: fn(&mut ledger::statement::v1::Header)| {
                let yes = Claim::Approval(approval(s.index, &s.proposal));
                s.it.hand_in(&s.it.forged("dan", "release-manager", yes, edit))
            };
            forged(|h| h.charter = Some(Digest::of(b"another"))).refused("for another charter");
            forged(|h| h.environment = Some("staging".parse().unwrap())).refused("has no environment");
            forged(|h| h.environment = None).refused("does not name the system and environment");
            forged(|h| h.system = Some("bank".parse().unwrap())).refused("has no system");
            forged(|h| h.expires = Timestamp::from_unix(now_s() - 1)).refused("expired");
            forged(|h| h.expires = Timestamp::from_unix(now_s() + 400 * 86_400)).refused("longer than a year");
            // One whose signer saw another history of this log.
            forged(|h| h.seen = Some(Seen { size: 3, root: Digest::of(b"another") })).refused("had seen other entries");
        },
    },
    Attack {
        what: "an approval that is replayed, and one that comes before its proposal",
        could: "put the same envelope in again, and get its old place",
        could_not: "make one yes into two, nor keep a yes ready for what comes later",
        run: |s| {
            let envelope =
                s.it.forged("dan", "release-manager", Claim::Approval(approval(s.index, &s.proposal)), |_| {});
            let first = s.it.hand_in(&envelope).index();
            assert_eq!(s.it.hand_in(&envelope).index(), first);
            let early = Approval { proposal: s.it.statements().len() as u64 + 50, ..approval(s.index, &s.proposal) };
            s.it.say("dan", "release-manager", Claim::Approval(early)).index();
            s.counts(0);
        },
    },
    Attack {
        what: "an approval moved to another digest, another proposal, another predecessor",
        could: "stand in the log",
        could_not: "count: an approval is of one transition and of what was shown",
        run: |s| {
            let honest = approval(s.index, &s.proposal);
            let moved = [
                Approval { release: Digest::of(b"another"), ..honest.clone() },
                Approval { replaces: None, ..honest.clone() },
                Approval { proposal: 2, ..honest.clone() },
                honest,
            ];
            for (person, approval) in
                ["cora", "dan"].into_iter().flat_map(|p| moved.iter().map(move |a| (p, a.clone())))
            {
                s.it.say(person, "release-manager", Claim::Approval(approval)).index();
            }
            s.counts(0);
        },
    },
    Attack {
        what: "two keys of one person",
        could: "sign twice",
        could_not: "count as two",
        run: |s| {
            for key in ["cora", "cora-2"] {
                s.it.ok_as(key, &["approve", &s.index.to_string(), "--yes", "--even-if-it-will-not-count"]);
            }
            s.counts(1);
        },
    },
    Attack {
        what: "one person who proposes in one role and approves in another",
        could: "propose, and be the first of others' approvals of what others proposed",
        could_not: "approve what that person proposed",
        run: |s| {
            let said = s.it.ok_as("fay", &["propose", WAITS, "--format", "json"]);
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            let own = said["proposal"].as_u64().unwrap().to_string();
            let refused = s.it.refused_as("fay", 4, &["approve", &own, "--yes"]);
            assert!(refused.contains("fay proposed it"), "{refused}");
            s.it.ok_as("fay", &["approve", &own, "--yes", "--even-if-it-will-not-count"]);
            s.it.ok_as("dan", &["approve", &own, "--yes"]);
            let why: serde_json::Value = serde_json::from_str(&s.it.ok(&["why", &own, "--format", "json"])).unwrap();
            assert_eq!(why[0]["granted"], false, "{why}");
            assert!(why[0]["quorum"].as_str().unwrap().starts_with("1 of 2 approvals (dan)"), "{why}");
            assert!(why[0]["reasons"].to_string().contains("approvals by contributors: fay"), "{why}");
        },
    },
    Attack {
        what: "a clock that is moved: ticks of another day, by the gate's key",
        could: "write a tick without cosignatures",
        could_not: "move the log's time, which only witnesses tell",
        run: |s| {
            let before = s.log_time();
            let (_, honest) = s.it.claim_of::<Tick>("tick", |_| true);
            let note: Vec<&str> = honest.checkpoint.split_inclusive('\n').collect();
            let bare: String = note.iter().filter(|l| !l.contains("witness")).copied().collect();
            for checkpoint in [honest.checkpoint.clone(), bare] {
                let tick = Tick { checkpoint, at: Timestamp::from_unix(now_s() + 30 * 86_400) };
                let said = s.it.say("gate", "gate", Claim::Tick(tick));
                assert!(said.status == 200 || said.status >= 400, "{}", said.said);
            }
            s.settle();
            let after = s.log_time();
            assert!(after.saturating_sub(before) < 120, "{before} {after}");
        },
    },
    Attack {
        what: "the gate taken over",
        could: "say that a release is granted, and keep verdicts back",
        could_not: "start anything: the agent recomputes, and `why` and `audit` say what follows from the log",
        run: taken::gate,
    },
    Attack {
        what: "the builder taken over",
        could: "build something else under a change's name, and put it up",
        could_not: "have it tested by itself, approved, or released",
        run: taken::builder,
    },
    Attack {
        what: "the tester taken over",
        could: "say that suites passed which did not run, until they are seen to fail",
        could_not: "approve, nor take back a failure that was seen",
        run: taken::tester,
    },
    Attack {
        what: "watch taken over",
        could: "raise false alarms, and say nothing of true ones until the gate and the stand-in miss its heartbeat",
        could_not: "silence, move the time, make evidence, approve, steer traffic or start anything",
        run: taken::watch,
    },
    Attack {
        what: "front and the edge taken over",
        could: "withhold answers, and carry what others signed; with the edge also send clients astray",
        could_not: "sign, stop or start; with front also not steer traffic",
        run: taken::front_and_edge,
    },
    Attack {
        what: "every socket, folder, key and volume, as an ordinary user and as each process's user",
        could: "reach what ARCHITECTURE.md says",
        could_not: "reach an executor, another's key or folder, a volume, a secret",
        run: |s| doors::nobody_reaches_what_is_a_robots(s.it),
    },
    Attack {
        what: "front under many slow clients and oversize requests",
        could: "hold its connections for ten seconds each",
        could_not: "keep others from being answered, nor make it read without end",
        run: |s| {
            let slow: Vec<std::net::TcpStream> = (0..200)
                .map(|_| {
                    use std::io::Write as _;
                    let mut stream = std::net::TcpStream::connect(s.it.front).unwrap();
                    stream.write_all(b"POST /log/statements HTTP/1.1\r\nHost: f\r\nContent-Length: 1000\r\n").unwrap();
                    stream
                })
                .collect();
            let began = Instant::now();
            assert_eq!(get(s.it.front, "/api/health").unwrap().status, 200);
            assert!(began.elapsed() < Duration::from_secs(3), "{} ms", began.elapsed().as_millis());
            let large = vec![b' '; 1 << 20];
            let refused = ask(s.it.front, "POST", "/log/statements", &large).unwrap();
            assert!(refused.status >= 400, "{}", refused.status);
            drop(slow);
        },
    },
    Attack {
        what: "a halt by somebody who may not, and one that one person takes back",
        could: "halt, as an operator alone",
        could_not: "halt without the role, nor resume alone",
        run: |s| {
            s.it.say("ada", "operator", Claim::Halt(Halt { environment: None, reason: None })).refused("does not hold");
            s.it.ok_as("olga", &["halt"]);
            s.it.refused_as("eve", 4, &["resume"]);
            assert!(s.it.ok_as("cora", &["resume"]).contains("still halted"));
            assert!(s.it.ok_as("cora-2", &["resume"]).contains("still halted"), "one person with two keys");
            assert!(s.it.ok_as("dan", &["resume"]).contains("it goes on"));
        },
    },
    Attack {
        what: "paths that lead out, in a manifest",
        could: "be pushed",
        could_not: "be accepted as a change",
        run: |s| {
            let manifest = std::fs::read_to_string(s.it.repository().join("countersign.toml")).unwrap();
            s.it.replace(
                "countersign.toml",
                "\"/bin/busybox\" = \"out/busybox\", \"/www/health\"",
                "\"/bin/busybox\" = \"../../../etc/shadow\", \"/www/health\"",
            );
            s.it.push("Reach out");
            wait_for(
                "a change that is not accepted for its manifest",
                LONG,
                || s.it.story(),
                || {
                    s.it.claims("change")
                        .iter()
                        .any(|(_, c)| c["problems"] == serde_json::json!(["manifest"]))
                        .then_some(())
                },
            );
            s.it.write("countersign.toml", &manifest);
        },
    },
    Attack {
        what: "the agent taken over",
        could: "say that something runs which nobody approved, stop what runs, and start it again",
        could_not: "start what nobody approved: its executor reads the log itself, and `audit` names the rollout that had no verdict",
        run: taken::agent,
    },
    Attack {
        what: "gate, log and front taken over together: a yes by the gate's key written into the database itself",
        could: "end this log: nobody believes it any more, and a new one has to be founded",
        could_not: "release, nor stay unseen",
        run: taken::the_database,
    },
];

/// Attacks that have a test of their own, with another installation or without processes: file and name.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "the log rolled back, a full disk",
        "crates/countersign/tests/whole/faults.rs",
        "root_a_full_disk_and_a_log_that_was_set_back_lose_nothing",
    ),
    (
        "an image that is not what was approved",
        "crates/countersign/tests/whole/faults.rs",
        "root_bad_components_and_damaged_images_go_back_and_the_rest_runs_on",
    ),
    (
        "commits without signature, or in another's name",
        "crates/countersign/tests/whole/refusals.rs",
        "root_what_the_rules_forbid_starts_nothing",
    ),
    (
        "a log that withholds a stop",
        "crates/countersign/src/processes/agent/leave/tests.rs",
        "a_log_that_withholds_a_stop_stops_the_agent_by_its_age",
    ),
    (
        "a front that says that the agent has a stop",
        "crates/countersign/src/verbs/halt/tests.rs",
        "that_the_agent_has_it_is_not_believed_from_front",
    ),
    (
        "a halt while nothing answers",
        "crates/countersign/src/processes/agent/stops/tests.rs",
        "a_halt_reaches_a_hundred_agents_while_nothing_else_answers",
    ),
    (
        "an executor asked for what is none of its steps",
        "crates/runtime/src/protocol/tests.rs",
        "fn what_is_not_understood_is_answered_and_ends_the_service",
    ),
    (
        "layers that lead out of an image",
        "crates/runtime/src/local/tests/images.rs",
        "fn root_a_corrupt_or_bad_image_starts_nothing_and_leaves_nothing",
    ),
    (
        "what a component can reach",
        "crates/runtime/src/local/tests/isolation.rs",
        "fn root_nothing_but_tmp_can_be_written_and_no_privileges_are_there",
    ),
    ("zones", "crates/runtime/src/local/tests/zones.rs", "fn root_only_declared_flows_get_through"),
    ("paths and environments of a manifest", "crates/model/src/manifest/tests/bad.rs", "fn mistakes_are_explained"),
    (
        "a witness that is asked to cosign another history",
        "crates/ledger/src/witness/tests.rs",
        "fn refusals_by_status",
    ),
    (
        "builders that disagree",
        "crates/gate/src/builders/tests.rs",
        "a_builder_that_made_something_else_is_named_beside_the_one_that_it_contradicts",
    ),
    (
        "an emergency as a way around",
        "crates/gate/src/emergency/tests.rs",
        "it_gives_away_missing_evidence_and_nothing_else",
    ),
    (
        "slow clients of an agent's door",
        "crates/countersign/src/processes/agent/stops/tests.rs",
        "the_door_takes_stops_alone",
    ),
    (
        "a role taken for an hour",
        "crates/countersign/tests/whole/amended.rs",
        "root_amendments_and_emergencies_give_no_more_than_they_say",
    ),
    (
        "too few recovery keys, and recovery without its delay",
        "crates/ledger/src/charter/history/tests/recovery.rs",
        "fn recovery_takes_two_keys_a_delay_and_nobody_against_it",
    ),
    (
        "recovery keys in the wrong hands, cancelled by one member",
        "crates/ledger/src/charter/history/tests/recovery.rs",
        "fn one_member_cancels_recovery_as_long_as_it_waits",
    ),
    (
        "a false or stale amendment that the log lets in",
        "crates/ledger/src/charter/history/tests.rs",
        "fn a_stale_or_false_amendment_never_comes_into_force",
    ),
    (
        "what a key signed before it was found to be stolen",
        "crates/countersign/src/verbs/withdraw/tests.rs",
        "fn a_withdrawn_key_takes_its_approval_with_it",
    ),
    (
        "a reader shown two histories",
        "crates/ledger/src/follow/tests.rs",
        "fn a_log_that_shrinks_or_forks_is_refused_and_both_checkpoints_are_kept",
    ),
    ("slow clients of the edge", "crates/edge/tests/edge/bodies.rs", "fn slow_clients_are_cut_off"),
];

impl Scene<'_> {
    /// That so many approvals of the second version count, and that it is refused.
    fn counts(&self, approvals: u32) {
        let why = self.why();
        assert_eq!(why["granted"], false, "{why}");
        assert!(why["quorum"].as_str().unwrap().starts_with(&format!("{approvals} of 2 approvals")), "{why}");
    }

    fn why(&self) -> serde_json::Value {
        let why: serde_json::Value =
            serde_json::from_str(&self.it.ok(&["why", &self.index.to_string(), "--format", "json"])).unwrap();
        why[0].clone()
    }

    fn log_time(&self) -> u64 {
        let status: serde_json::Value = serde_json::from_str(&self.it.ok(&["status", "--format", "json"])).unwrap();
        status["log_time"].as_u64().unwrap()
    }

    /// Waits until the agent has read everything and has looked again after that.
    fn settle(&self) {
        let began = now_s();
        let path = self.it.dir().join("status/agent/status.json");
        wait_for(
            "the agent has looked again",
            LONG,
            || self.it.story(),
            || {
                let word: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
                (word["at"].as_u64()? > began + 1).then_some(())
            },
        );
    }

    /// That what ran before runs, and nothing else.
    fn nothing_else_runs(&self) {
        self.it.runs_nothing_of(WAITS);
        assert_eq!(self.it.visit("visit-still"), [RUNS, RUNS]);
    }
}

#[test]
fn root_attacks_on_a_running_installation() {
    for (what, file, name) in ELSEWHERE {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text.contains(name), "{what}: `{file}` has no `{name}`");
    }
    let it = Installation::start();
    let fill = |text: &str| {
        text.replace("@DIR@", &it.dir().to_string_lossy())
            .replace("@FRONT@", &it.front.port().to_string())
            .replace("@WITNESS@", &it.witness_at.port().to_string())
    };
    // Suites and builds that try what they must not be able to, and fail if they are.
    it.write("e2e/test_attack.py", &fill(include_str!("attacks/test_attack.py")));
    let make = std::fs::read_to_string(it.repository().join("make.sh")).unwrap();
    it.write("make.sh", &format!("{}\n{make}", fill(include_str!("attacks/make_attack.sh"))));
    it.first_release();

    // A suite whose command fails and whose report, its own and one that came with the build, is green.
    it.write(
        "liar/run.sh",
        "echo \"<testsuite name='liar'><testcase classname='l' name='made up'/></testsuite>\" > liar.xml\nexit 1\n",
    );
    it.replace(
        "countersign.toml",
        "[environments.production]",
        "[suites.liar]\nkind = \"full\"\non = \"source\"\nrun = [\"/bin/sh\", \"liar/run.sh\"]\nreport = \"liar.xml\"\npaths = [\"liar\"]\ntimeout_s = 30\n\n[environments.production]",
    );
    it.push("Add a suite that lies");
    it.proposal(WAITS);
    let (index, proposal) = it.claim_of::<Proposal>("proposal", |claim| claim["serial"] == WAITS);
    let scene = Scene { it: &it, index, proposal };
    let (_, lied) = it.claim_of::<ledger::statement::v1::Evidence>("evidence", |claim| claim["suite"] == "liar");
    assert_ne!(lied.outcome, ledger::statement::v1::EvidenceOutcome::Passed, "{lied:?}");

    for attack in TABLE {
        let began = Instant::now();
        println!("{}\n  could: {}\n  could not: {}", attack.what, attack.could, attack.could_not);
        (attack.run)(&scene);
        println!("  {} ms", began.elapsed().as_millis());
    }
}
