//! Leases: how a client without a connection keeps the version that it was given.
//!
//! Where versions have names, the edge itself answers below [`PATH`] on each name of a version:
//!
//! | request | answer |
//! |---|---|
//! | `POST` with `{"name": "month-end sheet", "for_s": 3600}` | 201 `{"serial", "name", "until"}`; a lease of that name is renewed |
//! | `DELETE` with `{"name": "month-end sheet"}` | 200, also if there was none |
//! | `GET` | 200 `{"serial", "leases"}`, the client's own |
//!
//! A lease belongs to the identity that took it, has a name for people to read, and ends by itself. In memory only: after a
//! crash an edge knows of none and says since when it looks, so that nobody takes that for their absence.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue},
};
use model::{Timestamp, route::Lease};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    answer::Answer,
    headers::SERIAL,
    identity::Known,
    limits::{LEASE_TIMEOUT, MAX_LEASE_BODY_BYTES, MAX_LEASE_NAME_BYTES, MAX_LEASES, MAX_LEASES_OF_ONE},
    listener::Listener,
    refusal::Refusal,
    table::{Asked, ByName},
};

/// Where leases are asked for; components never see this path where versions have names.
const PATH: &str = "/.well-known/countersign/lease";

/// The leases of one version, by identity and name.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<BTreeMap<(Arc<str>, String), Timestamp>>,
}

/// What a client asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    name: String,
    for_s: Option<u32>,
}

/// Why a lease was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaseError {
    #[error("this client has {MAX_LEASES_OF_ONE} leases on this version already")]
    OfOne,
    #[error("this version has {MAX_LEASES} leases already")]
    OfAll,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, String), Timestamp>> {
        // Entries are added and removed whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a lease or renews it.
    pub(crate) fn take(
        &self,
        identity: &Arc<str>,
        name: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), LeaseError> {
        let mut held = self.held();
        held.retain(|_, until| *until > now);
        let key = (Arc::clone(identity), name.to_owned());
        if !held.contains_key(&key) {
            if held.keys().filter(|(one, _)| one == identity).count() >= MAX_LEASES_OF_ONE {
                return Err(LeaseError::OfOne);
            }
            if held.len() >= MAX_LEASES {
                return Err(LeaseError::OfAll);
            }
        }
        held.insert(key, until);
        Ok(())
    }

    /// Ends a lease early.
    pub(crate) fn end(&self, identity: &Arc<str>, name: &str) {
        self.held().remove(&(Arc::clone(identity), name.to_owned()));
    }

    /// Those that are not over, by identity and name.
    pub(crate) fn in_force(&self, now: Timestamp) -> Vec<Lease> {
        let mut held = self.held();
        held.retain(|_, until| *until > now);
        let lease = |((identity, name), until): (&(Arc<str>, String), &Timestamp)| Lease {
            name: name.clone(),
            identity: identity.to_string(),
            until: *until,
        };
        held.iter().map(lease).collect()
    }
}

/// Whether a path is the edge's own here.
pub(crate) fn is_asked(listener: &Listener, path: &str) -> bool {
    path == PATH && listener.route.load().has_names()
}

