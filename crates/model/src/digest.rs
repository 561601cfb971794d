//! SHA-256 digests and git commit ids, as typed values that print and parse in one form each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; printed and parsed as `sha256:` followed by 64 lower-case hex digits (OCI image-spec, descriptor).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest or a commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The `sha256:` in front is missing.
    #[error("`{0}` does not start with `sha256:`")]
    Prefix(String),
    /// The hex digits are of the wrong number or alphabet.
    #[error("`{0}` is not {1} lower-case hex digits")]
    Hex(String, usize),
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere, in parts.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits without the algorithm, as file names and in-toto digest sets want them.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Parses the 64 hex digits without the algorithm.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        parse_hex(text).map(Self)
    }

    /// The first 12 hex digits, for people.
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], DigestError> {
    let wrong = || DigestError::Hex(text.to_owned(), N * 2);
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(wrong());
    }
    // The library allows a `0x` in front, which would be another spelling.
    if text.len() != N * 2 {
        return Err(wrong());
    }
    hex::decode_to_array(text).map_err(|_| wrong())
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        f.write_str(hex::Buffer::<32>::new().format(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or_else(|| DigestError::Prefix(text.to_owned()))?;
        Self::from_hex(hex)
    }
}

/// A git commit id (SHA-1, 40 lower-case hex digits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit([u8; 20]);

impl Commit {
    /// The first 12 hex digits, for people.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::Buffer::<20>::new().format(&self.0))
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Commit {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        parse_hex(text).map(Self)
    }
}

/// Reads what is written as a text, where it lies.
pub(crate) struct AsText<T>(pub(crate) std::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for AsText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($($ty:ty),*) => {$(
        impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(crate::digest::AsText(std::marker::PhantomData))
            }
        }
    )*};
}
pub(crate) use as_text;
as_text!(Digest, Commit);
