//! The `log` process: checks, orders and stores statements, signs checkpoints, asks witnesses, serves tiles.
//!
//! It can not say anything itself: its key signs checkpoints and nothing else. A crash loses nothing that was
//! acknowledged; see `ledger::log`.

mod asking;
mod door;
mod erasing;
mod in_force;
mod only_read;
mod refusals;

use std::{
    collections::BTreeSet,
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
    keys::Signer,
    log::{AppendError, Log, Submission},
    note::{NoteKeyType, NoteSigner},
    statement::Members,
    store::Store,
};
use model::Digest;
use serde::Deserialize;

use self::{
    door::{CharterDoor, DoorError},
    in_force::InForce,
    only_read::OnlyRead,
    refusals::Refusals,
};
use super::Start;
use crate::{
    blob_place::BlobPlace,
    charter_file::CharterFile,
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    log_client::{Appended, LONG_POLL, SubjectState, Trouble},
    log_store::{LogPlace, OpenPlace},
    serve::{asked_to_end, blocking, listen_unix, serve_unix, tile_headers},
    status::StatusFile,
    submission,
};

/// 128 readers may wait for news at once, each in a thread of the 512 for blocking work.
const LONG_POLLS_LIMIT: usize = 128;
/// 256 statements may be on their way in at once, each in another of these threads: on a disk that is slow they all wait
/// there, and the threads that are left are for reading.
const APPENDS_LIMIT: usize = 256;
/// Who comes then waits so long for a place, without a thread, and is told that the log is busy.
const APPEND_PATIENCE: Duration = Duration::from_secs(5);
/// A reader beyond those waits this long without a thread, and asks again.
const SHORT_POLL: Duration = Duration::from_secs(1);

const TWO_HISTORIES_HINT: &str = "either this log was set back or somebody was shown a fork; keep the checkpoint that \
    you have, ask the witnesses, and see docs/operating.md, \"When the log was set back\"";
const SET_BACK_HINT: &str = "reading goes on; the operator of the log restores the newer copy, see docs/operating.md, \"When the log was set back\"";

/// What the handlers share.
struct Shared {
    log: Log,
    in_force: Arc<InForce>,
    /// Attempts to change guarded values that the door refused.
    refusals: Arc<Refusals>,
    cosigned: Mutex<Option<Arc<SignedCheckpoint>>>,
    grown: Condvar,
    /// Places for readers that wait.
    polls: Arc<tokio::sync::Semaphore>,
    /// Places for statements on their way in.
    appends: Arc<tokio::sync::Semaphore>,
    /// Why nothing can be written, if the log was opened for reading alone.
    only_read: Option<OnlyRead>,
    /// Why an erasure could not be carried out yet.
    not_erased: Mutex<Option<String>>,
}

