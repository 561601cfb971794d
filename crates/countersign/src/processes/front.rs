//! The `front` process: HTTP for people and programs. It relays what others signed and can sign nothing.
//!
//! | path | what |
//! |---|---|
//! | `/log/…` | the log: `checkpoint` and `tile/…` as C2SP tlog-tiles, `entries/N`, `cosigned`, `wait/N?ms=`, `body/HEX`, `refusals?from=N`, `POST statements` |
//! | `/api/status` | every process's own word, and the edge's counts |
//! | `/api/health` | whether front itself answers |
//!
//! A halt, a rejection and the withdrawal of a key go straight to the agent as well, so that they work when the log does not.

use std::{io::Write as _, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use ledger::{merkle::TilePath, statement::v1::Kind as Says};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Start;
use crate::{
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    layout::Layout,
    serve::{PublicLimits, REQUEST_BYTES, bounded, serve_public, tile_headers},
    supervise::STARTED,
};

/// Longer than the longest long poll of the log.
const RELAY_TIMEOUT: Duration = Duration::from_secs(40);
/// A stop is a small statement for an agent of this host; who waits longer should be told.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A request is read, relayed and answered within this: a long poll and the time to send a body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// As many people as this at once, with two descriptors each; who comes then waits in the kernel's queue. Who sends no
/// request within ten seconds is closed.
const LIMITS: PublicLimits = PublicLimits { connections: 256, head_timeout: Duration::from_secs(10) };

/// A statement of 64 KiB in base64 with a reason.
const SMALL_BYTES: usize = 256 << 10;

/// Larger ones are test evidence with its cases, a few an hour: half a gigabyte at the most.
const LARGE_REQUESTS: usize = 8;

struct Shared {
    layout: Layout,
    log: Target,
    agent: Target,
    /// The other hosts' agents.
    others: Vec<Target>,
    edge: Target,
    /// Places for large requests.
    large: Arc<Semaphore>,
}

/// Runs the process until it is asked to end.
pub fn run(start: Start) -> Result<(), Fault> {
    let address = start.settings.front;
    let listener = std::net::TcpListener::bind(address).map_err(|e| {
        Fault::from_error(Kind::Unavailable, e)
            .context(format!("{address} can not be listened on"))
            .hint("another program has the port; change `front` in settings.json")
    })?;
    let mut confinement = Confinement::nothing();
    confinement.sockets = Sockets::Tcp;
    let others = start.settings.other_agents()?;
    let port = |agent: &Target| match agent {
        Target::Tcp(address) => Some(address.port()),
        Target::Unix(_) => None,
    };
    confinement.connect_tcp = Some(others.iter().filter_map(port).collect());
    confinement.read.push(start.layout.root().join("status"));
    let mut status = start.confine(confinement)?;
    status.say(format!("listening on http://{address}"), vec!["requests".to_owned()]);
    let shared = Arc::new(Shared {
        log: Target::Unix(start.layout.socket(RoleUser::Log)),
        agent: Target::Unix(start.layout.socket(RoleUser::Agent)),
        others,
        edge: Target::Unix(start.layout.socket(RoleUser::Edge)),
        large: Arc::new(Semaphore::new(LARGE_REQUESTS)),
        layout: start.layout,
    });
    let router = Router::new()
        .route("/api/health", get(|| async { "ok\n" }))
        .route("/api/status", get(status_of))
        .route("/log/{*rest}", any(relay))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), one_large_at_a_time))
        .with_state(shared);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .because(Kind::Unavailable, "no runtime")?
        .block_on(serve_public(listener, bounded(router, REQUEST_TIMEOUT, REQUEST_BYTES), LIMITS))
}

