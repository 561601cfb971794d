//! Asking components what they say of themselves, for whoever steers: numbers come back, and nothing else of what they sent.
//!
//! It refuses to know what the numbers mean, and keeps nothing. Whoever answers late, too much or nonsense is said to be
//! unreadable and why; the others are read all the same.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use model::route::{MAX_READ_SERIES, MAX_READ_TARGETS, ReadAnswer, ReadRequest, ReadTarget};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    exposition,
    limits::{MAX_READ_AT_ONCE, MAX_READ_BYTES, MAX_READ_TIMEOUT},
};

/// What is accepted, the stricter format first.
const FORMATS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Asks all, and answers in their order.
///
/// # Errors
/// Words that say what is wrong with the request.
pub(crate) async fn read(request: ReadRequest) -> Result<Vec<ReadAnswer>, String> {
    let ReadRequest { source, timeout_ms, targets } = request;
    if targets.len() > MAX_READ_TARGETS {
        return Err(format!("{} addresses, more than {MAX_READ_TARGETS}", targets.len()));
    }
    if let Some(target) = targets.iter().find(|t| t.series.len() > MAX_READ_SERIES) {
        return Err(format!("{} series of {}, more than {MAX_READ_SERIES}", target.series.len(), target.address));
    }
    let limit = Duration::from_millis(timeout_ms.max(1).into()).min(MAX_READ_TIMEOUT);
    let mut answers = vec![ReadAnswer::Unreadable("was not asked".to_owned()); targets.len()];
    let places = Arc::new(Semaphore::new(MAX_READ_AT_ONCE));
    let mut asking = JoinSet::new();
    for (at, target) in targets.into_iter().enumerate() {
        let places = Arc::clone(&places);
        asking.spawn(async move {
            let _place = places.acquire().await;
            let asked = tokio::time::timeout(limit, ask(&target, source)).await;
            let late = |_| Err(format!("no answer within {} ms", limit.as_millis()));
            (at, asked.unwrap_or_else(late).map_or_else(ReadAnswer::Unreadable, ReadAnswer::Read))
        });
    }
    while let Some(done) = asking.join_next().await {
        if let Ok((at, answer)) = done
            && let Some(place) = answers.get_mut(at)
        {
            *place = answer;
        }
    }
    Ok(answers)
}

async fn ask(target: &ReadTarget, source: Option<Ipv4Addr>) -> Result<Vec<model::route::SeriesAnswer>, String> {
    let stream = dial(target.address, source).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(&target.path)
        .header(HOST, target.address.to_string())
        .header(USER_AGENT, "countersign-edge")
        .header(ACCEPT, FORMATS)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("`{}` answered {}", target.path, answer.status().as_u16()));
        }
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_open_metrics = media_type.is_some_and(|media_type| media_type.starts_with(OPEN_METRICS));
        let body = Limited::new(answer.into_body(), MAX_READ_BYTES).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("`{}` answered more than {MAX_READ_BYTES} bytes", target.path)
            } else {
                format!("`{}` broke off: {error}", target.path)
            }
        })?;
        exposition::read(&body.to_bytes(), is_open_metrics, &target.series)
    };
    tokio::pin!(connection);
    tokio::pin!(answered);
    tokio::select! {
        answered = &mut answered => answered,
        ended = &mut connection => {
            // What had arrived before the end is still there.
            let answered = answered.await;
            answered.map_err(|why| ended.err().map_or(why, |error| error.to_string()))
        }
    }
}

/// Connects; inside a fabric from the address that its filter lets checks come from.
async fn dial(address: SocketAddr, source: Option<Ipv4Addr>) -> std::io::Result<TcpStream> {
    if let (SocketAddr::V4(v4), Some(source)) = (address, source)
        && v4.ip().octets().first_chunk::<2>() == source.octets().first_chunk::<2>()
    {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::V4(SocketAddrV4::new(source, 0)))?;
        return socket.connect(address).await;
    }
    TcpStream::connect(address).await
}

#[cfg(test)]
mod tests;
