use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ledger::{
    blobs::FileBlobs,
    bodies::{Bodies, Body, KeyState, SubjectBody},
    keys::{PrivateKey, Scheme, Signer},
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    statement::v1::{Evidence, EvidenceOutcome, Halt},
    store::SqliteStore,
};
use serde_json::Value;

use super::*;
use crate::{
    charter_file,
    identity::RoleUser,
    processes,
    say::Speaker,
    status::StatusFile,
    verbs::{
        audit, halt, log, reject,
        world::{World, arguments, commit, printed, ran},
    },
};

fn erase(world: &World, who: &str, given: &[&str]) -> (String, Result<(), Fault>) {
    let given: Vec<&str> = given.iter().copied().chain(["--yes"]).collect();
    ran(|out| run(&arguments::<Args>(&given), &world.as_person(who), out))
}

fn rejected(world: &World, who: &str, ordinal: u64, reason: &[&str]) -> Result<(), Fault> {
    let release = world.built(ordinal, (ordinal > 1).then_some(ordinal - 1));
    let proposal = world.proposed(&release).to_string();
    let given: Vec<&str> = [proposal.as_str()].into_iter().chain(reason.iter().copied()).collect();
    ran(|out| reject::run(&arguments::<reject::Args>(&given), &world.as_person(who), out)).1
}

/// What `log show` prints about the body of the last statement of a kind.
fn shown(world: &World, kind: Says) -> Value {
    let view = world.view();
    let index = view.statements().iter().rfind(|s| s.value().claim.kind() == kind).unwrap().index().to_string();
    let text = printed(|out| log::run(&arguments::<log::Args>(&["show", &index]), &world.common, out));
    serde_json::from_str::<Value>(&text).unwrap()["bodies"].clone()
}

#[test]
fn two_persons_erase_a_person_and_everything_still_verifies() {
    let world = World::new();
    rejected(&world, "ben", 1, &["--reason", "Ada Lovelace forgot the limits"]).unwrap();
    let kept = json!([{ "of": "reason", "state": "kept", "text": "Ada Lovelace forgot the limits" }]);
    assert_eq!(shown(&world, Says::Rejection), kept);

    for _ in 0..2 {
        let (text, end) = erase(&world, "cem", &["person:ben", "--reason", "ben asked for it"]);
        end.unwrap_or_else(|f| panic!("{f}"));
        assert!(text.starts_with("1 body of person:ben can be read now, and never again after this\n"), "{text}");
        assert!(text.contains("cem has said so, in the log as "), "{text}");
        assert!(text.contains(": 1 of 2 persons\nnothing is erased yet; one more is needed before "), "{text}");
        assert!(text.ends_with(", of ben\n"), "{text}");
        assert_eq!(shown(&world, Says::Rejection), kept, "one person is one person, however often");
    }
    let fault = erase(&world, "olga", &["person:ben"]).1.unwrap_err();
    assert_eq!(fault.message(), "olga holds no role that may say `erasure`");

    let before = audited(&world);
    let (text, end) = erase(&world, "ben", &["person:ben"]);
    end.unwrap_or_else(|f| panic!("{f}"));
    assert!(text.contains("\nperson:ben is erased, as ben and cem said, in the log as "), "{text}");
    assert_eq!(shown(&world, Says::Rejection), json!([{ "of": "reason", "state": "erased" }]));
    assert_eq!(audited(&world), before + 1, "every entry is there and verifies");
    let fault = erase(&world, "cem", &["person:ben"]).1.unwrap_err();
    assert_eq!((fault.kind(), fault.message().as_str()), (Kind::Refused, "`person:ben` was erased before"));

    // Nothing new is kept about ben, who may speak all the same; a stop never fails on its reason.
    let fault = erase(&world, "ben", &["person:cem", "--reason", "again"]).1.unwrap_err();
    assert!(fault.message().ends_with("`person:ben` was erased; nothing new is kept about it"), "{fault}");
    assert_eq!(fault.hint_text(), Some("say it without a reason or a list of cases"));
    rejected(&world, "ben", 2, &["--reason", "again"]).unwrap();
    assert_eq!(shown(&world, Says::Rejection), json!([{ "of": "reason", "state": "not kept" }]));
    let text =
        printed(|out| halt::run(&arguments::<halt::Args>(&["--reason", "all of it"]), &world.as_person("ben"), out));
    assert!(text.contains("halted by ben, in the log as "), "{text}");
    assert!(text.contains("\nthe reason was not kept: "), "{text}");
    assert_eq!(shown(&world, Says::Halt), json!([{ "of": "reason", "state": "not kept" }]));
    assert_eq!(shown(&world, Says::Erasure), json!([]), "ben gave no reason for the erasure");
}

/// Audits what the log keeps, without a server; gives how many statements it has.
fn audited(world: &World) -> u64 {
    let flags = Flags { server: None, ..World::json(&world.common) };
    let text = printed(|out| audit::run(&arguments::<audit::Args>(&[]), &flags, out));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["findings"], json!([]), "{text}");
    json["statements"].as_u64().unwrap()
}

