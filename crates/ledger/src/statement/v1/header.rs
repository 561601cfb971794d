//! The header that every statement carries: to which log it belongs, in what role it was said, what its signer
//! had seen, and until when it counts.

use std::{fmt, str::FromStr};

use model::{Digest, EnvironmentName, RoleName, SystemName, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The header (design section 4, "What is frozen in a statement").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The charter that it was said under; none only in the charter itself.
    pub charter: Option<Digest>,
    /// The role that the signer exercised.
    pub role: RoleName,
    /// The system that it is about, if it is about one.
    pub system: Option<SystemName>,
    /// The environment that it is about, if it is about one.
    pub environment: Option<EnvironmentName>,
    /// The last checkpoint that the signer saw, so that two histories meet.
    pub seen: Option<Seen>,
    /// Makes two statements with the same claim different.
    pub nonce: Nonce,
    /// After this it counts for nothing new.
    pub expires: Timestamp,
    /// The digest of the program that signed, where a program did.
    pub program: Option<Digest>,
}

/// A checkpoint by size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The number of entries.
    pub size: u64,
    /// The Merkle tree hash over them (RFC 6962 section 2.1).
    pub root: Digest,
}

/// Sixteen random bytes, as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// From bytes that the caller drew.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Why a text is not a nonce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 32 lower-case hex digits")]
pub struct NonceError(String);

impl FromStr for Nonce {
    type Err = NonceError;
    fn from_str(text: &str) -> Result<Self, NonceError> {
        let mut bytes = [0; 16];
        // One spelling: no capitals, and no `0x`, which the library allows.
        let plain = text.len() == 2 * bytes.len() && !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if plain => Ok(Self(bytes)),
            _ => Err(NonceError(text.to_owned())),
        }
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
