//! A log that withholds, and an agent that is fed an old checkpoint: the real log and witness, and between them and the
//! agent somebody who shows what he likes.

use std::sync::Mutex;

use axum::{Router, extract::State, http::Uri, routing::any};
use gate::Stop;
use hyper::{Method, StatusCode};
use ledger::{
    dsse::Envelope,
    statement::v1::{Claim, EvidenceOutcome, Halt, KeyWithdrawal, Rejection, Ruling},
    witness::AddCheckpoint,
};
use model::Clock as _;

use super::*;
use crate::{
    clock::SystemClock,
    http::Target,
    log_client::LogClient,
    say::{About, Speaker},
    verbs::{
        file_signer,
        world::{World, listener, production, serve, system},
    },
};

const MAX_AGE_S: u64 = 60;

/// Stands between the agent and the log: shows this checkpoint for ever, once there is one, and swallows statements.
#[derive(Clone)]
struct Between {
    log: Target,
    shown: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Between {
    fn new(world: &World) -> (Self, LogClient) {
        let log = Target::parse(world.common.server.as_deref().unwrap()).unwrap();
        let between = Self { log, shown: Arc::default() };
        let (socket, address) = listener();
        serve(socket, Router::new().route("/{*rest}", any(pass)).with_state(between.clone()));
        (between, LogClient::through_front(Target::parse(&format!("http://{address}")).unwrap()))
    }

    fn withhold(&self, world: &World) -> Vec<u8> {
        let note = world.log().cosigned().unwrap().unwrap();
        *self.shown.lock().unwrap() = Some(note.clone());
        note
    }

    fn is_honest_again(&self) {
        *self.shown.lock().unwrap() = None;
    }
}

async fn pass(
    State(between): State<Between>,
    method: Method,
    uri: Uri,
    body: axum::body::Bytes,
) -> (StatusCode, Vec<u8>) {
    let shown = between.shown.lock().unwrap().clone();
    let path = uri.path_and_query().unwrap().as_str();
    match shown {
        Some(note) if path == "/log/cosigned" => (StatusCode::OK, note),
        Some(_) if method == Method::POST => (StatusCode::SERVICE_UNAVAILABLE, Vec::new()),
        _ => {
            let answer =
                between.log.ask(method, path, body.to_vec(), std::time::Duration::from_secs(20)).await.unwrap();
            (answer.status, answer.body.to_vec())
        }
    }
}

/// A proposal that two people approved, and an agent that has read it.
fn granted() -> (World, u64, Between, Known) {
    let world = World::new();
    let release = world.built(1, None);
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let proposal = world.proposed(&release);
    world.approved(proposal, "ben", "release-manager");
    world.approved(proposal, "cem", "release-manager");
    world.tick();
    let (between, log) = Between::new(&world);
    let known = agent(&world, log);
    drop(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap());
    (world, proposal, between, known)
}

/// An agent that starts, or starts again.
fn agent(world: &World, log: LogClient) -> Known {
    let home = world.path("agent");
    std::fs::create_dir_all(&home).unwrap();
    let stops = Arc::new(Stops::open(home.join("stops"), world.members.clone()).unwrap());
    let mut known = Known::new(View::with_memory(log, world.members.clone(), &home).unwrap(), stops);
    known.refresh().unwrap();
    known
}

fn envelope(world: &World, who: &str, role: &str, claim: Claim, environment: bool) -> Envelope {
    let speaker = Speaker::new(
        file_signer(&world.path("people").join(who)).unwrap(),
        world.members.hash(),
        role.parse().unwrap(),
    );
    let about = About {
        system: (!matches!(claim, Claim::KeyWithdrawal(_))).then(system),
        environment: environment.then(production),
        ..About::default()
    };
    speaker.sign(claim, about).unwrap()
}

/// Each way to stop: who says it, and the rule that then fails.
fn stops(world: &World, proposal: u64) -> Vec<(Envelope, &'static str)> {
    let release = world.view().facts().proposal(proposal).unwrap().claim.release;
    let ben = file_signer(&world.path("people/ben")).unwrap().key().id();
    let halt = Claim::Halt(Halt { environment: Some(production()), reason: None });
    let reject = Claim::Rejection(Rejection { proposal, release, reason: None });
    let withdraw = Claim::KeyWithdrawal(KeyWithdrawal { key: ben, void_from: 0 });
    vec![
        (envelope(world, "olga", "operator", halt, true), "not-halted"),
        (envelope(world, "cem", "release-manager", reject, true), "nobody-rejected-it"),
        (envelope(world, "olga", "operator", withdraw, false), "quorum-has-approved"),
    ]
}

fn rules(error: CurrentError) -> Vec<String> {
    let CurrentError::Refused(verdict) = error else { panic!("not refused but: {error}") };
    let Ruling::Refused { reasons } = verdict.ruling else { panic!("granted") };
    reasons.into_iter().map(|r| r.rule).collect()
}

#[test]
fn a_log_that_withholds_a_stop_stops_the_agent_by_its_age() {
    let (world, proposal, between, mut known) = granted();
    let old = between.withhold(&world);
    for (stop, _) in stops(&world, proposal) {
        let index = world.log().append(&stop, &[]).unwrap().index;
        world.wait(index);
    }
    // The log goes on showing the old tree, which its witness does not cosign again.
    known.refresh().unwrap();
    let shown = known.view().reader().checkpoint().unwrap().to_bytes();
    assert_eq!(shown, old, "nothing newer is seen");
    let head = ledger::checkpoint::SignedCheckpoint::open(&old, known.view().reader().follower().log()).unwrap();
    let again = AddCheckpoint::new(head.size(), Vec::new(), old).unwrap().to_bytes();
    let (witness, prefix) = Target::parse_prefix(&world.members.charter().witnesses[0].url).unwrap();
    let path = format!("{prefix}/add-checkpoint");
    let answer = witness.ask_blocking(Method::POST, &path, again, std::time::Duration::from_secs(5)).unwrap();
    assert_eq!(answer.status, StatusCode::CONFLICT);

    // So the agent stops when the age is over, whatever the log says, and what runs is not touched by that.
    let seen = known.view().reader().fresh(SystemClock.now(), MAX_AGE_S).unwrap().time();
    drop(known.permission(MAX_AGE_S, proposal, seen.plus_s(MAX_AGE_S)).unwrap());
    let stale = known.permission(MAX_AGE_S, proposal, seen.plus_s(MAX_AGE_S + 1)).unwrap_err().to_string();
    assert_eq!(stale, "no fresh checkpoint: the last checkpoint is 61 s old, more than 60 s");
    let behind = known.permission(MAX_AGE_S, proposal, Timestamp::from_unix(seen.unix() - MAX_AGE_S - 1)).unwrap_err();
    assert!(behind.to_string().ends_with("ahead of this clock: set the clock"), "{behind}");
    assert_eq!(known.distrust(), None, "an old checkpoint is no lie");

    between.is_honest_again();
    known.refresh().unwrap();
    let refused = rules(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap_err());
    for rule in ["not-halted", "nobody-rejected-it", "quorum-has-approved"] {
        assert!(refused.iter().any(|r| r == rule), "{rule}: {refused:?}");
    }
}

#[test]
fn a_stop_that_is_delivered_directly_counts_at_once_and_is_not_forgotten() {
    let (world, proposal, between, mut known) = granted();
    between.withhold(&world);
    for (stop, rule) in stops(&world, proposal) {
        known.stops.take(&stop.canonical_bytes()).unwrap();
        known.weigh();
        let refused = rules(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap_err());
        assert!(refused.iter().any(|r| r == rule), "{rule}: {refused:?}");
        known.stops.take(&stop.canonical_bytes()).unwrap();
        assert!(!known.view().facts().has_heard(Stop::open(&stop, &world.members).unwrap().identity()));
    }
    // The log does not take them, and says nothing: that is an alarm after a while, also after a new start.
    assert!(known.write_stops().is_err());
    let now = SystemClock.now();
    assert_eq!(known.stops().overdue(now.plus_s(30)), Vec::<String>::new());
    drop(known);
    let log = Between::new(&world).1;
    let mut known = agent(&world, log);
    let alarms = known.stops().overdue(now.plus_s(90));
    assert_eq!(alarms.len(), 3);
    assert!(alarms.iter().all(|a| a.starts_with("ALARM: a ") && a.contains("is not in the log after")), "{alarms:?}");
    known.weigh();
    assert_eq!(rules(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap_err()).len(), 3);

    // The agent writes them into the log, believes that when it has read them there, and the log's word goes on counting.
    known.write_stops().unwrap();
    world.wait(known.view().facts().size() + 2);
    known.refresh().unwrap();
    known.write_stops().unwrap();
    assert_eq!(std::fs::read_dir(world.path("agent/stops")).unwrap().count(), 0);
    known.weigh();
    assert!(known.stopped.is_none());
    assert_eq!(rules(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap_err()).len(), 3);
}

#[test]
fn only_stops_of_this_charter_are_taken() {
    let (world, proposal, _, known) = granted();
    let resume = Claim::Resume(ledger::statement::v1::Resume { halt: 1 });
    let other = envelope(&world, "ben", "release-manager", resume, true);
    let fault = known.stops.take(&other.canonical_bytes()).unwrap_err();
    assert!(fault.to_string().contains("not a halt, a rejection or a withdrawal of a key but a resume"), "{fault}");
    let ada = Claim::Halt(Halt { environment: None, reason: None });
    let nobody = envelope(&world, "ada", "operator", ada, false);
    assert!(known.stops.take(&nobody.canonical_bytes()).is_err(), "ada is no operator");
    assert!(known.stops.take(b"{}").is_err());
    drop(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap());
    ledger::durable::write(&world.path("agent/stops/junk"), b"junk", 0o600).unwrap();
    assert!(Stops::open(world.path("agent/stops"), world.members.clone()).is_err(), "no start without its stops");
}

/// What a write leaves that was cut off, torn or whole, was never taken.
#[test]
fn a_write_that_was_cut_off_does_not_keep_the_agent_from_starting() {
    let (world, proposal, between, known) = granted();
    between.withhold(&world);
    let stops = stops(&world, proposal);
    known.stops.take(&stops[0].0.canonical_bytes()).unwrap();
    drop(known);
    let bytes = stops[1].0.canonical_bytes();
    ledger::durable::write(&world.path("agent/stops/.aa.1-0.tmp"), &bytes[..bytes.len() / 2], 0o600).unwrap();
    ledger::durable::write(&world.path("agent/stops/.bb.1-1.tmp"), &bytes, 0o600).unwrap();
    let kept = Stops::open(world.path("agent/stops"), world.members.clone()).unwrap();
    assert_eq!(kept.overdue(SystemClock.now().plus_s(90)).len(), 1);
    assert_eq!(std::fs::read_dir(world.path("agent/stops")).unwrap().count(), 1);
}

/// Whose signer was brought by an amendment is not known before the log is read; whose signer is in no charter then is.
#[test]
fn a_kept_stop_of_whoever_may_not_say_it_is_put_away_when_the_log_was_read() {
    let (world, _, between, known) = granted();
    drop(known);
    let halt = Claim::Halt(Halt { environment: None, reason: None });
    let nobody = envelope(&world, "ada", "operator", halt, false).canonical_bytes();
    ledger::durable::write(&world.path("agent/stops/aa"), &nobody, 0o600).unwrap();
    let stops = Arc::new(Stops::open(world.path("agent/stops"), world.members.clone()).unwrap());
    let log = LogClient::through_front(between.log.clone());
    let mut known = Known::new(View::with_memory(log, world.members.clone(), &world.path("agent")).unwrap(), stops);
    let kept = || std::fs::read_dir(world.path("agent/stops")).unwrap().count();
    known.weigh();
    assert_eq!(kept(), 1, "nobody knows yet whether it counts");
    known.refresh().unwrap();
    assert_eq!(kept(), 0);
}

/// One whose file is gone is put away all the same, and the others are written.
#[test]
fn a_stop_whose_file_is_gone_keeps_no_other_out_of_the_log() {
    let (world, proposal, _, mut known) = granted();
    let stops = stops(&world, proposal);
    known.stops.take(&stops[0].0.canonical_bytes()).unwrap();
    known.write_stops().unwrap();
    world.wait(known.view().facts().size());
    known.refresh().unwrap();
    for file in std::fs::read_dir(world.path("agent/stops")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    known.stops.take(&stops[1].0.canonical_bytes()).unwrap();
    known.write_stops().unwrap();
    world.wait(known.view().facts().size());
    known.refresh().unwrap();
    known.write_stops().unwrap();
    assert_eq!(known.stops().overdue(SystemClock.now().plus_s(90)), Vec::<String>::new());
}

#[test]
fn one_person_leaves_room_for_the_stops_of_others() {
    let (world, _, _, known) = granted();
    let halt = |who: &str, role: &str| {
        let claim = Claim::Halt(Halt { environment: Some(production()), reason: None });
        known.stops.take(&envelope(&world, who, role, claim, true).canonical_bytes())
    };
    for _ in 0..100 {
        halt("olga", "operator").unwrap();
    }
    let fault = halt("olga", "operator").unwrap_err();
    assert_eq!(fault.message(), "too many stops of this person wait for the log already");
    let reject = Claim::Rejection(Rejection { proposal: 1, release: model::Digest::of(b"r"), reason: None });
    known.stops.take(&envelope(&world, "cem", "release-manager", reject, true).canonical_bytes()).unwrap();
}

/// The withdrawal of the agent's key from an index on.
fn withdrawal_of_the_agent(world: &World, void_from: u64) -> Vec<u8> {
    let robot = world.members.charter().robots.iter().find(|r| r.id.as_str() == "agent").unwrap();
    let key = ledger::statement::public_key(&robot.key).unwrap().id();
    let withdraw = Claim::KeyWithdrawal(KeyWithdrawal { key, void_from });
    envelope(world, "olga", "operator", withdraw, false).canonical_bytes()
}

/// A withdrawn key makes void what the agent told, so that nothing would run: that is no reason to start anything.
#[test]
fn no_stop_allows_what_the_log_alone_refuses() {
    let world = World::new();
    let (first, proposal, evidence) = world.released(1, None, [None, None]);
    world.released(2, Some(first.change), evidence.map(Some));
    world.tick();
    let mut known = agent(&world, Between::new(&world).1);
    let refused = rules(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap_err());
    assert!(refused.iter().any(|r| r == "replaces-what-runs"), "{refused:?}");
    known.stops.take(&withdrawal_of_the_agent(&world, 0)).unwrap();
    known.weigh();
    let with_stop = gate::decide_with(known.view().policy(), known.facts(), proposal).unwrap();
    assert!(with_stop.is_granted(), "the stop alone would allow it: {with_stop:?}");
    assert_eq!(rules(known.permission(MAX_AGE_S, proposal, SystemClock.now()).unwrap_err()), refused);
    assert!(!known.decide(proposal).unwrap().is_granted());
}

/// That what runs was gone back to is the agent's word too, and does not vanish with its key.
#[test]
fn no_stop_allows_to_go_further_back() {
    let world = World::new();
    let (first, proposal, evidence) = world.released(1, None, [None, None]);
    world.released(2, Some(first.change), evidence.map(Some));
    let back = world.happened(proposal, ledger::statement::v1::MilestoneKind::Live);
    let mut known = agent(&world, Between::new(&world).1);
    known.stops.take(&withdrawal_of_the_agent(&world, back)).unwrap();
    known.weigh();
    let (system, production) = (system(), production());
    let alone = |facts: &Facts| may_return(known.view().policy(), facts, &system, &production, first.digest);
    assert!(alone(known.facts()).is_ok(), "the stop alone would allow it");
    let refused = alone(known.view().facts()).unwrap_err().to_string();
    assert_eq!(known.may_return(&system, &production, first.digest).unwrap_err().to_string(), refused);
}
