//! Signed notes (C2SP signed-note v1.0.0) with Ed25519 signatures (type 0x01) and timestamped cosignatures
//! (type 0x04, C2SP tlog-cosignature v1.0.1).
//!
//! It knows text, names and keys, and refuses to know what a text says.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::{Digest, Timestamp};

use crate::keys::{PublicKey, Scheme, SignError, Signer};

/// 256 KiB: sixteen post-quantum signatures of 5 kB, which everybody must accept, three times over.
pub const NOTE_LIMIT_BYTES: usize = 256 * 1024;
/// Four times the 16 signatures that everybody must accept.
const SIGNATURE_LIMIT: usize = 64;
const COSIGNATURE_BYTES: usize = 72;
const MARK: &str = "\u{2014} ";

/// What a key signs in a note; the number is the signature type of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKeyType {
    /// 0x01: Ed25519 over the text. Logs.
    Ed25519,
    /// 0x04: Ed25519 over time and text. Witnesses.
    Cosignature,
}

impl NoteKeyType {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A verifier key, printed and parsed as a vkey: `name+hex(id)+base64(type ‖ key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_type: NoteKeyType,
    key: PublicKey,
    /// The key's 32 bytes: only raw Ed25519 keys sign notes.
    raw: [u8; 32],
}

/// A text and the signature lines below it. Parsed is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line: `— name base64(id ‖ signature)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// Why a note is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Larger than the limit.
    #[error("the note has {0} bytes, more than {NOTE_LIMIT_BYTES}")]
    TooLarge(usize),
    /// Not text, a blank line and signature lines.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The key that counts has not signed.
    #[error("`{0}` has not signed this note")]
    Unsigned(String),
    /// A signature of a known key does not verify, which makes the whole note malformed.
    #[error("the signature of `{0}` on this note does not verify")]
    BadSignature(String),
    /// Asked for a time from a key that signs without one, or the other way round.
    #[error("`{0}` is a key of the other type")]
    KeyType(String),
}

/// Why a text is not a vkey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VkeyError {
    /// Not three parts joined by `+`.
    #[error("`{0}` is not a verifier key: name, id and key joined by `+`")]
    Malformed(String),
    /// A name that can not stand in a note.
    #[error("`{0}` is not a key name: it can not be empty or hold spaces, `+` or control characters")]
    Name(String),
    /// The id does not follow from name and key.
    #[error("the id in the verifier key of `{0}` does not belong to its name and key")]
    Id(String),
    /// Another signature type than 0x01 and 0x04.
    #[error("signature type {0:#04x} is not supported: use Ed25519 keys")]
    Type(u8),
    /// Not a usable Ed25519 key.
    #[error("the verifier key of `{0}` is not a usable Ed25519 key")]
    Key(String),
    /// A signer of another scheme than raw Ed25519.
    #[error("notes are signed by raw Ed25519 keys")]
    Scheme,
}

impl VerifierKey {
    /// A vkey for this name and key.
    pub fn new(name: &str, key_type: NoteKeyType, key: &PublicKey) -> Result<Self, VkeyError> {
        check_name(name)?;
        let raw = *key.raw().ok_or(VkeyError::Scheme)?;
        let key = key.with_scheme(Scheme::Ed25519).map_err(|_| VkeyError::Scheme)?;
        Ok(Self { name: name.to_owned(), key_type, key, raw })
    }

