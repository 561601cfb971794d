//! What the log serves at this moment: its head, whose turn it is, and whether it was set back.
//!
//! *Invariant never-smaller:* the head that is served never has fewer entries than one that was served before. What the
//! store holds is compared before it becomes the head; nothing is written here.
//!
//! *Invariant asked-before-ordered:* where a log is opened so, nothing is ordered in a turn before its process has said
//! that the witnesses were asked.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{ReadError, SetBack, tiles::Tiles};
use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    merkle::{consistency_proof, verify_consistency},
    note::VerifierKey,
    store::{Store, StoreError, Turn},
};

/// The latest signed checkpoint, and who waits for a later one.
pub(super) struct Head {
    state: Mutex<State>,
    grown: Condvar,
}

struct State {
    latest: Arc<SignedCheckpoint>,
    turn: Turn,
    /// Whether statements are ordered in a turn only after somebody said so for that turn.
    asks_first: bool,
    /// The last turn of which that was said.
    begun: Option<Turn>,
    set_back: Option<SetBack>,
    /// Counts whatever somebody may wait for.
    news: u64,
}

/// Why what the store holds does not become the head.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatchUpError {
    #[error("the log can not be read")]
    Store(#[from] StoreError),
    #[error("the log can not be read")]
    Read(#[from] ReadError),
    #[error("the stored checkpoint is not signed by this log's key")]
    Checkpoint(#[from] CheckpointError),
    #[error("the log was set back")]
    SetBack(#[from] SetBack),
}

impl State {
    fn has_begun(&self) -> bool {
        !self.asks_first || self.begun.as_ref() == Some(&self.turn)
    }
}

impl Head {
    pub(super) fn new(latest: SignedCheckpoint, turn: Turn, asks_first: bool) -> Self {
        let state = State { latest: Arc::new(latest), turn, asks_first, begun: None, set_back: None, news: 1 };
        Self { state: Mutex::new(state), grown: Condvar::new() }
    }

    /// Every change below is one assignment, so what a poisoned lock holds is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.news += 1;
        drop(state);
        self.grown.notify_all();
    }

    pub(super) fn get(&self) -> Arc<SignedCheckpoint> {
        self.state().latest.clone()
    }

    /// The caller has made it of the tree that was served before, or compared it with [`Head::compare`].
    pub(super) fn set(&self, checkpoint: Arc<SignedCheckpoint>) {
        self.change(|state| state.latest = checkpoint);
    }

    pub(super) fn turn(&self) -> Turn {
        self.state().turn.clone()
    }

    pub(super) fn set_turn(&self, turn: Turn) {
        if self.turn() != turn {
            self.change(|state| state.turn = turn);
        }
    }

    /// Whether statements may be ordered now.
    pub(super) fn may_order(&self) -> bool {
        let state = self.state();
        state.turn.is_ours() && state.has_begun()
    }

    /// The turn of this process in which nothing is ordered yet.
    pub(super) fn unbegun(&self) -> Option<Turn> {
        let state = self.state();
        (state.turn.is_ours() && !state.has_begun()).then(|| state.turn.clone())
    }

    /// What was asked before this turn is answered.
    pub(super) fn begin(&self, turn: Turn) {
        self.change(|state| state.begun = Some(turn));
    }

    pub(super) fn set_back(&self) -> Option<SetBack> {
        self.state().set_back.clone()
    }

    pub(super) fn stop_taking_in(&self, reason: SetBack) {
        self.change(|state| {
            state.set_back.get_or_insert(reason);
        });
    }

    /// Something was cosigned.
    pub(super) fn tell(&self) {
        self.change(|_| {});
    }

    pub(super) fn wait_beyond(&self, size: u64, timeout: Duration) -> Arc<SignedCheckpoint> {
        let waited = self.grown.wait_timeout_while(self.state(), timeout, |s| s.latest.size() <= size);
        waited.unwrap_or_else(PoisonError::into_inner).0.latest.clone()
    }

    pub(super) fn wait_news(&self, seen: u64, timeout: Duration) -> u64 {
        let waited = self.grown.wait_timeout_while(self.state(), timeout, |s| s.news == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.news
    }

    /// Takes over the head that another process has stored, after comparing it with the one that is served. `None` if it
    /// is the same.
    pub(super) fn catch_up(
        &self,
        store: &dyn Store,
        tiles: &Tiles,
        log: &VerifierKey,
    ) -> Result<Option<Arc<SignedCheckpoint>>, CatchUpError> {
        let served = self.get();
        let stored = store.head()?;
        let Some(stored) = stored else {
            return Err(SetBack::Store { served: served.size(), stored: 0 }.into());
        };
        if stored.note == served.to_bytes() {
            return Ok(None);
        }
        let found = SignedCheckpoint::open(&stored.note, log)?;
        compare(&served, &found, tiles)?;
        let found = Arc::new(found);
        self.set(found.clone());
        Ok(Some(found))
    }
}

/// Whether a checkpoint of the store continues the one that is served (*never-smaller*).
fn compare(served: &SignedCheckpoint, found: &SignedCheckpoint, tiles: &Tiles) -> Result<(), CatchUpError> {
    if found.size() < served.size() {
        return Err(SetBack::Store { served: served.size(), stored: found.size() }.into());
    }
    let proof = consistency_proof(tiles, served.size(), found.size()).map_err(ReadError::from)?;
    verify_consistency(served.size(), &served.root(), found.size(), &found.root(), &proof)
        .map_err(|_| SetBack::Rewritten { served: served.size() }.into())
}
