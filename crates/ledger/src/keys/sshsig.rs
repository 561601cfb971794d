//! SSHSIG: how OpenSSH signs bytes that are not a login (openssh-portable `PROTOCOL.sshsig`).
//!
//! The blob is what stands base64-encoded between the lines of `ssh-keygen -Y sign`; an envelope carries it without
//! that armour. Only version 1 is known, and the kinds of key that [`Algorithm`] lists.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::Digest;
use sha2::{Digest as _, Sha512};

use super::{Algorithm, wire};

/// What our signatures are made for. Frozen: a signature that a person made for git, files or another program
/// never verifies here, nor one of ours there.
pub const NAMESPACE: &str = "statement.v1@countersign";

const MAGIC: &[u8] = b"SSHSIG";
/// As OpenSSH writes it (`PROTOCOL.sshsig`, "Armored format").
const ARMOR_COLUMNS: usize = 70;
const ARMOR_BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const ARMOR_END: &str = "-----END SSH SIGNATURE-----";
const VERSION: u32 = 1;
const HASH_NAME: &[u8] = b"sha512";

/// Why an SSHSIG blob is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshSigError {
    /// Too short, too long, or without its magic in front.
    #[error("not an SSHSIG blob")]
    Malformed,
    /// Another version of the format.
    #[error("SSHSIG version {0} is unknown")]
    Version(u32),
    /// Made for something else.
    #[error("the signature was made for `{made}`, not for `{wanted}`")]
    Namespace {
        /// The namespace that it names.
        made: String,
        /// The one that counts here.
        wanted: String,
    },
    /// The reserved field must be empty for us, or two blobs would be one signature.
    #[error("the reserved field of the SSH signature is not empty")]
    Reserved,
    /// Not `sha512` or `sha256`.
    #[error("the SSH signature uses the unknown hash `{0}`")]
    Hash(String),
    /// Of another type than the key.
    #[error("the SSH signature is of the type `{made}`, not `{wanted}`")]
    Algorithm {
        /// The type that it names.
        made: String,
        /// The key's.
        wanted: Algorithm,
    },
    /// Made by another key than the one that is enrolled.
    #[error("the SSH signature was made by another key")]
    OtherKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

/// A parsed blob; the slices borrow from it.
pub(super) struct Blob<'a> {
    /// In SSH wire form.
    pub(super) key: &'a [u8],
    /// With its type in front.
    pub(super) signature: &'a [u8],
    namespace: &'a [u8],
    hash: Hash,
}

impl<'a> Blob<'a> {
    pub(super) fn parse(wanted: &str, bytes: &'a [u8]) -> Result<Self, SshSigError> {
        let mut reader = wire::Reader::new(bytes);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(SshSigError::Malformed);
        }
        let version = reader.u32().ok_or(SshSigError::Malformed)?;
        if version != VERSION {
            return Err(SshSigError::Version(version));
        }
        let mut string = || reader.string().ok_or(SshSigError::Malformed);
        let (key, namespace, reserved, hash, signature) = (string()?, string()?, string()?, string()?, string()?);
        if !reader.is_empty() {
            return Err(SshSigError::Malformed);
        }
        if namespace != wanted.as_bytes() {
            return Err(SshSigError::Namespace { made: shown(namespace), wanted: wanted.to_owned() });
        }
        if !reserved.is_empty() {
            return Err(SshSigError::Reserved);
        }
        let hash = match hash {
            b"sha256" => Hash::Sha256,
            b"sha512" => Hash::Sha512,
            other => return Err(SshSigError::Hash(shown(other))),
        };
        Ok(Self { key, signature, namespace, hash })
    }

    /// What the key signed: the fields again, with the hash of the message.
    pub(super) fn signed_data(&self, message: &[u8]) -> Vec<u8> {
        match self.hash {
            Hash::Sha512 => signed_data(self.namespace, HASH_NAME, &Sha512::digest(message)),
            Hash::Sha256 => signed_data(self.namespace, b"sha256", Digest::of(message).as_bytes()),
        }
    }
}

/// The blob as `ssh-keygen -Y verify` reads it: base64 in lines of 70 between the lines of the armour.
pub fn armored(blob: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(blob);
    let mut text = format!("{ARMOR_BEGIN}\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so any place is the end of a character.
        let (line, more) = rest.split_at(rest.len().min(ARMOR_COLUMNS));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text + ARMOR_END + "\n"
}

/// The blob between the lines of the armour; `None` if there are none, or what is between them is not base64.
pub fn dearmored(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix(ARMOR_BEGIN)?.strip_suffix(ARMOR_END)?;
    let encoded: String = inner.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(encoded).ok()
}

/// The bytes that a key signs for this message, with SHA-512 as `ssh-keygen` does.
pub(super) fn to_sign(message: &[u8]) -> Vec<u8> {
    signed_data(NAMESPACE.as_bytes(), HASH_NAME, &Sha512::digest(message))
}

/// The blob for a key in wire form and what it made of [`to_sign`], with its type in front ([`typed`]).
pub(super) fn blob(key: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    for part in [key, NAMESPACE.as_bytes(), b"", HASH_NAME, signature] {
        wire::put_string(&mut out, part);
    }
    out
}

/// An Ed25519 signature with its type in front (RFC 8709 section 6).
pub(super) fn typed(raw: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(83);
    wire::put_string(&mut out, Algorithm::Ed25519.as_str().as_bytes());
    wire::put_string(&mut out, raw);
    out
}

/// What follows the type in front of a signature of this key: the 64 bytes of Ed25519, or what hardware says.
pub(super) fn signature_of(wanted: Algorithm, bytes: &[u8]) -> Result<&[u8], SshSigError> {
    let mut reader = wire::Reader::new(bytes);
    let made = reader.string().ok_or(SshSigError::Malformed)?;
    if made != wanted.as_str().as_bytes() {
        return Err(SshSigError::Algorithm { made: shown(made), wanted });
    }
    if wanted.is_hardware() {
        return Ok(reader.rest());
    }
    let raw = reader.string().ok_or(SshSigError::Malformed)?;
    if reader.is_empty() { Ok(raw) } else { Err(SshSigError::Malformed) }
}

fn signed_data(namespace: &[u8], hash_name: &[u8], hash: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    out.extend_from_slice(MAGIC);
    for part in [namespace, b"", hash_name, hash] {
        wire::put_string(&mut out, part);
    }
    out
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(super::QUOTED_LIMIT).flat_map(char::escape_default).collect()
}