impl Shared {
    fn cosigned(&self) -> Option<Arc<SignedCheckpoint>> {
        self.cosigned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who is in force at the end of the log, as far as it was read.
    fn members(&self) -> Members {
        self.in_force.charters().members().clone()
    }

    /// By the witnesses of the charter in force after what it covers, as every reader judges it.
    fn is_cosigned(&self, checkpoint: &SignedCheckpoint) -> bool {
        let note = String::from_utf8(checkpoint.to_bytes()).unwrap_or_default();
        self.in_force.charters().members_at(checkpoint.size()).open_tick(&note).is_some()
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
    // Witnesses that an amendment brought are in the log, which is read behind the confinement: root names their ports.
    let ports: BTreeSet<u16> = charter
        .witnesses
        .iter()
        .filter_map(|witness| asking::port_of(&witness.url))
        .chain(start.settings.witness_ports.iter().copied())
        .collect();
    // Named before the confinement, because that reads a password and looks names up.
    let place = LogPlace::of_host(&start.layout, &start.settings)?;
    let mut confinement = Confinement::nothing();
    confinement.connect_tcp = Some(ports.iter().copied().chain(place.ports()).collect());
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

    let (OpenPlace { store, keys }, only_read) = only_read::open(&place)?;
    let blobs = if only_read.is_some() { kept_at.open_read_only()? } else { kept_at.open()? };
    let bodies = Bodies::new(blobs, keys);
    let forks = start.layout.home(start.role).join("forks");
    if only_read.is_some() {
        only_read::end_when_it_can_be_written(place)?;
    }
    let serving = Arc::new(open(store, bodies, forks, key, &start.charter, (status, ports), only_read)?);
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
/// that somebody knows another history of it is kept in the folder `forks`. A store that can not be written is only read.
pub(crate) fn open(
    store: Arc<dyn Store>,
    bodies: Bodies,
    forks: PathBuf,
    key: Arc<dyn Signer>,
    charter: &CharterFile,
    (mut status, ports): (StatusFile, BTreeSet<u16>),
    only_read: Option<OnlyRead>,
) -> Result<Serving, Fault> {
    let named = &charter.members.charter().log;
    let signer = NoteSigner::new(&named.origin, NoteKeyType::Ed25519, key)
        .because(Kind::Input, "the log's key does not fit its origin")?;
    if signer.vkey().to_string() != named.vkey {
        return Err(Fault::new(Kind::Untrue, "the log's key is not the one that the charter names"));
    }
    let refusals = Arc::new(Refusals::open(forks.with_file_name("refused-values.json")));
    let in_force = Arc::new(InForce::new(&charter.members));
    let door = Arc::new(CharterDoor::new(in_force.clone(), forks, refusals.clone()));
    let log =
        Log::open_asking_first(store, signer, door).because(Kind::Untrue, "the log does not open")?.keeping(bodies);
    in_force.follow(&log).because(Kind::Unavailable, "the log can not be read")?;
    let shared = Arc::new(Shared {
        log,
        in_force,
        refusals,
        cosigned: Mutex::new(None),
        grown: Condvar::new(),
        polls: Arc::new(tokio::sync::Semaphore::new(LONG_POLLS_LIMIT)),
        appends: Arc::new(tokio::sync::Semaphore::new(APPENDS_LIMIT)),
        only_read,
        not_erased: Mutex::new(None),
    });
    // Nothing is taken in before the witnesses could say that they know more: what is answered once must stay.
    asking::begin_turn(&shared);
    let beginning = shared.clone();
    std::thread::Builder::new()
        .name("turns".to_owned())
        .spawn(move || asking::begin_turns(&beginning))
        .because(Kind::Unavailable, "no thread for turns")?;
    for envelope in &charter.envelopes {
        // What stands in it is not said again: once the charter was amended, the door would take it for another one's.
        let known = shared.log.find(envelope.identity()).because(Kind::Unavailable, "the log can not be read")?;
        if known.is_some() {
            continue;
        }
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
        .spawn(move || asking::ask_witnesses(&witnessing, &mut status, &ports))
        .because(Kind::Unavailable, "no thread for the witnesses")?;
    if shared.only_read.is_some() {
        return Ok(Serving(shared));
    }
    let keeping = shared.clone();
    std::thread::Builder::new()
        .name("erasures".to_owned())
        .spawn(move || {
            erasing::Erasing::default().run(&keeping.log, &keeping.in_force, |trouble| {
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
    let Ok(Ok(place)) = tokio::time::timeout(APPEND_PATIENCE, shared.appends.clone().acquire_owned()).await else {
        return Err(Fault::new(Kind::Unavailable, "the log is busy: its disk is slower than what comes; try again"));
    };
    blocking(move || {
        // Given back when the work is done, and not when the caller goes away before.
        let _place = place;
        let submitted = submission::read(&bytes).map_err(|e| Fault::from_error(Kind::Input, e))?;
        let receipt = shared.log.append(submitted).map_err(|e| match &e {
            AppendError::Refused(refusal)
                if refusal.reason::<DoorError>().is_some_and(DoorError::is_of_another_history) =>
            {
                Fault::from_error(Kind::Untrue, e).hint(TWO_HISTORIES_HINT)
            }
            AppendError::SetBack(_) => Fault::from_error(Kind::Untrue, e).hint(SET_BACK_HINT),
            AppendError::Store(_) | AppendError::Keep(_) if shared.only_read.is_some() => {
                let why = shared.only_read.as_ref().map(ToString::to_string).unwrap_or_default();
                Fault::new(Kind::Unavailable, why).hint(only_read::HINT)
            }
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
