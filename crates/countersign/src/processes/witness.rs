//! The `witness` process: a C2SP witness (tlog-witness) with its own key and state, in somebody else's hands.
//!
//! | path | what |
//! |---|---|
//! | `POST /add-checkpoint` | cosigns a checkpoint that continues what was cosigned before |
//! | `GET /<origin hash>/checkpoint` | the latest cosigned checkpoint of a log, for monitors |
//! | `GET /` | the witness's key, its logs, and how far each is cosigned, for its operator |
//! | `GET /health` | whether it answers |
//!
//! Submission prefix and monitoring prefix are the same. It knows logs by their keys and nothing of what is in them. What
//! it has cosigned it has stored before; a crash makes it forget nothing.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path as UrlPath, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ledger::{
    keys::{PrivateKey, Scheme},
    note::{NoteKeyType, NoteSigner},
    witness::{REQUEST_LIMIT_BYTES, Witness, WitnessedLog},
};
use model::Clock as _;

use crate::{
    clock::SystemClock,
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    serve::{PublicLimits, blocking, serve_public},
};

/// A request is a few kilobytes; who sends it slower than this holds a connection for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// 512 connections: thousands of logs that ask now and then keep a few open at a time. Ten seconds for a head of a few
/// hundred bytes; a log that asks more often than that keeps its connection.
const LIMITS: PublicLimits = PublicLimits { connections: 512, head_timeout: Duration::from_secs(10) };
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves these logs until the process is asked to end.
pub fn run(dir: &Path, name: &str, listen: SocketAddr, logs: Vec<WitnessedLog>) -> Result<(), Fault> {
    let key = PrivateKey::read(Scheme::Ed25519, &dir.join("witness.key"), &mut || None).map_err(|e| {
        Fault::from_error(Kind::Usage, e)
            .context("the witness's key can not be used")
            .hint("make one with `countersign witness --new`")
    })?;
    let signer = NoteSigner::new(name, NoteKeyType::Cosignature, Arc::new(key))
        .because(Kind::Usage, "the name can not name a key")?;
    let listener =
        std::net::TcpListener::bind(listen).because(Kind::Unavailable, format!("{listen} can not be listened on"))?;
    let mut confinement = Confinement::nothing();
    confinement.sockets = Sockets::Tcp;
    confinement.write.push(dir.to_owned());
    if nix::unistd::geteuid().is_root() {
        give(dir)?;
        confinement.user = Some(RoleUser::Witness.user());
    }
    confinement.apply().because(Kind::Unavailable, "the witness can not confine itself")?;
    let witness = Witness::open(dir, signer, logs).map_err(|e| {
        Fault::from_error(Kind::Unavailable, e).context("the witness does not start").hint(
            "a witness that forgot what it cosigned would cosign another history: bring back its folder as it was \
             last, or make a witness with a new key and have the logs' charters name that",
        )
    })?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .because(Kind::Unavailable, "no runtime")?
        .block_on(serve_public(listener, router(witness), LIMITS))
}

/// What a witness answers.
pub(crate) fn router(witness: Witness) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(monitored))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(Arc::new(witness))
}

/// The folder and what is in it become the witness's own.
fn give(dir: &Path) -> Result<(), Fault> {
    let own = |path: &Path| {
        std::os::unix::fs::chown(path, Some(RoleUser::Witness.uid()), Some(RoleUser::Witness.uid()))
            .because(Kind::Unavailable, format!("`{}` can not be given to the witness", path.display()))
    };
    own(dir)?;
    for entry in std::fs::read_dir(dir).because(Kind::Unavailable, "the witness's folder can not be read")? {
        let entry = entry.because(Kind::Unavailable, "the witness's folder can not be read")?;
        own(&entry.path())?;
    }
    Ok(())
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Body) -> Result<Response, Fault> {
    let body = match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, REQUEST_LIMIT_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Ok((StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n").into_response()),
        Err(_) => return Ok((StatusCode::REQUEST_TIMEOUT, "the request does not arrive\n").into_response()),
    };
    blocking(move || {
        let response = witness.add_checkpoint(&body, SystemClock.now());
        if let Some(fork) = &response.fork {
            tracing::error!("the log forked:\n{}", String::from_utf8_lossy(&fork.to_bytes()));
        }
        let status = StatusCode::from_u16(response.status).because(Kind::Internal, "no such status")?;
        Ok((status, [(header::CONTENT_TYPE, response.content_type)], response.body).into_response())
    })
    .await
}

async fn monitored(State(witness): State<Arc<Witness>>, UrlPath(origin_hash): UrlPath<String>) -> Response {
    match witness.monitored(&origin_hash) {
        Some(note) => ([(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-cache")], note).into_response(),
        None => (StatusCode::NOT_FOUND, "this witness has cosigned no such log\n").into_response(),
    }
}

/// One line a log: how many entries are cosigned, when, and which log.
async fn overview(State(witness): State<Arc<Witness>>) -> impl IntoResponse {
    let mut text = format!("witness {}\n", witness.vkey());
    for log in witness.status() {
        let line = match log.latest {
            Some((size, time)) => format!("{size:>12}  {time}  {}\n", log.origin),
            None => format!("{:>12}  {:<20}  {}\n", "-", "-", log.origin),
        };
        text.push_str(&line);
    }
    ([(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-cache")], text)
}

#[cfg(test)]
mod tests;
