//! Commit signatures: git's SSH signing, verified here and not by the `git` or `ssh-keygen` program.
//!
//! Sources: git `Documentation/gitformat-signature.adoc` (the signed payload is the commit object without its
//! `gpgsig` header). What an SSH signature is, and which kinds of key count, is [`ledger::keys`]' business: who signs
//! statements with a key signs commits with it.
//! It refuses to know whose key it is: enrolment is a matter of the charter.

use ledger::keys::{KeyError, PublicKey, VerifyError, dearmored};

/// The namespace that git signs commits in; a signature made for anything else does not count.
const NAMESPACE: &str = "git";
/// An armoured Ed25519 signature is 300 bytes; RSA ones, which are told apart, some two thousand.
const ARMOUR_LIMIT_BYTES: usize = 16 << 10;

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
    /// An SSH signature by a kind of key that is not accepted; Ed25519 is, and keys in hardware.
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
    let Some(blob) = std::str::from_utf8(armour).ok().and_then(dearmored) else {
        return CommitSignature::BadSignature;
    };
    match PublicKey::that_signed(NAMESPACE, payload, &blob) {
        Ok(key) => CommitSignature::Signed { key: key.wire() },
        Err(VerifyError::Key(KeyError::Algorithm(_))) => CommitSignature::UnsupportedKey,
        Err(_) => CommitSignature::BadSignature,
    }
}
