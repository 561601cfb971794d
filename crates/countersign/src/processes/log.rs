//! The `log` process: checks, orders and stores statements, signs checkpoints, asks witnesses, serves tiles.
//!
//! It can not say anything itself: its key signs checkpoints and nothing else. A crash loses nothing that was
//! acknowledged; see `ledger::log`.

mod door;
mod erasing;
mod refusals;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path as UrlPath, Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ledger::{
    bodies::{Bodies, KeepError, KeptBody, KeyState, SubjectDigest},
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    keys::Signer,
    log::{AppendError, Log, SetBack, Submission},
    note::{NoteKeyType, NoteSigner},
    statement::{Members, v1::Charter},
    store::{Store, Turn},
    tick,
};
use model::{Clock, Digest};
use serde::Deserialize;

use self::{
    door::{CharterDoor, DoorError},
    refusals::Refusals,
};
use super::Start;
use crate::{
    blob_place::BlobPlace,
    charter_file::CharterFile,
    clock::SystemClock,
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    http::Target,
    log_client::{Appended, LONG_POLL, SubjectState, SubmittedBody, Trouble},
    log_store::{LogPlace, OpenPlace},
    serve::{asked_to_end, blocking, listen_unix, serve_unix, tile_headers},
    status::StatusFile,
};

/// A witness that has not answered by then is asked again in the next round.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(5);
/// At the start somebody waits for the log to answer, and a witness that is there cosigns within milliseconds.
const FIRST_ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Between rounds while a witness does not answer.
const WITNESS_PAUSE: Duration = Duration::from_millis(500);

/// 128 readers may wait for news at once, each in a thread of the 512 for blocking work: the rest is for appends and reads.
const LONG_POLLS_LIMIT: usize = 128;
/// A reader beyond those waits this long without a thread, and asks again.
const SHORT_POLL: Duration = Duration::from_secs(1);

const TWO_HISTORIES_HINT: &str = "either this log was set back or somebody was shown a fork; keep the checkpoint that \
    you have, ask the witnesses, and see docs/operating.md, \"When the log was set back\"";
const SET_BACK_HINT: &str = "reading goes on; the operator of the log restores the newer copy, see docs/operating.md, \"When the log was set back\"";

/// What the handlers share.
struct Shared {
    log: Log,
    members: Members,
    /// Attempts to change guarded values that the door refused.
    refusals: Arc<Refusals>,
    cosigned: Mutex<Option<Arc<SignedCheckpoint>>>,
    grown: Condvar,
    /// Places for readers that wait.
    polls: Arc<tokio::sync::Semaphore>,
    /// Why an erasure could not be carried out yet.
    not_erased: Mutex<Option<String>>,
}

impl Shared {
    fn cosigned(&self) -> Option<Arc<SignedCheckpoint>> {
        self.cosigned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_cosigned(&self, checkpoint: &SignedCheckpoint) -> bool {
        let note = String::from_utf8(checkpoint.to_bytes()).unwrap_or_default();
        tick::open(&note, self.members.charter()).is_some()
    }

    fn set_cosigned(&self, checkpoint: SignedCheckpoint) {
        let mut latest = self.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref().is_none_or(|old| old.size() <= checkpoint.size()) {
            *latest = Some(Arc::new(checkpoint));
            self.grown.notify_all();
        }
    }

    fn wait_cosigned_beyond(&self, size: u64, timeout: Duration) {
        let latest = self.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it grew is read again by the asker.
        drop(self.grown.wait_timeout_while(latest, timeout, |c| c.as_ref().is_none_or(|c| c.size() <= size)));
    }
}

/// Runs the process until it is asked to end.
pub fn run(start: Start) -> Result<(), Fault> {
    let key: Arc<dyn Signer> = Arc::new(start.key()?);
    let charter = start.charter.members.charter().clone();
    let ports =
        charter.witnesses.iter().filter_map(|w| Target::parse_prefix(&w.url).ok()).filter_map(|(t, _)| match t {
            Target::Tcp(address) => Some(address.port()),
            Target::Unix(_) => None,
        });
    // Named before the confinement, because that reads a password and looks names up.
    let place = LogPlace::of_host(&start.layout, &start.settings)?;
    let mut confinement = Confinement::nothing();
    confinement.connect_tcp = Some(ports.chain(place.ports()).collect());
    if let Some(folder) = place.file().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty()) {
        confinement.write.push(folder.to_owned());
    }
    confinement.bind_tcp = Some(Vec::new());
    confinement.sockets = Sockets::Tcp;
    // Named before the confinement, because that reads keys.
    let kept_at = BlobPlace::of_host(&start.layout, start.settings.blobs.as_deref())?;
    place.fits(start.settings.blobs.as_deref())?;
    kept_at.allow(&mut confinement)?;
    let status = start.confine(confinement)?;
    let listener = listen_unix(&start.layout.socket(start.role))?;

