//! What waits for the writer: a bounded queue, and the news that the store has for it.
//!
//! Nothing in it is stored; whoever waits here has no receipt, and a crash loses nothing that anybody was promised.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use super::AppendError;
use crate::{
    checkpoint::SignedCheckpoint,
    dsse::{Envelope, Identity},
    store::Changes,
};
use std::sync::Arc;

/// 1,024 waiting statements are a second of work on a slow disk; who comes then is told to try again.
pub(super) const QUEUE_LIMIT: usize = 1024;

/// Where a statement ended up, and a checkpoint that covers it.
pub(super) struct Integrated {
    pub(super) index: u64,
    pub(super) head: Arc<SignedCheckpoint>,
}

pub(super) type Answer = Result<Integrated, AppendError>;

/// A checked statement that waits for its place.
pub(super) struct Request {
    pub(super) identity: Identity,
    pub(super) bytes: Vec<u8>,
    pub(super) since: Instant,
    /// Nobody waits for one that another process handed over.
    answer: Option<mpsc::SyncSender<Answer>>,
}

impl Request {
    pub(super) fn new(envelope: &Envelope) -> (Self, mpsc::Receiver<Answer>) {
        let (answer, receiver) = mpsc::sync_channel(1);
        let (identity, bytes) = (envelope.identity(), envelope.canonical_bytes());
        (Self { identity, bytes, since: Instant::now(), answer: Some(answer) }, receiver)
    }

    pub(super) fn handed_over(identity: Identity, bytes: Vec<u8>) -> Self {
        Self { identity, bytes, since: Instant::now(), answer: None }
    }

    pub(super) const fn is_ours(&self) -> bool {
        self.answer.is_some()
    }

    pub(super) fn reply(self, answer: Answer) {
        if let Some(asker) = self.answer {
            // Whoever asked may be gone; the statement is in the log all the same.
            drop(asker.try_send(answer));
        }
    }
}

/// What the writer takes to work on.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) requests: Vec<Request>,
    pub(super) changes: Changes,
    /// Nothing more will come.
    pub(super) closed: bool,
}

/// Between those who append, the store's news, and the one writer.
#[derive(Default)]
pub(super) struct Queue {
    held: Mutex<Held>,
    filled: Condvar,
}

#[derive(Default)]
struct Held {
    waiting: VecDeque<Request>,
    changes: Changes,
    closed: bool,
}

/// Why a request does not wait.
pub(super) enum NotQueued {
    /// As many as may wait are waiting.
    Full(Request),
    /// The writer has ended.
    Closed,
}

impl Queue {
    /// What is held is whole after every statement below, so a poisoned lock is as good as a clean one.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, request: Request) -> Result<(), NotQueued> {
        let mut held = self.held();
        if held.closed {
            return Err(NotQueued::Closed);
        }
        if held.waiting.len() >= QUEUE_LIMIT {
            return Err(NotQueued::Full(request));
        }
        held.waiting.push_back(request);
        drop(held);
        self.filled.notify_one();
        Ok(())
    }

    /// The store has news.
    pub(super) fn tell(&self, changes: Changes) {
        let mut held = self.held();
        held.changes.head |= changes.head;
        held.changes.offers |= changes.offers;
        held.changes.turn |= changes.turn;
        drop(held);
        self.filled.notify_one();
    }

    /// Lets nobody in any more; what waits is still taken.
    pub(super) fn close(&self) {
        self.held().closed = true;
        self.filled.notify_all();
    }

    /// The writer has ended: whoever waits is told so, because the answers' senders are dropped.
    pub(super) fn end(&self) {
        let mut held = self.held();
        held.closed = true;
        held.waiting.clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.held().closed
    }

    /// What waits now, at most `limit` requests; waits for something to come, for ever or as long as `patience`.
    pub(super) fn take(&self, limit: usize, patience: Option<Duration>) -> Taken {
        let idle = |held: &mut Held| (limit == 0 || held.waiting.is_empty()) && !held.changes.any() && !held.closed;
        let mut held = match patience {
            None => self.filled.wait_while(self.held(), idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                self.filled.wait_timeout_while(self.held(), patience, idle).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let mut taken = Taken { requests: Vec::new(), changes: std::mem::take(&mut held.changes), closed: held.closed };
        while taken.requests.len() < limit {
            let Some(request) = held.waiting.pop_front() else { break };
            taken.requests.push(request);
        }
        taken.closed &= held.waiting.is_empty();
        taken
    }
}
