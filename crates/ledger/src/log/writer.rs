//! The one thread that writes: it gathers what waits, gives it places, and commits it in one go.
//!
//! *Invariant synced-before-answered:* an answer with an index is sent only after the store has synced a signed
//! checkpoint that covers it. A crash here means that some callers never hear; what they sent is in the log or is not,
//! and sending it again is safe.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
};

use super::{AppendError, Door, Head, Refusal, Submission};
use crate::{
    checkpoint::SignedCheckpoint,
    dsse::{Envelope, Identity},
    merkle::{CompactRange, Edge, leaf_hash},
    note::NoteSigner,
    store::{Batch, Body, Store, StoreError, StoredEntry},
};

/// 256 entries a commit: beyond a hundred the disk is no longer what one waits for, and a batch stays under 17 MB.
const BATCH_LIMIT: usize = 256;
/// 64 MiB of bodies a commit.
const BATCH_BODIES_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Where a statement ended up, and the checkpoint that covers it.
pub(super) struct Integrated {
    pub(super) index: u64,
    pub(super) head: Arc<SignedCheckpoint>,
}

pub(super) type Answer = Result<Integrated, AppendError>;

/// A checked statement that waits for its place.
pub(super) struct Request {
    envelope: Envelope,
    identity: Identity,
    bytes: Vec<u8>,
    bodies: Vec<Body>,
    answer: SyncSender<Answer>,
}

impl Request {
    pub(super) fn new(submission: Submission) -> (Self, Receiver<Answer>) {
        let (answer, receiver) = mpsc::sync_channel(1);
        let Submission { envelope, bodies } = submission;
        let (identity, bytes) = (envelope.identity(), envelope.canonical_bytes());
        (Self { envelope, identity, bytes, bodies, answer }, receiver)
    }

    fn body_bytes(&self) -> usize {
        self.bodies.iter().map(|b| b.bytes.len()).sum()
    }
}

/// The writer's state: the tree as it is stored.
pub(super) struct Writer {
    pub(super) store: Arc<dyn Store>,
    pub(super) door: Arc<dyn Door>,
    pub(super) signer: NoteSigner,
    pub(super) head: Arc<Head>,
    pub(super) edge: Edge,
    pub(super) range: CompactRange,
}

/// What becomes of one request of a batch.
enum Place {
    At(u64),
    Refused(Refusal),
    Failed(Arc<StoreError>),
}

impl Writer {
    /// Works until every sender is gone, or until a write failed so that nobody knows what the disk holds.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let mut requests = vec![first];
            let mut bytes = requests.iter().map(Request::body_bytes).sum::<usize>();
            while requests.len() < BATCH_LIMIT && bytes < BATCH_BODIES_LIMIT_BYTES {
                let Ok(next) = queue.try_recv() else { break };
                bytes += next.body_bytes();
                requests.push(next);
            }
            if !self.integrate(requests) {
                break;
            }
        }
        // Dropping the receiver makes every later append `Stopped`.
    }

    /// One batch; false if the writer has to stop.
    fn integrate(&mut self, mut requests: Vec<Request>) -> bool {
        let before = self.range.clone();
        let first = before.size();
        let (places, batch) = self.place(&mut requests);
        let outcome = if batch.entries.is_empty() { Ok(self.head.get()) } else { self.commit(batch) };
        let (error, goes_on) = match outcome {
            Ok(head) => {
                for (request, place) in requests.into_iter().zip(places) {
                    request.reply(match place {
                        Place::At(index) => Ok(Integrated { index, head: head.clone() }),
                        Place::Refused(refusal) => Err(AppendError::Refused(refusal)),
                        Place::Failed(e) => Err(AppendError::Store(e)),
                    });
                }
                return true;
            }
            Err(error) => error,
        };
        self.door.rewind(first);
        let reloaded = goes_on && self.reload(before);
        for (request, place) in requests.into_iter().zip(places) {
            request.reply(match place {
                // A duplicate of what was there before is there still.
                Place::At(index) if index < first => Ok(Integrated { index, head: self.head.get() }),
                Place::Refused(refusal) => Err(AppendError::Refused(refusal)),
                Place::Failed(e) => Err(AppendError::Store(e)),
                Place::At(_) => Err(error.clone()),
            });
        }
        reloaded
    }

    /// Gives each request its place: an earlier one if the statement is there already, the next one if the door admits it.
    fn place(&mut self, requests: &mut [Request]) -> (Vec<Place>, Batch) {
        let first = self.range.size();
        let mut batch = Batch { first, ..Batch::default() };
        let mut fresh: HashMap<Identity, u64> = HashMap::new();
        let mut places = Vec::with_capacity(requests.len());
        for request in requests {
            let known = match fresh.get(&request.identity) {
                Some(index) => Ok(Some(*index)),
                None => self.store.find(request.identity),
            };
            places.push(match known {
                Ok(Some(index)) => Place::At(index),
                Ok(None) => {
                    let index = self.range.size();
                    match self.door.admit(index, &request.envelope) {
                        Err(refusal) => Place::Refused(refusal),
                        Ok(()) => {
                            let leaf = leaf_hash(&request.bytes);
                            self.range.push(leaf);
                            self.edge.push(leaf);
                            fresh.insert(request.identity, index);
                            let bytes = std::mem::take(&mut request.bytes);
                            batch.entries.push(StoredEntry { bytes, identity: request.identity });
                            batch.bodies.append(&mut request.bodies);
                            Place::At(index)
                        }
                    }
                }
                Err(e) => Place::Failed(Arc::new(e)),
            });
        }
        (places, batch)
    }

    /// Signs and commits; on failure says whether the writer may go on.
    fn commit(&mut self, mut batch: Batch) -> Result<Arc<SignedCheckpoint>, (AppendError, bool)> {
        let signed = SignedCheckpoint::sign(self.range.size(), self.range.root(), &self.signer);
        let checkpoint = signed.map_err(|e| (AppendError::Sign(Arc::new(e)), true))?;
        batch.note = checkpoint.to_bytes();
        batch.tiles = self.edge.take_changed();
        self.store.commit(&batch).map_err(|e| {
            let goes_on = e.nothing_changed();
            (AppendError::Store(Arc::new(e)), goes_on)
        })?;
        let checkpoint = Arc::new(checkpoint);
        self.head.set(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Back to the tree that is stored, after a commit that changed nothing. False if the store does not say the same.
    fn reload(&mut self, before: CompactRange) -> bool {
        let stored = self.store.head().ok().flatten();
        let unchanged =
            stored.is_some_and(|head| head.size == before.size() && head.note == self.head.get().to_bytes());
        let edge = Edge::load(before.size(), |level, index| self.store.tile(level, index));
        match edge {
            Ok(Some(edge)) if unchanged && edge.compact() == before => {
                self.edge = edge;
                self.range = before;
                true
            }
            _ => false,
        }
    }
}

impl Request {
    fn reply(self, answer: Answer) {
        // Whoever asked may be gone; the statement is in the log all the same.
        drop(self.answer.try_send(answer));
    }
}
