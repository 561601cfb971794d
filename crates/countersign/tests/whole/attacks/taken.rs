//! Each process taken over in turn: its key and its user in the attacker's hands; then gate, log and front together.

use std::{fs, sync::Arc};

use ledger::{
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    statement::{
        Statement,
        v1::{
            Alarm, AlarmAbout, AlarmKind, Build, Change, Claim, Evidence, EvidenceOutcome, EvidenceReason, Halt,
            Header, Milestone, MilestoneKind, Proposal, Ruling, Tick, Verdict,
        },
    },
    store::SqliteStore,
};
use model::{Digest, Timestamp};

use super::{
    Scene, WAITS,
    forger::{approval, now_s},
};
use crate::{
    faults::in_the_foreground,
    installation::SHORT,
    refusals::{ROLES_GROUP, answered, put, talks},
    request::get,
    steps::refused,
    wait::wait_for,
};

const FRONT: u32 = 2_200_007;
const EDGE: u32 = 2_200_006;
const GATE: u32 = 2_200_002;
const WATCH: u32 = 2_200_009;

/// A verdict that nobody decided, for the version that nobody approved.
pub(super) fn gate(s: &Scene<'_>) {
    let verdict = Verdict {
        environment: s.proposal.environment.clone(),
        proposal: s.index,
        release: s.proposal.release,
        serial: s.proposal.serial.clone(),
        ruling: Ruling::Granted { until: Timestamp::from_unix(now_s() + 86_400) },
        size: s.it.statements().len() as u64,
        rests_on: vec![s.index],
        decide: "1".to_owned(),
        policy: Digest::of(b"any"),
        at: Timestamp::from_unix(now_s()),
        unwitnessed: false,
    };
    let index = s.it.say("gate", "gate", Claim::Verdict(Box::new(verdict))).index();
    s.settle();
    s.nothing_else_runs();
    assert_eq!(s.why()["granted"], false);
    let output = s.it.program(&["audit"]);
    let said = crate::installation::both(&output);
    assert!(
        !output.status.success() && said.contains(&index.to_string()),
        "the audit names the forged verdict: {said}"
    );
    // Its user reaches no executor, and steers no traffic.
    s.it.steers_nothing(GATE);
    assert!(!talks(GATE, ROLES_GROUP, &s.it.dir().join("run/agent/components"), ""));
}

/// Other images under the name of an honest change, and a change that hides who wrote it; put up at once.
pub(super) fn builder(s: &Scene<'_>) {
    let (_, honest) = s.it.claim_of::<Build>("build", |claim| claim["serial"] == WAITS);
    let mut build = honest.clone();
    build.images[0].image = Digest::of(b"slipped in");
    build.release = Digest::of(b"a release document of its own");
    let built = s.it.say("builder", "builder", Claim::Build(Box::new(build.clone()))).index();
    let proposal = Proposal { build: built, release: build.release, images: build.images, ..s.proposal.clone() };
    let index = s.it.say("builder", "builder", Claim::Proposal(Box::new(proposal))).index();
    let rules = s.rules(index);
    for rule in ["full-suites-passed", "tested-as-containers", "quorum-has-approved"] {
        assert!(rules.iter().any(|r| r == rule), "{rule}: {rules:?}");
    }
    // A change without the one before it hides commits; a proposal with it is refused for that.
    let (_, change) = s.it.claim_of::<Change>("change", |claim| claim["ordinal"] == 2);
    let change = Change { previous: None, ordinal: 90, commits: change.commits.clone(), ..change };
    let hidden = s.it.say("builder", "builder", Claim::Change(Box::new(change))).index();
    let build = Build { change: hidden, serial: "visits-000090".parse().unwrap(), ..honest };
    let built = s.it.say("builder", "builder", Claim::Build(Box::new(build.clone()))).index();
    let proposal = Proposal { change: hidden, build: built, serial: build.serial, ..s.proposal.clone() };
    let index = s.it.say("builder", "builder", Claim::Proposal(Box::new(proposal))).index();
    let rules = s.rules(index);
    assert!(rules.iter().any(|r| r == "change-is-on-the-protected-branch"), "{rules:?}");
    // It does not make evidence, and not a yes.
    let (_, evidence) = s.it.claim_of::<Evidence>("evidence", |_| true);
    s.it.say("builder", "builder", Claim::Evidence(Box::new(evidence))).refused("may not make a statement");
    s.settle();
    s.nothing_else_runs();
}

