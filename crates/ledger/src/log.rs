//! The log: it takes statements that its door lets in, puts them into one order, and signs what the order has become.
//!
//! It refuses to know what statements mean: a [`Door`] says what may come in.
//!
//! One writer thread takes whatever is waiting as one batch: entries, tiles and a signed checkpoint go to the store in
//! one synced commit, and only then does anybody get a receipt. A crash before the commit loses statements that nobody
//! has a receipt for; a crash after it loses nothing. Appending again after a crash is safe: the same statement gets its
//! first index.

mod door;
mod head;
mod open;
mod queue;
mod receipt;
mod seal;
mod set_back;
mod tiles;
mod turns;
mod writer;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use model::Digest;

use crate::{
    bodies::{BODY_LIMIT_BYTES, Bodies, BodyError, KeepError, KeptBody, SubjectBody},
    checkpoint::SignedCheckpoint,
    dsse::{Envelope, EnvelopeError, Identity},
    follow::Sighting,
    merkle::{TILE_WIDTH, TilePath, consistency_proof, inclusion_proof, range_root},
    note::{NoteSignature, VerifierKey},
    statement::v1::Seen,
    store::{Changes, NodeError, Store, StoreError, Turn},
};

pub use door::{Door, OpenDoor, Refusal};
pub use open::OpenLogError;
pub use receipt::{Receipt, ReceiptError};
pub use set_back::SetBack;

use head::Head;
use queue::{Answer, NotQueued, Queue, Request};
use tiles::Tiles;

/// 64 bodies with one statement: a release has a few, and each is up to 16 MiB.
const BODY_COUNT_LIMIT: usize = 64;
/// 256 entries an answer: one bundle (C2SP tlog-tiles).
pub const ENTRIES_LIMIT: usize = TILE_WIDTH;
/// How many of the latest cosigned checkpoints are looked through for one that satisfies a policy.
const COSIGNED_LOOKBACK: usize = 64;

/// A statement on its way in, with the bodies that it commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The signed statement.
    pub envelope: Envelope,
    /// Bodies to be kept beside it, each with whom it is about.
    pub bodies: Vec<SubjectBody>,
}

impl Submission {
    /// A statement without bodies.
    pub const fn new(envelope: Envelope) -> Self {
        Self { envelope, bodies: Vec::new() }
    }
}

