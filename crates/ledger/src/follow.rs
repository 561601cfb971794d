//! Following a log: what an agent, a gate or an auditor remembers of it, and what it refuses to be told next.
//!
//! A follower hashes every entry itself, so what it accepts is append-only by construction: there is no proof to trust.
//! It refuses to know what entries mean and how they are fetched. It writes nothing; whoever keeps
//! [`Follower::to_bytes`] does so after acting on what it says, so that a crash makes it look again.

mod fork;
mod fresh;
mod kept;
mod policy;
mod sighting;

use model::{Digest, Timestamp};

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    merkle::CompactRange,
    note::{NoteError, VerifierKey},
};

pub use fork::{Finding, Fork, ForkError, keep};
pub use fresh::{FreshCheckpoint, SKEW_LIMIT_S, StaleError};
pub use kept::KeptError;
pub use policy::{PolicyError, WitnessKey, WitnessPolicy};
pub use sighting::Sighting;

/// Why a follower does not go on. It stays where it was.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Not a checkpoint of this log.
    #[error("the checkpoint is not acceptable")]
    Checkpoint(#[from] CheckpointError),
    /// A witness's signature is there and wrong.
    #[error("a cosignature on the checkpoint is not acceptable")]
    Cosignature(#[from] NoteError),
    /// Too few operators have cosigned.
    #[error("{have} of {need} witness operators have cosigned the checkpoint")]
    Witnesses {
        /// Operators whose witnesses did.
        have: usize,
        /// Operators that must.
        need: usize,
    },
    /// The log is smaller than it was.
    #[error("the log shrank from {ours} to {theirs} entries")]
    Shrunk {
        /// The size that was accepted.
        ours: u64,
        /// The size that is claimed now.
        theirs: u64,
        /// Both checkpoints.
        evidence: Box<Fork>,
    },
    /// What was accepted before is not a beginning of what is claimed now.
    #[error("the log forked: its {size} entries do not continue the ones that were seen before")]
    Forked {
        /// The size that is claimed now.
        size: u64,
        /// Both checkpoints.
        evidence: Box<Fork>,
    },
    /// Fewer or more entries were handed over than lie between the two sizes.
    #[error("{given} entries were given for the {needed} between the two checkpoints")]
    Entries {
        /// Entries given.
        given: u64,
        /// Entries needed.
        needed: u64,
    },
}

/// What is remembered of a log.
///
/// *Invariant same-tree:* `range` is the tree whose size and root `last` states.
#[derive(Clone, Debug)]
pub struct Follower {
    log: VerifierKey,
    policy: WitnessPolicy,
    range: CompactRange,
    last: Option<Accepted>,
}

/// The last checkpoint, and since when it is known to have been the latest.
#[derive(Clone, Debug)]
struct Accepted {
    checkpoint: SignedCheckpoint,
    /// By witnesses: the latest time at which the quorum had cosigned it. Without: when it was received.
    time: Timestamp,
}

/// On the way from one checkpoint to the next: takes entries one by one.
#[derive(Debug)]
pub struct Advance {
    range: CompactRange,
    accepted: Accepted,
    received: Timestamp,
}

impl Follower {
    /// Begins with nothing: the first advance hands over every entry.
    pub const fn new(log: VerifierKey, policy: WitnessPolicy) -> Self {
        Self { log, policy, range: CompactRange::new(), last: None }
    }

    /// Number of entries accepted; also the index of the next one to be handed over.
    pub const fn size(&self) -> u64 {
        self.range.size()
    }

    /// The tree so far.
    pub const fn range(&self) -> &CompactRange {
        &self.range
    }

    /// The last accepted checkpoint, with its cosignatures.
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.last.as_ref().map(|last| &last.checkpoint)
    }

    /// The log that is followed.
    pub const fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// Who must have cosigned.
    pub const fn policy(&self) -> &WitnessPolicy {
        &self.policy
    }

    /// Follows other witnesses from now on, as after an amendment of the charter. What was accepted stays.
    pub fn set_policy(&mut self, policy: WitnessPolicy) {
        self.policy = policy;
    }

    /// Goes on to a later checkpoint; `entries` are those from [`Follower::size`] on up to its size. `now` counts only
    /// where no witness is asked for. The same checkpoint again, or one of the same tree cosigned later, is fine.
    pub fn advance<E: AsRef<[u8]>>(&mut self, entries: &[E], note: &[u8], now: Timestamp) -> Result<(), FollowError> {
        let mut advance = self.begin(note, now)?;
        entries.iter().for_each(|entry| advance.push(entry.as_ref()));
        self.finish(advance)
    }

    /// Checks a later checkpoint before its entries are fetched.
    pub fn begin(&self, note: &[u8], now: Timestamp) -> Result<Advance, FollowError> {
        let mut advance = self.begin_unjudged(note, now)?;
        advance.judge(&self.policy)?;
        Ok(advance)
    }

    /// The same without the witnesses, for whoever learns from the entries who they are; [`Advance::judge`] asks for them.
    pub(crate) fn begin_unjudged(&self, note: &[u8], now: Timestamp) -> Result<Advance, FollowError> {
        let checkpoint = SignedCheckpoint::open(note, &self.log)?;
        if let Some(last) = &self.last {
            let evidence = || Box::new(Fork::new(last.checkpoint.to_bytes(), checkpoint.to_bytes()));
            let (ours, theirs) = (last.checkpoint.size(), checkpoint.size());
            if theirs < ours {
                return Err(FollowError::Shrunk { ours, theirs, evidence: evidence() });
            }
            if theirs == ours && checkpoint.root() != last.checkpoint.root() {
                return Err(FollowError::Forked { size: theirs, evidence: evidence() });
            }
        }
        Ok(Advance { range: self.range.clone(), accepted: Accepted { checkpoint, time: now }, received: now })
    }

    /// Accepts the later checkpoint if the entries lead to it.
    pub fn finish(&mut self, advance: Advance) -> Result<(), FollowError> {
        self.check(&advance)?;
        let Advance { range, mut accepted, .. } = advance;
        // An older cosigning of the same tree takes nothing back.
        if let Some(last) = &self.last
            && last.checkpoint.size() == accepted.checkpoint.size()
            && last.time > accepted.time
        {
            accepted = last.clone();
        }
        self.range = range;
        self.last = Some(accepted);
        Ok(())
    }

    /// Whether the entries lead to the later checkpoint, without accepting it yet.
    pub fn check(&self, advance: &Advance) -> Result<(), FollowError> {
        let Advance { range, accepted, .. } = advance;
        let (before, size) = (self.size(), accepted.checkpoint.size());
        if range.size() != size {
            return Err(FollowError::Entries {
                given: range.size().saturating_sub(before),
                needed: size.saturating_sub(before),
            });
        }
        if range.root() != accepted.checkpoint.root() {
            let ours = self.checkpoint().map(SignedCheckpoint::to_bytes).unwrap_or_default();
            let evidence = Box::new(Fork::new(ours, accepted.checkpoint.to_bytes()));
            return Err(FollowError::Forked { size, evidence });
        }
        Ok(())
    }

    /// The last checkpoint as one to act on, if it is not older than `max_age_s`.
    pub fn fresh(&self, now: Timestamp, max_age_s: u64) -> Result<FreshCheckpoint, StaleError> {
        let last = self.last.as_ref().ok_or(StaleError::None)?;
        FreshCheckpoint::new(last, self.policy.is_witnessed(), now, max_age_s)
    }
}

impl Advance {
    /// Asks for the witnesses of a policy, by whose times the checkpoint is dated from then on.
    pub(crate) fn judge(&mut self, policy: &WitnessPolicy) -> Result<(), FollowError> {
        self.accepted.time = policy.quorum_time(&self.accepted.checkpoint)?.unwrap_or(self.received);
        Ok(())
    }

    /// The next entry, as canonical bytes.
    pub fn push(&mut self, entry: &[u8]) {
        self.range.push_entry(entry);
    }

    /// The next entry by its hash ([`crate::merkle::leaf_hash`]), for whoever needs the hash as well.
    pub fn push_hash(&mut self, leaf: Digest) {
        self.range.push(leaf);
    }

    /// The index of the next entry to be pushed.
    pub const fn next(&self) -> u64 {
        self.range.size()
    }

    /// How many entries the checkpoint covers.
    pub const fn target(&self) -> u64 {
        self.accepted.checkpoint.size()
    }
}

#[cfg(test)]
mod tests;
