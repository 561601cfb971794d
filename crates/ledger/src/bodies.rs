//! Bodies: what people and suites say beside the log, encrypted by subject, so that it can be forgotten.
//!
//! An entry holds `SHA-256(salt ‖ body)`. Salt and body are one blob, encrypted under the key of the subject that they
//! are about; destroying that key erases every body of the subject at once, in every copy of the blobs, and changes no
//! byte of the log. This module refuses to know who may erase and when (see [`crate::erasure`]).
//!
//! *Invariant body-before-entry:* a body is kept and synced before its entry is committed. A crash in between leaves a body that no entry commits to:
//! nobody finds it, it is erased with its subject, and sending the statement again uses it.

mod keys;
mod seal;
mod subject;

use std::sync::Arc;

use model::Digest;
use sha2::{Digest as _, Sha256};

use crate::{
    blobs::{BlobError, BlobName, Blobs},
    store::StoreError,
};

pub use keys::{KeyState, SubjectKey, SubjectKeys};
pub use subject::{Subject, SubjectDigest, SubjectError};

/// 16 MiB: the largest body. A list of ten thousand test cases has two; build logs and images do not belong here.
pub const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// 256 blobs are named at a time while copying.
const COPY_PAGE: usize = 256;

/// Bytes that an entry commits to without containing them: `SHA-256(salt ‖ bytes)` stands in the entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// 32 random bytes, so that nobody can guess short bodies from their commitments.
    pub salt: [u8; 32],
    /// The body.
    pub bytes: Vec<u8>,
}

impl Body {
    /// A body with a fresh salt. `None` if the system gives no random numbers.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).ok()?;
        Some(Self { salt, bytes })
    }

    /// What stands in the entry.
    pub fn commitment(&self) -> Digest {
        let hasher = Sha256::new_with_prefix(self.salt).chain_update(&self.bytes);
        Digest::from_bytes(hasher.finalize().into())
    }

    /// The same body, told whom it is about.
    pub const fn about(self, subject: Subject) -> SubjectBody {
        SubjectBody { subject, body: self }
    }
}

impl std::fmt::Debug for Body {
    /// Bodies hold what a log must not learn; they are not printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes, {})", self.bytes.len(), self.commitment())
    }
}

/// A body and whom it is about: the subject whose erasure takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectBody {
    /// The subject.
    pub subject: Subject,
    /// The body.
    pub body: Body,
}

/// What has become of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBody {
    /// It is here, and what was committed to.
    Kept(Body),
    /// Its subject was erased: nobody can read it any more.
    Erased,
    /// Nothing is kept for this commitment.
    Missing,
}