/// Statements are small; those that bring large bodies come through here one after the other, so that what `front` holds in
/// memory for people whom it does not know is bounded.
async fn one_large_at_a_time(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    // A request without a length that has a body says nothing of its size.
    let is_large = match length {
        Some(length) => length > SMALL_BYTES,
        None => request.headers().contains_key(header::TRANSFER_ENCODING),
    };
    let _place = match is_large.then(|| shared.large.clone().try_acquire_owned()) {
        None => None,
        Some(Ok(place)) => Some(place),
        Some(Err(_)) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    next.run(request).await
}

async fn relay(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Fault> {
    let resource: Option<TilePath> = uri.path().trim_start_matches("/log/").parse().ok();
    let path = uri.path_and_query().map_or("/", |p| p.as_str()).trim_start_matches("/log").to_owned();
    let stopped = if method == Method::POST && path == "/statements" && is_stop(&body) {
        // The other hosts are told at the same time and not waited for: what they answer is asked of themselves.
        for other in shared.others.clone() {
            let body = body.to_vec();
            tokio::spawn(async move { drop(other.ask(Method::POST, "/stop", body, STOP_TIMEOUT).await) });
        }
        let answer = shared.agent.ask(Method::POST, "/stop", body.to_vec(), STOP_TIMEOUT).await;
        Some(answer.is_ok_and(|a| a.status.is_success()))
    } else {
        None
    };
    // Who stops is told at once that the agent has it, also by a log that takes the question and gives no answer.
    let limit = if stopped == Some(true) { STOP_TIMEOUT } else { RELAY_TIMEOUT };
    let answer = match shared.log.ask(method, &path, body.to_vec(), limit).await {
        // The agent has it and writes it into the log when the log takes it. A log that lies would refuse it.
        Err(_) if stopped == Some(true) => {
            return Ok((StatusCode::ACCEPTED, Json(json!({ "stopped": true, "logged": false }))).into_response());
        }
        Ok(answer) if stopped == Some(true) && !answer.status.is_success() => {
            return Ok((StatusCode::ACCEPTED, Json(json!({ "stopped": true, "logged": false }))).into_response());
        }
        answer => answer?,
    };
    match resource.filter(|_| answer.status.is_success()) {
        Some(resource) => tile(resource, &headers, answer.body),
        None => Ok((answer.status, answer.body).into_response()),
    }
}

/// A checkpoint or tile with its headers; entries are compressed for who can read that (C2SP tlog-tiles, "Log entries").
fn tile(resource: TilePath, asked: &HeaderMap, body: Bytes) -> Result<Response, Fault> {
    let headers = tile_headers(resource);
    if !matches!(resource, TilePath::Entries { .. }) || !takes_gzip(asked) {
        return Ok((headers, body).into_response());
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&body).because(Kind::Internal, "the entries can not be compressed")?;
    let packed = packed.finish().because(Kind::Internal, "the entries can not be compressed")?;
    Ok((headers, [(header::CONTENT_ENCODING, "gzip"), (header::VARY, "accept-encoding")], packed).into_response())
}

/// Whether `Accept-Encoding` names gzip and does not weigh it as nothing (RFC 9110 section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|item| {
        let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").map(str::trim);
        coding.trim().eq_ignore_ascii_case("gzip") && !weight.is_some_and(|q| q.parse::<f32>() == Ok(0.0))
    })
}

/// What goes to the agent as well: a way to stop.
const STOPS: [Says; 3] = [Says::Halt, Says::Rejection, Says::KeyWithdrawal];

/// Whether a submission is a stop, by its predicate type. A wrong guess harms nothing: the agent checks it.
fn is_stop(body: &[u8]) -> bool {
    use base64::Engine as _;
    let payload = || -> Option<String> {
        let submission: Value = serde_json::from_slice(body).ok()?;
        let payload = submission.get("envelope")?.get("payload")?.as_str()?;
        String::from_utf8(base64::prelude::BASE64_STANDARD.decode(payload).ok()?).ok()
    };
    payload().is_some_and(|p| STOPS.iter().any(|kind| p.contains(&kind.predicate_type())))
}

async fn status_of(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let mut processes = Vec::new();
    for role in STARTED {
        let word = std::fs::read(shared.layout.status(role)).ok();
        let word: Option<Value> = word.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        processes.push(word.unwrap_or_else(|| json!({ "role": role.name(), "doing": "has not said anything yet" })));
    }
    let ask = |target: &Target, path: &'static str| {
        let target = target.clone();
        async move {
            let answer = target.ask(Method::GET, path, Vec::new(), STOP_TIMEOUT).await.ok()?;
            serde_json::from_slice::<Value>(&answer.body).ok()
        }
    };
    let edge = ask(&shared.edge, "/counts").await;
    let agent = ask(&shared.agent, "/state").await;
    Json(json!({ "processes": processes, "edge": edge, "agent": agent }))
}

#[cfg(test)]
mod tests;
