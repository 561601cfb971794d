//! One connection of a client: TLS if the listener has it, HTTP/2 if both sides agreed to it, HTTP/1.1 otherwise.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
use model::{Digest, route::Protocol};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{Duration, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    clients::{SessionCount, Visit},
    counts::{Counts, InFlight},
    forward::forward,
    headers::Origin,
    identity::{Caller, Known},
    limits::{BUFFER_BYTES, HANDSHAKE_TIMEOUT, MAX_HEAD_BYTES, MAX_LOCAL_RESETS, MAX_PENDING_RESETS, MAX_STREAMS},
    listener::{Listener, Phase, reached},
    tcp,
    timed::Timed,
    timer::KeptTimer,
    tls,
};

/// The client at the other end of one connection.
pub(crate) struct Visitor {
    pub(crate) origin: Origin,
    pub(crate) caller: Caller,
    /// The server that the client asked TLS for, which is all that plain TCP has of a name.
    pub(crate) server_name: Option<String>,
    /// The version that the last request went to, so that a connection takes the lock of the version's clients once and
    /// not for each request.
    visit: Mutex<Option<Visit>>,
    /// Grows with each request and each piece of an answer on an HTTP/2 connection.
    moves: AtomicU64,
}

impl Visitor {
    /// The client at `peer`, over TLS or not, with the key of the certificate that it showed.
    pub(crate) fn new(
        peer: SocketAddr,
        tls: bool,
        certificate: Option<Digest>,
        server_name: Option<String>,
    ) -> Arc<Self> {
        let origin = Origin::new(peer, tls);
        let caller = Caller::new(&origin.ip.to_string(), certificate, tls);
        Arc::new(Self { origin, caller, server_name, visit: Mutex::default(), moves: AtomicU64::new(0) })
    }

    /// Counts the client for a version.
    pub(crate) fn visits(&self, counts: &Counts, in_flight: &InFlight, known: &Known) {
        let (version, now) = (in_flight.version(), counts.watch.at(in_flight.began()));
        let mut visit = self.visit();
        match &*visit {
            Some(visit) if visit.is_of(version, &known.text) => visit.touch(now),
            _ => *visit = Some(Visit::new(version, &known.text, now, &counts.clients_in_all)),
        }
    }

    /// A long session begins on the version that was visited last.
    pub(crate) fn session(&self, counts: &Counts) -> Option<SessionCount> {
        self.visit().as_ref().map(|visit| visit.session(&counts.watch))
    }

    fn visit(&self) -> MutexGuard<'_, Option<Visit>> {
        // It is replaced whole.
        self.visit.lock().unwrap_or_else(PoisonError::into_inner)
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
    mut phases: watch::Receiver<Phase>,
) {
    // A client that is gone already shows at the first read.
    let _ignored = stream.set_nodelay(true);
    if listener.route.load().protocol == Protocol::Http && !speaks(&listener, &stream, &mut phases).await {
        return;
    }
    let stream = Timed::new(stream, listener.limits.idle_timeout());
    let is_tcp = listener.route.load().protocol == Protocol::Tcp;
    // Boxed, so that a connection takes the memory of what it speaks, and not of the largest that it could.
    let Some(config) = listener.tls.load_full() else {
        let visitor = Visitor::new(peer, false, None, None);
        return if is_tcp {
            Box::pin(tcp::serve(listener, stream, Timed::stream, visitor, phases)).await;
        } else {
            Box::pin(serve_http1(listener, stream, visitor, phases)).await;
        };
    };
    let accepting = Box::pin(timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)));
    match accepting.await {
        Ok(Ok(stream)) => Box::pin(serve_tls(listener, stream, peer, is_tcp, phases)).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Waits for the first byte, so that a client that opens and never sends takes no buffers.
async fn speaks(listener: &Listener, stream: &TcpStream, phases: &mut watch::Receiver<Phase>) -> bool {
    // A socket counts as readable until it was read once, so it is peeked into.
    let mut byte = [0];
    tokio::select! {
        biased;
        first = timeout(listener.limits.header_timeout(), stream.peek(&mut byte)) => first.is_ok(),
        _ = reached(phases, Phase::Finishing) => false,
    }
}

async fn serve_tls(
    listener: Arc<Listener>,
    stream: TlsStream<Timed<TcpStream>>,
    peer: SocketAddr,
    is_tcp: bool,
    phases: watch::Receiver<Phase>,
) {
    let connection = stream.get_ref().1;
    let visitor = Visitor::new(peer, true, tls::client_key(connection), connection.server_name().map(str::to_owned));
    if is_tcp {
        Box::pin(tcp::serve(listener, stream, |stream| stream.get_ref().0.stream(), visitor, phases)).await;
    } else if connection.alpn_protocol() == Some(b"h2") {
        Box::pin(serve_http2(listener, stream, visitor, phases)).await;
    } else {
        Box::pin(serve_http1(listener, stream, visitor, phases)).await;
    }
}

async fn serve_http1<S>(listener: Arc<Listener>, stream: S, visitor: Arc<Visitor>, phases: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let header_timeout = listener.limits.header_timeout();
    let connection = http1::Builder::new()
        .timer(KeptTimer::default())
        .header_read_timeout(header_timeout)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request: Request<Incoming>| {
                let (listener, visitor) = (Arc::clone(&listener), Arc::clone(&visitor));
                // Boxed, because hyper keeps the place of a request while the connection is idle.
                let forwarding = Box::pin(forward(listener, visitor, request));
                async move { Ok::<_, Infallible>(forwarding.await) }
            }),
        )
        .with_upgrades();
    drive(connection, |connection| connection.graceful_shutdown(), phases, None).await;
}

async fn serve_http2<S>(listener: Arc<Listener>, stream: S, visitor: Arc<Visitor>, phases: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let idle = listener.limits.idle_timeout();
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
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
