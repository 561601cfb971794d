//! Whom a body is about: a typed pseudonym, so that erasing one subject takes away what a person asks to have removed.

use std::{fmt, str::FromStr};

use model::{Digest, PersonId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// In front of what is hashed, so that the digest of a subject is no other digest.
const DOMAIN: &[u8] = b"countersign subject v1\n";

/// A subject, written `person:ada`, `change:17` or `value:sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A member of the charter: what this person wrote, reasons above all.
    Person(PersonId),
    /// A change, by its log index: what suites printed about it, lists of cases above all.
    Change(u64),
    /// A guarded value, by the commitment to it: the value itself. It is nobody's own words, and must not go with the
    /// person who proposed it.
    Value(Digest),
}

/// What a log knows of a subject: `SHA-256("countersign subject v1\n" ‖ text)`. It hides nothing from who can guess the
/// text: a subject is a pseudonym, which a log may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectDigest(Digest);

/// Why a text is not a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a subject such as `person:ada`, `change:17` or `value:sha256:…`")]
pub struct SubjectError(String);

impl Subject {
    /// What a log knows of it.
    pub fn digest(&self) -> SubjectDigest {
        let hasher = Sha256::new_with_prefix(DOMAIN).chain_update(self.to_string());
        SubjectDigest(Digest::from_bytes(hasher.finalize().into()))
    }
}

impl SubjectDigest {
    /// From a digest that was made by [`Subject::digest`] before.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Display for SubjectDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "person:{id}"),
            Self::Change(index) => write!(f, "change:{index}"),
            Self::Value(commitment) => write!(f, "value:{commitment}"),
        }
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let wrong = || SubjectError(text.to_owned());
        let subject = match text.split_once(':').ok_or_else(wrong)? {
            ("person", id) => Self::Person(id.parse().map_err(|_| wrong())?),
            ("change", index) => Self::Change(index.parse().map_err(|_| wrong())?),
            ("value", commitment) => Self::Value(commitment.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        // One spelling only (`change:017` is another), or one subject would have two keys.
        if subject.to_string() == text { Ok(subject) } else { Err(wrong()) }
    }
}
