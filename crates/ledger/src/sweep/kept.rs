//! What an auditor keeps of an audit: how far it came, the tree up to there, and the newest checkpoint that it saw.
//!
//! ```text
//! countersign-audit/v1
//! <hash of the charter>
//! <version of decide>
//! <entries audited>
//! <digest of the index that was written with it, or ->
//! <edge hashes of the audited tree, base64, the largest subtree first, one a line>
//!
//! <the signed checkpoint, which may cover more entries than were audited>
//! ```
//!
//! It is the auditor's own word to itself: nothing in it is signed but the checkpoint, and whoever can write it can say
//! that entries were audited which were not. It belongs where the log's administrators can not reach.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::Digest;

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    merkle::CompactRange,
    note::VerifierKey,
};

/// The first line, and what tells the file from others.
pub const HEADER: &str = "countersign-audit/v1";

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The charter under which was audited.
    pub charter: Digest,
    /// The version of `decide` with which verdicts were computed again.
    pub decide: String,
    /// The tree of the entries that were audited.
    pub range: CompactRange,
    /// The digest of the index file that was written with it.
    pub index: Option<Digest>,
    /// The newest checkpoint that was seen; it covers the audited entries.
    pub checkpoint: SignedCheckpoint,
}

/// Why bytes are not what an auditor kept of this log.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Not the format above.
    #[error("not what an audit of this version keeps")]
    Malformed,
    /// Of another log, or its signature is wrong.
    #[error("the kept checkpoint is not one of this log's")]
    Checkpoint(#[from] CheckpointError),
    /// The audited tree is larger than the checkpoint, or is another one of the same size.
    #[error("the kept hashes do not belong to the kept checkpoint")]
    Root,
}

impl Kept {
    /// As a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let index = self.index.map_or_else(|| "-".to_owned(), |i| i.to_string());
        let mut out = format!("{HEADER}\n{}\n{}\n{}\n{index}\n", self.charter, self.decide, self.range.size());
        for node in self.range.nodes() {
            out.push_str(&BASE64_STANDARD.encode(node.as_bytes()));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint.note().to_string());
        out.into_bytes()
    }

    /// Reads what was kept of this log.
    pub fn from_bytes(bytes: &[u8], log: &VerifierKey) -> Result<Self, KeptError> {
        let text = std::str::from_utf8(bytes).map_err(|_| KeptError::Malformed)?;
        let (front, note) = text.split_once("\n\n").ok_or(KeptError::Malformed)?;
        let mut lines = front.split('\n');
        let mut line = || lines.next().ok_or(KeptError::Malformed);
        if line()? != HEADER {
            return Err(KeptError::Malformed);
        }
        let charter = line()?.parse().map_err(|_| KeptError::Malformed)?;
        let decide = line()?.to_owned();
        let size = crate::checkpoint::parse_size(line()?).ok_or(KeptError::Malformed)?;
        let index = match line()? {
            "-" => None,
            digest => Some(digest.parse().map_err(|_| KeptError::Malformed)?),
        };
        let nodes = lines.map(hash).collect::<Option<Vec<_>>>().ok_or(KeptError::Malformed)?;
        let range = CompactRange::from_parts(size, nodes).map_err(|_| KeptError::Root)?;
        let checkpoint = SignedCheckpoint::open(note.as_bytes(), log)?;
        if range.size() > checkpoint.size() || range.size() == checkpoint.size() && range.root() != checkpoint.root() {
            return Err(KeptError::Root);
        }
        Ok(Self { charter, decide, range, index, checkpoint })
    }
}

fn hash(line: &str) -> Option<Digest> {
    let bytes = BASE64_STANDARD.decode(line).ok()?;
    <[u8; 32]>::try_from(bytes).ok().map(Digest::from_bytes)
}

#[cfg(test)]
mod tests;
