//! Commit signatures: git's SSH signing, verified here and not by the `git` or `ssh-keygen` program.
//!
//! Sources: git `Documentation/gitformat-signature.adoc` (the signed payload is the commit object without its
//! `gpgsig` header), OpenSSH `PROTOCOL.sshsig` (the armoured container) and `PROTOCOL.u2f` (hardware keys).
//! It refuses to know whose key it is: enrolment is a matter of the charter.

use base64::Engine as _;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use ssh_key::{SshSig, public::KeyData};

/// The namespace that git signs commits in; a signature made for anything else does not count.
const NAMESPACE: &str = "git";
/// An armoured Ed25519 signature is 300 bytes; RSA ones, which are told apart, some two thousand.
const ARMOUR_LIMIT_BYTES: usize = 16 << 10;
/// User presence, the flag that a hardware key sets when it was touched (PROTOCOL.u2f).
const USER_PRESENT: u8 = 1;

/// The kinds of key that are accepted.
const ACCEPTED_KINDS: [&[u8]; 2] = [b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com"];

/// What the signature of a commit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitSignature {
    /// Signed; the public key in SSH wire form (RFC 4253 section 6.6), whose digest is a `KeyId`.
    Signed {
        /// The wire form.
        key: Vec<u8>,
    },
    /// No signature at all.
    Unsigned,
    /// A signature of another kind (OpenPGP, X.509).
    NotSsh,
    /// An SSH signature that does not verify: changed afterwards, made for another purpose, or malformed.
    BadSignature,
    /// An SSH signature by a kind of key that is not accepted; Ed25519 is, in a file or in hardware.
    UnsupportedKey,
}

/// Verifies what stands in the `gpgsig` header over the rest of the commit.
pub(super) fn verify(armour: &[u8], payload: &[u8]) -> CommitSignature {
    if !armour.starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        return CommitSignature::NotSsh;
    }
    if armour.len() > ARMOUR_LIMIT_BYTES {
        return CommitSignature::BadSignature;
    }
    let Some(kind) = key_kind(armour) else { return CommitSignature::BadSignature };
    if !ACCEPTED_KINDS.contains(&kind.as_slice()) {
        return CommitSignature::UnsupportedKey;
    }
    let Ok(parsed) = SshSig::from_pem(armour) else { return CommitSignature::BadSignature };
    match check(&parsed, payload) {
        Some(key) => CommitSignature::Signed { key },
        None => CommitSignature::BadSignature,
    }
}

/// The name of the kind of key in the container: `"SSHSIG" ‖ u32 version ‖ string key`, where the key starts with
/// the name as a string. The library refuses kinds that it was built without in the same way as garbage.
fn key_kind(armour: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(armour).ok()?;
    let body: String = text.lines().filter(|l| !l.starts_with("-----")).map(str::trim).collect();
    let blob = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    let rest = blob.strip_prefix(b"SSHSIG")?.get(4 + 4..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?).map(<[u8]>::to_vec)
}

/// The signer's key in wire form if everything fits.
fn check(parsed: &SshSig, payload: &[u8]) -> Option<Vec<u8>> {
    if parsed.namespace() != NAMESPACE || !parsed.reserved().is_empty() {
        return None;
    }
    let signed = SshSig::signed_data(NAMESPACE, parsed.hash_alg(), payload).ok()?;
    let raw = parsed.signature_bytes();
    match parsed.public_key() {
        KeyData::Ed25519(key) => strict(&key.0, &signed, raw)?,
        KeyData::SkEd25519(key) => {
            // The device signs SHA-256(application) ‖ flags ‖ counter ‖ SHA-256(message).
            let (signature, rest) = raw.split_at_checked(64)?;
            let (flags, counter) = rest.split_first()?;
            if counter.len() != 4 || flags & USER_PRESENT == 0 {
                return None;
            }
            let mut message = Sha256::digest(key.application().as_bytes()).to_vec();
            message.push(*flags);
            message.extend(counter);
            message.extend(Sha256::digest(&signed));
            strict(&key.public_key().0, &message, signature)?;
        }
        _ => return None,
    }
    wire(parsed.public_key())
}

fn strict(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = VerifyingKey::from_bytes(key).ok()?;
    key.verify_strict(message, &Signature::from_slice(signature).ok()?).ok()
}

fn wire(key: &KeyData) -> Option<Vec<u8>> {
    ssh_key::PublicKey::from(key.clone()).to_bytes().ok()
}
