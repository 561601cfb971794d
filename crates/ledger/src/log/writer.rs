//! The one thread that writes: it gathers what waits, gives it places, and commits it in one go.
//!
//! *Invariant synced-before-answered:* an answer with an index is sent only after the store has synced a signed
//! checkpoint that covers it. A crash here means that some callers never hear; what they sent is in the log or is not,
//! and sending it again is safe.

use std::{collections::HashMap, sync::Arc};

use super::{
    AppendError, Door, Head, Queue, Tiles,
    head::CatchUpError,
    open::{OpenLogError, edge_of},
    queue::{Integrated, Request},
};
use crate::{
    checkpoint::SignedCheckpoint,
    dsse::Identity,
    merkle::{CompactRange, Edge, leaf_hash},
    note::NoteSigner,
    store::{Batch, Store, StoreError, StoredEntry},
};

/// 256 entries a commit: beyond a hundred the disk is no longer what one waits for, and a batch stays under 17 MB.
pub(super) const BATCH_LIMIT: usize = 256;

/// The writer's state: the tree as it is stored.
pub(super) struct Writer {
    pub(super) store: Arc<dyn Store>,
    pub(super) door: Arc<dyn Door>,
    pub(super) signer: NoteSigner,
    pub(super) head: Arc<Head>,
    pub(super) tiles: Arc<Tiles>,
    pub(super) edge: Edge,
    pub(super) range: CompactRange,
}

/// A batch that was not committed: nobody whose statement is new has an answer yet.
pub(super) struct NotCommitted {
    pub(super) requests: Vec<Request>,
    pub(super) error: AppendError,
    /// Whether it is certain that nothing was changed.
    pub(super) nothing_changed: bool,
}

impl Writer {
    /// Works until the queue is closed and empty, or until a write failed so that nobody knows what the disk holds.
    pub(super) fn run(mut self, queue: &Queue) {
        loop {
            let taken = queue.take(BATCH_LIMIT, None);
            if let Err(failed) = self.integrate(taken.requests) {
                let error = failed.error.clone();
                failed.requests.into_iter().for_each(|request| request.reply(Err(error.clone())));
                // What is refused because the log was set back has not touched the tree.
                let untouched = matches!(failed.error, AppendError::SetBack(_));
                if !(untouched || failed.nothing_changed && self.reload()) {
                    break;
                }
            }
            if taken.closed {
                break;
            }
        }
        queue.end();
    }