    let OpenPlace { store, keys } = place.open()?;
    let bodies = Bodies::new(kept_at.open()?, keys);
    let forks = start.layout.home(start.role).join("forks");
    let serving = Arc::new(open(store, bodies, forks, key, &start.charter, status)?);
    let ending = serving.clone();
    let served = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .because(Kind::Unavailable, "no runtime")?
        .block_on(async {
            // At once when asked to end, and not only when the last reader has gone: another process waits for the turn.
            tokio::spawn(async move {
                asked_to_end().await;
                tokio::task::spawn_blocking(move || ending.log().close()).await
            });
            serve_unix(listener, serving.router()).await
        });
    serving.log().close();
    served
}

/// The log while it is served.
pub(crate) struct Serving(Arc<Shared>);

impl Serving {
    /// What it answers.
    pub(crate) fn router(&self) -> Router {
        router(self.0.clone())
    }

    /// The log itself.
    pub(crate) fn log(&self) -> &Log {
        &self.0.log
    }
}

/// Opens the log in a store, and keeps its head cosigned from a thread of its own. Whatever says
/// that somebody knows another history of it is kept in the folder `forks`.
pub(crate) fn open(
    store: Arc<dyn Store>,
    bodies: Bodies,
    forks: PathBuf,
    key: Arc<dyn Signer>,
    charter: &CharterFile,
    mut status: StatusFile,
) -> Result<Serving, Fault> {
    let named = &charter.members.charter().log;
    let signer = NoteSigner::new(&named.origin, NoteKeyType::Ed25519, key)
        .because(Kind::Input, "the log's key does not fit its origin")?;
    if signer.vkey().to_string() != named.vkey {
        return Err(Fault::new(Kind::Untrue, "the log's key is not the one that the charter names"));
    }
    let members = charter.members.clone();
    let refusals = Arc::new(Refusals::open(forks.with_file_name("refused-values.json")));
    let door = Arc::new(CharterDoor::new(members.clone(), forks, refusals.clone()));
    let log = Log::open(store, signer, door).because(Kind::Untrue, "the log does not open")?.keeping(bodies);
    let shared = Arc::new(Shared {
        log,
        members,
        refusals,
        cosigned: Mutex::new(None),
        grown: Condvar::new(),
        polls: Arc::new(tokio::sync::Semaphore::new(LONG_POLLS_LIMIT)),
        not_erased: Mutex::new(None),
    });
    // Nothing is taken in before the witnesses could say that they know more: what is answered once must stay.
    if shared.log.head().size() > 0 && shared.log.turn().is_ours() {
        let mut round = Round::default();
        for witness in &shared.members.charter().witnesses {
            drop(ask_witness(&shared, witness, 0, FIRST_ASK_TIMEOUT, &mut round));
        }
        round.conclude(&shared);
    }
    for envelope in &charter.envelopes {
        match shared.log.append(Submission::new(envelope.clone())) {
            // A log that was set back has its charter, and is read on.
            Ok(_) | Err(AppendError::SetBack(_)) => {}
            Err(e) => {
                let fault = Fault::from_error(Kind::Unavailable, e);
                return Err(fault.context("the charter can not be written into the log"));
            }
        }
    }
    let witnessing = shared.clone();
    std::thread::Builder::new()
        .name("witnesses".to_owned())
        .spawn(move || ask_witnesses(&witnessing, &mut status))
        .because(Kind::Unavailable, "no thread for the witnesses")?;
    let keeping = shared.clone();
    std::thread::Builder::new()
        .name("erasures".to_owned())
        .spawn(move || {
            let erasing = erasing::Erasing::new(&keeping.members);
            erasing.run(&keeping.log, &keeping.members, |trouble| {
                *keeping.not_erased.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            });
        })
        .because(Kind::Unavailable, "no thread for erasures")?;
    Ok(Serving(shared))
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/statements", post(append))
        .route("/entries/{from}", get(entries))
        .route("/cosigned", get(cosigned))
        .route("/wait/{size}", get(wait))
        .route("/body/{commitment}", get(body))
        .route("/subject/{digest}", get(subject))
        .route("/refusals", get(refused))
        .route("/checkpoint", get(resource))
        .route("/tile/{*rest}", get(resource))
        .with_state(shared)
}

