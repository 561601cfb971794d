//! Where a sweep reads from: a store, or whatever hands out a log as C2SP tlog-tiles names its parts.
//!
//! Nothing that a source says is believed: what it hands out is compared with what was signed.

use crate::{
    dsse::Identity,
    note::NoteSignature,
    store::{Store, StoreError, StoredCheckpoint},
};

/// One entry as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The name that it is stored under, where there is one.
    pub stored_as: Option<Identity>,
}

/// Hands out a log; several threads ask at once.
pub trait Source: Sync {
    /// The latest signed checkpoint; `None` before the first.
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError>;
    /// Entries from this index on, in order, at most `limit`; fewer only at the end.
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<Found>, StoreError>;
    /// The hashes of a tile, at least `width` of them if they are there.
    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Option<Vec<u8>>, StoreError>;
    /// Signed checkpoints of this size and larger, in order, at most `limit`.
    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError>;
    /// The cosignatures that are kept for the checkpoint of this size.
    fn cosignatures(&self, size: u64) -> Result<Vec<NoteSignature>, StoreError>;
    /// Whether tiles are cheap to read, so that each is compared and not only those that are needed.
    fn is_local(&self) -> bool;
}

/// A store as a source.
pub struct StoreSource<'a>(pub &'a dyn Store);

impl Source for StoreSource<'_> {
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.0.head()
    }

    fn entries(&self, from: u64, limit: usize) -> Result<Vec<Found>, StoreError> {
        let entries = self.0.entries(from, limit)?;
        Ok(entries.into_iter().map(|e| Found { bytes: e.bytes, stored_as: Some(e.identity) }).collect())
    }

    fn tile(&self, level: u8, index: u64, _: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.tile(level, index)
    }

    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.0.checkpoints(from_size, limit)
    }

    fn cosignatures(&self, size: u64) -> Result<Vec<NoteSignature>, StoreError> {
        let lines = self.0.cosignatures(size)?;
        // A line that is none cosigns nothing.
        Ok(lines.iter().flat_map(|line| NoteSignature::parse_lines(line).unwrap_or_default()).collect())
    }

    fn is_local(&self) -> bool {
        true
    }
}