/// A suite that nobody has seen pass, passed; and again, after it was seen to fail.
pub(super) fn tester(s: &Scene<'_>) {
    // The builder taken over said another change of this commit, and the tester tried that as well.
    let of_it = |claim: &serde_json::Value| claim["suite"] == "liar" && claim["change"] == s.proposal.change;
    let (_, lied) = s.it.claim_of::<Evidence>("evidence", of_it);
    assert_eq!(lied.outcome, EvidenceOutcome::NotTested);
    let lacks = |rules: Vec<String>| rules.iter().any(|rule| rule == "full-suites-passed");
    assert!(lacks(s.rules(s.index)));
    let mut passed = Evidence { outcome: EvidenceOutcome::Passed, reasons: Vec::new(), ..lied };
    passed.totals.passed = 1;
    passed.totals.failed = 0;
    passed.cases = None;
    let pass = || s.it.say("tester", "tester", Claim::Evidence(Box::new(passed.clone()))).index();
    pass();
    assert_eq!(s.rules(s.index), ["quorum-has-approved"], "only it knows what a suite did");
    let mut failed =
        Evidence { outcome: EvidenceOutcome::Failed, reasons: vec![EvidenceReason::Failed], ..passed.clone() };
    failed.totals.failed = 1;
    s.it.say("tester", "tester", Claim::Evidence(Box::new(failed))).index();
    assert!(lacks(s.rules(s.index)), "a failure that was seen");
    pass();
    assert!(lacks(s.rules(s.index)), "it is not taken back");
    s.it.say("tester", "tester", Claim::Proposal(Box::new(s.proposal.clone()))).refused("may not make a statement");
    s.settle();
    s.nothing_else_runs();
}

/// Alarms that nothing calls for, and everything else that such a key could be wanted for.
pub(super) fn watch(s: &Scene<'_>) {
    let alarm = Alarm { what: AlarmKind::LogStale, about: AlarmAbout::default(), firing: true };
    let everywhere = |header: &mut Header| header.system = None;
    s.it.hand_in(&s.it.forged("watch", "watch", Claim::Alarm(alarm), everywhere)).index();
    let (_, tick) = s.it.claim_of::<Tick>("tick", |_| true);
    let (_, evidence) = s.it.claim_of::<Evidence>("evidence", |_| true);
    let others = [
        Claim::Tick(tick),
        Claim::Evidence(Box::new(evidence)),
        Claim::Proposal(Box::new(s.proposal.clone())),
        Claim::Approval(approval(s.index, &s.proposal)),
        Claim::Halt(Halt { environment: None, reason: None }),
    ];
    for claim in others {
        s.it.say("watch", "watch", claim).refused("may not make a statement");
    }
    s.it.steers_nothing(WATCH);
    for executor in ["agent/components", "tester/components", "tester/sandbox", "builder/sandbox"] {
        assert!(!talks(WATCH, ROLES_GROUP, &s.it.dir().join("run").join(executor), ""), "watch reaches {executor}");
    }
    s.settle();
    s.nothing_else_runs();
}

/// What comes over the sockets from those who hold no key.
pub(super) fn front_and_edge(s: &Scene<'_>) {
    let run = s.it.dir().join("run");
    // A stop that is signed well, by somebody whose role is not to stop.
    let halt = Claim::Halt(Halt { environment: None, reason: None });
    let halt = s.it.forged("ada", "operator", halt, |_| {});
    let halt = format!("{{\"envelope\":{},\"bodies\":[]}}", String::from_utf8(halt.canonical_bytes()).unwrap());
    for user in [FRONT, EDGE] {
        let ask = |socket: &str, request: &str| answered(user, ROLES_GROUP, &run.join(socket), request);
        // Each is read and understood, and refused for who signed it.
        for (socket, path) in [("agent/socket", "POST /stop"), ("log/socket", "POST /statements")] {
            let answer = ask(socket, &put(path, &halt));
            assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("does not hold the role"), "{path}: {answer}");
        }
        assert!(!talks(user, ROLES_GROUP, &run.join("agent/components"), ""));
    }
    // Who has the edge's user has the edge itself, and sends traffic astray; front does not.
    s.it.steers_nothing(FRONT);
    // What front carries is checked by the log: it can make nothing of its own.
    let unsigned = s.it.hand_in_text("{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[]}");
    unsigned.refused("signature");
    s.settle();
    s.nothing_else_runs();
}