async fn append(State(shared): State<Arc<Shared>>, bytes: Bytes) -> Result<Json<Appended>, Fault> {
    blocking(move || {
        let submitted: crate::log_client::Submission =
            serde_json::from_slice(&bytes).because(Kind::Input, "this is not a submission of a statement")?;
        let envelope =
            Envelope::parse(submitted.envelope.get().as_bytes()).because(Kind::Input, "this is not an envelope")?;
        let bodies = submitted.bodies.iter().map(SubmittedBody::open).collect::<Result<Vec<_>, Fault>>()?;
        let receipt = shared.log.append(Submission { envelope, bodies }).map_err(|e| match &e {
            AppendError::Refused(refusal)
                if refusal.reason::<DoorError>().is_some_and(DoorError::is_of_another_history) =>
            {
                Fault::from_error(Kind::Untrue, e).hint(TWO_HISTORIES_HINT)
            }
            AppendError::SetBack(_) => Fault::from_error(Kind::Untrue, e).hint(SET_BACK_HINT),
            AppendError::Refused(_) | AppendError::Bodies => Fault::from_error(Kind::Refused, e),
            AppendError::Keep(reason) if matches!(**reason, KeepError::Erased(_)) => {
                Fault::from_error(Kind::Refused, e).hint("say it without a reason or a list of cases")
            }
            AppendError::Stopped => {
                // Nobody knows what the disk holds. Opened again, the log finds out; the supervisor does that.
                tracing::error!("the log has stopped writing and ends, to be opened again");
                std::process::exit(i32::from(Kind::Unavailable.exit_code()));
            }
            _ => Fault::from_error(Kind::Unavailable, e),
        })?;
        let checkpoint = String::from_utf8(receipt.checkpoint).because(Kind::Internal, "the checkpoint is not text")?;
        Ok(Json(Appended { index: receipt.index, proof: receipt.proof, checkpoint }))
    })
    .await
}

async fn entries(State(shared): State<Arc<Shared>>, UrlPath(from): UrlPath<u64>) -> Result<Vec<u8>, Fault> {
    blocking(move || {
        let entries = shared
            .log
            .entries(from, ledger::log::ENTRIES_LIMIT)
            .because(Kind::Unavailable, "the entries can not be read")?;
        let mut out = Vec::new();
        for entry in entries {
            // Entries are at most 65,535 bytes; see `ledger::dsse`.
            out.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(&entry);
        }
        Ok(out)
    })
    .await
}

async fn cosigned(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.cosigned() {
        Some(checkpoint) => (StatusCode::OK, checkpoint.to_bytes()),
        None => (StatusCode::NOT_FOUND, Vec::new()),
    }
}

#[derive(Deserialize)]
struct Wait {
    ms: u64,
}

async fn wait(
    State(shared): State<Arc<Shared>>,
    UrlPath(size): UrlPath<u64>,
    Query(wait): Query<Wait>,
) -> Result<(), Fault> {
    let timeout = Duration::from_millis(wait.ms).min(LONG_POLL);
    let Ok(place) = shared.polls.clone().try_acquire_owned() else {
        tokio::time::sleep(timeout.min(SHORT_POLL)).await;
        return Ok(());
    };
    blocking(move || {
        shared.wait_cosigned_beyond(size, timeout);
        drop(place);
        Ok(())
    })
    .await
}

