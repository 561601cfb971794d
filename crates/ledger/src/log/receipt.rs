//! What whoever appended a statement takes home: proof that it is in the log, to be checked without the log.

use model::Digest;

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    dsse::Envelope,
    merkle::{ProofError, leaf_hash, verify_inclusion},
    note::VerifierKey,
};

/// A statement's place, and the proof of it (C2SP tlog-proof, in parts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where it is.
    pub index: u64,
    /// The inclusion proof, from the leaf to the root.
    pub proof: Vec<Digest>,
    /// The signed checkpoint that the proof leads to.
    pub checkpoint: Vec<u8>,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Its checkpoint is not one of the log's.
    #[error("the checkpoint of the receipt is not the log's")]
    Checkpoint(#[from] CheckpointError),
    /// The proof does not lead from the statement to the checkpoint.
    #[error("the receipt does not prove that the statement is in the log")]
    Proof(#[from] ProofError),
}

impl Receipt {
    /// Checks the receipt for a statement against the log's key; gives the checkpoint.
    pub fn verify(&self, envelope: &Envelope, log: &VerifierKey) -> Result<SignedCheckpoint, ReceiptError> {
        let checkpoint = SignedCheckpoint::open(&self.checkpoint, log)?;
        let leaf = leaf_hash(&envelope.canonical_bytes());
        verify_inclusion(leaf, self.index, checkpoint.size(), &checkpoint.root(), &self.proof)?;
        Ok(checkpoint)
    }
}
