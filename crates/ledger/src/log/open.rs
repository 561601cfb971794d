//! Opening a log: its right edge is read from the stored tiles, and must be what the log last signed. That takes a few
//! reads, however long the log is; `crate::check` looks at all of it.
//!
//! It writes only when the log is new: the checkpoint of the empty tree. A crash then leaves an empty store, which is a
//! new log again.

use std::{
    sync::{Arc, Mutex, atomic::AtomicBool},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use model::Digest;

use super::{
    Door, Head, Log, Queue, Tiles,
    seal::Sealer,
    turns::{self, Turns},
    writer::Writer,
};
use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    keys::SignError,
    merkle::{CompactRange, Edge, Nodes as _, leaf_hash},
    note::NoteSigner,
    store::{Batch, Mark, NodeError, Shared, Store, StoreError, StoredCheckpoint, Turn},
};

/// Ten seconds: another process that makes the log at this moment needs one; a turn is over after less.
const FIRST_CHECKPOINT_LIMIT: Duration = Duration::from_secs(10);
/// Between looks at a store that another process is making a log of.
const FIRST_CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// Why a log does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// The store failed.
    #[error("the log can not be read")]
    Store(#[from] StoreError),
    /// The stored checkpoint is not signed by this log's key.
    #[error("the stored checkpoint is not signed by this log's key")]
    Checkpoint(#[from] CheckpointError),
    /// The stored hashes do not give the signed root.
    #[error(
        "the stored hashes give the root {computed}, but the log signed {signed} for {size} entries: the store was changed"
    )]
    Root {
        /// Number of entries.
        size: u64,
        /// What the hashes give.
        computed: Digest,
        /// What was signed.
        signed: Digest,
    },
    /// More or fewer entries than were signed.
    #[error("the log signed {signed} entries, but {} are stored", found.map_or("fewer".to_owned(), |n| format!("{n} or more")))]
    Size {
        /// What was signed.
        signed: u64,
        /// How many are there at least; `None` if there are fewer.
        found: Option<u64>,
    },
    /// A hash at the right edge is missing.
    #[error("the stored hashes of the last entries are missing")]
    Edge(#[from] NodeError),
    /// The last entry is not the one that was signed.
    #[error("entry {0} of the log is damaged")]
    Entry(u64),
    /// The log has no checkpoint yet, and the process whose turn it is does not make one.
    #[error("another process is making this log, and has not finished")]
    Unfinished,
    /// A copy that is not finished.
    #[error("this is a copy of a log that was not finished; remove it and copy again")]
    Copying,
    /// It goes on somewhere else.
    #[error("this log was moved to `{0}`; set `store` to that")]
    Moved(String),
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
        Self::open_with(store, signer, door, false)
    }

    /// The same, of which in no turn anything is ordered before [`Log::begin`] was called for that turn: whoever opens it
    /// asks the witnesses in between, because a store may have been restored from a backup while nobody had the turn.
    /// Where only one process can open the store there is one turn, and it is that process that appends nothing before.
    pub fn open_asking_first(
        store: Arc<dyn Store>,
        signer: NoteSigner,
        door: Arc<dyn Door>,
    ) -> Result<Self, OpenLogError> {
        Self::open_with(store, signer, door, true)
    }

    fn open_with(
        store: Arc<dyn Store>,
        signer: NoteSigner,
        door: Arc<dyn Door>,
        asks_first: bool,
    ) -> Result<Self, OpenLogError> {
        let vkey = signer.vkey().clone();
        match store.mark()? {
            Mark::Open => {}
            Mark::Copying => return Err(OpenLogError::Copying),
            Mark::Moved(place) => return Err(OpenLogError::Moved(place)),
        }
        let (stored, turn) = match store.shared() {
            None => (store.head()?, Turn::Only),
            Some(shared) => first_turn(&*store, shared)?,
        };
        let checkpoint = match stored {
            Some(stored) => {
                let checkpoint = SignedCheckpoint::open(&stored.note, &vkey)?;
                if checkpoint.size() != stored.size {
                    return Err(OpenLogError::Size { signed: checkpoint.size(), found: None });
                }
                checkpoint
            }
            None => {
                let checkpoint = SignedCheckpoint::sign(0, CompactRange::new().root(), &signer)?;
                if !store.entries(0, 1)?.is_empty() {
                    return Err(OpenLogError::Size { signed: 0, found: Some(1) });
                }
                store.commit(&Batch { note: checkpoint.to_bytes(), ..Batch::default() })?;
                checkpoint
            }
        };
        let tiles = Arc::new(Tiles::new(store.clone()));
        let (edge, range) = edge_of(&*store, &checkpoint)?;
        // A follower's store grows meanwhile; the next entry is none of its business.
        check_last_entries(&*store, &tiles, checkpoint.size(), turn.is_ours())?;
        let sealer = Sealer::new(&signer)?;
        let head = Arc::new(Head::new(checkpoint, turn, asks_first));
        let queue = Arc::new(Queue::default());
        let writer = Writer {
            store: store.clone(),
            door: door.clone(),
            signer,
            head: head.clone(),
            tiles: tiles.clone(),
            edge,
            range,
        };
        let threads = if store.shared().is_some() {
            let (listener, teller) = (store.clone(), queue.clone());
            let turns = Turns::new(writer, queue.clone(), sealer);
            vec![
                thread("log-turns", move || turns.run())?,
                thread("log-news", move || turns::listen(&*listener, &teller))?,
            ]
        } else {
            let queue = queue.clone();
            vec![thread("log-writer", move || writer.run(&queue))?]
        };
        Ok(Self {
            store,
            bodies: None,
            door,
            vkey,
            head,
            tiles,
            queue,
            threads: Mutex::new(threads),
            closing: AtomicBool::new(false),
        })
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenLogError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(OpenLogError::Thread)
}

