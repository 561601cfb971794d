//! The frozen form of a kept body, version 1.
//!
//! `"csb1" ‖ digest of the subject (32) ‖ nonce (24) ‖ XChaCha20-Poly1305(salt (32) ‖ body)` with tag (16), where the
//! associated data is `"csb1" ‖ commitment (32) ‖ digest of the subject (32)` (draft-irtf-cfrg-xchacha-03 section 2.3).
//! The nonce is random: 24 bytes, so that two alike are not met with under one key. The length of a body shows.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use model::Digest;

use super::{Body, SubjectDigest, SubjectKey};

const MAGIC: &[u8; 4] = b"csb1";
pub(super) const NONCE_BYTES: usize = 24;

/// The kept form of a body; `None` if it is longer than the cipher takes.
pub(super) fn seal(
    key: &SubjectKey,
    subject: SubjectDigest,
    commitment: &Digest,
    nonce: [u8; NONCE_BYTES],
    body: &Body,
) -> Option<Vec<u8>> {
    let plain = zeroize::Zeroizing::new([body.salt.as_slice(), &body.bytes].concat());
    let aad = associated(commitment, subject);
    let cipher = XChaCha20Poly1305::new(key.as_bytes().into());
    let text = cipher.encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &aad }).ok()?;
    Some([MAGIC.as_slice(), subject.digest().as_bytes(), &nonce, &text].concat())
}

/// The subject that a kept body says it is about.
pub(super) fn subject_of(sealed: &[u8]) -> Option<SubjectDigest> {
    split(sealed).map(|(subject, ..)| subject)
}

/// The body and its subject, if this key opens it and it is what was committed to.
pub(super) fn open(key: &SubjectKey, commitment: &Digest, sealed: &[u8]) -> Option<(SubjectDigest, Body)> {
    let (subject, nonce, text) = split(sealed)?;
    let aad = associated(commitment, subject);
    let cipher = XChaCha20Poly1305::new(key.as_bytes().into());
    let plain = cipher.decrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad }).ok()?;
    let (salt, bytes) = plain.split_first_chunk::<32>()?;
    let body = Body { salt: *salt, bytes: bytes.to_vec() };
    (body.commitment() == *commitment).then_some((subject, body))
}

fn split(sealed: &[u8]) -> Option<(SubjectDigest, [u8; NONCE_BYTES], &[u8])> {
    let rest = sealed.strip_prefix(MAGIC)?;
    let (subject, rest) = rest.split_first_chunk::<32>()?;
    let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>()?;
    Some((SubjectDigest::from_digest(Digest::from_bytes(*subject)), *nonce, text))
}

fn associated(commitment: &Digest, subject: SubjectDigest) -> Vec<u8> {
    [MAGIC.as_slice(), commitment.as_bytes(), subject.digest().as_bytes()].concat()
}
