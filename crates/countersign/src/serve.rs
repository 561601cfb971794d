//! Serving HTTP on a Unix socket or an address, and answering with faults as every process answers.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::Request,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ledger::merkle::TilePath;
use tokio::sync::Semaphore;

use crate::{
    fault::{Because as _, Fault, Kind},
    log_client::Trouble,
};

/// The largest request that a process reads: a statement of 64 KiB with a few bodies of 16 MiB.
pub const REQUEST_BYTES: usize = 64 << 20;

/// After a connection could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = match self.kind() {
            Kind::Usage | Kind::Input => StatusCode::BAD_REQUEST,
            Kind::Refused => StatusCode::FORBIDDEN,
            Kind::Untrue => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let trouble = Trouble {
            kind: self.kind().name().to_owned(),
            error: self.message(),
            hint: self.hint_text().map(str::to_owned),
        };
        (status, Json(trouble)).into_response()
    }
}

/// How checkpoints and tiles are sent (C2SP tlog-tiles, "APIs"): a checkpoint is another one in a moment, a tile of these
/// names is the same for ever.
pub fn tile_headers(path: TilePath) -> [(HeaderName, HeaderValue); 2] {
    let (kind, keep) = match path {
        TilePath::Checkpoint => ("text/plain; charset=utf-8", "no-cache"),
        TilePath::Hashes { .. } | TilePath::Entries { .. } => {
            ("application/octet-stream", "public, max-age=31536000, immutable")
        }
    };
    [(CONTENT_TYPE, HeaderValue::from_static(kind)), (CACHE_CONTROL, HeaderValue::from_static(keep))]
}

/// Makes a socket that every role of this host may connect to and nobody else: the folder's group and mode say so.
pub fn listen_unix(path: &Path) -> Result<std::os::unix::net::UnixListener, Fault> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => {
            return Err(
                Fault::from_error(Kind::Unavailable, e).context(format!("`{}` can not be replaced", path.display()))
            );
        }
    }
    let listener = std::os::unix::net::UnixListener::bind(path)
        .because(Kind::Unavailable, format!("`{}` can not be listened on", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .because(Kind::Unavailable, format!("`{}` can not be given to the group", path.display()))?;
    listener.set_nonblocking(true).because(Kind::Unavailable, "the socket can not be used")?;
    Ok(listener)
}

/// Serves until the process is asked to end.
pub async fn serve_unix(listener: std::os::unix::net::UnixListener, router: Router) -> Result<(), Fault> {
    let listener =
        tokio::net::UnixListener::from_std(listener).because(Kind::Unavailable, "the socket can not be used")?;
    let router = router.layer(axum::extract::DefaultBodyLimit::max(REQUEST_BYTES));
    axum::serve(listener, router)
        .with_graceful_shutdown(asked_to_end())
        .await
        .because(Kind::Unavailable, "serving ended")
}

/// How much of itself a process gives to people whom it does not know.
#[derive(Clone, Copy, Debug)]
pub struct PublicLimits {
    /// Connections at once; who comes then waits in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take, and how long a connection may be idle.
    pub head_timeout: Duration,
}

/// The same routes for people whom a process does not know: a request is read, answered and sent within a time, and is not
/// larger than this. Who sends byte by byte keeps a place for so long and no longer.
pub fn bounded(router: Router, time: Duration, request_bytes: usize) -> Router {
    let in_time = move |request: Request, next: Next| async move {
        match tokio::time::timeout(time, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    };
    router.layer(axum::middleware::from_fn(in_time)).layer(axum::extract::DefaultBodyLimit::max(request_bytes))
}

/// Serves an address that anybody may reach until the process is asked to end. What is under way then is broken off, as by
/// a crash.
pub async fn serve_public(listener: std::net::TcpListener, router: Router, limits: PublicLimits) -> Result<(), Fault> {
    listener.set_nonblocking(true).because(Kind::Unavailable, "the listener can not be used")?;
    let listener =
        tokio::net::TcpListener::from_std(listener).because(Kind::Unavailable, "the listener can not be used")?;
    let service = TowerToHyperService::new(router);
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_timeout);
    let serving = async {
        loop {
            let place = places.clone().acquire_owned().await.because(Kind::Internal, "no place to serve")?;
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, or the peer is gone already: others are served meanwhile.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let connection = http.serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(async move {
                // What goes wrong with a connection is its peer's to notice.
                drop(connection.await);
                drop(place);
            });
        }
    };
    tokio::select! {
        () = asked_to_end() => Ok(()),
        ended = serving => ended,
    }
}

/// Resolves on SIGTERM or SIGINT.
pub async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without handlers the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}

/// Runs blocking work of a request away from the loop that serves others.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.because(Kind::Internal, "the work was broken off")?
}
