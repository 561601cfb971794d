//! Sending a document to somebody outside: one `POST` a connection, everything bounded, nothing followed.
//!
//! It writes nothing. A crash means that it was sent or not; whoever asked sends it again.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, header};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::receiver::Place;
use crate::{
    fault::{Because as _, Fault, Kind},
    http::handshake,
};

/// Name, connection, TLS, sending and the answer: a receiver that takes longer is tried again.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer only its status counts; so much of the rest is read, so that it can be told what was wrong.
const ANSWER_BYTES: usize = 16 << 10;
/// How much of a refusal is told.
const WORDS_LIMIT: usize = 200;

/// Sends a JSON document. `Ok` is an answer of 2xx.
pub async fn post(place: &Place, body: Vec<u8>) -> Result<(), Fault> {
    let what = format!("{}:{}", place.host, place.port);
    match tokio::time::timeout(SEND_TIMEOUT, send(place, body, &what)).await {
        Ok(sent) => sent,
        Err(_) => {
            Err(Fault::new(Kind::Unavailable, format!("{what} did not answer within {} s", SEND_TIMEOUT.as_secs())))
        }
    }
}

async fn send(place: &Place, body: Vec<u8>, what: &str) -> Result<(), Fault> {
    let gone = || format!("{what} does not answer");
    let path = place.uri.path_and_query().map_or("/", |p| p.as_str());
    let host = place.uri.authority().map_or(place.host.as_str(), |a| a.as_str());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "countersign");
    if let Some(token) = &place.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.as_str()));
    }
    let request = request.body(Full::new(Bytes::from(body))).because(Kind::Internal, "the request can not be made")?;
    let stream =
        tokio::net::TcpStream::connect((place.host.as_str(), place.port)).await.because(Kind::Unavailable, gone())?;
    let mut sender = match &place.tls {
        None => handshake(stream).await?,
        Some(config) => {
            let name = ServerName::try_from(place.host.clone()).because(Kind::Usage, "the host has no name for TLS")?;
            let stream = TlsConnector::from(config.clone()).connect(name, stream).await;
            handshake(stream.because(Kind::Unavailable, format!("{what} is not who it should be"))?).await?
        }
    };
    let answer = sender.send_request(request).await.because(Kind::Unavailable, gone())?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
    let words = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
    let words: String = words.chars().filter(|c| !c.is_control()).take(WORDS_LIMIT).collect();
    Err(Fault::new(Kind::Unavailable, format!("{what} answered {status}: {words}")))
}
