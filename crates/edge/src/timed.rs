//! A stream whose writes may not stall for ever: a client that stops reading would otherwise keep its request in flight,
//! and with it the version that it is on.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::limits::{MIN_BODY_BYTES_PER_S, SLOW_BODY_GRACE};

/// A timer that costs nothing until something has to be waited for.
pub(crate) struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Patience {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, timer: None, waits: false }
    }

    /// There was progress: the next wait begins anew.
    pub(crate) const fn renew(&mut self) {
        self.waits = false;
    }

    /// Ready once the wait has lasted for the limit without a `renew`.
    pub(crate) fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) => {
                if !self.waits {
                    timer.as_mut().reset(Instant::now() + self.limit);
                }
                timer
            }
            none => none.insert(Box::pin(sleep(self.limit))),
        };
        self.waits = true;
        timer.as_mut().poll(cx)
    }
}

/// A sender that may pause, but not send a byte now and then for ever: it may keep us waiting for a time, and for as long
/// again as what it sent takes at the slowest rate that is served.
#[derive(Default)]
pub(crate) struct Pace {
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Nothing is there. Ready once the sender has kept us waiting for too long in all.
    pub(crate) fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.waits(Instant::now());
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx)
    }

    /// Nothing is there; until when that is all right.
    fn waits(&mut self, now: Instant) -> Instant {
        let since = *self.since.get_or_insert(now);
        let allowed = SLOW_BODY_GRACE + Duration::from_secs(self.bytes / MIN_BODY_BYTES_PER_S);
        since + allowed.saturating_sub(self.waited)
    }

    /// So many bytes came.
    pub(crate) fn came(&mut self, bytes: usize, now: Instant) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }
}

/// A stream whose writes fail with `TimedOut` when they make no progress for the limit.
pub(crate) struct Timed<S> {
    stream: S,
    patience: Patience,
}

impl<S> Timed<S> {
    pub(crate) const fn new(stream: S, limit: Duration) -> Self {
        Self { stream, patience: Patience::new(limit) }
    }

    /// What is below.
    pub(crate) const fn stream(&self) -> &S {
        &self.stream
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience.renew();
            return written;
        }
        ready!(self.patience.poll_spent(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

#[cfg(test)]
mod tests;
