//! Upgraded connections (WebSocket): after the instance agreed, they are long sessions.

use std::{sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue, UPGRADE},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::{
    answer::Answer,
    forward::{Errand, pass_on},
    headers,
    instance::builder,
    limits::HANDSHAKE_TIMEOUT,
    refusal::Refusal,
    session::Session,
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
    let in_flight = errand.answered(response.status(), None)?;
    let instance = hyper::upgrade::on(&mut response);
    let (mut head, _) = response.into_parts();
    head.version = Version::HTTP_11;
    headers::to_client(&mut head.headers, &in_flight.version().header);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, protocol);
    let session = Session::new(errand.listener, errand.visitor, in_flight, errand.listener.phases());
    tokio::spawn(carry(client, instance, session, limits.upgraded_idle_timeout()));
    Ok(Response::from_parts(head, Answer::Text(None)))
}

/// Carries bytes both ways once both sides have gone over.
async fn carry(client: OnUpgrade, instance: OnUpgrade, session: Session, idle: Duration) {
    let both = timeout(HANDSHAKE_TIMEOUT, async { Ok::<_, hyper::Error>((client.await?, instance.await?)) });
    if let Ok(Ok((client, instance))) = both.await {
        session.carry(&mut TokioIo::new(client), &mut TokioIo::new(instance), idle).await;
    }
}
