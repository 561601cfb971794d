//! Opening a log: every stored entry is hashed again and admitted again, and the result must be what the log last signed.
//!
//! It writes only when the log is new: the checkpoint of the empty tree. A crash then leaves an empty store, which is a
//! new log again.

use std::sync::{Arc, Condvar, Mutex, mpsc};

use model::Digest;

use super::{Door, Head, Log, QUEUE_LIMIT, Refusal, writer::Writer};
use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    dsse::{Envelope, EnvelopeError},
    keys::SignError,
    merkle::{CompactRange, Edge, TILE_WIDTH, leaf_hash},
    note::NoteSigner,
    store::{Batch, Store, StoreError},
};

/// Why a log does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// The store failed.
    #[error("the log can not be read")]
    Store(#[from] StoreError),
    /// The stored checkpoint is not signed by this log's key.
    #[error("the stored checkpoint is not signed by this log's key")]
    Checkpoint(#[from] CheckpointError),
    /// The entries do not give the signed root.
    #[error(
        "the stored entries give the root {computed}, but the log signed {signed} for {size} entries: the file was changed"
    )]
    Root {
        /// Number of entries.
        size: u64,
        /// What the entries hash to.
        computed: Digest,
        /// What was signed.
        signed: Digest,
    },
    /// More or fewer entries than were signed.
    #[error("the log signed {signed} entries, but {found} are stored")]
    Size {
        /// What was signed.
        signed: u64,
        /// What is there.
        found: u64,
    },
    /// A stored tile is not what the entries hash to.
    #[error("the stored hashes at level {level}, tile {index} are not those of the entries")]
    Tile {
        /// The tile's level.
        level: u8,
        /// The tile's index.
        index: u64,
    },
    /// An entry is not an envelope in canonical form, or is stored under another statement's name.
    #[error("entry {0} of the log is damaged")]
    Entry(u64, #[source] Option<EnvelopeError>),
    /// The door does not accept an entry that is in the log.
    #[error("entry {0} of the log should not have come in")]
    Admit(u64, #[source] Refusal),
    /// The first checkpoint could not be signed.
    #[error("the checkpoint could not be signed")]
    Sign(#[from] SignError),
    /// The system gives no thread.
    #[error("can not start the writer of the log")]
    Thread(#[source] std::io::Error),
}

impl Log {
    /// Opens a log. `signer` signs its checkpoints under the log's origin; a store with nothing in it becomes a new log.
    pub fn open(store: Arc<dyn Store>, signer: NoteSigner, door: Arc<dyn Door>) -> Result<Self, OpenLogError> {
        let vkey = signer.vkey().clone();
        let (edge, range) = replay(&*store, &*door)?;
        let checkpoint = match store.head()? {
            Some(stored) => {
                let checkpoint = SignedCheckpoint::open(&stored.note, &vkey)?;
                let (signed, found) = (checkpoint.size(), range.size());
                if signed != found || stored.size != found {
                    return Err(OpenLogError::Size { signed, found });
                }
                let (computed, signed) = (range.root(), checkpoint.root());
                if computed != signed {
                    return Err(OpenLogError::Root { size: found, computed, signed });
                }
                checkpoint
            }
            None if range.size() == 0 => {
                let checkpoint = SignedCheckpoint::sign(0, range.root(), &signer)?;
                store.commit(&Batch { note: checkpoint.to_bytes(), ..Batch::default() })?;
                checkpoint
            }
            None => return Err(OpenLogError::Size { signed: 0, found: range.size() }),
        };
        let head = Arc::new(Head { latest: Mutex::new(Arc::new(checkpoint)), grown: Condvar::new() });
        let (queue, requests) = mpsc::sync_channel(QUEUE_LIMIT);
        let writer = Writer { store: store.clone(), door: door.clone(), signer, head: head.clone(), edge, range };
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&requests))
            .map_err(OpenLogError::Thread)?;
        Ok(Self { store, door, vkey, head, queue: Some(queue), writer: Some(thread) })
    }
}

/// Builds the tree from the stored entries, comparing each stored tile on the way.
fn replay(store: &dyn Store, door: &dyn Door) -> Result<(Edge, CompactRange), OpenLogError> {
    let (mut edge, mut range) = (Edge::new(), CompactRange::new());
    loop {
        let entries = store.entries(range.size(), TILE_WIDTH)?;
        if entries.is_empty() {
            return Ok((edge, range));
        }
        for entry in entries {
            let index = range.size();
            let envelope = Envelope::from_entry(&entry.bytes).map_err(|e| OpenLogError::Entry(index, Some(e)))?;
            if envelope.identity() != entry.identity {
                return Err(OpenLogError::Entry(index, None));
            }
            door.admit(index, &envelope).map_err(|e| OpenLogError::Admit(index, e))?;
            let leaf = leaf_hash(&entry.bytes);
            edge.push(leaf);
            range.push(leaf);
        }
        // Partial tiles may be stored fuller than they are at this point, never emptier.
        for tile in edge.take_changed() {
            let stored = store.tile(tile.level, tile.index)?;
            if !stored.is_some_and(|bytes| bytes.starts_with(&tile.bytes)) {
                return Err(OpenLogError::Tile { level: tile.level, index: tile.index });
            }
        }
    }
}