/// With the processes away: an approval in a person's name by the gate's key, into the database with the log's own key. The
/// witness cosigns it, because it follows; so this log has ended, and the row is the last.
pub(super) fn the_database(s: &Scene<'_>) {
    let it = s.it;
    let forged = it.forged("gate", "release-manager", Claim::Approval(approval(s.index, &s.proposal)), |_| {});
    it.ok(&["down", "--leave-components"]);
    let charter = fs::read_to_string(it.dir().join("charter.jsonl")).unwrap();
    let charter = ledger::dsse::Envelope::parse(charter.lines().next().unwrap().as_bytes()).unwrap();
    let Claim::Charter(charter) = Statement::from_bytes(charter.payload()).unwrap().claim else { panic!("no charter") };
    let origin = charter.log.origin;
    {
        let signer = NoteSigner::new(&origin, NoteKeyType::Ed25519, it.stolen("log")).unwrap();
        let store = SqliteStore::open(&it.dir().join("log/log.sqlite3")).unwrap();
        let log = Log::open(Arc::new(store), signer, Arc::new(OpenDoor)).unwrap();
        for taken in log.append_all(vec![Submission::new(forged)]) {
            taken.unwrap();
        }
    }
    let said = |name: &str| fs::read_to_string(it.dir().join("output").join(name)).unwrap_or_default();
    let before = said("agent.log").len();
    let mut up = in_the_foreground(it);
    wait_for(
        "the agent does not believe the log",
        SHORT,
        || it.story(),
        || said("agent.log").get(before..)?.contains("the log is not believed any more").then_some(()),
    );
    wait_for(
        "what runs goes on",
        SHORT,
        || it.story(),
        || get(it.exposed, "/cgi-bin/visit?visit-under-a-forged-log").ok().filter(|answer| answer.status == 200),
    );
    assert_eq!(it.visit("visit-again"), [super::RUNS, super::RUNS]);
    let instances = wait_for(
        "the agent tells what it runs",
        SHORT,
        || it.story(),
        || it.status()?["agent"]["visits in production"]["instances"].as_array().filter(|all| !all.is_empty()).cloned(),
    );
    assert!(instances.iter().all(|i| i["serial"] == super::RUNS), "{instances:?}");
    let audit = crate::installation::both(&it.program(&["audit"]));
    assert!(audit.contains("gate does not hold the role"), "the audit names who signed it: {audit}");
    it.ok(&["down"]);
    up.wait().unwrap();
}

/// The agent says that what nobody approved has begun and is live.
pub(super) fn agent(s: &Scene<'_>) {
    let mut indices = Vec::new();
    for what in [MilestoneKind::Begun, MilestoneKind::Live] {
        let milestone = Milestone {
            environment: s.proposal.environment.clone(),
            release: s.proposal.release,
            serial: s.proposal.serial.clone(),
            other: s.proposal.replaces,
            proposal: s.index,
            what,
            component: None,
            requests: 0,
            errors: 0,
            placed: Vec::new(),
        };
        indices.push(s.it.say("agent", "agent", Claim::Milestone(Box::new(milestone))).index());
    }
    let began = indices[0];
    let output = s.it.program(&["audit"]);
    let words = crate::installation::both(&output);
    assert!(!output.status.success(), "{words}");
    assert!(
        words.contains(&format!("the rollout that began at {began} had no granted verdict on proposal {}", s.index)),
        "{words}"
    );
    // Its user asks the executor for it, and is not believed, whatever the log now says that runs.
    let (_, runs) = s.it.claim_of::<Proposal>("proposal", |claim| claim["serial"] == super::RUNS);
    let asked = [s.it.instance(s.proposal.release, "web"), s.it.instance(runs.release, "web")];
    let answers = s.it.as_agent(&asked);
    let words = refused(&answers[0]);
    assert!(words.contains("the log gives no ground for this start"), "{words}");
    // What runs has its ground; this one runs already, with other peers.
    let words = refused(&answers[1]);
    assert!(words.contains("was started otherwise"), "{words}");
    // By what answers: the log has the milestones of it that were forged above.
    assert_eq!(s.it.visit("visit-after-the-agent"), [super::RUNS, super::RUNS]);
    // Its key says nothing else.
    s.it.say("agent", "agent", Claim::Approval(approval(s.index, &s.proposal))).refused("may not make a statement");
}

impl Scene<'_> {
    /// The rules that refuse a proposal.
    fn rules(&self, index: u64) -> Vec<String> {
        let why: serde_json::Value =
            serde_json::from_str(&self.it.ok(&["why", &index.to_string(), "--format", "json"])).unwrap();
        assert_eq!(why[0]["granted"], false, "{why}");
        why[0]["reasons"].as_array().unwrap().iter().filter_map(|r| r["rule"].as_str().map(str::to_owned)).collect()
    }
}