/// Why a body was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Its subject was erased.
    #[error("`{0}` was erased; nothing new is kept about it")]
    Erased(Subject),
    /// Something else is kept under this commitment: under another subject, or damaged.
    #[error("the body {0} is kept under another subject, or is damaged")]
    Conflict(Digest),
    /// The system gives no random bytes.
    #[error("no random bytes for a key")]
    Random,
    /// It does not fit into the cipher; see [`BODY_LIMIT_BYTES`].
    #[error("the body {0} can not be encrypted")]
    Seal(Digest),
    /// The store of blobs did not take it.
    #[error("the body can not be kept")]
    Blobs(#[from] BlobError),
    /// The table of keys failed.
    #[error("the key of the subject can not be had")]
    Keys(#[from] StoreError),
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// What is kept is not what was committed to: it was changed.
    #[error("the body with the commitment {0} is damaged")]
    Damaged(Digest),
    /// It is kept under a key that the table of keys never had.
    #[error("the body with the commitment {0} is kept under a key that is lost")]
    KeyLost(Digest),
    /// The store of blobs failed.
    #[error("the body can not be read")]
    Blobs(#[from] BlobError),
    /// The table of keys failed.
    #[error("the key of the subject can not be read")]
    Keys(#[from] StoreError),
}

/// Keeps bodies: blobs in one place, their keys in another.
#[derive(Clone)]
pub struct Bodies {
    blobs: Arc<dyn Blobs>,
    keys: Arc<dyn SubjectKeys>,
}

impl Bodies {
    /// Bodies in these blobs, under these keys.
    pub fn new(blobs: Arc<dyn Blobs>, keys: Arc<dyn SubjectKeys>) -> Self {
        Self { blobs, keys }
    }

    /// Where the blobs are, for people.
    pub fn place(&self) -> String {
        self.blobs.place()
    }

    /// Keeps a body; returns when it outlives a power cut. Keeping it again is fine.
    pub fn keep(&self, said: &SubjectBody) -> Result<(), KeepError> {
        let (subject, commitment) = (said.subject.digest(), said.body.commitment());
        let fresh = SubjectKey::new().ok_or(KeepError::Random)?;
        let key = match self.keys.get_or_make(subject, &fresh)? {
            KeyState::Kept(key) => key,
            KeyState::Destroyed => return Err(KeepError::Erased(said.subject.clone())),
            // A table that keeps nothing can not be trusted with what is encrypted under it.
            KeyState::Absent => return Err(KeepError::Keys(StoreError::Failed("the key was not kept".into()))),
        };
        let mut nonce = [0; seal::NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| KeepError::Random)?;
        let sealed = seal::seal(&key, subject, &commitment, nonce, &said.body).ok_or(KeepError::Seal(commitment))?;
        match self.blobs.put(&BlobName::from(&commitment), &sealed) {
            // The nonce differs each time, so a body that is here already is here with other bytes.
            Err(BlobError::Taken(name)) => {
                let kept = self.blobs.get(&name)?.and_then(|b| seal::open(&key, &commitment, &b));
                let same = kept.is_some_and(|(by, body)| by == subject && body == said.body);
                if same { Ok(()) } else { Err(KeepError::Conflict(commitment)) }
            }
            put => Ok(put?),
        }
    }

    /// The body with this commitment, if it is kept, its subject was not erased, and it is still what was committed to.
    pub fn read(&self, commitment: &Digest) -> Result<KeptBody, BodyError> {
        let Some(sealed) = self.blobs.get(&BlobName::from(commitment))? else { return Ok(KeptBody::Missing) };
        let subject = seal::subject_of(&sealed).ok_or(BodyError::Damaged(*commitment))?;
        match self.keys.get(subject)? {
            KeyState::Destroyed => Ok(KeptBody::Erased),
            KeyState::Absent => Err(BodyError::KeyLost(*commitment)),
            KeyState::Kept(key) => {
                let (_, body) = seal::open(&key, commitment, &sealed).ok_or(BodyError::Damaged(*commitment))?;
                Ok(KeptBody::Kept(body))
            }
        }
    }

    /// Destroys the key of a subject, and marks it so that none is made again. Doing it again is fine, and finishes what
    /// a failure left undone.
    pub fn erase(&self, subject: SubjectDigest) -> Result<(), StoreError> {
        self.keys.destroy(subject)
    }

    /// Whether a subject has a key, had one, or never had one.
    pub fn state(&self, subject: SubjectDigest) -> Result<KeyState, StoreError> {
        self.keys.get(subject)
    }
}

/// Copies every blob from one place to another, byte for byte and in order of names, and gives how many there are.
/// Copying again after a crash is safe: what is there is compared, not written.
pub fn copy_blobs(from: &dyn Blobs, to: &dyn Blobs) -> Result<u64, BlobError> {
    let mut copied = 0;
    let mut after = None;
    loop {
        let names = from.names(after.as_ref(), COPY_PAGE)?;
        let Some(last) = names.last() else { return Ok(copied) };
        after = Some(last.clone());
        for name in names {
            if let Some(bytes) = from.get(&name)? {
                to.put(&name, &bytes)?;
                copied += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
