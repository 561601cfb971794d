//! One connection of a client: TLS if the listener has it, HTTP/2 if both sides agreed to it, HTTP/1.1 otherwise.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{Duration, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    counts::VersionCounter,
    forward::forward,
    headers::Origin,
    limits::{BUFFER_BYTES, HANDSHAKE_TIMEOUT, MAX_HEAD_BYTES, MAX_STREAMS},
    listener::{Listener, Phase, reached},
    timed::Timed,
};

/// The client at the other end of one connection.
pub(crate) struct Visitor {
    pub(crate) origin: Origin,
    /// The id of the version that this client was last counted for, so that a connection takes the lock of the set of
    /// clients once and not for each request.
    counted_for: AtomicU64,
    /// Grows with each request and each piece of an answer on an HTTP/2 connection.
    moves: AtomicU64,
}

impl Visitor {
    /// Counts the client for a version.
    pub(crate) fn visits(&self, version: &VersionCounter) {
        if self.counted_for.swap(version.id(), Ordering::Relaxed) != version.id() {
            version.seen(self.origin.ip);
        }
    }

    /// Something moved on the connection.
    pub(crate) fn moves(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    listener: Arc<Listener>,
    stream: TcpStream,
    peer: SocketAddr,
    phases: watch::Receiver<Phase>,
) {
    // A client that is gone already shows at the first read.
    let _ignored = stream.set_nodelay(true);
    let stream = Timed::new(stream, listener.limits.idle_timeout());
    let Some(config) = listener.tls.load_full() else {
        return serve_http1(listener, stream, Origin::new(peer, false), phases).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            serve_http2(listener, stream, Origin::new(peer, true), phases).await;
        }
        Ok(Ok(stream)) => serve_http1(listener, stream, Origin::new(peer, true), phases).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_http1<S>(listener: Arc<Listener>, stream: S, origin: Origin, phases: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let visitor = visitor(origin);
    let header_timeout = listener.limits.header_timeout();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request: Request<Incoming>| {
                let (listener, visitor) = (Arc::clone(&listener), Arc::clone(&visitor));
                async move { Ok::<_, Infallible>(forward(listener, visitor, request).await) }
            }),
        )
        .with_upgrades();
    drive(connection, |connection| connection.graceful_shutdown(), phases, None).await;
}

async fn serve_http2<S>(listener: Arc<Listener>, stream: S, origin: Origin, phases: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let visitor = visitor(origin);
    let idle = listener.limits.idle_timeout();
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER_BYTES)
        .keep_alive_interval(idle / 2)
        .keep_alive_timeout(idle / 2)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request: Request<Incoming>| {
                visitor.moves();
                let (listener, visitor) = (Arc::clone(&listener), Arc::clone(&visitor));
                async move { Ok::<_, Infallible>(forward(listener, visitor, request).await) }
            }),
        );
    let idle = Some((idle, Arc::clone(&visitor)));
    drive(connection, |connection| connection.graceful_shutdown(), phases, idle).await;
}

fn visitor(origin: Origin) -> Arc<Visitor> {
    Arc::new(Visitor { origin, counted_for: AtomicU64::new(0), moves: AtomicU64::new(0) })
}

/// Drives a connection to its end. Asks it to finish when the listener does, or when nothing moved for `idle`, and cuts it
/// when nothing moved for as long again: a client that opens no window must not keep a version in flight. HTTP/1.1 needs
/// no such rule: there the timeouts for the head of the next request and for writes are one.
async fn drive<C, E>(
    connection: C,
    mut finish: impl FnMut(Pin<&mut C>),
    mut phases: watch::Receiver<Phase>,
    idle: Option<(Duration, Arc<Visitor>)>,
) where
    C: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
    let mut connection = pin!(connection);
    let mut finishing = false;
    let mut moves = 0;
    loop {
        let wanted = if finishing { Phase::Cut } else { Phase::Finishing };
        let pause = async {
            match &idle {
                Some((limit, visitor)) => {
                    sleep(*limit).await;
                    visitor.moves.load(Ordering::Relaxed)
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            phase = reached(&mut phases, wanted) => {
                if phase == Phase::Cut {
                    return;
                }
            }
            now = pause => {
                if now != moves {
                    moves = now;
                    continue;
                }
                if finishing {
                    return;
                }
            }
        }
        finishing = true;
        finish(connection.as_mut());
    }
}