    /// The name; for a log its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub const fn key_type(&self) -> NoteKeyType {
        self.key_type
    }

    /// The key itself.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The first four bytes of `SHA-256(name ‖ 0x0A ‖ type ‖ key)`.
    pub fn id(&self) -> [u8; 4] {
        let mut bytes = self.name.clone().into_bytes();
        bytes.push(b'\n');
        bytes.push(self.key_type.byte());
        bytes.extend_from_slice(&self.raw);
        let [a, b, c, d, ..] = *Digest::of(&bytes).as_bytes();
        [a, b, c, d]
    }

    fn matches(&self, signature: &NoteSignature) -> bool {
        signature.name == self.name && signature.id == self.id()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut material = vec![self.key_type.byte()];
        material.extend_from_slice(&self.raw);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), BASE64_STANDARD.encode(material))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = VkeyError;

    fn from_str(text: &str) -> Result<Self, VkeyError> {
        let malformed = || VkeyError::Malformed(text.chars().take(160).collect());
        // The base64 may hold further `+`, the name and the id can not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        check_name(name)?;
        let material = BASE64_STANDARD.decode(material).map_err(|_| malformed())?;
        let (byte, raw) = material.split_first().ok_or_else(malformed)?;
        let key_type = match *byte {
            1 => NoteKeyType::Ed25519,
            4 => NoteKeyType::Cosignature,
            other => return Err(VkeyError::Type(other)),
        };
        let raw = <&[u8; 32]>::try_from(raw).map_err(|_| VkeyError::Key(name.to_owned()))?;
        let key = PublicKey::from_raw(Scheme::Ed25519, raw).map_err(|_| VkeyError::Key(name.to_owned()))?;
        let vkey = Self { name: name.to_owned(), key_type, key, raw: *raw };
        if hex::encode(vkey.id()) == id { Ok(vkey) } else { Err(VkeyError::Id(name.to_owned())) }
    }
}

impl Note {
    /// A note without signatures yet. The text is one or more lines, each ended by a newline.
    pub fn new(text: String) -> Result<Self, NoteError> {
        check_text(&text)?;
        Ok(Self { text, signatures: Vec::new() })
    }

    /// A note over a text that is known to be one: lines printed from names and numbers that were checked when parsed.
    pub(crate) fn of_checked_text(text: String, signature: NoteSignature) -> Self {
        Self { text, signatures: vec![signature] }
    }

