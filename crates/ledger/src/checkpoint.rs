//! Checkpoints (C2SP tlog-checkpoint v1.0.0): what a log says that it is, signed.
//!
//! A [`SignedCheckpoint`] carries the log's valid signature; whether it fits what was seen before, and who else has
//! seen it, are the business of [`crate::follow`].

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::{Digest, Timestamp};

use crate::{
    keys::SignError,
    note::{Note, NoteError, NoteSignature, NoteSigner, VerifierKey},
};

/// The text of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// The root hash of the tree.
    pub root: Digest,
    /// Extension lines, which we never write and carry along for others' logs.
    pub extensions: Vec<String>,
}

/// Why a text is not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not origin, size and root on three lines.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Of another log than the one that was asked for.
    #[error("the checkpoint is of the log `{found}`, not of `{wanted}`")]
    Origin {
        /// What the checkpoint says.
        found: String,
        /// Which log was asked for.
        wanted: String,
    },
    /// Not a note, or not signed by the log.
    #[error("the checkpoint is not signed by its log")]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Digest) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64_STANDARD.encode(self.root.as_bytes()))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Malformed("the last line is not ended"))?;
        let mut lines = body.split('\n');
        let mut line = || lines.next().filter(|l| !l.is_empty());
        let origin = line().ok_or(CheckpointError::Malformed("no origin line"))?;
        let size_text = line().ok_or(CheckpointError::Malformed("no size line"))?;
        let root_text = line().ok_or(CheckpointError::Malformed("no root line"))?;
        let size = parse_size(size_text).ok_or(CheckpointError::Malformed("the size is not a decimal number"))?;
        let root = BASE64_STANDARD.decode(root_text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = root.map(Digest::from_bytes).ok_or(CheckpointError::Malformed("the root is not a SHA-256 hash"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Malformed("an extension line is empty"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}

/// A tree size: ASCII decimal without leading zeroes or sign.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    // Merkle arithmetic shifts and adds sizes; half of the range is more than any log will have.
    (size.to_string() == text && size <= i64::MAX.cast_unsigned()).then_some(size)
}

/// A checkpoint with a valid signature of its log, and whatever other signatures came with it.
///
/// *Invariant log-signed:* the note's text is the checkpoint's, and a key that was trusted for its origin has signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Parses a note and insists on *log-signed*. The origin must be the name of the log's key.
    pub fn open(bytes: &[u8], log: &VerifierKey) -> Result<Self, CheckpointError> {
        Self::open_by(bytes, log.name(), std::slice::from_ref(log))
    }

    /// The same for a log whose origin is not its key's name, or that has several keys: one of them must have signed, and
    /// no signature of any of them may be wrong (signed-note, "Signatures").
    pub fn open_by(bytes: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint: Checkpoint = note.text().parse()?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::Origin { found: checkpoint.origin, wanted: origin.to_owned() });
        }
        note.verify_any(keys, origin)?;
        Ok(Self { checkpoint, note })
    }

    /// Signs a checkpoint as its log: *log-signed*, because `log` signs and names the origin.
    pub(crate) fn sign(size: u64, root: Digest, log: &NoteSigner) -> Result<Self, SignError> {
        let checkpoint = Checkpoint::new(log.vkey().name(), size, root);
        let text = checkpoint.to_string();
        let signature = log.sign(&text, Timestamp::default())?;
        Ok(Self { checkpoint, note: Note::of_checked_text(text, signature) })
    }

    /// What was signed.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The root hash.
    pub const fn root(&self) -> Digest {
        self.checkpoint.root
    }

    /// The note, to be verified against witnesses' keys.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// The note's bytes, to be stored and sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_string().into_bytes()
    }

    /// Adds a cosignature line.
    pub fn add(&mut self, signature: NoteSignature) {
        self.note.add(signature);
    }
}

#[cfg(test)]
mod tests;
