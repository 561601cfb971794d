//! Private keys in OpenSSH's file format (openssh-portable `PROTOCOL.key`), Ed25519 only. The file of a security key holds
//! no private key; it is told from the others, so that the agent can be asked.
//!
//! The `ssh-key` crate reads and writes the format; signing is ours. A key file that others can read is refused,
//! because then nobody knows who signed. Writing goes through [`crate::durable`]: a crash leaves a whole file or none.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use zeroize::Zeroizing;

use super::{PublicKey, Scheme, SignError, Signer, sshsig, wire};
use crate::durable;

/// 64 KiB: an OpenSSH key file has about 400 bytes; what is longer is not one.
const FILE_LIMIT_BYTES: u64 = 64 * 1024;
/// What a private key in OpenSSH's format starts with (`PROTOCOL.key`).
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Group and others.
const OTHERS: u32 = 0o077;

/// Why a key file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can not be read.
    #[error("can not read key file `{}`", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Others can read it.
    #[error("key file `{}` has mode {mode:04o}: others can read it; run `chmod 600` on it, or make a new key if others use this machine", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not an OpenSSH private key.
    #[error("`{}` is not an OpenSSH private key file", .0.display())]
    Format(PathBuf, #[source] ssh_key::Error),
    /// A key of another kind.
    #[error("`{}` holds a key of another kind: make one with `ssh-keygen -t ed25519`", .0.display())]
    Kind(PathBuf),
    /// The private key is in a security key, which the agent talks to.
    #[error("the private key of `{}` is in a security key: add it to ssh-agent with `ssh-add`", path.display())]
    InHardware {
        /// The file.
        path: PathBuf,
        /// The public half.
        key: Box<PublicKey>,
    },
    /// The two halves in the file do not belong together.
    #[error("the private and the public key in `{}` do not belong together", .0.display())]
    Halves(PathBuf),
    /// It has a passphrase and none was given.
    #[error("`{}` needs a passphrase: put the key into ssh-agent with `ssh-add`, or run this on a terminal", .0.display())]
    NeedsPassphrase(PathBuf),
    /// The passphrase is wrong.
    #[error("the passphrase for `{}` is wrong", .0.display())]
    WrongPassphrase(PathBuf),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// It can not be written.
    #[error("can not write key file `{}`", .0.display())]
    Write(PathBuf, #[source] durable::DurableError),
}

/// A private key in memory, overwritten when dropped. Signs in the scheme that it was given.
pub struct PrivateKey {
    signing: SigningKey,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key from the system's random numbers.
    pub fn generate(scheme: Scheme) -> Result<Self, KeyFileError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| KeyFileError::Random)?;
        Self::from_seed(scheme, &seed).ok_or(KeyFileError::Random)
    }

    /// The key with this seed (RFC 8032). For keys that are derived, and for simulations that must repeat.
    /// `None` only for a seed whose public key is of small order, which nobody will ever meet.
    pub fn from_seed(scheme: Scheme, seed: &[u8; 32]) -> Option<Self> {
        let signing = SigningKey::from_bytes(seed);
        let public = PublicKey::from_raw(scheme, signing.verifying_key().as_bytes()).ok()?;
        Some(Self { signing, public })
    }

    /// Reads a key file. `passphrase` is asked only if the file has one, and may say `None` when nobody can be asked.
    pub fn read(
        scheme: Scheme,
        path: &Path,
        passphrase: &mut dyn FnMut() -> Option<Zeroizing<String>>,
    ) -> Result<Self, KeyFileError> {
        let pem = read_private(path)?;
        if let Some(key) = public_half(&pem)
            && key.algorithm().is_hardware()
        {
            return Err(KeyFileError::InHardware { path: path.to_owned(), key: Box::new(key) });
        }
        let format = |e| match e {
            ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. } => {
                KeyFileError::Kind(path.to_owned())
            }
            other => KeyFileError::Format(path.to_owned(), other),
        };
        let mut key = ssh_key::PrivateKey::from_openssh(pem.as_slice()).map_err(format)?;
        if key.is_encrypted() {
            let phrase = passphrase().ok_or_else(|| KeyFileError::NeedsPassphrase(path.to_owned()))?;
            key = key.decrypt(phrase.as_bytes()).map_err(|_| KeyFileError::WrongPassphrase(path.to_owned()))?;
        }
        let pair = key.key_data().ed25519().ok_or_else(|| KeyFileError::Kind(path.to_owned()))?;
        let seed = Zeroizing::new(pair.private.to_bytes());
        let read = Self::from_seed(scheme, &seed).ok_or_else(|| KeyFileError::Kind(path.to_owned()))?;
        let halves_match = read.public.raw() == Some(&pair.public.0);
        if halves_match { Ok(read) } else { Err(KeyFileError::Halves(path.to_owned())) }
    }

    /// Writes the key to a new file with mode 0600, and refuses to replace one. The public half, if wanted beside it,
    /// is `self.key().to_openssh()`.
    pub fn write_new(&self, path: &Path, comment: &str) -> Result<(), KeyFileError> {
        let format = |e| KeyFileError::Format(path.to_owned(), e);
        let pair = Ed25519Keypair::from_bytes(&self.signing.to_keypair_bytes()).map_err(format)?;
        let key = ssh_key::PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(format)?;
        let pem = key.to_openssh(ssh_key::LineEnding::LF).map_err(format)?;
        durable::write_new(path, pem.as_bytes(), 0o600).map_err(|e| KeyFileError::Write(path.to_owned(), e))
    }
}

impl Signer for PrivateKey {
    fn key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(match self.public.scheme() {
            Scheme::Ed25519 => self.signing.sign(message).to_bytes().to_vec(),
            // A key in hardware is never here: `PublicKey` has no such scheme for raw Ed25519.
            Scheme::SshSig | Scheme::SkSshSig => {
                let raw = self.signing.sign(&sshsig::to_sign(message)).to_bytes();
                sshsig::blob(&self.public.wire(), &sshsig::typed(&raw))
            }
        })
    }
}

impl std::fmt::Debug for PrivateKey {
    /// Never the key itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({:?})", self.public)
    }
}

/// The public key of a private key file, which is never encrypted: magic, three strings about the cipher, the number of
/// keys, and it. `None` for what is not one key in this format, or of a kind that we do not use.
fn public_half(pem: &[u8]) -> Option<PublicKey> {
    let text = std::str::from_utf8(pem).ok()?;
    let encoded: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(encoded).ok()?);
    let mut reader = wire::Reader::new(bytes.strip_prefix(MAGIC)?);
    for _cipher in 0..3 {
        reader.string()?;
    }
    if reader.u32()? != 1 {
        return None;
    }
    PublicKey::of_person_wire(reader.string()?).ok()
}

/// Opens first and asks the open file for its mode, so that nobody can swap it in between.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |e| KeyFileError::Read(path.to_owned(), e);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
