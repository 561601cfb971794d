//! What an auditor keeps between two audits: the tree's edge and the last checkpoint, as a small text file.
//!
//! ```text
//! countersign-follower/v1
//! <time accepted, seconds since 1970>
//! <edge hashes, base64, the largest subtree first, one a line>
//!
//! <the signed checkpoint>
//! ```

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::{Digest, Timestamp};

use super::{Accepted, Follower, WitnessPolicy};
use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint, parse_size},
    merkle::CompactRange,
    note::VerifierKey,
};

const HEADER: &str = "countersign-follower/v1";

/// Why kept bytes are not a follower's.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Not the format above.
    #[error("not a kept checkpoint of this version")]
    Malformed,
    /// Of another log, or its signature is wrong.
    #[error("the kept checkpoint is not one of this log's")]
    Checkpoint(#[from] CheckpointError),
    /// Edge and checkpoint are of two trees.
    #[error("the kept hashes do not belong to the kept checkpoint")]
    Root,
}

impl Follower {
    /// Everything to go on from, without keys and policy. Empty before the first advance.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Some(last) = &self.last else { return Vec::new() };
        let mut out = format!("{HEADER}\n{}\n", last.time.unix());
        for node in self.range.nodes() {
            out.push_str(&BASE64_STANDARD.encode(node.as_bytes()));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&last.checkpoint.note().to_string());
        out.into_bytes()
    }

    /// Goes on from kept bytes; checks *same-tree*. No bytes are a follower that has seen nothing.
    pub fn from_bytes(log: VerifierKey, policy: WitnessPolicy, bytes: &[u8]) -> Result<Self, KeptError> {
        let mut follower = Self::new(log, policy);
        if bytes.is_empty() {
            return Ok(follower);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| KeptError::Malformed)?;
        let (front, note) = text.split_once("\n\n").ok_or(KeptError::Malformed)?;
        let mut lines = front.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(KeptError::Malformed);
        }
        let time = lines.next().and_then(parse_size).map(Timestamp::from_unix).ok_or(KeptError::Malformed)?;
        let nodes = lines.map(hash).collect::<Option<Vec<_>>>().ok_or(KeptError::Malformed)?;
        let checkpoint = SignedCheckpoint::open(note.as_bytes(), &follower.log)?;
        let range = CompactRange::from_parts(checkpoint.size(), nodes).map_err(|_| KeptError::Root)?;
        if range.root() != checkpoint.root() {
            return Err(KeptError::Root);
        }
        follower.range = range;
        follower.last = Some(Accepted { checkpoint, time });
        Ok(follower)
    }
}

fn hash(line: &str) -> Option<Digest> {
    let bytes = BASE64_STANDARD.decode(line).ok()?;
    <[u8; 32]>::try_from(bytes).ok().map(Digest::from_bytes)
}
