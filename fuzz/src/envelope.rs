//! DSSE envelopes: as they come from outside, as entries of a log, and as other tools make them.

use ledger::{
    dsse::{ENTRY_LIMIT_BYTES, Envelope, ForeignEnvelope, Identity},
    keys::{PublicKey, Scheme},
};
use model::{Digest, KeyId};

use crate::{bytes::Choices, fixed};

/// An envelope has one canonical form, strict and liberal readers agree about it, and what verifies was signed.
pub fn run(data: &[u8]) {
    let strict = Envelope::parse(data);
    let entry = Envelope::from_entry(data);
    if let Ok(envelope) = &entry {
        assert_eq!(envelope.canonical_bytes(), data);
        assert_eq!(strict.as_ref().ok(), Some(envelope), "every entry is an envelope");
    }
    let foreign = ForeignEnvelope::parse(data);
    if let Ok(envelope) = &strict {
        check(envelope);
        let foreign = foreign.as_ref().expect("the liberal reader takes what the strict one takes");
        assert_eq!(
            (foreign.payload_type.as_str(), foreign.payload.as_slice()),
            (envelope.payload_type(), envelope.payload())
        );
        assert_eq!(foreign.signatures, [(Some(envelope.signer().to_string()), envelope.signature().to_vec())]);
    }
    if let Ok(foreign) = &foreign {
        let key = fixed::public(Scheme::Ed25519, 3);
        let signed = own_signature(&foreign.payload_type, &foreign.payload);
        let is_there = signed.is_some_and(|own| foreign.signatures.iter().any(|(_, s)| *s == own));
        assert_eq!(foreign.is_signed_by(&key), is_there, "only the key's own signature counts");
    }
    parts(data);
}

fn check(envelope: &Envelope) {
    let bytes = envelope.canonical_bytes();
    assert!(bytes.len() <= ENTRY_LIMIT_BYTES);
    assert_eq!(Envelope::from_entry(&bytes).ok().as_ref(), Some(envelope), "what is written can be read");
    assert_eq!(envelope.identity(), Identity::of(envelope.payload(), envelope.signer()));
    let key: PublicKey = fixed::public(Scheme::Ed25519, 3);
    if envelope.verify(&key).is_ok() {
        assert_eq!(envelope.signer(), key.id());
        let own = own_signature(envelope.payload_type(), envelope.payload());
        assert_eq!(own.as_deref(), Some(envelope.signature()), "only the key's own signature verifies");
    }
}

/// What the key itself would have signed.
fn own_signature(payload_type: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let message = ledger::dsse::pae(payload_type, payload);
    ledger::keys::Signer::sign(&fixed::key(Scheme::Ed25519, 3), &message).ok()
}

/// Any parts that make an envelope come back out of it.
fn parts(data: &[u8]) {
    let mut choices = Choices::new(data);
    let signer = KeyId::of_wire(choices.hash().as_bytes());
    let signature = choices.slice();
    let payload_type = String::from_utf8_lossy(choices.slice()).into_owned();
    let payload = choices.rest();
    let Ok(envelope) = Envelope::from_parts(&payload_type, payload.to_vec(), signer, signature.to_vec()) else {
        return;
    };
    check(&envelope);
    assert_eq!((envelope.payload_type(), envelope.payload()), (payload_type.as_str(), payload));
    assert_eq!((envelope.signer(), envelope.signature()), (signer, signature));
    assert_ne!(envelope.identity().digest(), Digest::of(payload), "the signer is part of the name");
}