async fn body(State(shared): State<Arc<Shared>>, UrlPath(hex): UrlPath<String>) -> Result<impl IntoResponse, Fault> {
    blocking(move || {
        let commitment = Digest::from_hex(&hex).because(Kind::Input, "this is not a commitment")?;
        let body = shared.log.body(&commitment).because(Kind::Unavailable, "the body can not be read")?;
        match body {
            KeptBody::Kept(body) => Ok((StatusCode::OK, [body.salt.as_slice(), &body.bytes].concat())),
            KeptBody::Missing => trouble(StatusCode::NOT_FOUND, "nothing is kept for this commitment"),
            KeptBody::Erased => trouble(StatusCode::GONE, "the body was erased with its subject, by two persons"),
        }
    })
    .await
}

async fn subject(
    State(shared): State<Arc<Shared>>,
    UrlPath(hex): UrlPath<String>,
) -> Result<Json<SubjectState>, Fault> {
    blocking(move || {
        let digest = Digest::from_hex(&hex).because(Kind::Input, "this is not the digest of a subject")?;
        let bodies = shared.log.bodies().ok_or_else(|| Fault::new(Kind::Unavailable, "this log keeps no bodies"))?;
        let state = bodies.state(SubjectDigest::from_digest(digest));
        Ok(Json(match state.because(Kind::Unavailable, "the keys of subjects can not be read")? {
            KeyState::Absent => SubjectState::Unknown,
            KeyState::Kept(_) => SubjectState::Kept,
            KeyState::Destroyed => SubjectState::Erased,
        }))
    })
    .await
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    from: u64,
}

/// Refused attempts to change guarded values, from a number on.
async fn refused(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Since>,
) -> Json<Vec<crate::log_client::Refused>> {
    Json(shared.refusals.from(query.from))
}

fn trouble(status: StatusCode, error: &str) -> Result<(StatusCode, Vec<u8>), Fault> {
    let trouble = Trouble { kind: Kind::Refused.name().to_owned(), error: error.to_owned(), hint: None };
    Ok((status, serde_json::to_vec(&trouble).because(Kind::Internal, "an answer that is not JSON")?))
}

