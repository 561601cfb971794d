//! The control socket: a small HTTP interface on a Unix socket, by which the agent steers and others look.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /table` with a route table | 200 `{"applied":"switched"}` or `"unchanged"`; 400, 403, 409, 413, 422, 503 |
//! | `GET /table` | 200 the table in force, 404 without one |
//! | `GET /counts` | 200 `model::route::EdgeCounts` |
//! | `GET /ticks?from=N` | 200 `model::route::Ticks` from that number on, without one all; asked by who may steer, it keeps comparisons from silence |
//! | `POST /read` with a `ReadRequest` | 200 a `ReadAnswer` a target: what components say of themselves; 400, 403, 413 |
//! | `GET /clients` | 200 `model::route::Clients` |
//! | `GET /metrics` | 200 OpenMetrics text |
//! | `GET /health` | 200 [`Health`] when it serves or waits for its first table, 503 otherwise |
//!
//! Errors are `{"error": …, "hint": …}`. Who may steer is told by the user id that the kernel gives for the other end.

use std::{
    convert::Infallible,
    fmt::Write,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use model::route::RouteTable;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};
use tower::{ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer};

use crate::{
    edge::{Applied, ApplyError, Inner, StartError},
    limits::{ACCEPT_PAUSE, CONTROL_TIMEOUT, MAX_CONTROL_CONNECTIONS, MAX_CONTROL_REQUESTS, MAX_TABLE_BYTES},
    metrics, read,
};

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// Where it is made. What an edge left there that runs no more is replaced.
    pub path: PathBuf,
    /// Its permission bits: who may connect, and with it read.
    pub mode: u32,
    /// User ids that may steer, besides the edge's own and root.
    pub steering_uids: Vec<u32>,
}

/// How an edge is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Health {
    /// It has had no table yet.
    Waiting,
    /// A table is in force.
    Serving {
        /// Of the table.
        generation: u64,
        /// Of the table.
        revision: u64,
        /// How many listeners there are.
        listeners: usize,
    },
    /// The table that it was started with can not be carried out yet.
    Restoring {
        /// Of the table.
        generation: u64,
        /// Of the table.
        revision: u64,
        /// What stands in the way.
        why: String,
    },
    /// It finishes what it has.
    Ending,
}

/// The body of an answer that is an error.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) error: String,
    pub(crate) hint: String,
}

/// The body of the answer to a table that was accepted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) applied: Applied,
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string does not fail.
        let _infallible = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Makes the socket and serves it.
pub(crate) async fn start(config: ControlConfig, edge: Weak<Inner>) -> Result<AbortHandle, StartError> {
    let failed = |source| StartError::Control { path: config.path.clone(), source };
    if is_served(&config.path).await.map_err(failed)? {
        return Err(StartError::AlreadyServed { path: config.path });
    }
    let socket = UnixListener::bind(&config.path).map_err(failed)?;
    let own_uid = std::fs::metadata(&config.path).map_err(failed)?.uid();
    std::fs::set_permissions(&config.path, std::fs::Permissions::from_mode(config.mode)).map_err(failed)?;
    let mut steering_uids = config.steering_uids;
    steering_uids.extend([0, own_uid]);
    Ok(tokio::spawn(serve(socket, steering_uids.into(), edge)).abort_handle())
}

/// Whether an edge serves the socket. One that nobody serves is removed; what is no socket is not touched.
async fn is_served(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map(|()| false),
        Err(error) => Err(error),
    }
}

async fn serve(socket: UnixListener, steering_uids: Arc<[u32]>, edge: Weak<Inner>) {
    let places = Arc::new(Semaphore::new(MAX_CONTROL_CONNECTIONS));
    let together = GlobalConcurrencyLimitLayer::new(MAX_CONTROL_REQUESTS);
    // Connections end with this task, because the set aborts what it holds when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let may_steer = stream.peer_cred().is_ok_and(|peer| steering_uids.contains(&peer.uid()));
        let edge = Weak::clone(&edge);
        let service = ServiceBuilder::new().layer(together.clone()).timeout(CONTROL_TIMEOUT).service(
            tower::service_fn(move |request| {
                let edge = Weak::clone(&edge);
                async move { Ok::<_, Infallible>(respond(edge, may_steer, request).await) }
            }),
        );
        let service = service_fn(move |request: Request<Incoming>| {
            let asked = service.clone().oneshot(request);
            async move { Ok::<_, Infallible>(asked.await.unwrap_or_else(|_late| too_late())) }
        });
        connections.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(CONTROL_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a control connection ended");
            }
            drop(place);
        });
    }
}