    /// Gives each statement its place, commits the new ones in one go, and answers; the names of those that another
    /// process handed over though they were in the log already, or may not come into it any more. After an error the tree is not the
    /// stored one until [`Writer::reload`] or [`Writer::catch_up`] said so.
    pub(super) fn integrate(&mut self, requests: Vec<Request>) -> Result<Vec<Identity>, NotCommitted> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(reason) = self.head.set_back() {
            return Err(NotCommitted { requests, error: AppendError::SetBack(reason), nothing_changed: true });
        }
        let first = self.range.size();
        let names: Vec<Identity> = requests.iter().map(|r| r.identity).collect();
        let known = match self.store.find_all(&names) {
            Ok(known) => known,
            Err(e) => {
                let error = AppendError::Store(Arc::new(e));
                return Err(NotCommitted { requests, error, nothing_changed: true });
            }
        };
        if let Some(found) = known.iter().flatten().max().filter(|index| **index >= first) {
            let error = StoreError::OutOfStep { expected: first, found: found + 1 };
            return Err(NotCommitted { requests, error: AppendError::Store(Arc::new(error)), nothing_changed: true });
        }
        if let Err(e) = self.door.begin(first, &*self.store) {
            let error = AppendError::Store(Arc::new(e));
            return Err(NotCommitted { requests, error, nothing_changed: true });
        }
        let mut batch = Batch { first, ..Batch::default() };
        let mut fresh: HashMap<Identity, u64> = HashMap::new();
        let mut placed = Vec::with_capacity(requests.len());
        let mut needless = Vec::new();
        for (mut request, known) in requests.into_iter().zip(known) {
            let identity = request.identity;
            let known = known.or_else(|| fresh.get(&identity).copied());
            let index = match known {
                Some(index) => index,
                None => {
                    let index = self.range.size();
                    if let Err(refusal) = self.door.place(index, identity, &request.bytes) {
                        needless.extend((!request.is_ours()).then_some(identity));
                        request.reply(Err(AppendError::Refused(refusal)));
                        continue;
                    }
                    let leaf = leaf_hash(&request.bytes);
                    self.range.push(leaf);
                    self.edge.push(leaf);
                    fresh.insert(identity, index);
                    let bytes = std::mem::take(&mut request.bytes);
                    batch.entries.push(StoredEntry { bytes, identity });
                    index
                }
            };
            placed.push((request, index));
        }
        let outcome = if batch.entries.is_empty() { Ok(self.head.get()) } else { self.commit(&mut batch) };
        self.door.end(outcome.is_ok().then_some(self.range.size()));
        match outcome {
            Ok(head) => {
                let mut known = needless;
                for (request, index) in placed {
                    if index < first && !request.is_ours() {
                        known.push(request.identity);
                    }
                    request.reply(Ok(Integrated { index, head: head.clone() }));
                }
                Ok(known)
            }
            Err((error, nothing_changed)) => {
                let mut entries = batch.entries.into_iter();
                let mut unanswered = Vec::new();
                for (mut request, index) in placed {
                    if index < first {
                        // A duplicate of what was there before is there still.
                        request.reply(Ok(Integrated { index, head: self.head.get() }));
                        continue;
                    }
                    if fresh.remove(&request.identity).is_some() {
                        request.bytes = entries.next().map(|entry| entry.bytes).unwrap_or_default();
                    }
                    unanswered.push(request);
                }
                Err(NotCommitted { requests: unanswered, error, nothing_changed })
            }
        }
    }

    /// Signs and commits; on failure says whether it is certain that nothing was changed.
    fn commit(&mut self, batch: &mut Batch) -> Result<Arc<SignedCheckpoint>, (AppendError, bool)> {
        let signed = SignedCheckpoint::sign(self.range.size(), self.range.root(), &self.signer);
        let checkpoint = signed.map_err(|e| (AppendError::Sign(Arc::new(e)), true))?;
        batch.note = checkpoint.to_bytes();
        batch.tiles = self.edge.take_changed();
        self.store.commit(batch).map_err(|e| {
            let nothing_changed = e.nothing_changed();
            (AppendError::Store(Arc::new(e)), nothing_changed)
        })?;
        self.tiles.keep(&batch.tiles);
        let checkpoint = Arc::new(checkpoint);
        self.head.set(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Back to the tree that is stored, after a commit that changed nothing. False if the store does not say the same.
    pub(super) fn reload(&mut self) -> bool {
        let head = self.head.get();
        let stored = self.store.head().ok().flatten();
        let unchanged = stored.is_some_and(|stored| stored.size == head.size() && stored.note == head.to_bytes());
        match edge_of(&*self.store, &head) {
            Ok((edge, range)) if unchanged => {
                (self.edge, self.range) = (edge, range);
                true
            }
            _ => false,
        }
    }

    /// To the tree that is stored by now, whoever stored it, if it continues the one that is served.
    pub(super) fn catch_up(&mut self) -> Result<(), CatchUpError> {
        self.head.catch_up(&*self.store, &self.tiles, self.signer.vkey())?;
        let head = self.head.get();
        match edge_of(&*self.store, &head) {
            Ok((edge, range)) => {
                (self.edge, self.range) = (edge, range);
                Ok(())
            }
            Err(OpenLogError::Store(e)) => Err(e.into()),
            Err(e) => Err(StoreError::Failed(e.into()).into()),
        }
    }
}
