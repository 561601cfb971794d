//! Public keys and what can sign: Ed25519, raw for robots and as SSHSIG for people.
//!
//! It refuses to know whose a key is and what it may say; that is the charter's business.

mod agent;
mod file;
mod sshsig;
mod wire;

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use model::KeyId;

pub use agent::{AgentError, AgentKey, SshAgent};
pub use file::{KeyFileError, PrivateKey};
pub use sshsig::{NAMESPACE, SshSigError, armored};

const ALGORITHM: &str = "ssh-ed25519";

/// How a key signs. The same key under another scheme keeps its [`KeyId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// 64 bytes over the message itself (RFC 8032). Robots.
    Ed25519,
    /// An SSHSIG blob over the message in our [`NAMESPACE`] (openssh `PROTOCOL.sshsig`). People.
    SshSig,
}

impl Scheme {
    /// The name in wire forms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::SshSig => "sshsig",
        }
    }
}

impl std::str::FromStr for Scheme {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text {
            "ed25519" => Ok(Self::Ed25519),
            "sshsig" => Ok(Self::SshSig),
            _ => Err(KeyError::Scheme(text.chars().take(QUOTED_LIMIT).collect())),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A public key and how it signs.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    scheme: Scheme,
    /// Decompressed once: verifying with it does not have to.
    key: VerifyingKey,
    /// Follows from the key; kept, because every signature that is verified asks for it.
    id: KeyId,
}

/// 80 characters of somebody's input are enough to recognise it by in a message.
const QUOTED_LIMIT: usize = 80;

/// Why a text or bytes are not a public key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not `ssh-ed25519 <base64> [comment]`.
    #[error("`{0}` is not a public key line: it starts with `ssh-ed25519` and base64")]
    Line(String),
    /// Another algorithm.
    #[error("`{0}` keys are not accepted: make one with `ssh-keygen -t ed25519`")]
    Algorithm(String),
    /// The bytes are not an Ed25519 public key in SSH wire form.
    #[error("not an Ed25519 public key in SSH wire form")]
    Wire,
    /// Not a point of the curve, or one of small order, for which anyone can make signatures.
    #[error("not a usable Ed25519 public key")]
    Weak,
    /// An unknown signature scheme.
    #[error("`{0}` is not a signature scheme: use `ed25519` or `sshsig`")]
    Scheme(String),
}

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not 64 bytes.
    #[error("an Ed25519 signature has 64 bytes, not {0}")]
    Length(usize),
    /// The mathematics say no.
    #[error("the signature does not match key {0} and these bytes")]
    Mismatch(KeyId),
    /// The SSHSIG blob around it is wrong.
    #[error("not a usable SSH signature")]
    SshSig(#[from] SshSigError),
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The ssh-agent did not sign.
    #[error("the ssh-agent did not sign")]
    Agent(#[from] AgentError),
    /// What came back does not verify, so it is not passed on.
    #[error("the signature that was made does not verify")]
    Unusable(#[from] VerifyError),
}

/// Something that signs with one key.
pub trait Signer: Send + Sync {
    /// The key whose signatures it makes.
    fn key(&self) -> &PublicKey;
    /// Signs, in the scheme of [`Signer::key`]. May wait for a person, where a key asks for a touch.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl PublicKey {
    /// From the 32 bytes of RFC 8032.
    pub fn from_raw(scheme: Scheme, raw: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(raw).map_err(|_| KeyError::Weak)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self { scheme, key, id: KeyId::of_wire(&wire_of(key.as_bytes())) })
    }

    /// From SSH wire form (RFC 8709 section 4).
    pub fn from_wire(scheme: Scheme, wire: &[u8]) -> Result<Self, KeyError> {
        let mut reader = wire::Reader::new(wire);
        let algorithm = reader.string().ok_or(KeyError::Wire)?;
        if algorithm != ALGORITHM.as_bytes() {
            let name: String = String::from_utf8_lossy(algorithm).chars().take(QUOTED_LIMIT).collect();
            return Err(KeyError::Algorithm(name));
        }
        let raw = reader.string().and_then(|raw| <&[u8; 32]>::try_from(raw).ok()).ok_or(KeyError::Wire)?;
        if !reader.is_empty() {
            return Err(KeyError::Wire);
        }
        Self::from_raw(scheme, raw)
    }

    /// From a line of a `.pub` or `authorized_keys` file without options: `ssh-ed25519 AAAA… comment`.
    pub fn from_openssh(scheme: Scheme, line: &str) -> Result<Self, KeyError> {
        let quoted = || KeyError::Line(line.trim().chars().take(QUOTED_LIMIT).collect());
        let mut words = line.split_ascii_whitespace();
        let algorithm = words.next().ok_or_else(quoted)?;
        let encoded = words.next().ok_or_else(quoted)?;
        if algorithm != ALGORITHM {
            let looks_like_one = encoded.starts_with("AAAA");
            return Err(if looks_like_one {
                KeyError::Algorithm(algorithm.chars().take(QUOTED_LIMIT).collect())
            } else {
                quoted()
            });
        }
        let wire = BASE64_STANDARD.decode(encoded).map_err(|_| quoted())?;
        Self::from_wire(scheme, &wire)
    }

    /// `ssh-ed25519 AAAA…`, without a comment.
    pub fn to_openssh(&self) -> String {
        format!("{ALGORITHM} {}", BASE64_STANDARD.encode(self.wire()))
    }

    /// A `PUBLIC KEY` block as OpenSSL and most libraries read it (RFC 8410 section 4, RFC 7468 section 13).
    pub fn to_pem(&self) -> String {
        // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend_from_slice(self.raw());
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
    }

    /// SSH wire form (RFC 8709 section 4).
    pub fn wire(&self) -> Vec<u8> {
        wire_of(self.key.as_bytes())
    }

    /// The 32 bytes of RFC 8032.
    pub fn raw(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// How it signs.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The same key, signing in another way.
    #[must_use]
    pub fn with_scheme(&self, scheme: Scheme) -> Self {
        Self { scheme, key: self.key, id: self.id }
    }

    /// The id: SHA-256 over the SSH wire form, so the same for every scheme.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Checks a signature in this key's scheme. Ed25519 is checked strictly (`verify_strict`): no small-order points,
    /// no second encodings.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        match self.scheme {
            Scheme::Ed25519 => self.verify_raw(message, signature),
            Scheme::SshSig => {
                let blob = sshsig::Blob::parse(signature)?;
                if blob.key != self.wire() {
                    return Err(SshSigError::OtherKey.into());
                }
                self.verify_raw(&blob.signed_data(message), blob.signature)
            }
        }
    }

    fn verify_raw(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let bytes = <&[u8; 64]>::try_from(signature).map_err(|_| VerifyError::Length(signature.len()))?;
        self.key.verify_strict(message, &Signature::from_bytes(bytes)).map_err(|_| VerifyError::Mismatch(self.id()))
    }
}

fn wire_of(raw: &[u8; 32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(51);
    wire::put_string(&mut out, ALGORITHM.as_bytes());
    wire::put_string(&mut out, raw);
    out
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.scheme, self.id())
    }
}

#[cfg(test)]
mod tests;
