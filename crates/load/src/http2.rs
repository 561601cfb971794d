//! HTTP/2 (RFC 9113) by hyper: many requests at a time on each of a few connections.
//!
//! A connection that ended is made anew by the next request that would have used it.

use std::{cell::RefCell, future::Future, rc::Rc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::{tally::Failure, transport::Target};

/// What of a body is kept to be looked at.
const MOST_KEPT: usize = 4 << 20;
/// Connections; a server usually lets a hundred requests share one.
pub(crate) const CONNECTIONS: usize = 4;

type Sender = http2::SendRequest<Full<Bytes>>;

/// A connection, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    sender: RefCell<Option<Sender>>,
    making: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Shared {
    fn ready(&self) -> Option<Sender> {
        self.sender.borrow().as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    async fn sender(&self, target: &Target) -> Result<Sender, Failure> {
        if let Some(sender) = self.ready() {
            return Ok(sender);
        }
        let _one = self.making.lock().await;
        if let Some(sender) = self.ready() {
            return Ok(sender);
        }
        let io = target.connect().await?;
        let made = http2::Builder::new(Local).timer(TokioTimer::new()).handshake(TokioIo::new(io)).await;
        let (sender, connection) = made.map_err(|_| Failure::Protocol)?;
        tokio::task::spawn_local(async move {
            // Its requests hear of its end.
            let _ended = connection.await;
        });
        *self.sender.borrow_mut() = Some(sender.clone());
        Ok(sender)
    }
}

/// Sends a request and reads its answer.
pub(crate) async fn exchange(
    shared: &Rc<Shared>,
    target: &Target,
    request: Request<Full<Bytes>>,
    keep: bool,
) -> Result<(u16, Vec<u8>), Failure> {
    let mut sender = shared.sender(target).await?;
    sender.ready().await.map_err(|_| Failure::Closed)?;
    let answer = sender.send_request(request).await.map_err(|_| Failure::Closed)?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    if keep {
        let all = Limited::new(body, MOST_KEPT).collect().await.map_err(|_| Failure::Protocol)?;
        return Ok((status, all.to_bytes().to_vec()));
    }
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| Failure::Closed)?;
    }
    Ok((status, Vec::new()))
}

/// Makes a request of its parts.
pub(crate) fn request(
    target: &Target,
    method: &str,
    path: &str,
    headers: &[(String, Vec<u8>)],
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = Request::builder().method(method).uri(format!("{}://{}{path}", target.scheme, target.authority));
    for (name, value) in headers {
        request = request.header(name.as_str(), value.as_slice());
    }
    request.body(Full::new(body.into())).map_err(|_| Failure::Protocol)
}
