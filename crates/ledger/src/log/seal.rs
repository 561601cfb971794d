//! The seal on statements that one process of a log hands to another through a shared store, so that somebody who can
//! only write the store can not put a statement past the door.
//!
//! The secret is made from the log's key, which all processes of the log have: the hash of its signature over a text
//! that is no checkpoint. Ed25519 signatures are the same every time (RFC 8032), so all have the same secret, and it is
//! never stored or sent.

use model::Digest;
use sha2::{Digest as _, Sha256};

use crate::{dsse::Identity, keys::SignError, note::NoteSigner};

/// The block of SHA-256, to which HMAC (RFC 2104) pads its key.
const BLOCK_BYTES: usize = 64;

/// Makes and checks seals.
pub(super) struct Sealer {
    inner: [u8; BLOCK_BYTES],
    outer: [u8; BLOCK_BYTES],
}

impl Sealer {
    pub(super) fn new(signer: &NoteSigner) -> Result<Self, SignError> {
        // Not `origin, size, root`, so it can never be taken for a checkpoint.
        let text = format!("handed over to the sequencer of\n{}\n", signer.vkey().name());
        let signature = signer.sign(&text, model::Timestamp::default())?;
        let secret = Digest::of(signature.to_string().as_bytes());
        let (mut inner, mut outer) = ([0x36; BLOCK_BYTES], [0x5c; BLOCK_BYTES]);
        for (at, byte) in secret.as_bytes().iter().enumerate() {
            for pad in [&mut inner, &mut outer] {
                if let Some(pad) = pad.get_mut(at) {
                    *pad ^= byte;
                }
            }
        }
        Ok(Self { inner, outer })
    }

    /// HMAC-SHA-256 over name and bytes; the name has a fixed length.
    pub(super) fn seal(&self, identity: Identity, bytes: &[u8]) -> Digest {
        let inner = Sha256::new_with_prefix(self.inner).chain_update(identity.digest().as_bytes()).chain_update(bytes);
        let outer = Sha256::new_with_prefix(self.outer).chain_update(inner.finalize());
        Digest::from_bytes(outer.finalize().into())
    }

    /// Whether the seal is one of ours. Its bytes are compared through another hash, so that the time that it takes tells
    /// nothing about the right one.
    pub(super) fn fits(&self, identity: Identity, bytes: &[u8], seal: Digest) -> bool {
        let mask = |digest: Digest| {
            Digest::from_bytes(Sha256::new_with_prefix(self.outer).chain_update(digest.as_bytes()).finalize().into())
        };
        mask(self.seal(identity, bytes)) == mask(seal)
    }
}
