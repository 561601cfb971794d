//! Upgraded connections (WebSocket): after the instance agreed, bytes go both ways until one side ends. They stay in
//! flight on their version all the while.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue, UPGRADE},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    answer::Answer,
    counts::InFlight,
    forward::{Errand, pass_on},
    headers,
    instance::builder,
    limits::HANDSHAKE_TIMEOUT,
    listener::{Phase, reached},
    refusal::Refusal,
    upload::Upload,
};

/// The one protocol that is let through. `h2c` above all is not: behind it requests would pass uncounted, with whatever
/// `Forwarded` the client likes.
const PROTOCOL: &str = "websocket";

/// The protocol that a request asks to go over to, if it is one that is let through. Others are answered as if they had
/// not asked (RFC 9110 section 7.8 allows that).
pub(crate) fn protocol_asked(request: &Request<Incoming>) -> Option<HeaderValue> {
    headers::upgrade_asked(request).filter(|protocol| protocol.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes()))
}

/// Sends the request to an instance and, if that agrees, joins the two connections.
pub(crate) async fn open(
    errand: &mut Errand<'_>,
    mut request: Request<Incoming>,
    protocol: HeaderValue,
) -> Result<Response<Answer>, Refusal> {
    let limits = Arc::clone(&errand.listener.limits);
    let client = hyper::upgrade::on(&mut request);
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
    let request = request.map(|body| Upload::new(body, limits.max_body_bytes, limits.idle_timeout()));
    let upload = request.body().watch();
    let stream = loop {
        let instance = errand.next_instance().await?;
        match instance.open(limits.connect_timeout()).await {
            Ok(stream) => break stream,
            Err(error) => errand.not_taken(instance, &error),
        }
    };
    let answered = async {
        let (mut sender, driver) = builder().handshake(TokioIo::new(stream)).await?;
        // Ends with the sender, with the answer's body, or with the upgraded connection.
        tokio::spawn(driver.with_upgrades());
        sender.send_request(request).await
    };
    let mut response = match timeout(limits.answer_timeout(), answered).await {
        Err(_) => {
            errand.fail();
            return Err(Refusal::AnswerTooLate);
        }
        Ok(Err(error)) => {
            if let Some(fault) = upload.as_ref().and_then(|upload| upload.fault()) {
                return Err(Refusal::Body(fault));
            }
            tracing::debug!(%error, "an upgrade was not answered");
            errand.fail();
            return Err(Refusal::Unanswered);
        }
        Ok(Ok(response)) => response,
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return pass_on(errand, response, None, upload, limits.idle_timeout());
    }
    let in_flight = errand.answered(response.status())?;
    let instance = hyper::upgrade::on(&mut response);
    let (mut head, _) = response.into_parts();
    head.version = Version::HTTP_11;
    headers::to_client(&mut head.headers, &in_flight.version().header);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, protocol);
    tokio::spawn(carry(client, instance, in_flight, limits.upgraded_idle_timeout(), errand.listener.phases()));
    Ok(Response::from_parts(head, Answer::Text(None)))
}

/// Carries bytes both ways until an end, a long silence, or the end of the edge.
async fn carry(
    client: OnUpgrade,
    instance: OnUpgrade,
    in_flight: InFlight,
    idle: Duration,
    mut phases: watch::Receiver<Phase>,
) {
    let both = timeout(HANDSHAKE_TIMEOUT, async { Ok::<_, hyper::Error>((client.await?, instance.await?)) });
    if let Ok(Ok((client, instance))) = both.await {
        let moves = AtomicU64::new(0);
        let mut client = Watched { stream: TokioIo::new(client), moves: &moves };
        let mut instance = Watched { stream: TokioIo::new(instance), moves: &moves };
        let mut copying = pin!(copy_bidirectional(&mut client, &mut instance));
        let mut seen = 0;
        loop {
            tokio::select! {
                _ = copying.as_mut() => break,
                _ = reached(&mut phases, Phase::Cut) => break,
                () = sleep(idle) => {
                    let now = moves.load(Ordering::Relaxed);
                    if now == seen {
                        break;
                    }
                    seen = now;
                }
            }
        }
    }
    drop(in_flight);
}

/// A stream that counts its reads, to tell silence.
struct Watched<'a> {
    stream: TokioIo<Upgraded>,
    moves: &'a AtomicU64,
}

impl AsyncRead for Watched<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