/// Why a statement was not appended. Nothing of it was kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The door said no.
    #[error("the statement is not acceptable")]
    Refused(#[source] Refusal),
    /// A body is too large, or there are too many.
    #[error("a statement has at most {BODY_COUNT_LIMIT} bodies of at most {BODY_LIMIT_BYTES} bytes each")]
    Bodies,
    /// A body could not be kept.
    #[error("a body of the statement can not be kept")]
    Keep(#[source] Arc<KeepError>),
    /// The log was opened without a place for bodies.
    #[error("this log keeps no bodies")]
    NoBodies,
    /// Too many statements are waiting.
    #[error("the log is busy; try again")]
    Busy,
    /// The store could not take it.
    #[error("the statement could not be stored")]
    Store(#[source] Arc<StoreError>),
    /// The log's key did not sign the checkpoint.
    #[error("the checkpoint could not be signed")]
    Sign(#[source] Arc<crate::keys::SignError>),
    /// The log does not continue what was served or cosigned before. Reading goes on.
    #[error("the log takes nothing in, because it was set back")]
    SetBack(#[source] SetBack),
    /// Nobody gave the statement its place in time. It may come in later; sending it again is safe.
    #[error("nobody orders the log just now, or who does can not commit; send the statement again")]
    NoSequencer,
    /// The log is being closed by its own process.
    #[error("the log is being closed")]
    Closed,
    /// A write failed so that nobody knows what the disk holds. Reading goes on.
    #[error("the log has stopped writing after a failed write; start it again")]
    Stopped,
}

/// Why something could not be read from the log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Beyond the end.
    #[error("the log has {size} entries; {asked} is beyond them")]
    Beyond {
        /// What was asked for.
        asked: u64,
        /// The size of the log.
        size: u64,
    },
    /// A stored entry is not an envelope: the file was changed.
    #[error("entry {0} of the log is damaged")]
    Damaged(u64, #[source] EnvelopeError),
    /// A body is damaged, or the place where bodies are kept failed.
    #[error("the body can not be read")]
    Body(#[from] BodyError),
    /// The store failed.
    #[error("the log can not be read")]
    Store(#[from] StoreError),
    /// Hashes are missing.
    #[error("the log can not make proofs")]
    Nodes(#[from] NodeError),
}

/// An open log.
pub struct Log {
    store: Arc<dyn Store>,
    bodies: Option<Bodies>,
    door: Arc<dyn Door>,
    vkey: VerifierKey,
    head: Arc<Head>,
    tiles: Arc<Tiles>,
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    closing: AtomicBool,
}

impl Log {
    /// The same log, which keeps bodies there. Without it, a statement that comes with bodies is refused.
    #[must_use]
    pub fn keeping(mut self, bodies: Bodies) -> Self {
        self.bodies = Some(bodies);
        self
    }

    /// Appends a statement. Waits until it is in the log and a signed checkpoint that covers it is synced.
    pub fn append(&self, submission: Submission) -> Result<Receipt, AppendError> {
        self.append_all(vec![submission]).pop().unwrap_or(Err(AppendError::Stopped))
    }

    /// Appends several statements, each for itself, in this order. They share commits with whatever else is waiting.
    /// However many there are, no more of them wait at a time than may.
    pub fn append_all(&self, submissions: Vec<Submission>) -> Vec<Result<Receipt, AppendError>> {
        let mut slots: VecDeque<Slot> = VecDeque::new();
        let mut results = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let mut next = self.check(submission);
            let slot = loop {
                match next {
                    Err(error) => break Slot::Refused(error),
                    Ok((request, answer)) => match self.queue.push(request) {
                        Ok(()) => break Slot::Waiting(answer),
                        Err(NotQueued::Closed) => break Slot::Refused(self.why_ended()),
                        Err(NotQueued::Full(request)) => match slots.pop_front() {
                            // Others fill the queue.
                            None => break Slot::Refused(AppendError::Busy),
                            Some(oldest) => {
                                results.push(self.settle(oldest));
                                next = Ok((request, answer));
                            }
                        },
                    },
                }
            };
            slots.push_back(slot);
        }
        results.extend(slots.into_iter().map(|slot| self.settle(slot)));
        results
    }

    /// Checks in this thread, so that the writer has only order to make.
    fn check(&self, submission: Submission) -> Result<(Request, mpsc::Receiver<Answer>), AppendError> {
        let bodies = &submission.bodies;
        if bodies.len() > BODY_COUNT_LIMIT || bodies.iter().any(|b| b.body.bytes.len() > BODY_LIMIT_BYTES) {
            return Err(AppendError::Bodies);
        }
        if let Some(reason) = self.head.set_back() {
            return Err(AppendError::SetBack(reason));
        }
        self.door.check(self, &submission).map_err(AppendError::Refused)?;
        for body in bodies {
            // Before the entry, so that no entry promises a body that a power cut took. Without the entry it is harmless.
            let kept = self.bodies.as_ref().ok_or(AppendError::NoBodies)?.keep(body);
            kept.map_err(|e| AppendError::Keep(Arc::new(e)))?;
        }
        Ok(Request::new(&submission.envelope))
    }

    fn settle(&self, slot: Slot) -> Result<Receipt, AppendError> {
        let answer = match slot {
            Slot::Refused(error) => return Err(error),
            Slot::Waiting(answer) => answer,
        };
        let integrated = answer.recv().map_err(|_| self.why_ended())??;
        self.receipt_at(integrated.index, &integrated.head).map_err(|e| {
            let source = match e {
                ReadError::Store(e) | ReadError::Nodes(NodeError::Store(e)) => e,
                other => StoreError::Failed(other.into()),
            };
            AppendError::Store(Arc::new(source))
        })
    }

    fn why_ended(&self) -> AppendError {
        if self.closing.load(Ordering::SeqCst) { AppendError::Closed } else { AppendError::Stopped }
    }

    /// Finishes what is queued, gives the turn back, and takes nothing in any more. Reading goes on.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has nothing left to lose: its batch was rolled back.
            drop(thread.join());
        }
    }

    /// Whether this process gives statements their places.
    pub fn turn(&self) -> Turn {
        self.head.turn()
    }

    /// The turn of this process in which nothing is ordered before [`Log::begin`]; see [`Log::open_asking_first`].
    pub fn unbegun_turn(&self) -> Option<Turn> {
        self.head.unbegun()
    }

    /// Lets this process order statements in this turn. For a turn that is over it changes nothing.
    pub fn begin(&self, turn: Turn) {
        self.head.begin(turn);
        self.queue.tell(Changes { head: false, offers: true, turn: false });
    }

    /// How many entries the store's head covers, which may be more than this process serves yet.
    pub fn stored_size(&self) -> Result<u64, ReadError> {
        Ok(self.store.head()?.map_or(0, |head| head.size))
    }

    /// Why nothing more is taken in, if the log was set back.
    pub fn set_back(&self) -> Option<SetBack> {
        self.head.set_back()
    }

    /// Takes nothing in any more, for this reason; the first reason stays.
    pub fn stop_taking_in(&self, reason: SetBack) {
        self.head.stop_taking_in(reason);
    }

    /// The key that verifies this log's checkpoints; its name is the origin.
    pub const fn vkey(&self) -> &VerifierKey {
        &self.vkey
    }

    /// The latest signed checkpoint, which may lack witnesses yet.
    pub fn head(&self) -> Arc<SignedCheckpoint> {
        self.head.get()
    }

    /// Waits until the log has more than `size` entries, but no longer than `timeout`; the head as it then is.
    pub fn wait_beyond(&self, size: u64, timeout: Duration) -> Arc<SignedCheckpoint> {
        self.head.wait_beyond(size, timeout)
    }

    /// Waits until the log has grown or was cosigned since `seen`, but no longer than `timeout`; the number to wait for
    /// the next time, 0 the first time.
    pub fn wait_news(&self, seen: u64, timeout: Duration) -> u64 {
        self.head.wait_news(seen, timeout)
    }

    /// Entries from this index on, in order, as canonical bytes: at most `limit`, and at most [`ENTRIES_LIMIT`].
    /// Never more than the head covers.
    pub fn entries(&self, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let size = self.head().size();
        let left = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
        let entries = self.store.entries(from, limit.min(ENTRIES_LIMIT).min(left))?;
        Ok(entries.into_iter().map(|e| e.bytes).collect())
    }

    /// The statement at this index.
    pub fn envelope(&self, index: u64) -> Result<Envelope, ReadError> {
        let size = self.head().size();
        let entry = self.entries(index, 1)?.pop().ok_or(ReadError::Beyond { asked: index, size })?;
        Envelope::from_entry(&entry).map_err(|e| ReadError::Damaged(index, e))
    }

    /// The index of a statement, if it is in the log.
    pub fn find(&self, identity: Identity) -> Result<Option<u64>, ReadError> {
        let size = self.head().size();
        Ok(self.store.find(identity)?.filter(|index| *index < size))
    }

    /// A receipt for the statement at this index, under the latest checkpoint.
    pub fn receipt(&self, index: u64) -> Result<Receipt, ReadError> {
        self.receipt_at(index, &self.head())
    }

    fn receipt_at(&self, index: u64, head: &SignedCheckpoint) -> Result<Receipt, ReadError> {
        let proof = self.inclusion_proof(index, head.size())?;
        Ok(Receipt { index, proof, checkpoint: head.to_bytes() })
    }

    /// An inclusion proof (RFC 6962 section 2.1.1) of an entry in the tree of this size.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Digest>, ReadError> {
        let stored = self.head().size();
        if index >= size || size > stored {
            return Err(ReadError::Beyond { asked: index.max(size), size: stored });
        }
        Ok(inclusion_proof(&*self.tiles, index, size)?)
    }

    /// A consistency proof (RFC 6962 section 2.1.2) between the trees of two sizes.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Digest>, ReadError> {
        let stored = self.head().size();
        if old > new || new > stored {
            return Err(ReadError::Beyond { asked: old.max(new), size: stored });
        }
        Ok(consistency_proof(&*self.tiles, old, new)?)
    }

    /// The root of the log when it had this many entries; `None` if it never had.
    pub fn root_at(&self, size: u64) -> Result<Option<Digest>, ReadError> {
        // Another process of this log may have stored more than this one serves yet.
        if size > self.head().size() && size > self.stored_size()? {
            return Ok(None);
        }
        Ok(Some(range_root(&*self.tiles, 0, size)?))
    }

    /// A statement whose signer saw another tree of this size, beside the log's own checkpoint.
    pub fn sighting(&self, envelope: Vec<u8>, seen: Seen) -> Sighting {
        Sighting::new(self.head().to_bytes(), envelope).with_nodes(&self.vkey, seen, &*self.tiles)
    }

    /// What a path of C2SP tlog-tiles names; `None` if it names nothing in this log (404).
    pub fn resource(&self, path: TilePath) -> Result<Option<Vec<u8>>, ReadError> {
        match path {
            TilePath::Checkpoint => Ok(Some(self.with_cosignatures(&self.head())?.to_bytes())),
            TilePath::Hashes { level, index, width } => {
                let tile = self.store.tile(level, index)?;
                Ok(tile.and_then(|bytes| bytes.get(..width * 32).map(<[u8]>::to_vec)))
            }
            TilePath::Entries { index, width } => {
                let Some(first) = index.checked_mul(TILE_WIDTH as u64) else { return Ok(None) };
                let entries = self.entries(first, width)?;
                Ok((entries.len() == width).then(|| bundle(&entries)))
            }
        }
    }

    /// The body with this commitment, if it is kept, its subject was not erased, and it is still what was committed to.
    pub fn body(&self, commitment: &Digest) -> Result<KeptBody, ReadError> {
        match &self.bodies {
            Some(bodies) => Ok(bodies.read(commitment)?),
            None => Ok(KeptBody::Missing),
        }
    }

    /// Where the bodies are kept, if they are.
    pub const fn bodies(&self) -> Option<&Bodies> {
        self.bodies.as_ref()
    }

    /// Keeps a cosignature for the head or an earlier checkpoint. Its signature was verified by
    /// [`crate::witness::cosign`].
    pub fn add_cosignature(&self, size: u64, signature: &NoteSignature) -> Result<(), ReadError> {
        self.store.add_cosignature(size, signature.name(), &signature.to_string())?;
        self.head.tell();
        Ok(())
    }

    /// The largest checkpoint with its cosignatures for which `enough` says yes, among the latest cosigned ones.
    pub fn cosigned(&self, enough: impl Fn(&SignedCheckpoint) -> bool) -> Result<Option<SignedCheckpoint>, ReadError> {
        for size in self.store.cosigned_sizes(COSIGNED_LOOKBACK)? {
            let stored = self.store.checkpoints(size, 1)?.pop().filter(|c| c.size == size);
            let opened = stored.and_then(|c| SignedCheckpoint::open(&c.note, &self.vkey).ok());
            if let Some(checkpoint) = opened {
                let checkpoint = self.with_cosignatures(&checkpoint)?;
                if enough(&checkpoint) {
                    return Ok(Some(checkpoint));
                }
            }
        }
        Ok(None)
    }

    fn with_cosignatures(&self, checkpoint: &SignedCheckpoint) -> Result<SignedCheckpoint, ReadError> {
        let mut checkpoint = checkpoint.clone();
        for line in self.store.cosignatures(checkpoint.size())? {
            for signature in NoteSignature::parse_lines(&line).unwrap_or_default() {
                checkpoint.add(signature);
            }
        }
        Ok(checkpoint)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

/// One of several statements on their way.
enum Slot {
    Refused(AppendError),
    Waiting(mpsc::Receiver<Answer>),
}

/// An entry bundle: each entry with its length as a big-endian 16-bit number in front (C2SP tlog-tiles, "Log entries").
fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        // `dsse::ENTRY_LIMIT_BYTES` keeps every entry within 16 bits.
        out.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(entry);
    }
    out
}

#[cfg(test)]
mod tests;
