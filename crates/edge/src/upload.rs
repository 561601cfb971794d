//! The body of a request on its way to an instance: streamed, with a limit on its size and on its silences.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::timed::{Pace, Patience};

/// What was wrong with a client's body; never the fault of the version that it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadFault {
    /// More bytes than allowed.
    #[error("the request's body is larger than allowed")]
    TooLarge,
    /// Silence for longer than allowed.
    #[error("the request's body did not go on in time")]
    Stalled,
    /// The client left, or what it sent does not parse.
    #[error("the request's body broke off")]
    Broken,
}

/// What is known of an upload while hyper has the body.
#[derive(Debug, Default)]
pub(crate) struct UploadWatch {
    frames: AtomicU64,
    fault: AtomicU8,
    finished: AtomicBool,
    waits_for_client: AtomicBool,
    ended: OnceLock<Instant>,
}

impl UploadWatch {
    /// Grows with every piece that went on to the instance.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Whether all of the body went on to the instance.
    pub(crate) fn finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// When the last of it went on.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    fn set_finished(&self, finished: bool) {
        self.finished.store(finished, Ordering::Relaxed);
        if finished {
            self.ended.get_or_init(Instant::now);
        }
    }

    /// Whether the next step is the client's.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client.load(Ordering::Relaxed)
    }

    /// What was wrong, if anything was.
    pub(crate) fn fault(&self) -> Option<UploadFault> {
        match self.fault.load(Ordering::Relaxed) {
            1 => Some(UploadFault::TooLarge),
            2 => Some(UploadFault::Stalled),
            3 => Some(UploadFault::Broken),
            _ => None,
        }
    }

    fn set_fault(&self, fault: UploadFault) {
        let code = match fault {
            UploadFault::TooLarge => 1,
            UploadFault::Stalled => 2,
            UploadFault::Broken => 3,
        };
        self.fault.store(code, Ordering::Relaxed);
    }
}

/// The body of a request. Most have none, and those cost nothing.
#[derive(Default)]
pub(crate) struct Upload(Option<Box<Streamed>>);

struct Streamed {
    body: Incoming,
    left: u64,
    patience: Patience,
    pace: Pace,
    watch: Arc<UploadWatch>,
}

impl Upload {
    /// Passes `body` on, up to `max_bytes`.
    pub(crate) fn new(body: Incoming, max_bytes: u64, idle: Duration) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        let watch = Arc::new(UploadWatch::default());
        Self(Some(Box::new(Streamed {
            body,
            left: max_bytes,
            patience: Patience::new(idle),
            pace: Pace::default(),
            watch,
        })))
    }

    /// What is known of it; nothing if there is no body.
    pub(crate) fn watch(&self) -> Option<Arc<UploadWatch>> {
        self.0.as_ref().map(|streamed| Arc::clone(&streamed.watch))
    }
}

impl Streamed {
    fn fail(&self, fault: UploadFault) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        self.watch.set_fault(fault);
        Poll::Ready(Some(Err(fault)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let Some(streamed) = &mut self.0 else { return Poll::Ready(None) };
        let frame = Pin::new(&mut streamed.body).poll_frame(cx);
        streamed.watch.waits_for_client.store(frame.is_pending(), Ordering::Relaxed);
        match frame {
            Poll::Pending => {
                if streamed.pace.poll_spent(cx).is_ready() || streamed.patience.poll_spent(cx).is_ready() {
                    return streamed.fail(UploadFault::Stalled);
                }
                Poll::Pending
            }
            Poll::Ready(None) => {
                streamed.watch.set_finished(true);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => streamed.fail(UploadFault::Broken),
            Poll::Ready(Some(Ok(frame))) => {
                streamed.patience.renew();
                streamed.pace.came(frame.data_ref().map_or(0, Bytes::len), tokio::time::Instant::now());
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                match streamed.left.checked_sub(size) {
                    None => streamed.fail(UploadFault::TooLarge),
                    Some(left) => {
                        streamed.left = left;
                        streamed.watch.frames.fetch_add(1, Ordering::Relaxed);
                        // hyper does not ask for the end of a body whose length it knows.
                        streamed.watch.set_finished(streamed.body.is_end_stream());
                        Poll::Ready(Some(Ok(frame)))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|streamed| streamed.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |streamed| streamed.body.size_hint())
    }
}
