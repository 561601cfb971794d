//! Excerpts: some entries of a log, each with the proof that it is in the tree of one checkpoint.
//!
//! What comes out is `Verified`, statement by statement. That nothing else stands in the log is exactly what an excerpt
//! does not say: whoever acts reads the whole log, with a [`crate::reader::Reader`]. Amendments that are left out are not in
//! force for it.

use std::sync::Arc;

use model::Digest;

use crate::{
    charter::Charters,
    checkpoint::SignedCheckpoint,
    follow::{FollowError, WitnessPolicy},
    merkle::{leaf_hash, verify_inclusion},
    reader::{LogError, keys_of, open},
    statement::{Members, Statement},
    verified::Verified,
};

/// One entry with its place and the proof of it.
#[derive(Clone, Copy, Debug)]
pub struct Proven<'a> {
    /// Its log index.
    pub index: u64,
    /// Its bytes.
    pub entry: &'a [u8],
    /// The inclusion proof under the checkpoint.
    pub proof: &'a [Digest],
}

/// Entries that were opened under one checkpoint.
///
/// *Invariant quorum-signed:* the log that the charter names signed the checkpoint, and as many operators of witnesses as
/// the charter in force after these entries asks for cosigned it.
#[derive(Clone, Debug)]
pub struct Excerpt {
    policy: WitnessPolicy,
    checkpoint: SignedCheckpoint,
    charters: Arc<Charters>,
}

impl Excerpt {
    /// Opens entries, which come in the order of the log, under a checkpoint; insists on *quorum-signed*.
    ///
    /// # Errors
    /// If the checkpoint does not hold up, or an entry is not in its tree at this index, or is not a statement that its
    /// signer may make. Charters stand at the beginning, so one behind a gap or behind anything else is refused, and so is
    /// another entry at the first index.
    pub fn open<'a>(
        members: Members,
        note: &[u8],
        entries: impl IntoIterator<Item = Proven<'a>>,
    ) -> Result<(Self, Vec<Verified<Statement>>), LogError> {
        let (log, _) = keys_of(members.charter())?;
        let checkpoint = SignedCheckpoint::open(note, &log).map_err(FollowError::from)?;
        let (size, root) = (checkpoint.size(), checkpoint.root());
        let mut charters = Arc::new(Charters::new(&members));
        let (mut begun, mut next) = (false, 0);
        let mut said = Vec::new();
        for Proven { index, entry, proof } in entries {
            verify_inclusion(leaf_hash(entry), index, size, &root, proof)
                .map_err(|source| LogError::Proof { index, source })?;
            begun |= index != next;
            next = index.saturating_add(1);
            said.push(open(&mut charters, index, entry, &mut begun)?);
        }
        let (_, policy) = keys_of(charters.members().charter())?;
        policy.quorum_time(&checkpoint)?;
        Ok((Self { policy, checkpoint, charters }, said))
    }

    /// The checkpoint.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The charters that the entries make.
    pub fn charters(&self) -> &Charters {
        &self.charters
    }

    /// The witnesses that were asked for.
    pub const fn policy(&self) -> &WitnessPolicy {
        &self.policy
    }
}