/// Takes a turn, and waits for a first checkpoint where somebody else is about to make it.
fn first_turn(store: &dyn Store, shared: &dyn Shared) -> Result<(Option<StoredCheckpoint>, Turn), OpenLogError> {
    let start = Instant::now();
    loop {
        let turn = shared.take_turn()?;
        let stored = store.head()?;
        if stored.is_some() || turn.is_ours() {
            return Ok((stored, turn));
        }
        if start.elapsed() > FIRST_CHECKPOINT_LIMIT {
            return Err(OpenLogError::Unfinished);
        }
        std::thread::sleep(FIRST_CHECKPOINT_PAUSE);
    }
}

/// The right edge of the tree under a checkpoint, if the stored hashes are those that were signed.
pub(super) fn edge_of(store: &dyn Store, checkpoint: &SignedCheckpoint) -> Result<(Edge, CompactRange), OpenLogError> {
    let size = checkpoint.size();
    let edge = Edge::load(size, |level, index| store.tile(level, index))?;
    let edge = edge.ok_or(NodeError::Missing { level: 0, index: size.saturating_sub(1) })?;
    let range = edge.compact();
    let (computed, signed) = (range.root(), checkpoint.root());
    if computed == signed { Ok((edge, range)) } else { Err(OpenLogError::Root { size, computed, signed }) }
}

/// Whether the entries end where the hashes do, and with the same entry.
fn check_last_entries(store: &dyn Store, tiles: &Tiles, size: u64, alone: bool) -> Result<(), OpenLogError> {
    if let Some(last) = size.checked_sub(1) {
        let entry = store.entries(last, 1)?.pop().ok_or(OpenLogError::Size { signed: size, found: None })?;
        if leaf_hash(&entry.bytes) != tiles.node(0, last)? {
            return Err(OpenLogError::Entry(last));
        }
    }
    if alone && !store.entries(size, 1)?.is_empty() {
        return Err(OpenLogError::Size { signed: size, found: Some(size + 1) });
    }
    Ok(())
}
