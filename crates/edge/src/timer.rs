//! The timer that hyper measures the heads of requests by: one a connection, put anew for each head.
//!
//! hyper drops its timer when a head is there and asks for another one before the next. To make a timer of tokio's takes
//! the lock of the wheel that all timers share, and so does dropping it; to put one that runs to a later time does not.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use hyper::rt::{Sleep, Timer};

type Inner = Pin<Box<tokio::time::Sleep>>;

/// Keeps the timer while hyper has no use for it.
#[derive(Clone, Default)]
pub(crate) struct KeptTimer {
    kept: Arc<Mutex<Option<Inner>>>,
}

impl fmt::Debug for KeptTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptTimer")
    }
}

struct Lent {
    timer: Option<Inner>,
    owner: KeptTimer,
}

impl KeptTimer {
    fn swap(&self, timer: Option<Inner>) -> Option<Inner> {
        // It is replaced whole.
        std::mem::replace(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner), timer)
    }
}

impl Timer for KeptTimer {
    fn sleep(&self, duration: std::time::Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let timer = match self.swap(None) {
            Some(mut timer) => {
                timer.as_mut().reset(deadline.into());
                timer
            }
            None => Box::pin(tokio::time::sleep_until(deadline.into())),
        };
        Box::pin(Lent { timer: Some(timer), owner: self.clone() })
    }
}

impl Future for Lent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Sleep for Lent {}

impl Drop for Lent {
    fn drop(&mut self) {
        let timer = self.timer.take();
        self.owner.swap(timer);
    }
}