    /// Parses a note; signatures of any kind are kept, none is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_LIMIT_BYTES {
            return Err(NoteError::TooLarge(bytes.len()));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        let split = whole.rfind("\n\n").ok_or(NoteError::Malformed("no blank line before the signatures"))?;
        let (text, rest) = whole.split_at(split + 1);
        check_text(text)?;
        let lines = rest.strip_prefix('\n').unwrap_or(rest);
        let signatures = NoteSignature::parse_lines(lines)?;
        if signatures.is_empty() {
            return Err(NoteError::Malformed("it has no signature"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line; the same line twice is one.
    pub fn add(&mut self, signature: NoteSignature) {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// Drops every signature line.
    pub(crate) fn clear(&mut self) {
        self.signatures.clear();
    }

    /// Drops every signature line that is not one of these keys'.
    pub(crate) fn retain_keys(&mut self, keys: &[VerifierKey]) {
        self.signatures.retain(|s| keys.iter().any(|key| key.matches(s)));
    }

    /// Insists on a valid signature of this key (type 0x01), and on all of its signatures being valid.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        if key.key_type != NoteKeyType::Ed25519 {
            return Err(NoteError::KeyType(key.name.clone()));
        }
        let mut signed = false;
        for signature in self.signatures.iter().filter(|s| key.matches(s)) {
            key.key
                .verify(self.text.as_bytes(), &signature.bytes)
                .map_err(|_| NoteError::BadSignature(key.name.clone()))?;
            signed = true;
        }
        if signed { Ok(()) } else { Err(NoteError::Unsigned(key.name.clone())) }
    }

    /// Insists on a valid signature of at least one of these keys, and on all of their signatures being valid. `who` is
    /// named if none has signed.
    pub fn verify_any(&self, keys: &[VerifierKey], who: &str) -> Result<(), NoteError> {
        let mut signed = false;
        for key in keys {
            match self.verify(key) {
                Ok(()) => signed = true,
                Err(NoteError::Unsigned(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if signed { Ok(()) } else { Err(NoteError::Unsigned(who.to_owned())) }
    }

    /// When this key (type 0x04) cosigned the note, the latest time if it did so twice; `None` if it did not.
    pub fn cosigned_at(&self, key: &VerifierKey) -> Result<Option<Timestamp>, NoteError> {
        if key.key_type != NoteKeyType::Cosignature {
            return Err(NoteError::KeyType(key.name.clone()));
        }
        let bad = || NoteError::BadSignature(key.name.clone());
        let mut latest = None;
        for signature in self.signatures.iter().filter(|s| key.matches(s)) {
            let (time, raw) = signature.bytes.split_first_chunk::<8>().ok_or_else(bad)?;
            let time = u64::from_be_bytes(*time);
            // A cosignature with time zero says nothing about this being the largest tree (tlog-cosignature, "Format").
            if signature.bytes.len() != COSIGNATURE_BYTES || time == 0 || time > i64::MAX.cast_unsigned() {
                return Err(bad());
            }
            key.key.verify(&cosigned_message(&self.text, time), raw).map_err(|_| bad())?;
            latest = latest.max(Some(Timestamp::from_unix(time)));
        }
        Ok(latest)
    }

    /// The latest time that any of its cosignatures claims, whoever made it and without verifying one: none that holds up
    /// is later.
    pub(crate) fn claimed_at(&self) -> Option<Timestamp> {
        let times = self.signatures.iter().filter(|s| s.bytes.len() == COSIGNATURE_BYTES);
        let times = times.filter_map(|s| s.bytes.first_chunk::<8>());
        times.map(|time| Timestamp::from_unix(u64::from_be_bytes(*time))).max()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|s| write!(f, "{s}"))
    }
}

impl NoteSignature {
    /// Parses signature lines alone, as a witness answers them.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        let malformed = NoteError::Malformed("a line below the blank line is not a signature");
        let mut signatures = Vec::new();
        for line in text.split_inclusive('\n') {
            let parsed = Self::parse_line(line).ok_or_else(|| malformed.clone())?;
            signatures.push(parsed);
            if signatures.len() > SIGNATURE_LIMIT {
                return Err(NoteError::Malformed("it has too many signatures"));
            }
        }
        Ok(signatures)
    }

    /// The name of the key that is said to have signed.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn parse_line(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(MARK)?.strip_suffix('\n')?.split_once(' ')?;
        check_name(name).ok()?;
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        let (id, rest) = bytes.split_first_chunk::<4>()?;
        (!rest.is_empty()).then(|| Self { name: name.to_owned(), id: *id, bytes: rest.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    /// The whole line with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend_from_slice(&self.bytes);
        writeln!(f, "{MARK}{} {}", self.name, BASE64_STANDARD.encode(bytes))
    }
}

/// Signs notes under a name.
#[derive(Clone)]
pub struct NoteSigner {
    vkey: VerifierKey,
    signer: Arc<dyn Signer>,
}

impl NoteSigner {
    /// A signer under this name; the key must be raw Ed25519.
    pub fn new(name: &str, key_type: NoteKeyType, signer: Arc<dyn Signer>) -> Result<Self, VkeyError> {
        if signer.key().scheme() != Scheme::Ed25519 {
            return Err(VkeyError::Scheme);
        }
        let vkey = VerifierKey::new(name, key_type, signer.key())?;
        Ok(Self { vkey, signer })
    }

    /// The key that verifies what this signs.
    pub const fn vkey(&self) -> &VerifierKey {
        &self.vkey
    }

    /// Signs a note's text. `time` is what a cosignature says, and is not used by a key without times.
    pub fn sign(&self, text: &str, time: Timestamp) -> Result<NoteSignature, SignError> {
        let bytes = match self.vkey.key_type {
            NoteKeyType::Ed25519 => self.signer.sign(text.as_bytes())?,
            NoteKeyType::Cosignature => {
                let mut bytes = time.unix().to_be_bytes().to_vec();
                bytes.extend(self.signer.sign(&cosigned_message(text, time.unix()))?);
                bytes
            }
        };
        Ok(NoteSignature { name: self.vkey.name.clone(), id: self.vkey.id(), bytes })
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.vkey)
    }
}

fn cosigned_message(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

fn check_name(name: &str) -> Result<(), VkeyError> {
    let fits = !name.is_empty()
        && name.len() <= 255
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
    if fits { Ok(()) } else { Err(VkeyError::Name(name.chars().take(80).collect())) }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') || text == "\n" {
        return Err(NoteError::Malformed("its text does not end with a newline"));
    }
    if text.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(NoteError::Malformed("its text has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
