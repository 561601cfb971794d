//! Messages of WebSocket sessions (RFC 6455): one is sent, and the next that comes is its answer.
//!
//! It refuses to know sessions in which a server speaks without being asked; its word would be taken for an answer.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, handshake::client::Request},
};

use crate::{
    tally::Failure,
    transport::{Io, Target},
};

/// A session.
pub(crate) type Session = Box<WebSocketStream<Io>>;

/// Opens a session at a path.
pub(crate) async fn open(target: &Target, path: &str, headers: &[(String, Vec<u8>)]) -> Result<Session, Failure> {
    let scheme = if target.scheme == "https" { "wss" } else { "ws" };
    let uri = format!("{scheme}://{}{path}", target.authority);
    let mut request: Request = uri.into_client_request().map_err(|_| Failure::Protocol)?;
    for (name, value) in headers {
        let name: hyper::header::HeaderName = name.parse().map_err(|_| Failure::Protocol)?;
        let value = hyper::header::HeaderValue::from_bytes(value).map_err(|_| Failure::Protocol)?;
        request.headers_mut().insert(name, value);
    }
    let io = target.connect().await?;
    match tokio_tungstenite::client_async(request, io).await {
        Ok((session, _)) => Ok(Box::new(session)),
        Err(tokio_tungstenite::tungstenite::Error::Http(_)) => Err(Failure::Status),
        Err(_) => Err(Failure::Protocol),
    }
}

/// Sends a message and reads the next.
pub(crate) async fn exchange(session: &mut Session, message: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let message = match String::from_utf8(message) {
        Ok(text) => Message::text(text),
        Err(bytes) => Message::binary(bytes.into_bytes()),
    };
    session.send(message).await.map_err(|_| Failure::Closed)?;
    loop {
        match session.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_bytes().to_vec()),
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes.to_vec()),
            // The library answers a ping with the next message that is sent.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_) | Message::Frame(_))) | None => return Err(Failure::Closed),
            Some(Err(_)) => return Err(Failure::Closed),
        }
    }
}
