//! Halts delivered straight to the agent, before the log has them: stopping must work when the log does not.
//!
//! Each is kept as a file until the log has it. A crash between keeping and logging writes it into the log twice at
//! most, which is the same statement.

use std::{
    collections::BTreeMap,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State as Shared,
    routing::{get, post},
};
use ledger::{
    dsse::Envelope,
    durable,
    statement::{Members, Statement, v1::Claim},
};
use model::{Clock as _, Digest, EnvironmentName, SystemName};

use super::State;
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    log_client::Submission,
    serve::{blocking, serve_unix},
    view::View,
};

/// The most halts that wait for the log at once: stopping needs one.
const WAITING_LIMIT: usize = 1_000;

/// The halts that the log does not have yet.
pub(crate) struct Halts {
    folder: PathBuf,
    members: Members,
    waiting: Mutex<BTreeMap<Digest, (Envelope, Statement)>>,
}

impl Halts {
    pub(super) fn open(folder: PathBuf, members: Members) -> Result<Self, Fault> {
        durable::create_folder(&folder, 0o700).because(Kind::Unavailable, "the folder of halts can not be made")?;
        let mut waiting = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).because(Kind::Unavailable, "the halts can not be read")? {
            let path = entry.because(Kind::Unavailable, "the halts can not be read")?.path();
            let bytes = std::fs::read(&path).because(Kind::Unavailable, "a halt can not be read")?;
            // A stop is never forgotten silently: what can not be read keeps the agent from starting.
            let (envelope, statement) =
                open(&bytes, &members).map_err(|f| f.context(format!("`{}` is kept as a halt", path.display())))?;
            waiting.insert(envelope.identity().digest(), (envelope, statement));
        }
        Ok(Self { folder, members, waiting: Mutex::new(waiting) })
    }

    /// Takes a halt: it is in force when this returns.
    fn take(&self, bytes: &[u8]) -> Result<(), Fault> {
        let (envelope, statement) = open(bytes, &self.members)?;
        Members::check_expiry(&statement, SystemClock.now()).because(Kind::Refused, "the halt is not acceptable")?;
        let identity = envelope.identity().digest();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_LIMIT {
            return Err(Fault::new(Kind::Refused, "too many halts wait for the log already; everything is halted"));
        }
        durable::write(&self.folder.join(identity.hex()), &envelope.canonical_bytes(), 0o600)
            .because(Kind::Unavailable, "the halt can not be kept")?;
        waiting.insert(identity, (envelope, statement));
        tracing::warn!("halted by direct delivery");
        Ok(())
    }

    /// Whether a halt that is not in the log yet is in force here.
    pub(super) fn is_halted(&self, system: &SystemName, environment: &EnvironmentName) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().any(|(_, statement)| match &statement.claim {
            Claim::Halt(halt) => {
                halt.environment.as_ref().is_none_or(|e| e == environment)
                    && statement.header.system.as_ref().is_none_or(|s| s == system)
            }
            _ => false,
        })
    }

    /// Writes into the log what it does not have, and forgets what it has: from then on the log's own word counts.
    pub(super) fn write_into_log(&self, view: &View) -> Result<(), Fault> {
        let waiting: Vec<(Digest, Envelope)> = {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.iter().map(|(id, (envelope, _))| (*id, envelope.clone())).collect()
        };
        // One that the log does not take must not keep the others out of it.
        let mut trouble = Ok(());
        for (identity, envelope) in waiting {
            let appended = match view.log().append(&envelope, &[]) {
                Ok(appended) => appended,
                Err(fault) => {
                    trouble = Err(fault.context("a halt is not in the log yet"));
                    continue;
                }
            };
            if appended.index < view.facts().size() {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&identity);
                std::fs::remove_file(self.folder.join(identity.hex()))
                    .because(Kind::Unavailable, "a logged halt can not be put away")?;
            }
        }
        trouble
    }
}

/// A halt signed by somebody who may halt.
fn open(bytes: &[u8], members: &Members) -> Result<(Envelope, Statement), Fault> {
    let envelope = Envelope::parse(bytes).because(Kind::Input, "this is not an envelope")?;
    let (statement, _) =
        ledger::statement::open(&envelope, members).because(Kind::Refused, "the halt is not acceptable")?;
    match statement.claim {
        Claim::Halt(_) => Ok((envelope, statement)),
        other => Err(Fault::new(Kind::Input, format!("this is not a halt but a {}", other.kind()))),
    }
}

/// Serves `POST /halt` and `GET /state` in a thread of its own, so that a long step does not delay a halt.
pub(super) fn serve(listener: UnixListener, halts: Arc<Halts>, state: State) -> Result<(), Fault> {
    let router = Router::new()
        .route("/halt", post(take_halt))
        .with_state(halts)
        .merge(Router::new().route("/state", get(show_state)).with_state(state));
    std::thread::Builder::new()
        .name("halts".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = runtime
                .because(Kind::Unavailable, "no runtime for halts")
                .and_then(|runtime| runtime.block_on(serve_unix(listener, router)));
            // Without a way to be halted nothing may go on: the supervisor starts the agent again.
            if let Err(fault) = served {
                tracing::error!("halts can not be taken any more: {}", fault.message());
            }
            std::process::exit(0);
        })
        .because(Kind::Unavailable, "no thread for halts")?;
    Ok(())
}

async fn take_halt(Shared(halts): Shared<Arc<Halts>>, body: Bytes) -> Result<(), Fault> {
    blocking(move || {
        let submission: Submission = serde_json::from_slice(&body).because(Kind::Input, "this is not a submission")?;
        halts.take(submission.envelope.get().as_bytes())
    })
    .await
}

async fn show_state(Shared(state): Shared<State>) -> Json<serde_json::Value> {
    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
    Json(serde_json::json!(*state))
}
