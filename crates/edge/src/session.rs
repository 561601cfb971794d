//! Long sessions: bytes go both ways until one side ends. They count on their version all the while, stay there when it is
//! replaced, and are cut when the time that the route gives them for that is over.
//!
//! It refuses to know what is spoken. A crash cuts them all.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    clients::SessionCount,
    connection::Visitor,
    counts::InFlight,
    limits::SESSION_BUFFER_BYTES,
    listener::{Listener, Phase, reached},
};

/// A session that is about to begin.
pub(crate) struct Session {
    listener: Arc<Listener>,
    in_flight: InFlight,
    changes: watch::Receiver<()>,
    phases: watch::Receiver<Phase>,
    /// Until the end.
    _counted: Option<SessionCount>,
    /// Its connection counts as open until the end.
    _visitor: Arc<Visitor>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides said all they had to say.
    Whole,
    /// The client broke off, or read nothing for too long.
    ByClient,
    /// The instance broke off, which counts as a failure.
    ByInstance,
    /// Neither side said anything for too long.
    Silent,
    /// It was cut.
    Cut,
}

impl Session {
    /// Of a visitor, on the version that it visited last.
    pub(crate) fn new(
        listener: &Arc<Listener>,
        visitor: &Arc<Visitor>,
        in_flight: InFlight,
        phases: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            // Told of changes before the route is looked at, so that none is missed.
            changes: listener.changes(),
            phases,
            _counted: visitor.session(&listener.counts),
            _visitor: Arc::clone(visitor),
            listener: Arc::clone(listener),
            in_flight,
        }
    }

    /// Carries bytes both ways until an end, a long silence, or a cut.
    pub(crate) async fn carry<C, I>(mut self, client: &mut C, instance: &mut I, idle: Duration) -> Ended
    where
        C: AsyncRead + AsyncWrite + Unpin,
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let (moves, by_instance) = (AtomicU64::new(0), AtomicBool::new(false));
        let by_client = AtomicBool::new(false);
        let mut client = Watched { stream: client, moves: &moves, broke: &by_client };
        let mut instance = Watched { stream: instance, moves: &moves, broke: &by_instance };
        let ended = self.drive(&mut client, &mut instance, &moves, idle).await;
        let ended = match ended {
            Ended::Whole if by_instance.load(Ordering::Relaxed) => Ended::ByInstance,
            Ended::Whole if by_client.load(Ordering::Relaxed) => Ended::ByClient,
            ended => ended,
        };
        if ended == Ended::ByInstance {
            self.in_flight.fail();
        }
        ended
    }

    async fn drive<C, I>(&mut self, client: &mut C, instance: &mut I, moves: &AtomicU64, idle: Duration) -> Ended
    where
        C: AsyncRead + AsyncWrite + Unpin,
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let copying = copy_bidirectional_with_sizes(client, instance, SESSION_BUFFER_BYTES, SESSION_BUFFER_BYTES);
        let mut copying = pin!(copying);
        let mut silence = pin!(sleep(idle));
        let mut seen = 0;
        let mut stays: Option<Stay> = None;
        loop {
            stays = self.stay(stays);
            let limit = stays.and_then(|stay| stay.until);
            let limit = async {
                match limit {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = copying.as_mut() => return Ended::Whole,
                _ = reached(&mut self.phases, Phase::Cut) => break,
                () = limit => break,
                // The listener, which this holds, has the sender.
                _ = self.changes.changed() => {}
                () = silence.as_mut() => {
                    let now = moves.load(Ordering::Relaxed);
                    if now == seen {
                        return Ended::Silent;
                    }
                    seen = now;
                    silence.as_mut().reset(Instant::now() + idle);
                }
            }
        }
        let watch = &self.listener.counts.watch;
        let now = Instant::now();
        let since = stays.map_or(now, |stay| stay.since);
        self.in_flight.version().clients.was_cut(watch.at(since.into()), watch.at(now.into()));
        Ended::Cut
    }

    /// Since when the version takes nothing new, and how long this may go on; nothing while it does.
    fn stay(&self, before: Option<Stay>) -> Option<Stay> {
        let route = self.listener.route.load();
        if route.serves(self.in_flight.version()) {
            return None;
        }
        let since = before.map_or_else(Instant::now, |stay| stay.since);
        Some(Stay { since, until: route.drain.map(|drain| since + drain) })
    }
}

/// A session on a version that takes nothing new.
#[derive(Clone, Copy)]
struct Stay {
    since: Instant,
    until: Option<Instant>,
}

/// A stream that counts its reads, to tell silence, and remembers that it broke.
struct Watched<'a, S> {
    stream: &'a mut S,
    moves: &'a AtomicU64,
    broke: &'a AtomicBool,
}

impl<S> Watched<'_, S> {
    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(outcome, Poll::Ready(Err(_))) {
            self.broke.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut *self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        self.note(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The other side may have closed whole before; that is no break.
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}
