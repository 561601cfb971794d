//! The request `add-checkpoint` (C2SP tlog-witness v1.0.0): old size, consistency proof, checkpoint.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::Digest;

use crate::{
    checkpoint::parse_size,
    note::{NOTE_LIMIT_BYTES, Note},
};

/// 63 hashes, as the specification says: no proof in a tree of 64-bit size is longer.
const PROOF_LIMIT: usize = 63;

/// The largest request: a note, and 4 KiB for 63 hashes of 45 characters and the first line.
pub const REQUEST_LIMIT_BYTES: usize = NOTE_LIMIT_BYTES + 4 * 1024;

/// A parsed request. Nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Digest>,
    note: Vec<u8>,
    origin: String,
}

/// Why a request is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Larger than any request can be.
    #[error("the request is too large")]
    TooLarge,
    /// The first line is not `old <size>`.
    #[error("the first line is not `old` and a size")]
    Old,
    /// A proof line is not a hash, or there are too many.
    #[error("the proof is not at most {PROOF_LIMIT} lines of base64 hashes")]
    Proof,
    /// No blank line, or what follows it is not a signed note.
    #[error("there is no signed checkpoint after a blank line")]
    Checkpoint,
}

impl AddCheckpoint {
    /// A request for this checkpoint's note.
    pub fn new(old: u64, proof: Vec<Digest>, note: Vec<u8>) -> Result<Self, RequestError> {
        if proof.len() > PROOF_LIMIT {
            return Err(RequestError::Proof);
        }
        let parsed = Note::parse(&note).map_err(|_| RequestError::Checkpoint)?;
        let origin = parsed.text().split('\n').next().unwrap_or_default().to_owned();
        Ok(Self { old, proof, note, origin })
    }

    /// Parses the body of a request.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > REQUEST_LIMIT_BYTES {
            return Err(RequestError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RequestError::Checkpoint)?;
        let (front, note) = text.split_once("\n\n").ok_or(RequestError::Checkpoint)?;
        let mut lines = front.split('\n');
        let old = lines.next().and_then(|l| l.strip_prefix("old ")).and_then(parse_size).ok_or(RequestError::Old)?;
        let mut proof = Vec::new();
        for line in lines {
            let bytes = BASE64_STANDARD.decode(line).map_err(|_| RequestError::Proof)?;
            proof.push(Digest::from_bytes(bytes.try_into().map_err(|_| RequestError::Proof)?));
        }
        Self::new(old, proof, note.as_bytes().to_vec())
    }

    /// The size of the checkpoint that the witness is thought to have cosigned last.
    pub const fn old(&self) -> u64 {
        self.old
    }

    /// The consistency proof from there.
    pub fn proof(&self) -> &[Digest] {
        &self.proof
    }

    /// The checkpoint's note.
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// The log that it says to be of.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The body of the request.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("old {}\n", self.old);
        for hash in &self.proof {
            out.push_str(&BASE64_STANDARD.encode(hash.as_bytes()));
            out.push('\n');
        }
        out.push('\n');
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.note);
        out
    }
}