async fn respond(edge: Weak<Inner>, may_steer: bool, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Some(edge) = edge.upgrade() else {
        return fault(StatusCode::SERVICE_UNAVAILABLE, "the edge is ending".to_owned(), "ask the edge that follows");
    };
    match (request.method(), request.uri().path()) {
        (&Method::PUT, "/table") if !may_steer => fault(
            StatusCode::FORBIDDEN,
            "this user may not steer the edge".to_owned(),
            "only the agent's user and the edge's own may send tables",
        ),
        (&Method::PUT, "/table") => put_table(&edge, request.into_body()).await,
        (&Method::POST, "/read") if !may_steer => fault(
            StatusCode::FORBIDDEN,
            "this user may not have components asked".to_owned(),
            "only the agent's user and the edge's own may",
        ),
        (&Method::POST, "/read") => read_components(request.into_body()).await,
        (&Method::GET, "/table") => match edge.table() {
            Some(table) => json(StatusCode::OK, &*table),
            None => fault(StatusCode::NOT_FOUND, "no table is in force".to_owned(), "the agent sends one"),
        },
        (&Method::GET, "/counts") => json(StatusCode::OK, &edge.counts()),
        (&Method::GET, "/ticks") => match from(request.uri().query()) {
            Some(from) => json(StatusCode::OK, &edge.ticks(from, may_steer)),
            None => fault(
                StatusCode::BAD_REQUEST,
                "the number of a tick can not be read".to_owned(),
                "ask for `/ticks?from=N`, with the `next` of the answer before",
            ),
        },
        (&Method::GET, "/clients") => json(StatusCode::OK, &edge.clients()),
        (&Method::GET, "/metrics") => {
            with_type(StatusCode::OK, metrics::MEDIA_TYPE, metrics::render(&edge.counts()).into())
        }
        (&Method::GET, "/health") => {
            let health = edge.health().await;
            let well = matches!(health, Health::Waiting | Health::Serving { .. });
            json(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health)
        }
        (_, "/table" | "/read" | "/counts" | "/ticks" | "/clients" | "/metrics" | "/health") => fault(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("`{}` is not served here", request.method()),
            "GET them; PUT a table; POST what to read",
        ),
        (_, path) => fault(
            StatusCode::NOT_FOUND,
            format!("`{path}` is not served here"),
            "there are /table, /read, /counts, /ticks, /clients, /metrics and /health",
        ),
    }
}

/// The number in `from=N`, and 0 without a query.
fn from(query: Option<&str>) -> Option<u64> {
    query.map_or(Some(0), |query| query.strip_prefix("from=")?.parse().ok())
}

async fn put_table(edge: &Arc<Inner>, body: Incoming) -> Response<Full<Bytes>> {
    let bytes = match whole(body, "table", "a table has at most 512 routes").await {
        Ok(bytes) => bytes,
        Err(fault) => return *fault,
    };
    let table: RouteTable = match serde_json::from_slice(&bytes) {
        Ok(table) => table,
        Err(error) => {
            return fault(
                StatusCode::BAD_REQUEST,
                format!("not a route table: {error}"),
                "send JSON of `model::route::RouteTable`",
            );
        }
    };
    match Inner::apply(edge, table).await {
        Ok(applied) => json(StatusCode::OK, &Accepted { applied }),
        Err(error) => {
            let status = match error {
                ApplyError::LowerGeneration { .. }
                | ApplyError::LowerRevision { .. }
                | ApplyError::OtherTable { .. } => StatusCode::CONFLICT,
                ApplyError::Table(_)
                | ApplyError::Tls { .. }
                | ApplyError::Identity { .. }
                | ApplyError::Bind { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                ApplyError::Keep(_) | ApplyError::Ending => StatusCode::SERVICE_UNAVAILABLE,
            };
            fault(status, chain(&error), error.hint())
        }
    }
}

async fn read_components(body: Incoming) -> Response<Full<Bytes>> {
    let bytes = match whole(body, "request", "ask fewer at once").await {
        Ok(bytes) => bytes,
        Err(fault) => return *fault,
    };
    let wrong = |error: String| fault(StatusCode::BAD_REQUEST, error, "send JSON of `model::route::ReadRequest`");
    match serde_json::from_slice(&bytes) {
        Ok(request) => match read::read(request).await {
            Ok(answers) => json(StatusCode::OK, &answers),
            Err(why) => wrong(format!("too much is asked: {why}")),
        },
        Err(error) => wrong(format!("not a request to read: {error}")),
    }
}

/// A body of at most [`MAX_TABLE_BYTES`].
async fn whole(body: Incoming, what: &str, hint: &str) -> Result<Bytes, Box<Response<Full<Bytes>>>> {
    let too_large = || {
        let error = format!("the {what} is larger than {MAX_TABLE_BYTES} bytes");
        Box::new(fault(StatusCode::PAYLOAD_TOO_LARGE, error, hint))
    };
    if body.size_hint().lower() > MAX_TABLE_BYTES as u64 {
        return Err(too_large());
    }
    match Limited::new(body, MAX_TABLE_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => {
            let error = format!("the {what} did not arrive: {error}");
            Err(Box::new(fault(StatusCode::BAD_REQUEST, error, "send it again")))
        }
    }
}

fn too_late() -> Response<Full<Bytes>> {
    fault(
        StatusCode::SERVICE_UNAVAILABLE,
        "the edge did not answer in time".to_owned(),
        "try again; see whether its disk answers",
    )
}

fn fault(status: StatusCode, error: String, hint: &str) -> Response<Full<Bytes>> {
    json(status, &Fault { error, hint: hint.to_owned() })
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(status, "application/json", bytes.into()),
        Err(error) => {
            with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", format!("{error}\n").into())
        }
    }
}

fn with_type(status: StatusCode, media_type: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
