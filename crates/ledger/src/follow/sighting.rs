//! A statement whose signer saw another history than the log's, as a file that somebody else can judge.
//!
//! ```text
//! countersign-sighting/v1 <bytes of the note> <bytes of the envelope>
//! <a checkpoint of the log>
//! ================
//! <the statement's envelope>
//! ================
//! <the root that the log's tree had at the size that the statement names, base64>
//! <a consistency proof from there to the checkpoint, base64 hashes, one a line>
//! ```
//!
//! It shows that somebody with a key of the charter signed that he saw another tree of this log than the one which the
//! checkpoint covers: either he was shown a fork, or he lies. Which of the two, the checkpoint that he holds will say.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::Digest;

use super::fork::{hashes, split_two};
use crate::{
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    merkle::{Nodes, consistency_proof, range_root, verify_consistency},
    note::VerifierKey,
    reader::tick_of,
    statement::{self, Members, v1::Seen, vouched},
};

const HEADER: &str = "countersign-sighting/v1";
const LINE: &str = "================\n";

/// A statement of another history, beside a checkpoint of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// A checkpoint of the log.
    pub note: Vec<u8>,
    /// The statement's envelope, in canonical form.
    pub envelope: Vec<u8>,
    shown: Option<(Digest, Vec<Digest>)>,
}

impl Sighting {
    /// How the names of kept files begin.
    pub const KIND: &str = "sighting";

    /// From a checkpoint and a statement.
    pub const fn new(note: Vec<u8>, envelope: Vec<u8>) -> Self {
        Self { note, envelope, shown: None }
    }

    /// The same with what the hashes under the checkpoint show of the tree at the size that the statement names.
    #[must_use]
    pub fn with_nodes<N: Nodes>(mut self, log: &VerifierKey, seen: Seen, nodes: &N) -> Self {
        let Ok(checkpoint) = SignedCheckpoint::open(&self.note, log) else { return self };
        if seen.size > 0 && seen.size <= checkpoint.size() {
            let root = range_root(nodes, 0, seen.size).ok();
            self.shown = root.zip(consistency_proof(nodes, seen.size, checkpoint.size()).ok());
        }
        self
    }

    /// Whether it shows, to anybody who has the charter, that an enrolled key signed for another history than the one
    /// that the checkpoint covers.
    pub fn is_shown(&self, members: &Members, log: &VerifierKey) -> bool {
        let Ok(checkpoint) = SignedCheckpoint::open(&self.note, log) else { return false };
        let Ok(envelope) = Envelope::parse(&self.envelope) else { return false };
        let Ok((statement, _)) = statement::open(&envelope, members) else { return false };
        let Some((root, proof)) = &self.shown else { return false };
        vouched(&statement, tick_of(&statement, members).as_ref()).into_iter().any(|seen| {
            seen.root != *root
                && verify_consistency(seen.size, root, checkpoint.size(), &checkpoint.root(), proof).is_ok()
        })
    }

    /// As it is kept in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{HEADER} {} {}\n", self.note.len(), self.envelope.len()).into_bytes();
        out.extend_from_slice(&self.note);
        out.extend_from_slice(LINE.as_bytes());
        out.extend_from_slice(&self.envelope);
        if let Some((root, proof)) = &self.shown {
            out.extend_from_slice(LINE.as_bytes());
            for hash in [root].into_iter().chain(proof) {
                out.extend_from_slice(format!("{}\n", BASE64_STANDARD.encode(hash.as_bytes())).as_bytes());
            }
        }
        out
    }

    /// Reads a kept file; `None` if it is none. Nothing in it is verified before [`Sighting::is_shown`].
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (note, envelope, rest) = split_two(bytes, HEADER, LINE)?;
        let shown = if rest.is_empty() {
            None
        } else {
            let hashes = hashes(rest)?;
            let (root, proof) = hashes.split_first()?;
            Some((*root, proof.to_vec()))
        };
        Some(Self { note: note.to_vec(), envelope: envelope.to_vec(), shown })
    }
}
