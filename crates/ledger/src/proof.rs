//! Proofs that anybody can check without the log (C2SP tlog-proof v1): the place of an entry, its inclusion proof, and
//! the checkpoint that it leads to with whatever signatures it carries. One text file, `*.tlog-proof`.
//!
//! It refuses to know what an entry says: what is proven are the entry's bytes, and those travel beside the file. A
//! parsed proof proves nothing before [`Proof::verify`] or [`Proof::verify_under`].

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::Digest;

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint, parse_size},
    follow::{FollowError, WitnessPolicy},
    log::Receipt,
    merkle::{ProofError, leaf_hash, verify_inclusion},
    note::{NOTE_LIMIT_BYTES, Note, NoteError, VerifierKey},
    tlog_policy::{TlogPolicy, TlogPolicyError},
};

/// The first line of every file.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// 63 hashes: sizes are below 2^63, and no inclusion proof is longer than the tree is high.
const HASH_LIMIT: usize = 63;
/// 64 KiB of extra data, which nothing signs: a few names or a VRF proof are far smaller.
pub const EXTRA_LIMIT_BYTES: usize = 64 * 1024;
/// The largest file: the note, the extra data as base64, and 8 KiB for 63 hashes of 45 characters and the short lines.
pub const PROOF_LIMIT_BYTES: usize = NOTE_LIMIT_BYTES + EXTRA_LIMIT_BYTES / 3 * 4 + 8 * 1024;

/// A parsed file. Nothing in it is verified, and `extra` never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    index: u64,
    hashes: Vec<Digest>,
    extra: Option<Vec<u8>>,
    /// The checkpoint's note, as it was given: the file carries it verbatim.
    note: Vec<u8>,
}

/// Why bytes are not a proof file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// Larger than the limit.
    #[error("the proof has {0} bytes, more than {PROOF_LIMIT_BYTES}")]
    TooLarge(usize),
    /// The first line is another one.
    #[error("the first line is not `{HEADER}`")]
    Header,
    /// The extra data is not base64, or too long.
    #[error("the extra data is not at most {EXTRA_LIMIT_BYTES} bytes in base64")]
    Extra,
    /// No index where it belongs.
    #[error("there is no line `index` with a decimal number")]
    Index,
    /// A proof line is not a hash, or there are too many.
    #[error("the inclusion proof is not at most {HASH_LIMIT} lines of base64 hashes")]
    Hashes,
    /// No blank line, or what follows it is not a signed note.
    #[error("there is no signed checkpoint after the blank line")]
    Checkpoint(#[source] Option<NoteError>),
}

/// Why a proof does not prove what it should.
#[derive(Debug, thiserror::Error)]
pub enum UnprovenError {
    /// The checkpoint is not one of the log's.
    #[error("the checkpoint of the proof is not the log's")]
    Checkpoint(#[from] CheckpointError),
    /// Too few witnesses, or a wrong cosignature.
    #[error("the checkpoint of the proof is not witnessed as it must be")]
    Witnesses(#[source] FollowError),
    /// The policy file's logs or quorum say no.
    #[error("the checkpoint of the proof does not satisfy the policy")]
    Policy(#[from] TlogPolicyError),
    /// The hashes do not lead from the entry to the checkpoint.
    #[error("the proof does not lead from this entry to the checkpoint")]
    Inclusion(#[from] ProofError),
}

impl Proof {
    /// A proof from its parts. The note must parse; nothing is verified.
    pub fn new(index: u64, hashes: Vec<Digest>, extra: Option<Vec<u8>>, note: Vec<u8>) -> Result<Self, ProofFileError> {
        if hashes.len() > HASH_LIMIT {
            return Err(ProofFileError::Hashes);
        }
        if extra.as_ref().is_some_and(|e| e.len() > EXTRA_LIMIT_BYTES) {
            return Err(ProofFileError::Extra);
        }
        if index > i64::MAX.cast_unsigned() {
            return Err(ProofFileError::Index);
        }
        Note::parse(&note).map_err(|e| ProofFileError::Checkpoint(Some(e)))?;
        Ok(Self { index, hashes, extra, note })
    }

    /// A log's receipt as a file, without extra data.
    pub fn of_receipt(receipt: &Receipt) -> Result<Self, ProofFileError> {
        Self::new(receipt.index, receipt.proof.clone(), None, receipt.checkpoint.clone())
    }

    /// Parses a file. Every file that parses is written back by [`Proof::to_bytes`] byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        if bytes.len() > PROOF_LIMIT_BYTES {
            return Err(ProofFileError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofFileError::Header)?;
        let rest = text.strip_prefix(HEADER).and_then(|r| r.strip_prefix('\n')).ok_or(ProofFileError::Header)?;
        // The lines above the checkpoint are never empty, so the first blank line is the one that ends them.
        let (front, note) = rest.split_once("\n\n").ok_or(ProofFileError::Checkpoint(None))?;
        let mut lines = front.split('\n').peekable();
        let extra = lines
            .next_if(|l| l.starts_with("extra "))
            .and_then(|l| l.strip_prefix("extra "))
            .map(|l| BASE64_STANDARD.decode(l).map_err(|_| ProofFileError::Extra))
            .transpose()?;
        let index = lines.next().and_then(|l| l.strip_prefix("index ")).and_then(parse_size);
        let index = index.ok_or(ProofFileError::Index)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == HASH_LIMIT {
                return Err(ProofFileError::Hashes);
            }
            let bytes = BASE64_STANDARD.decode(line).map_err(|_| ProofFileError::Hashes)?;
            hashes.push(Digest::from_bytes(bytes.try_into().map_err(|_| ProofFileError::Hashes)?));
        }
        Self::new(index, hashes, extra, note.as_bytes().to_vec())
    }

    /// The entry's place in the log, from 0.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The inclusion proof, from the leaf's sibling to the root's child.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// The extra data, if there is any. Nobody vouches for it.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The checkpoint's note with its signatures.
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// Verifies that `entry` (its bytes as the log hashes them) is at the index in a log that this key signs and that
    /// the policy's quorum of operators has cosigned. Gives the checkpoint; its times are the policy's to judge
    /// (tlog-proof, "Verifying a tlog proof", steps 1 to 4).
    pub fn verify(
        &self,
        entry: &[u8],
        log: &VerifierKey,
        policy: &WitnessPolicy,
    ) -> Result<SignedCheckpoint, UnprovenError> {
        let checkpoint = SignedCheckpoint::open(&self.note, log)?;
        policy.quorum_time(&checkpoint).map_err(UnprovenError::Witnesses)?;
        self.lead_from(entry, checkpoint)
    }

    /// The same under a policy file: any of its logs, cosigned by its quorum.
    pub fn verify_under(&self, entry: &[u8], policy: &TlogPolicy) -> Result<SignedCheckpoint, UnprovenError> {
        let checkpoint = policy.open(&self.note)?;
        self.lead_from(entry, checkpoint)
    }

    fn lead_from(&self, entry: &[u8], checkpoint: SignedCheckpoint) -> Result<SignedCheckpoint, UnprovenError> {
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size(), &checkpoint.root(), &self.hashes)?;
        Ok(checkpoint)
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|h| writeln!(f, "{}", BASE64_STANDARD.encode(h.as_bytes())))?;
        // A note that parsed is UTF-8.
        write!(f, "\n{}", String::from_utf8_lossy(&self.note))
    }
}

#[cfg(test)]
mod tests;
