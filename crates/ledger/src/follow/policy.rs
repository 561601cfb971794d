//! Which witnesses must have cosigned, counted by operator.
//!
//! Two keys of one operator are one voice, and one key under two names is one key (C2SP tlog-policy, "Witnesses").

use std::collections::{BTreeMap, BTreeSet};

use model::Timestamp;

use super::FollowError;
use crate::{
    checkpoint::SignedCheckpoint,
    note::{NoteKeyType, VerifierKey},
};

/// A witness: its key and who operates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    /// The key, of the cosignature type; its name is the witness's name.
    pub vkey: VerifierKey,
    /// Whoever can make it lie; usually an organisation.
    pub operator: String,
}

/// Witnesses and how many of their operators must have cosigned.
///
/// *Invariant reachable:* the quorum is not larger than the number of operators, and no key is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    witnesses: Vec<WitnessKey>,
    quorum: usize,
}

/// Why a policy makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// More operators asked for than there are.
    #[error("{quorum} witness operators are asked for, but there are {operators}")]
    Quorum {
        /// Asked for.
        quorum: usize,
        /// There are.
        operators: usize,
    },
    /// One key twice, perhaps under two names.
    #[error("the key of witness `{0}` is listed twice")]
    Twice(String),
    /// A key that makes no cosignatures.
    #[error("the key of witness `{0}` is not of the cosignature type")]
    Type(String),
}

impl WitnessPolicy {
    /// Checks *reachable*. A quorum of 0 means that no witness is asked: what follows from it is *unwitnessed*.
    pub fn new(witnesses: Vec<WitnessKey>, quorum: usize) -> Result<Self, PolicyError> {
        let mut keys = BTreeSet::new();
        for witness in &witnesses {
            if witness.vkey.key_type() != NoteKeyType::Cosignature {
                return Err(PolicyError::Type(witness.vkey.name().to_owned()));
            }
            if !keys.insert(witness.vkey.key().id()) {
                return Err(PolicyError::Twice(witness.vkey.name().to_owned()));
            }
        }
        let operators = witnesses.iter().map(|w| &w.operator).collect::<BTreeSet<_>>().len();
        if quorum > operators { Err(PolicyError::Quorum { quorum, operators }) } else { Ok(Self { witnesses, quorum }) }
    }

    /// No witnesses at all.
    pub const fn unwitnessed() -> Self {
        Self { witnesses: Vec::new(), quorum: 0 }
    }

    /// Whether any witness must have cosigned.
    pub const fn is_witnessed(&self) -> bool {
        self.quorum > 0
    }

    /// How many operators must have cosigned.
    pub const fn quorum(&self) -> usize {
        self.quorum
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[WitnessKey] {
        &self.witnesses
    }

    /// When each operator last cosigned this checkpoint. A known witness's signature that does not verify is an error.
    pub fn times(&self, checkpoint: &SignedCheckpoint) -> Result<BTreeMap<&str, Timestamp>, FollowError> {
        let mut times = BTreeMap::new();
        for witness in &self.witnesses {
            if let Some(time) = checkpoint.note().cosigned_at(&witness.vkey)? {
                let latest = times.entry(witness.operator.as_str()).or_insert(time);
                *latest = time.max(*latest);
            }
        }
        Ok(times)
    }

    /// The latest time at or after which each of a quorum of operators has cosigned; `None` if no witness is asked for,
    /// an error if too few have.
    pub fn quorum_time(&self, checkpoint: &SignedCheckpoint) -> Result<Option<Timestamp>, FollowError> {
        let mut times: Vec<Timestamp> = self.times(checkpoint)?.into_values().collect();
        if self.quorum == 0 {
            return Ok(None);
        }
        times.sort_unstable_by(|a, b| b.cmp(a));
        let have = times.len();
        times.get(self.quorum - 1).copied().map(Some).ok_or(FollowError::Witnesses { have, need: self.quorum })
    }

    /// Whether enough operators have cosigned.
    pub fn is_met_by(&self, checkpoint: &SignedCheckpoint) -> bool {
        self.quorum_time(checkpoint).is_ok()
    }
}
