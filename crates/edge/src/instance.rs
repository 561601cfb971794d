//! Instances and the connections to them: opened when needed, kept while idle, driven by the task of the request that
//! uses them, so that a request and its answer never wait for another task to be scheduled.
//!
//! It refuses to know versions and weights.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Sleep, sleep, timeout},
};

use crate::{
    limits::{AVOID_MS, BUFFER_BYTES, IDLE_LINK_TTL, MAX_IDLE_LINKS},
    upload::{Upload, UploadWatch},
};

/// Links move between here and the requests that use them, and are too large to be copied each time.
type Idle = Vec<Box<Link>>;

/// One address of one version, and the idle connections to it.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    idle: Mutex<Idle>,
    /// Takes nothing new: idle connections are closed instead of kept, so that a server that waits for them can end.
    leaving: AtomicBool,
    born: Instant,
    avoid_until_ms: AtomicU64,
}

/// Why no connection could be opened. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the instance did not answer in time")]
    Slow,
    #[error("the instance can not be reached")]
    Refused(#[source] std::io::Error),
    #[error("the connection could not be used")]
    Handshake(#[source] hyper::Error),
}

/// Why there is no answer.
pub(crate) enum Lost {
    /// Nothing of the request was sent; here it is.
    NotSent(Box<Request<Upload>>),
    /// It was sent, at least in part, and no answer came.
    Unanswered(hyper::Error),
    /// The head of the answer did not come in time.
    TooSlow,
}

/// A connection to an instance, with the state machine that drives it.
pub(crate) struct Link {
    sender: SendRequest<Upload>,
    driver: Connection<TokioIo<TcpStream>, Upload>,
    ended: bool,
    idle_since: Instant,
    /// For the head of an answer. One a connection: to put a timer that runs off is nearly free, to make one is not.
    timer: Pin<Box<Sleep>>,
}

impl Instance {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let (idle, leaving) = (Mutex::default(), AtomicBool::new(false));
        Self { address, idle, leaving, born: Instant::now(), avoid_until_ms: AtomicU64::new(0) }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it refused a connection a short while ago.
    pub(crate) fn is_avoided(&self) -> bool {
        let until = self.avoid_until_ms.load(Ordering::Relaxed);
        until != 0 && self.age_ms() < until
    }

    /// Says whether it takes new requests.
    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Relaxed);
        if leaving {
            self.idle().clear();
        }
    }

    /// Closes what has been idle for too long or was closed by the instance.
    pub(crate) fn close_stale(&self) {
        let mut none = Context::from_waker(std::task::Waker::noop());
        self.idle().retain_mut(|link| link.idle_since.elapsed() < IDLE_LINK_TTL && link.is_usable(&mut none));
    }

    /// A connection that is still open and idle for less than `ttl`, the last used first.
    pub(crate) async fn idle_link(&self, ttl: Duration) -> Option<Box<Link>> {
        poll_fn(|cx| {
            loop {
                let Some(mut link) = self.idle().pop_if(|link| link.idle_since.elapsed() < ttl) else {
                    return Poll::Ready(None);
                };
                if link.is_usable(cx) {
                    return Poll::Ready(Some(link));
                }
            }
        })
        .await
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<Box<Link>, ConnectError> {
        let stream = self.open(limit).await?;
        let (sender, driver) = builder().handshake(TokioIo::new(stream)).await.map_err(ConnectError::Handshake)?;
        let timer = Box::pin(sleep(limit));
        Ok(Box::new(Link { sender, driver, ended: false, idle_since: Instant::now(), timer }))
    }

    /// Opens a connection and leaves it to the caller.
    pub(crate) async fn open(&self, limit: Duration) -> Result<TcpStream, ConnectError> {
        let opened = match timeout(limit, TcpStream::connect(self.address)).await {
            Err(_) => Err(ConnectError::Slow),
            // Small answers must not wait for the acknowledgement of the one before.
            Ok(stream) => {
                stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream)).map_err(ConnectError::Refused)
            }
        };
        let avoid_until = if opened.is_err() { self.age_ms().saturating_add(AVOID_MS) } else { 0 };
        if avoid_until != 0 || self.avoid_until_ms.load(Ordering::Relaxed) != 0 {
            self.avoid_until_ms.store(avoid_until, Ordering::Relaxed);
        }
        opened
    }

    /// Keeps a connection on which an answer ended.
    pub(crate) fn keep(&self, mut link: Box<Link>) {
        if link.ended || link.sender.is_closed() || self.leaving.load(Ordering::Relaxed) {
            return;
        }
        link.idle_since = Instant::now();
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE_LINKS {
            idle.push(link);
        }
    }
}

/// How connections to instances are made. hyper's own limit of 100 header fields stays, for which it needs no allocation.
pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.max_buf_size(BUFFER_BYTES);
    builder
}

impl Link {
    /// Drives the connection: what is to be written is written, what has come is read.
    pub(crate) fn poll_drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended && Pin::new(&mut self.driver).poll(cx).is_ready() {
            self.ended = true;
        }
    }

    fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_drive(cx);
        !self.ended && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer, as long as the body makes progress plus `limit`.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Upload>,
        watch: Option<&UploadWatch>,
        limit: Duration,
    ) -> Result<Response<Incoming>, Lost> {
        let mut answer = pin!(self.sender.try_send_request(request));
        self.timer.as_mut().reset(tokio::time::Instant::now() + limit);
        let mut frames = 0;
        poll_fn(|cx| {
            if !self.ended && Pin::new(&mut self.driver).poll(cx).is_ready() {
                self.ended = true;
            }
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|mut lost| match lost.take_message() {
                    Some(request) => Lost::NotSent(Box::new(request)),
                    None => Lost::Unanswered(lost.into_error()),
                }));
            }
            while self.timer.as_mut().poll(cx).is_ready() {
                // Whoever the body waits for has limits of its own; only an instance that has all of it is too slow.
                let goes_on = watch
                    .is_some_and(|watch| watch.frames() != frames || (!watch.finished() && watch.waits_for_client()));
                if !goes_on {
                    return Poll::Ready(Err(Lost::TooSlow));
                }
                frames = watch.map_or(0, UploadWatch::frames);
                self.timer.as_mut().reset(tokio::time::Instant::now() + limit);
            }
            Poll::Pending
        })
        .await
    }
}
