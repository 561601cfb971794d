//! The `witness` process: a C2SP witness with its own key and state, in somebody else's hands.
//!
//! It knows logs by their keys and nothing of what is in them. What it has cosigned it has stored before; a crash
//! makes it forget nothing.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use ledger::{
    keys::{PrivateKey, Scheme},
    note::{NoteKeyType, NoteSigner, VerifierKey},
    witness::Witness,
};
use model::Clock as _;

use crate::{
    clock::SystemClock,
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    serve::{blocking, serve_tcp},
};

/// Serves `POST /add-checkpoint` for the logs with these keys until the process is asked to end.
pub fn run(dir: &Path, name: &str, listen: SocketAddr, logs: Vec<VerifierKey>) -> Result<(), Fault> {
    let key = PrivateKey::read(Scheme::Ed25519, &dir.join("witness.key"), &mut || None)
        .because(Kind::Usage, "the witness's key can not be used")?;
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
    let witness = Witness::open(dir, signer, logs).because(Kind::Unavailable, "the witness does not start")?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .because(Kind::Unavailable, "no runtime")?
        .block_on(serve_tcp(listener, router(witness)))
}

/// What a witness answers.
pub(crate) fn router(witness: Witness) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
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

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Result<impl IntoResponse, Fault> {
    blocking(move || {
        let response = witness.add_checkpoint(&body, SystemClock.now());
        if let Some(fork) = &response.fork {
            tracing::error!("the log forked:\n{}", String::from_utf8_lossy(&fork.to_bytes()));
        }
        let status = StatusCode::from_u16(response.status).because(Kind::Internal, "no such status")?;
        Ok((status, [("content-type", response.content_type)], response.body))
    })
    .await
}