/// Checkpoint and tiles, as C2SP tlog-tiles names them.
async fn resource(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Fault> {
    let path = uri.path().trim_start_matches('/').to_owned();
    blocking(move || {
        let Ok(path) = path.parse() else { return Ok(StatusCode::NOT_FOUND.into_response()) };
        let found = shared.log.resource(path).because(Kind::Unavailable, "the log can not be read")?;
        Ok(match found {
            Some(bytes) => (tile_headers(path), bytes).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        })
    })
    .await
}

/// Keeps the head cosigned: at once when it grew, and again before what there is becomes too old to act on.
///
/// Of several processes on one store only the one that orders the log asks: a witness takes one checkpoint after the
/// other, and two who asked would only tell each other to ask again. The others read the cosignatures from the store.
fn ask_witnesses(shared: &Shared, status: &mut StatusFile) {
    let charter = shared.members.charter();
    let max_age_s = charter.environments.iter().map(|e| e.max_age_s).min().unwrap_or(60);
    let again_s = (max_age_s / 3).max(1);
    let mut sizes = vec![0; charter.witnesses.len()];
    let mut last = (0, model::Timestamp::default());
    let mut said = None;
    let mut asked_in = None;
    let mut news = 0;
    loop {
        news = shared.log.wait_news(news, Duration::from_secs(1));
        let (head, turn) = (shared.log.head(), shared.log.turn());
        let now = SystemClock.now();
        // A new turn may begin on a store that was restored meanwhile.
        let new_turn = asked_in.as_ref() != Some(&turn);
        let due = turn.is_ours() && (new_turn || head.size() != last.0 || now.since_s(last.1) >= again_s);
        let mut troubles = Vec::new();
        asked_in = Some(turn.clone());
        if due {
            let mut round = Round::default();
            for (witness, old) in charter.witnesses.iter().zip(&mut sizes) {
                match ask_witness(shared, witness, *old, WITNESS_TIMEOUT, &mut round) {
                    Ok(size) => *old = size,
                    Err(fault) => troubles.push(format!("witness {}: {}", witness.name, fault.message())),
                }
            }
            round.conclude(shared);
        }
        match shared.log.cosigned(|c| shared.is_cosigned(c)) {
            Ok(Some(checkpoint)) => {
                if checkpoint.size() >= head.size() && (due || !turn.is_ours()) {
                    last = (checkpoint.size(), now);
                }
                shared.set_cosigned(checkpoint);
            }
            Ok(None) if charter.witness_quorum == 0 => {
                last = (head.size(), now);
                shared.set_cosigned((*head).clone());
            }
            Ok(None) => {}
            Err(error) => troubles.push(format!("the cosignatures can not be read: {error}")),
        }
        let mut waits = vec![format!("statements after {}", head.size())];
        if let Some(reason) = shared.log.set_back() {
            waits = vec!["somebody who restores the newer copy of the log".to_owned()];
            troubles.insert(0, format!("nothing is taken in, because the log was set back: {reason}"));
        }
        troubles.extend(shared.not_erased.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let words = match turn {
            Turn::Only => format!("{} statements, {} cosigned", head.size(), last.0),
            shared => format!("{} statements, {} cosigned; {shared}", head.size(), last.0),
        };
        if due || !troubles.is_empty() || said.as_ref() != Some(&words) {
            status.say(words.clone(), waits);
            said = Some(words);
        }
        if !troubles.is_empty() {
            status.trouble(troubles.join("; "));
            std::thread::sleep(WITNESS_PAUSE);
        }
    }
}

/// What the witnesses said in one round of asking.
///
/// A 409 or 422 is signed by nobody, so one witness, or whoever sits on its line, must not be able to end the log. It
/// takes nothing in any more when so many operators say that it was set back that the others are no quorum.
#[derive(Default)]
struct Round {
    set_back: BTreeMap<String, SetBack>,
    cosigned: BTreeSet<String>,
}

impl Round {
    fn conclude(&self, shared: &Shared) {
        if let Some(reason) = self.reason_to_stop(shared.members.charter()) {
            shared.log.stop_taking_in(reason.clone());
        }
    }

    fn reason_to_stop(&self, charter: &Charter) -> Option<&SetBack> {
        let operators: BTreeSet<&str> = charter.witnesses.iter().map(|w| w.operator.as_str()).collect();
        // One witness of an operator that cosigns is that operator's voice.
        let mut against = self.set_back.iter().filter(|(operator, _)| !self.cosigned.contains(*operator));
        let left = operators.len().saturating_sub(against.clone().count());
        let needed = usize::try_from(charter.witness_quorum).unwrap_or(usize::MAX).max(1);
        against.next().filter(|_| left < needed).map(|(_, reason)| reason)
    }
}

fn ask_witness(
    shared: &Shared,
    witness: &ledger::statement::v1::WitnessKey,
    old: u64,
    timeout: Duration,
    round: &mut Round,
) -> Result<u64, Fault> {
    let (target, prefix) = Target::parse_prefix(&witness.url)?;
    let path = format!("{prefix}/add-checkpoint");
    let key = witness.vkey.parse().because(Kind::Input, "its key does not parse")?;
    let send = |body: &[u8]| {
        target
            .ask_blocking(hyper::Method::POST, &path, body.to_vec(), timeout)
            .map(|a| ledger::witness::Reply { status: a.status.as_u16(), body: a.body.to_vec() })
            .map_err(|fault| std::io::Error::other(fault.message()))
    };
    let outcome = ledger::witness::cosign(&shared.log, &key, old, send);
    match &outcome {
        Ok(_) => {
            round.cosigned.insert(witness.operator.clone());
        }
        Err(error) => round.set_back.extend(error.set_back().map(|reason| (witness.operator.clone(), reason))),
    }
    let (size, _) = outcome.because(Kind::Unavailable, "it did not cosign")?;
    Ok(size)
}

#[cfg(test)]
mod tests;
