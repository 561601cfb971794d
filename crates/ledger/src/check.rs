//! The whole-log check: everything that a store holds, looked at again from the first entry on.
//!
//! It finds what was changed and names the place as closely as the evidence allows. It refuses to know what statements
//! mean, and writes nothing.

use std::{collections::HashSet, ops::Range};

use model::Digest;

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    dsse::{Envelope, EnvelopeError, Identity},
    follow::{Follower, WitnessPolicy},
    merkle::{CompactRange, Edge, TILE_WIDTH, leaf_hash},
    note::{NoteSignature, VerifierKey},
    store::{Store, StoreError, StoredCheckpoint},
};

/// 4,096 checkpoints read at a time: a megabyte.
const CHECKPOINTS_AT_ONCE: usize = 4096;

/// What is known from elsewhere, to compare the log with.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The log's key.
    pub log: &'a VerifierKey,
    /// The witnesses whose cosignatures are checked.
    pub witnesses: &'a WitnessPolicy,
    /// Checkpoints of this log that were kept elsewhere, in any order.
    pub checkpoints: &'a [SignedCheckpoint],
    /// What an auditor kept from the last time.
    pub kept: Option<&'a Follower>,
}

/// A log that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeLog {
    /// The tree.
    pub range: CompactRange,
    /// Its last checkpoint, with the stored cosignatures.
    pub checkpoint: SignedCheckpoint,
    /// How many signed checkpoints were compared.
    pub checkpoints: u64,
    /// How many cosignatures of known witnesses were verified.
    pub cosignatures: u64,
}

/// What is wrong with a log, and where.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The store can not be read, or an entry is missing from it.
    #[error("the log can not be read")]
    Store(#[from] StoreError),
    /// An entry is not an envelope in canonical form.
    #[error("entry {0} is damaged")]
    Entry(u64, #[source] EnvelopeError),
    /// An entry is stored under another statement's name, or one statement is there twice.
    #[error("entry {0} is not the statement that it is stored as, or is there twice")]
    Identity(u64),
    /// Stored hashes are not the entries'.
    #[error("the stored hashes at level {level}, tile {index} are not those of the entries")]
    Tile {
        /// The tile's level.
        level: u8,
        /// The tile's index.
        index: u64,
    },
    /// A stored checkpoint is not signed by the log.
    #[error("the checkpoint for {size} entries is not the log's")]
    Checkpoint {
        /// Its size.
        size: u64,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// The entries are not those that were signed, cosigned or kept: history was rewritten.
    #[error("entries {} to {} are not those that {witness} vouches for: history was rewritten", place.start, place.end.saturating_sub(1))]
    Rewritten {
        /// Between which indices, as closely as the evidence says; the end is not included.
        place: Range<u64>,
        /// Whose evidence says so.
        witness: Voucher,
    },
    /// Entries are missing that were signed, cosigned or kept.
    #[error("the log has {size} entries, but {witness} vouches for {vouched}")]
    Shrunk {
        /// Entries found.
        size: u64,
        /// Entries vouched for.
        vouched: u64,
        /// Whose evidence says so.
        witness: Voucher,
    },
    /// Entries are there that the log has not signed.
    #[error("the log has {size} entries, but signed only {signed}")]
    Unsigned {
        /// Entries found.
        size: u64,
        /// Entries signed.
        signed: u64,
    },
}

/// Whose evidence contradicts the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// A checkpoint stored beside the entries.
    StoredCheckpoint,
    /// A cosignature of this witness stored beside the entries.
    Witness(String),
    /// A checkpoint that was kept elsewhere.
    KeptCheckpoint,
}

impl std::fmt::Display for Voucher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StoredCheckpoint => f.write_str("a stored checkpoint"),
            Self::Witness(name) => write!(f, "witness `{name}`"),
            Self::KeptCheckpoint => f.write_str("a checkpoint kept elsewhere"),
        }
    }
}

/// Checks a whole log. The first damage ends it.
pub fn check_log(store: &dyn Store, evidence: &Evidence<'_>) -> Result<WholeLog, Damage> {
    let mut walk = Walk::new(store, evidence);
    let mut leaves: Vec<Digest> = Vec::new();
    let kept_size = evidence.kept.map_or(0, Follower::size);
    let mut seen: HashSet<Identity> = HashSet::new();
    let (mut edge, mut range) = (Edge::new(), CompactRange::new());
    loop {
        walk.compare(&range)?;
        let entries = store.entries(range.size(), TILE_WIDTH)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let index = range.size();
            let envelope = Envelope::from_entry(&entry.bytes).map_err(|e| Damage::Entry(index, e))?;
            let identity = envelope.identity();
            let found = store.find(identity)?;
            if identity != entry.identity || found != Some(index) || !seen.insert(identity) {
                return Err(Damage::Identity(index));
            }
            let leaf = leaf_hash(&entry.bytes);
            if index < kept_size {
                leaves.push(leaf);
            }
            edge.push(leaf);
            range.push(leaf);
            walk.compare(&range)?;
        }
        for tile in edge.take_changed() {
            if !store.tile(tile.level, tile.index)?.is_some_and(|bytes| bytes.starts_with(&tile.bytes)) {
                return Err(Damage::Tile { level: tile.level, index: tile.index });
            }
        }
    }
    if let Some(kept) = evidence.kept {
        compare_kept(kept, &leaves, range.size())?;
    }
    walk.finish(range)
}