#[test]
fn a_change_is_erased_when_nothing_is_compared_with_it_any_more() {
    let world = World::new();
    let (first, proposal, [evidence, _]) = world.released(1, None, [None, None]);
    let change = format!("change:{}", first.change);
    let list = Body::new(b"{}".to_vec()).unwrap();
    let claim = world.view().facts().one_evidence(evidence).unwrap().claim.clone();
    let claim = Evidence { cases: Some(list.commitment()), outcome: EvidenceOutcome::Passed, ..claim };
    let tester = speaker(&world, "tester");
    let about = About { system: Some("paydesk".parse().unwrap()), ..About::default() };
    let body = list.clone().about(change.parse().unwrap());
    tester.say(&world.log(), Claim::Evidence(Box::new(claim)), about, &[body]).unwrap();
    world.tick();
    let fault = erase(&world, "cem", &[&change]).1.unwrap_err();
    assert_eq!(fault.message(), format!("the release of change {} runs now", first.change));
    assert!(fault.hint_text().unwrap().contains("erase it when another release has replaced it"));
    assert!(world.view().facts().proposal(proposal).is_some());
    let again = [evidence, evidence + 1].map(Some);
    world.released(2, Some(first.change), again);
    for who in ["ben", "cem"] {
        erase(&world, who, &[&change]).1.unwrap_or_else(|f| panic!("{f}"));
    }
    let kept = world.view().log().body(list.commitment()).unwrap();
    assert_eq!(kept, KeptBody::Erased);
    let fault = crate::evidence::list_of(kept, evidence).unwrap_err();
    assert_eq!(fault.message(), format!("the list of cases of log index {evidence} was erased"));
    assert!(commit(1) != commit(2));
    audited(&world);
}

#[test]
fn what_the_log_does_not_know_is_not_erased_and_robots_erase_nothing() {
    let world = World::new();
    let ask = |what: &str| erase(&world, "cem", &[what]).1.unwrap_err().message();
    assert_eq!(ask("person:zoe"), "the charter has no person `zoe`");
    assert_eq!(ask("change:0"), "the statement 0 is not a change");
    let claim = Erasure { subject: "person:ben".parse::<Subject>().unwrap().digest(), reason: None };
    let refused = speaker(&world, "gate").say(&world.log(), Claim::Erasure(claim), About::default(), &[]);
    assert!(refused.unwrap_err().message().contains("the role `gate` may not make a statement of kind erasure"));
}

/// Two persons' words are in the log, and the process ended before it destroyed the key.
#[test]
fn an_erasure_that_a_crash_interrupted_is_carried_out_at_the_start() {
    let world = World::new();
    let layout = world.common.layout();
    let charter = charter_file::read(&layout, None).unwrap();
    let folder = world.path("interrupted");
    std::fs::create_dir(&folder).unwrap();
    let key: Arc<dyn Signer> =
        Arc::new(PrivateKey::read(Scheme::Ed25519, &layout.key(RoleUser::Log), &mut || None).unwrap());
    let open = || {
        let store = Arc::new(SqliteStore::open(&folder.join("log.sqlite3")).unwrap());
        let blobs = Arc::new(FileBlobs::open(&folder.join("bodies")).unwrap());
        (store.clone(), Bodies::new(blobs, store))
    };
    let subject: Subject = "person:ben".parse().unwrap();
    let reason = SubjectBody { subject: subject.clone(), body: Body::new(b"why".to_vec()).unwrap() };
    let said = |who: &str| {
        let signer = crate::verbs::file_signer(&world.path("people").join(who)).unwrap();
        let speaker = Speaker::new(signer, world.members.hash(), "release-manager".parse().unwrap());
        let claim = Erasure { subject: subject.digest(), reason: None };
        Submission::new(speaker.sign(Claim::Erasure(claim), About::default()).unwrap())
    };
    {
        let (store, bodies) = open();
        let origin = &world.members.charter().log.origin;
        let signer = NoteSigner::new(origin, NoteKeyType::Ed25519, key.clone()).unwrap();
        let log = Log::open(store, signer, Arc::new(OpenDoor)).unwrap().keeping(bodies);
        for envelope in &charter.envelopes {
            log.append(Submission::new(envelope.clone())).unwrap();
        }
        let halt = Claim::Halt(Halt { environment: None, reason: Some(reason.body.commitment()) });
        let envelope = speaker(&world, "ben").sign(halt, About::default()).unwrap();
        log.append(Submission { envelope, bodies: vec![reason.clone()] }).unwrap();
        log.append(said("ben")).unwrap();
        log.append(said("cem")).unwrap();
        assert!(matches!(log.bodies().unwrap().state(subject.digest()).unwrap(), KeyState::Kept(_)));
    }
    let (store, bodies) = open();
    let status = StatusFile::new(&layout, RoleUser::Log, "not confined".to_owned());
    let _router = processes::log::open(
        store,
        bodies.clone(),
        world.path("log/forks"),
        key,
        &charter,
        (status, std::collections::BTreeSet::new()),
        None,
    )
    .unwrap();
    let start = Instant::now();
    while bodies.state(subject.digest()).unwrap() != KeyState::Destroyed {
        assert!(start.elapsed() < Duration::from_secs(20), "it is carried out at the start");
        std::thread::yield_now();
    }
    assert_eq!(bodies.read(&reason.body.commitment()).unwrap(), KeptBody::Erased);
}

/// Somebody who speaks without a verb, in the first role.
fn speaker(world: &World, who: &str) -> Speaker {
    let (signer, role): (Arc<dyn Signer>, &str) = match RoleUser::ALL.into_iter().find(|r| r.name() == who) {
        Some(role) => {
            let path = world.common.layout().key(role);
            (Arc::new(PrivateKey::read(Scheme::Ed25519, &path, &mut || None).unwrap()), who)
        }
        None => (crate::verbs::file_signer(&world.path("people").join(who)).unwrap(), "release-manager"),
    };
    Speaker::new(signer, world.members.hash(), role.parse().unwrap())
}
