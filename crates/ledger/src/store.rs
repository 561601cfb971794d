//! Where a log keeps its bytes: the trait, what goes in and comes out, and two implementations.
//!
//! A store refuses to know what entries mean and whether hashes are right. It promises two things: a commit is whole or
//! not at all, and when [`Store::commit`] returns, what it was given outlives a power cut.

mod memory;
mod shared;
mod sqlite;

use model::Digest;

use crate::{
    dsse::Identity,
    merkle::{Nodes, Tile, node_in_tile},
};

pub use memory::MemoryStore;
pub use shared::{Changes, Offer, Shared, Turn};
pub use sqlite::{OpenStoreError, SqliteStore};

/// An entry with its statement's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The canonical bytes of the envelope.
    pub bytes: Vec<u8>,
    /// The statement's name, by which a second append is recognised.
    pub identity: Identity,
}

/// A checkpoint that was signed: its size and note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Number of entries that it covers.
    pub size: u64,
    /// The note, with the log's signature.
    pub note: Vec<u8>,
}

/// What one commit adds.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The index of the first entry, which is also the size before.
    pub first: u64,
    /// New entries, in order. May be empty for the first checkpoint of all.
    pub entries: Vec<StoredEntry>,
    /// Tiles that changed, replacing what is stored under the same level and index.
    pub tiles: Vec<Tile>,
    /// The signed checkpoint over everything up to the last new entry.
    pub note: Vec<u8>,
    /// What else belongs to these entries when they are copied from another store.
    pub history: History,
}

/// What had been signed about entries before they were copied; empty for new ones.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Checkpoints before the last, the smallest first.
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Cosignatures, also of the last one.
    pub cosignatures: Vec<StoredCosignature>,
}

/// A cosignature of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCosignature {
    /// The size of the checkpoint.
    pub size: u64,
    /// The name of who cosigned.
    pub name: String,
    /// The signature line.
    pub line: String,
}

impl Batch {
    /// The size after the commit.
    pub fn size(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space is left; nothing was changed, and reading goes on.
    #[error("the disk of the log is full")]
    DiskFull,
    /// The file or file system can not be written; nothing was changed, and reading goes on.
    #[error("the log can not be written: it is read-only")]
    ReadOnly,
    /// Somebody else has written: the store is not at the size that the batch starts from.
    #[error("the store holds {found} entries, not {expected}: another process writes to it")]
    OutOfStep {
        /// The size that was expected.
        expected: u64,
        /// The size that was found.
        found: u64,
    },
    /// Another process has taken over giving statements their places; nothing was changed.
    #[error("another process orders this log since epoch {epoch}")]
    Fenced {
        /// The epoch that is in force.
        epoch: u64,
    },
    /// The statement is there already under another index.
    #[error("the statement {0} is stored already")]
    Duplicate(Identity),
    /// The file is not a log of this program's, or of a newer version.
    #[error("`{0}` is not a log of this version")]
    Foreign(String),
    /// Anything else: broken disk, damaged file. Whether the commit happened is not known until the store is opened again.
    #[error("the store of the log failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether it is certain that nothing was changed.
    pub const fn nothing_changed(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// What a store says of the log in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// It is the log.
    #[default]
    Open,
    /// It is being copied here, or the copy was broken off: not a log.
    Copying,
    /// It was moved to the place with this name: read, and never added to.
    Moved(String),
}

impl Mark {
    /// The word and the place, as tables keep them.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Open => ("open", ""),
            Self::Copying => ("copying", ""),
            Self::Moved(place) => ("moved", place),
        }
    }

    /// From the words.
    ///
    /// # Errors
    /// [`StoreError::Failed`] for a word that is none of them.
    pub fn from_words(mark: &str, place: String) -> Result<Self, StoreError> {
        match mark {
            "open" => Ok(Self::Open),
            "copying" => Ok(Self::Copying),
            "moved" => Ok(Self::Moved(place)),
            other => Err(StoreError::Failed(format!("the log is marked `{other}`").into())),
        }
    }
}

/// Keeps a log. One writer at a time, any number of readers.
pub trait Store: Send + Sync {
    /// Whether this is the log, a copy that is not finished, or a log that was moved away.
    fn mark(&self) -> Result<Mark, StoreError>;
    /// Says so; returns when it is synced.
    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError>;
    /// The latest checkpoint; `None` before the first commit.
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError>;
    /// Adds a batch as a whole, and returns when it is synced. Refuses a batch that does not start at the stored size.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;
    /// Entries from this index on, in order, at most `limit`.
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError>;
    /// The index of the statement with this name.
    fn find(&self, identity: Identity) -> Result<Option<u64>, StoreError>;
    /// The same for several, in their order.
    fn find_all(&self, identities: &[Identity]) -> Result<Vec<Option<u64>>, StoreError> {
        identities.iter().map(|identity| self.find(*identity)).collect()
    }
    /// The names of the statements from this index on, in order, at most `limit`.
    fn identities(&self, from: u64, limit: usize) -> Result<Vec<Identity>, StoreError> {
        Ok(self.entries(from, limit)?.into_iter().map(|entry| entry.identity).collect())
    }
    /// How several processes take turns, if this store can be opened by several.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }
    /// The stored tile, which may be fuller than somebody asks for.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// Signed checkpoints of this size and larger, in order, at most `limit`.
    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError>;
    /// Keeps a cosignature line for the checkpoint of this size, replacing an earlier one by the same name.
    fn add_cosignature(&self, size: u64, name: &str, line: &str) -> Result<(), StoreError>;
    /// The cosignature lines for the checkpoint of this size.
    fn cosignatures(&self, size: u64) -> Result<Vec<String>, StoreError>;
    /// The largest sizes that have a cosignature, largest first, at most `limit`.
    fn cosigned_sizes(&self, limit: usize) -> Result<Vec<u64>, StoreError>;
}

/// Hashes of subtrees, read from stored tiles.
pub struct StoredNodes<'a>(pub &'a dyn Store);

/// Why a hash could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The tile is not there or too short.
    #[error("the hash at level {level}, index {index} is missing")]
    Missing {
        /// Level of the subtree.
        level: u32,
        /// Its index.
        index: u64,
    },
    /// The store failed.
    #[error("the hashes can not be read")]
    Store(#[from] StoreError),
}

impl Nodes for StoredNodes<'_> {
    type Error = NodeError;

    fn node(&self, level: u32, index: u64) -> Result<Digest, NodeError> {
        let (tile_level, tile_index) = crate::merkle::tile_of(level, index);
        let tile = self.0.tile(tile_level, tile_index)?;
        tile.and_then(|bytes| node_in_tile(&bytes, level, index)).ok_or(NodeError::Missing { level, index })
    }
}

#[cfg(test)]
mod tests;