fn compare_kept(kept: &Follower, leaves: &[Digest], size: u64) -> Result<(), Damage> {
    if kept.size() > size {
        return Err(Damage::Shrunk { size, vouched: kept.size(), witness: Voucher::KeptCheckpoint });
    }
    match kept.range().first_difference(leaves) {
        Some(place) => Err(Damage::Rewritten { place, witness: Voucher::KeptCheckpoint }),
        None => Ok(()),
    }
}

/// The stored and the kept checkpoints, walked along with the entries.
struct Walk<'a> {
    store: &'a dyn Store,
    evidence: &'a Evidence<'a>,
    /// Stored checkpoints not compared yet, the next one last.
    waiting: Vec<StoredCheckpoint>,
    /// From which size on to read more of them; `None` when there are no more.
    read_from: Option<u64>,
    /// Kept ones, sorted, and how many are done.
    kept: Vec<&'a SignedCheckpoint>,
    kept_done: usize,
    last: Option<SignedCheckpoint>,
    /// Up to which size each kind of evidence has agreed, to name the place.
    agreed: [u64; 3],
    checkpoints: u64,
    cosignatures: u64,
}

impl<'a> Walk<'a> {
    fn new(store: &'a dyn Store, evidence: &'a Evidence<'a>) -> Self {
        let mut kept: Vec<_> = evidence.checkpoints.iter().collect();
        kept.sort_by_key(|c| c.size());
        Self {
            store,
            evidence,
            waiting: Vec::new(),
            read_from: Some(0),
            kept,
            kept_done: 0,
            last: None,
            agreed: [0; 3],
            checkpoints: 0,
            cosignatures: 0,
        }
    }

    fn next_stored(&mut self) -> Result<Option<&StoredCheckpoint>, Damage> {
        if self.waiting.is_empty()
            && let Some(from) = self.read_from
        {
            let mut read = self.store.checkpoints(from, CHECKPOINTS_AT_ONCE)?;
            self.read_from = read.last().map(|last| last.size.saturating_add(1));
            read.reverse();
            self.waiting = read;
        }
        Ok(self.waiting.last())
    }

    /// Compares every checkpoint of this size.
    fn compare(&mut self, range: &CompactRange) -> Result<(), Damage> {
        let size = range.size();
        while self.next_stored()?.is_some_and(|c| c.size <= size) {
            let Some(stored) = self.waiting.pop() else { break };
            self.compare_stored(&stored, range)?;
        }
        while let Some(kept) = self.kept.get(self.kept_done).filter(|c| c.size() <= size) {
            let [_, _, agreed] = self.agreed;
            if kept.root() != range.root() {
                return Err(Damage::Rewritten { place: agreed..size, witness: Voucher::KeptCheckpoint });
            }
            self.agreed[2] = size;
            self.kept_done += 1;
        }
        Ok(())
    }

    fn compare_stored(&mut self, stored: &StoredCheckpoint, range: &CompactRange) -> Result<(), Damage> {
        let size = stored.size;
        let mut checkpoint = SignedCheckpoint::open(&stored.note, self.evidence.log)
            .map_err(|source| Damage::Checkpoint { size, source })?;
        for line in self.store.cosignatures(size)? {
            NoteSignature::parse_lines(&line).unwrap_or_default().into_iter().for_each(|s| checkpoint.add(s));
        }
        let [by_log, by_witness, _] = self.agreed;
        // Witnesses first: their word is worth more than the log's, and a rewritten log has signed again.
        for witness in self.evidence.witnesses.witnesses() {
            match checkpoint.note().cosigned_at(&witness.vkey) {
                Ok(Some(_)) => {
                    self.cosignatures += 1;
                    self.agreed[1] = size;
                }
                Ok(None) => {}
                Err(_) => {
                    let witness = Voucher::Witness(witness.vkey.name().to_owned());
                    return Err(Damage::Rewritten { place: by_witness..size, witness });
                }
            }
        }
        if checkpoint.size() != size || checkpoint.root() != range.root() {
            return Err(Damage::Rewritten { place: by_log..size, witness: Voucher::StoredCheckpoint });
        }
        self.agreed[0] = size;
        self.checkpoints += 1;
        self.last = Some(checkpoint);
        Ok(())
    }

    fn finish(mut self, range: CompactRange) -> Result<WholeLog, Damage> {
        let size = range.size();
        if let Some(beyond) = self.next_stored()? {
            return Err(Damage::Shrunk { size, vouched: beyond.size, witness: Voucher::StoredCheckpoint });
        }
        if let Some(beyond) = self.kept.get(self.kept_done) {
            return Err(Damage::Shrunk { size, vouched: beyond.size(), witness: Voucher::KeptCheckpoint });
        }
        let signed = self.last.as_ref().map_or(0, SignedCheckpoint::size);
        match self.last {
            Some(checkpoint) if signed == size => {
                Ok(WholeLog { range, checkpoint, checkpoints: self.checkpoints, cosignatures: self.cosignatures })
            }
            _ => Err(Damage::Unsigned { size, signed }),
        }
    }
}

#[cfg(test)]
mod tests;
