//! The kinds of key that sign here, in SSH wire form, and the mathematics of each.
//!
//! It knows keys and signatures, and refuses to know what a signature is wrapped in or what the bytes under it say.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use model::KeyId;
use p256::ecdsa;

use super::{KeyError, QUOTED_LIMIT, Scheme, VerifyError, security_key, wire};

/// What OpenSSH demands of the application of a key that it makes (`PROTOCOL.u2f`); others belong to web sites.
const APPLICATION_PREFIX: &str = "ssh:";
/// The only curve of `sk-ecdsa-sha2-nistp256@openssh.com`, by its name on the wire (RFC 5656 section 10.1).
const CURVE: &[u8] = b"nistp256";
/// 4096: an application's name is a few words; more would only swell the charter.
const APPLICATION_LIMIT_BYTES: usize = 4096;

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8709).
    Ed25519,
    /// Ed25519 in hardware (openssh `PROTOCOL.u2f`).
    SkEd25519,
    /// ECDSA on NIST P-256 in hardware (openssh `PROTOCOL.u2f`): what every FIDO security key can do.
    SkEcdsaP256,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Ed25519, Self::SkEd25519, Self::SkEcdsaP256];

    /// The name on the wire and in `.pub` files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// Whether the private half is inside a security key, which signs when it is touched.
    pub const fn is_hardware(self) -> bool {
        match self {
            Self::Ed25519 => false,
            Self::SkEd25519 | Self::SkEcdsaP256 => true,
        }
    }

    /// How people sign with such a key.
    pub const fn scheme_of_people(self) -> Scheme {
        if self.is_hardware() { Scheme::SkSshSig } else { Scheme::SshSig }
    }

    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().as_bytes() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The mathematics of one key. Points are decompressed once: verifying does not have to.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Material {
    Ed25519(VerifyingKey),
    SkEd25519 { key: VerifyingKey, application: String },
    SkEcdsaP256 { key: ecdsa::VerifyingKey, application: String },
}

impl Material {
    pub(super) fn ed25519(raw: &[u8; 32]) -> Result<Self, KeyError> {
        strong(raw, Algorithm::Ed25519).map(Self::Ed25519)
    }

    pub(super) fn from_wire(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = wire::Reader::new(bytes);
        let name = reader.string().ok_or(KeyError::NoKey)?;
        let algorithm = Algorithm::named(name)
            .ok_or_else(|| KeyError::Algorithm(String::from_utf8_lossy(name).chars().take(QUOTED_LIMIT).collect()))?;
        let malformed = || KeyError::Wire(algorithm);
        let ed25519 = |reader: &mut wire::Reader<'_>| {
            let raw = reader.string().and_then(|raw| <&[u8; 32]>::try_from(raw).ok()).ok_or_else(malformed)?;
            strong(raw, algorithm)
        };
        let material = match algorithm {
            Algorithm::Ed25519 => Self::Ed25519(ed25519(&mut reader)?),
            Algorithm::SkEd25519 => {
                let key = ed25519(&mut reader)?;
                Self::SkEd25519 { key, application: application(&mut reader).ok_or_else(malformed)? }
            }
            Algorithm::SkEcdsaP256 => {
                if reader.string() != Some(CURVE) {
                    return Err(malformed());
                }
                let point = reader.string().ok_or_else(malformed)?;
                let key = ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| KeyError::Weak(algorithm))?;
                Self::SkEcdsaP256 { key, application: application(&mut reader).ok_or_else(malformed)? }
            }
        };
        // A point can be written in two forms, and one key has one id: whatever is not the form that we write is refused.
        if !reader.is_empty() || material.wire() != bytes {
            return Err(malformed());
        }
        match material.application() {
            Some(name) if !name.starts_with(APPLICATION_PREFIX) => {
                Err(KeyError::Application(name.chars().take(QUOTED_LIMIT).flat_map(char::escape_default).collect()))
            }
            _ => Ok(material),
        }
    }

    pub(super) fn wire(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        wire::put_string(&mut out, self.algorithm().as_str().as_bytes());
        match self {
            Self::Ed25519(key) | Self::SkEd25519 { key, .. } => wire::put_string(&mut out, key.as_bytes()),
            Self::SkEcdsaP256 { key, .. } => {
                wire::put_string(&mut out, CURVE);
                wire::put_string(&mut out, key.to_sec1_point(false).as_bytes());
            }
        }
        if let Some(application) = self.application() {
            wire::put_string(&mut out, application.as_bytes());
        }
        out
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::SkEd25519 { .. } => Algorithm::SkEd25519,
            Self::SkEcdsaP256 { .. } => Algorithm::SkEcdsaP256,
        }
    }

    pub(super) fn raw(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Ed25519(key) => Some(key.as_bytes()),
            Self::SkEd25519 { .. } | Self::SkEcdsaP256 { .. } => None,
        }
    }

    const fn application(&self) -> Option<&String> {
        match self {
            Self::Ed25519(_) => None,
            Self::SkEd25519 { application, .. } | Self::SkEcdsaP256 { application, .. } => Some(application),
        }
    }

    /// Checks what stands behind the type of a signature. `id` is only for the message.
    pub(super) fn verify(&self, id: KeyId, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let holds = match self {
            Self::Ed25519(key) => strictly(key, message, signature)?,
            Self::SkEd25519 { key, application } => {
                let said = security_key::Said::parse(signature)?;
                strictly(key, &said.signed_data(application, message), said.signature)?
            }
            Self::SkEcdsaP256 { key, application } => {
                let said = security_key::Said::parse(signature)?;
                let pair = security_key::ecdsa_pair(said.signature)?;
                // Both of (r, s) and (r, n - s) verify: security keys make either, and a statement's identity does not
                // depend on its signature.
                ecdsa::signature::Verifier::verify(key, &said.signed_data(application, message), &pair).is_ok()
            }
        };
        if holds { Ok(()) } else { Err(VerifyError::Mismatch(id)) }
    }
}

fn strong(raw: &[u8; 32], algorithm: Algorithm) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::from_bytes(raw).ok().filter(|key| !key.is_weak()).ok_or(KeyError::Weak(algorithm))
}

fn strictly(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> Result<bool, VerifyError> {
    let bytes = <&[u8; 64]>::try_from(signature).map_err(|_| VerifyError::Length(signature.len()))?;
    Ok(key.verify_strict(message, &Signature::from_bytes(bytes)).is_ok())
}

fn application(reader: &mut wire::Reader<'_>) -> Option<String> {
    let bytes = reader.string().filter(|bytes| bytes.len() <= APPLICATION_LIMIT_BYTES)?;
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}
