//! Where blobs are kept: the trait, the names, and folders of files. The room `stores` has S3.
//!
//! A blob is bytes under a name that is never given to other bytes. This module refuses to know what the bytes are; what
//! Countersign keeps here is encrypted before it comes (see [`crate::bodies`]).

mod files;

use std::{fmt, str::FromStr};

pub use files::FileBlobs;

/// 17 MiB: the largest body with its salt, key's name, nonce and tag.
pub const BLOB_LIMIT_BYTES: usize = 17 * 1024 * 1024;
/// Names are hashes: 64 hex digits of SHA-256, and twice that at most.
const NAME_LIMIT_DIGITS: usize = 128;
/// The first four digits are two folders, so a name has at least one digit more.
const NAME_LEAST_DIGITS: usize = 5;

/// The name of a blob: 5 to 128 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(String);

/// Why a text is not the name of a blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {NAME_LEAST_DIGITS} to {NAME_LIMIT_DIGITS} lower-case hex digits")]
pub struct BlobNameError(String);

impl BlobName {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Two folders of two digits each and all the digits, as `ab/cd/abcd…`: no folder gets too many names, and the order
    /// of paths is the order of names.
    pub fn path(&self) -> String {
        let (first, second) = (self.0.get(..2).unwrap_or_default(), self.0.get(2..4).unwrap_or_default());
        format!("{first}/{second}/{}", self.0)
    }

    /// The name at a path that [`Self::path`] gave.
    pub fn of_path(path: &str) -> Option<Self> {
        let name: Self = path.rsplit('/').next()?.parse().ok()?;
        (name.path() == path).then_some(name)
    }
}

impl FromStr for BlobName {
    type Err = BlobNameError;

    fn from_str(text: &str) -> Result<Self, BlobNameError> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits && (NAME_LEAST_DIGITS..=NAME_LIMIT_DIGITS).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BlobNameError(text.to_owned()))
        }
    }
}

impl From<&model::Digest> for BlobName {
    fn from(digest: &model::Digest) -> Self {
        Self(digest.hex())
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a store of blobs did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Other bytes are kept under this name; they stay.
    #[error("the blob {0} is kept with other bytes")]
    Taken(BlobName),
    /// Larger than any blob may be.
    #[error("the blob {name} has {bytes} bytes; {BLOB_LIMIT_BYTES} are kept at most")]
    TooLarge {
        /// Which.
        name: BlobName,
        /// How many bytes it has.
        bytes: u64,
    },
    /// No space is left; reading goes on.
    #[error("the store of blobs is full")]
    Full,
    /// It can be read, not written.
    #[error("the store of blobs is read-only")]
    ReadOnly,
    /// It does not answer, or not in time. Whether something was kept is not known; asking again is safe.
    #[error("the store of blobs does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses us: a key or a right is missing.
    #[error("the store of blobs refuses access")]
    Denied(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("the store of blobs failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps blobs. Any number of threads and processes may use one place at once.
pub trait Blobs: Send + Sync {
    /// Keeps bytes under a name; returns when they outlive a power cut. The same bytes again are fine, other bytes are
    /// [`BlobError::Taken`]: of two who come at once with different bytes, one is refused.
    fn put(&self, name: &BlobName, bytes: &[u8]) -> Result<(), BlobError>;
    /// The bytes under this name.
    fn get(&self, name: &BlobName) -> Result<Option<Vec<u8>>, BlobError>;
    /// Whether something is kept under this name.
    fn exists(&self, name: &BlobName) -> Result<bool, BlobError>;
    /// Removes a blob; one that is not there is fine. Whether the medium forgets it is the medium's.
    fn delete(&self, name: &BlobName) -> Result<(), BlobError>;
    /// Names after this one, in order, at most `limit`.
    fn names(&self, after: Option<&BlobName>, limit: usize) -> Result<Vec<BlobName>, BlobError>;
    /// Where it is, for people.
    fn place(&self) -> String;
}

#[cfg(test)]
mod tests;