/// Answers a request about leases.
pub(crate) async fn answer(
    listener: &Listener,
    host: Option<&HeaderValue>,
    known: &Known,
    request: Request<Incoming>,
    http2: bool,
) -> Response<Answer> {
    let method = request.method().clone();
    // Read before the version is looked up, so that the lookup is of the moment in which the lease is given.
    let body = match method {
        Method::GET => Ok(None),
        _ => timeout(LEASE_TIMEOUT, Limited::new(request.into_body(), MAX_LEASE_BODY_BYTES).collect())
            .await
            .map_err(drop)
            .and_then(|read| read.map_err(drop))
            .map(|body| Some(body.to_bytes())),
    };
    let Ok(body) = body else {
        let words = "the request for a lease did not arrive whole";
        return closing(fault(StatusCode::BAD_REQUEST, words, "send a short JSON object at once"), http2);
    };
    let asked = {
        let route = listener.route.load();
        route.asked(Some(host.and_then(|host| host.to_str().ok()).unwrap_or_default()))
    };
    let by_name = match asked {
        None => return Refusal::UnknownName.answer(None),
        Some(Asked::Plain) => {
            return fault(
                StatusCode::CONFLICT,
                "the plain address is another version after each release, so no lease can keep it",
                "ask at the name of a version or a channel; each answer has its version in `x-countersign-serial`",
            );
        }
        Some(Asked::Version(by_name)) => by_name,
    };
    let now = listener.counts.watch.now();
    // Whoever asks about a version is a client of it, also while it is about to go.
    by_name.counter.clients.was_asked_for(now);
    // Whoever is to decide that it goes has looked already: a lease would be given and not kept.
    if by_name.closing && method == Method::POST {
        return Refusal::Retiring.answer(None);
    }
    let mut answer = respond(&by_name, &method, body.as_ref(), known, now);
    answer.headers_mut().insert(SERIAL, by_name.counter.header.clone());
    answer
}

fn respond(by_name: &ByName, method: &Method, body: Option<&Bytes>, known: &Known, now: Timestamp) -> Response<Answer> {
    let leases = &by_name.counter.clients.leases;
    let serial = by_name.counter.header.to_str().unwrap_or_default();
    if *method == Method::GET {
        let own: Vec<Lease> = leases.in_force(now).into_iter().filter(|lease| *lease.identity == *known.text).collect();
        return said(StatusCode::OK, &json!({ "serial": serial, "leases": own }));
    }
    if *method != Method::POST && *method != Method::DELETE {
        let mut answer = fault(StatusCode::METHOD_NOT_ALLOWED, "leases are taken with POST", "GET, POST or DELETE");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
        return answer;
    }
    let asks: Asks = match body.map(|body| serde_json::from_slice(body)) {
        Some(Ok(asks)) => asks,
        _ => {
            return fault(
                StatusCode::BAD_REQUEST,
                "the request for a lease can not be read",
                "send `{\"name\": \"month-end sheet\", \"for_s\": 3600}`",
            );
        }
    };
    let is_shown = |c: char| c == ' ' || c.is_ascii_graphic();
    if asks.name.is_empty() || asks.name.len() > MAX_LEASE_NAME_BYTES || !asks.name.chars().all(is_shown) {
        return fault(
            StatusCode::UNPROCESSABLE_ENTITY,
            "a lease needs a name of at most 64 printable ASCII characters",
            "say what holds the version, as in `month-end sheet`; never a secret, since operators read it",
        );
    }
    if *method == Method::DELETE {
        leases.end(&known.text, &asks.name);
        return said(StatusCode::OK, &json!({ "serial": serial, "name": asks.name }));
    }
    let for_s = asks.for_s.unwrap_or(by_name.lease_s);
    if for_s == 0 || for_s > by_name.lease_s {
        return fault(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("a lease here is for 1 to {} seconds", by_name.lease_s),
            "take a shorter one and renew it",
        );
    }
    let until = now.plus_s(u64::from(for_s));
    match leases.take(&known.text, &asks.name, until, now) {
        Ok(()) => said(StatusCode::CREATED, &json!({ "serial": serial, "name": asks.name, "until": until })),
        Err(error) => fault(StatusCode::TOO_MANY_REQUESTS, &error.to_string(), "end some, or let some end"),
    }
}

fn closing(mut answer: Response<Answer>, http2: bool) -> Response<Answer> {
    if !http2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn fault(status: StatusCode, error: &str, hint: &str) -> Response<Answer> {
    said(status, &json!({ "error": error, "hint": hint }))
}

fn said(status: StatusCode, value: &Value) -> Response<Answer> {
    let mut response = Response::new(Answer::Text(Some(Bytes::from(format!("{value}\n")))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
