//! Excerpts: some entries of a log, each with the proof that it is in the tree of one checkpoint.
//!
//! What comes out is `Verified`, statement by statement. That nothing else stands in the log is exactly what an excerpt
//! does not say: whoever acts reads the whole log, with a [`crate::reader::Reader`].

use std::collections::BTreeMap;

use model::{Digest, Timestamp};

use crate::{
    checkpoint::SignedCheckpoint,
    follow::{FollowError, WitnessPolicy},
    merkle::{leaf_hash, verify_inclusion},
    reader::{LogError, keys_of, open},
    statement::{Members, Statement},
    tick::TickKeys,
    verified::Verified,
};

/// Opens entries under one checkpoint.
///
/// *Invariant quorum-signed:* the log that the charter names signed the checkpoint, and as many operators of witnesses as
/// the charter asks for cosigned it.
#[derive(Clone, Debug)]
pub struct Excerpt {
    members: Members,
    policy: WitnessPolicy,
    checkpoint: SignedCheckpoint,
    ticks: Option<TickKeys>,
    begun: bool,
    next: u64,
}

impl Excerpt {
    /// Opens the checkpoint; insists on *quorum-signed*.
    pub fn new(members: Members, note: &[u8]) -> Result<Self, LogError> {
        let (log, policy) = keys_of(members.charter())?;
        let checkpoint = SignedCheckpoint::open(note, &log).map_err(FollowError::from)?;
        policy.quorum_time(&checkpoint)?;
        let ticks = TickKeys::of(members.charter());
        Ok(Self { members, policy, checkpoint, ticks, begun: false, next: 0 })
    }

    /// The checkpoint.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// When each operator of witnesses last cosigned it; empty if the charter names none.
    pub fn times(&self) -> Result<BTreeMap<&str, Timestamp>, LogError> {
        Ok(self.policy.times(&self.checkpoint)?)
    }

    /// Since when the checkpoint is known to have been the log's, by its witnesses; `None` if none is asked for.
    pub fn time(&self) -> Result<Option<Timestamp>, LogError> {
        Ok(self.policy.quorum_time(&self.checkpoint)?)
    }

    /// Opens an entry. Entries come in the order of the log.
    ///
    /// # Errors
    /// If the entry is not in the tree at this index, or is not a statement that its signer may make. Charters stand
    /// at the beginning, so one behind a gap or behind anything else is refused, and so is another entry at the first
    /// index.
    pub fn open(&mut self, index: u64, entry: &[u8], proof: &[Digest]) -> Result<Verified<Statement>, LogError> {
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        verify_inclusion(leaf_hash(entry), index, size, &root, proof)
            .map_err(|source| LogError::Proof { index, source })?;
        self.begun |= index != self.next;
        self.next = index.saturating_add(1);
        open(&self.members, self.ticks.as_ref(), index, entry, &mut self.begun)
    }
}
