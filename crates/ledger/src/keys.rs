//! Public keys and what can sign: Ed25519, raw for robots and as SSHSIG for people, who may also keep theirs in hardware.
//!
//! It refuses to know whose a key is and what it may say; that is the charter's business.

mod agent;
mod file;
mod material;
mod security_key;
mod sshsig;
mod wire;

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::KeyId;

use material::Material;

pub use agent::{AgentError, AgentKey, SshAgent};
pub use file::{KeyFileError, PrivateKey};
pub use material::Algorithm;
pub use security_key::SecurityKeyError;
pub use sshsig::{NAMESPACE, SshSigError, armored, dearmored};

/// How a key signs. The same key under another scheme keeps its [`KeyId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// 64 bytes over the message itself (RFC 8032). Robots.
    Ed25519,
    /// An SSHSIG blob over the message in our [`NAMESPACE`] (openssh `PROTOCOL.sshsig`). People.
    SshSig,
    /// The same by a key in hardware that was touched for it (openssh `PROTOCOL.u2f`). People.
    SkSshSig,
}

impl Scheme {
    /// The name in wire forms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::SshSig => "sshsig",
            Self::SkSshSig => "sk-sshsig",
        }
    }
}

impl std::str::FromStr for Scheme {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text {
            "ed25519" => Ok(Self::Ed25519),
            "sshsig" => Ok(Self::SshSig),
            "sk-sshsig" => Ok(Self::SkSshSig),
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
    material: Material,
    /// Follows from the key; kept, because every signature that is verified asks for it.
    id: KeyId,
}

/// 80 characters of somebody's input are enough to recognise it by in a message.
const QUOTED_LIMIT: usize = 80;

/// Why a text or bytes are not a public key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not `ssh-ed25519 <base64> [comment]` or the like.
    #[error("`{0}` is not a public key line: it starts with `ssh-ed25519` and base64")]
    Line(String),
    /// Another algorithm.
    #[error(
        "`{0}` keys are not accepted: make one with `ssh-keygen -t ed25519`, or with `-t ed25519-sk` on a security key"
    )]
    Algorithm(String),
    /// The key exists, but can not sign in this way.
    #[error("`{algorithm}` keys do not sign as `{scheme}`")]
    OtherScheme {
        /// The key's algorithm.
        algorithm: Algorithm,
        /// The scheme that was asked for.
        scheme: Scheme,
    },
    /// The bytes are not a public key of that algorithm in SSH wire form.
    #[error("not a `{0}` public key in SSH wire form")]
    Wire(Algorithm),
    /// The bytes are no public key at all.
    #[error("not a public key in SSH wire form")]
    NoKey,
    /// Not a point of the curve, or one of small order, for which anyone can make signatures.
    #[error("not a usable `{0}` public key")]
    Weak(Algorithm),
    /// A key in hardware that was made for something else than SSH, such as logging in to a web site.
    #[error(
        "the key was made for the application `{0}`, which does not start with `ssh:` (`ssh-keygen -O application=`)"
    )]
    Application(String),
    /// An unknown signature scheme.
    #[error("`{0}` is not a signature scheme: use `ed25519`, `sshsig` or `sk-sshsig`")]
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
    /// The key is in hardware, and what the hardware says around the signature is wrong.
    #[error("not a usable signature of a security key")]
    SecurityKey(#[from] SecurityKeyError),
    /// An SSH signature by a key that can not be used.
    #[error("the key in the SSH signature can not be used")]
    Key(#[from] KeyError),
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
    /// An Ed25519 key from the 32 bytes of RFC 8032, for a scheme of a key that is not in hardware.
    pub fn from_raw(scheme: Scheme, raw: &[u8; 32]) -> Result<Self, KeyError> {
        Self::new(scheme, Material::ed25519(raw)?)
    }

    /// From SSH wire form (RFC 8709 section 4, `PROTOCOL.u2f`).
    pub fn from_wire(scheme: Scheme, wire: &[u8]) -> Result<Self, KeyError> {
        Self::new(scheme, Material::from_wire(wire)?)
    }

    /// From a line of a `.pub` or `authorized_keys` file without options: `ssh-ed25519 AAAA… comment`.
    pub fn from_openssh(scheme: Scheme, line: &str) -> Result<Self, KeyError> {
        Self::new(scheme, material_of_line(line)?)
    }

    /// A person's key from such a line: the scheme follows from whether it is in hardware.
    pub fn of_person(line: &str) -> Result<Self, KeyError> {
        let material = material_of_line(line)?;
        Self::new(material.algorithm().scheme_of_people(), material)
    }

    /// The same from SSH wire form.
    pub fn of_person_wire(wire: &[u8]) -> Result<Self, KeyError> {
        let material = Material::from_wire(wire)?;
        Self::new(material.algorithm().scheme_of_people(), material)
    }

    fn new(scheme: Scheme, material: Material) -> Result<Self, KeyError> {
        let algorithm = material.algorithm();
        if algorithm.is_hardware() != (scheme == Scheme::SkSshSig) {
            return Err(KeyError::OtherScheme { algorithm, scheme });
        }
        let id = KeyId::of_wire(&material.wire());
        Ok(Self { scheme, material, id })
    }

    /// `ssh-ed25519 AAAA…`, without a comment.
    pub fn to_openssh(&self) -> String {
        format!("{} {}", self.algorithm(), BASE64_STANDARD.encode(self.wire()))
    }

    /// SSH wire form (RFC 8709 section 4, `PROTOCOL.u2f`).
    pub fn wire(&self) -> Vec<u8> {
        self.material.wire()
    }

    /// The 32 bytes of RFC 8032, of an Ed25519 key that is not in hardware.
    pub fn raw(&self) -> Option<&[u8; 32]> {
        self.material.raw()
    }

    /// A `PUBLIC KEY` block as OpenSSL and most libraries read it (RFC 8410 section 4, RFC 7468 section 13), of an Ed25519
    /// key that is not in hardware: what hardware signs is more than the message, which those libraries do not know.
    pub fn to_pem(&self) -> Option<String> {
        // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend_from_slice(self.raw()?);
        Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der)))
    }

    /// What kind of key it is.
    pub const fn algorithm(&self) -> Algorithm {
        self.material.algorithm()
    }

    /// How it signs.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The same key, signing in another way; a key in hardware has one way only.
    pub fn with_scheme(&self, scheme: Scheme) -> Result<Self, KeyError> {
        Self::new(scheme, self.material.clone())
    }

    /// The id: SHA-256 over the SSH wire form, so the same for every scheme.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Checks a signature in this key's scheme. Ed25519 is checked strictly (`verify_strict`): no small-order points,
    /// no second encodings. A key in hardware must say that it was touched.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        match self.scheme {
            Scheme::Ed25519 => self.material.verify(self.id, message, signature),
            Scheme::SshSig | Scheme::SkSshSig => {
                let blob = sshsig::Blob::parse(NAMESPACE, signature)?;
                if blob.key != self.wire() {
                    return Err(SshSigError::OtherKey.into());
                }
                self.verify_blob(&blob, message)
            }
        }
    }

    /// The key that made an SSHSIG blob (without armour) over a message in this namespace. For what is not ours, such as
    /// git's commits.
    pub fn that_signed(namespace: &str, message: &[u8], blob: &[u8]) -> Result<Self, VerifyError> {
        let blob = sshsig::Blob::parse(namespace, blob)?;
        let key = Self::of_person_wire(blob.key)?;
        key.verify_blob(&blob, message)?;
        Ok(key)
    }

    fn verify_blob(&self, blob: &sshsig::Blob<'_>, message: &[u8]) -> Result<(), VerifyError> {
        let signature = sshsig::signature_of(self.algorithm(), blob.signature)?;
        self.material.verify(self.id, &blob.signed_data(message), signature)
    }
}

fn material_of_line(line: &str) -> Result<Material, KeyError> {
    let quoted = || KeyError::Line(line.trim().chars().take(QUOTED_LIMIT).collect());
    let mut words = line.split_ascii_whitespace();
    let name = words.next().ok_or_else(quoted)?;
    let encoded = words.next().ok_or_else(quoted)?;
    let Some(algorithm) = Algorithm::named(name.as_bytes()) else {
        let looks_like_one = encoded.starts_with("AAAA");
        return Err(if looks_like_one {
            KeyError::Algorithm(name.chars().take(QUOTED_LIMIT).collect())
        } else {
            quoted()
        });
    };
    let wire = BASE64_STANDARD.decode(encoded).map_err(|_| quoted())?;
    let material = Material::from_wire(&wire)?;
    // The word in front is for people to read, and must not tell them something else than the key is.
    if material.algorithm() == algorithm { Ok(material) } else { Err(quoted()) }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.scheme, self.id())
    }
}

#[cfg(test)]
mod tests;
