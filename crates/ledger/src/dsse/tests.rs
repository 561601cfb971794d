use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::{
    fixtures::{PAYLOAD_TYPE, key, statement},
    keys::Scheme,
};

fn json(payload: &str, keyid: &str, sig: &str) -> String {
    format!(
        r#"{{"payload":"{payload}","payloadType":"{PAYLOAD_TYPE}","signatures":[{{"keyid":"{keyid}","sig":"{sig}"}}]}}"#
    )
}

/// The example of the DSSE protocol, "Test Vectors".
#[test]
fn pae_is_the_specifications() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
}

#[test]
fn both_schemes_seal_and_verify() {
    for scheme in [Scheme::Ed25519, Scheme::SshSig] {
        let key = key(scheme, 1);
        let envelope = Envelope::seal(PAYLOAD_TYPE, b"{}".to_vec(), &key).unwrap();
        envelope.verify(key.key()).unwrap();
        let entry = envelope.canonical_bytes();
        assert_eq!(Envelope::from_entry(&entry).unwrap(), envelope);
        let other = crate::fixtures::key(scheme, 2);
        assert!(envelope.verify(other.key()).is_err());
    }
}

#[test]
fn every_part_is_signed() {
    let key = key(Scheme::Ed25519, 1);
    let good = statement(1);
    let with = |payload_type: &str, payload: &[u8], signature: &[u8]| {
        Envelope::from_parts(payload_type, payload.to_vec(), good.signer(), signature.to_vec())
            .unwrap()
            .verify(key.key())
    };
    with(PAYLOAD_TYPE, good.payload(), good.signature()).unwrap();
    assert!(with("text/plain", good.payload(), good.signature()).is_err());
    assert!(with(PAYLOAD_TYPE, b"{}", good.signature()).is_err());
    for at in 0..good.signature().len() {
        let mut changed = good.signature().to_vec();
        changed[at] ^= 0x10;
        assert!(with(PAYLOAD_TYPE, good.payload(), &changed).is_err(), "byte {at}");
    }
}

#[test]
fn every_base64_is_read_and_is_the_same_statement() {
    let key = key(Scheme::Ed25519, 1);
    // Bytes that need both characters in which the alphabets differ.
    let envelope = Envelope::seal(PAYLOAD_TYPE, vec![0xfb, 0xff, 0xbf, 0xfe], &key).unwrap();
    let keyid = envelope.signer().to_string();
    for engine in [&BASE64_STANDARD, &BASE64_URL_SAFE, &BASE64_STANDARD_NO_PAD, &BASE64_URL_SAFE_NO_PAD] {
        let text = json(&engine.encode(envelope.payload()), &keyid, &engine.encode(envelope.signature()));
        let read = Envelope::parse(text.as_bytes()).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.canonical_bytes(), envelope.canonical_bytes());
        assert_eq!(read.identity(), envelope.identity());
    }
    let spaced = String::from_utf8(envelope.canonical_bytes()).unwrap().replace(',', " ,\n ");
    assert_eq!(Envelope::parse(spaced.as_bytes()).unwrap(), envelope);
    assert!(matches!(Envelope::from_entry(spaced.as_bytes()), Err(EnvelopeError::NotCanonical)));
}

#[test]
fn a_second_signature_over_the_same_payload_is_the_same_statement() {
    let key = key(Scheme::SshSig, 1);
    let one = Envelope::seal(PAYLOAD_TYPE, b"{}".to_vec(), &key).unwrap();
    let again = Envelope::from_parts(PAYLOAD_TYPE, b"{}".to_vec(), one.signer(), b"another".to_vec()).unwrap();
    assert_eq!(one.identity(), again.identity());
    let other = Envelope::seal(PAYLOAD_TYPE, b"{}".to_vec(), &crate::fixtures::key(Scheme::SshSig, 2)).unwrap();
    assert_ne!(one.identity(), other.identity());
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let good = statement(1);
    let text = String::from_utf8(good.canonical_bytes()).unwrap();
    let refused = |text: String| Envelope::parse(text.as_bytes()).unwrap_err().to_string();
    let shape = "not a DSSE envelope: `payload`, `payloadType` and `signatures` in JSON, each once";
    assert_eq!(refused(text.replacen('{', r#"{"payload":"e30=","#, 1)), shape, "duplicate");
    assert_eq!(refused(text.replacen('{', r#"{"extra":1,"#, 1)), shape, "unknown");
    assert_eq!(refused(text.replace(r#""keyid""#, r#""sig":"AA==","keyid""#)), shape, "duplicate inside");
    assert_eq!(refused(text.clone() + "{}"), shape, "trailing");
    assert_eq!(refused("[]".to_owned()), shape);
    assert_eq!(refused(text.replace(r#""signatures":[{"#, r#""signatures":[],"x":[{"#)), shape);
    let signature = text.split_once('[').unwrap().1.trim_end_matches("]}").to_owned();
    assert_eq!(refused(text.replace(&signature, "")), "an envelope carries one signature, not 0");
    assert_eq!(
        refused(text.replace(&signature, &format!("{signature},{signature}"))),
        "an envelope carries one signature, not 2"
    );
    assert_eq!(refused(json("e30=", "ada", "AA==")), "`ada` is not a key id: `sha256:` and 64 hex digits");
    let id = good.signer().to_string();
    assert_eq!(
        refused(json("e30=", &id.to_uppercase(), "AA==")),
        format!("`{}` is not a key id: `sha256:` and 64 hex digits", id.to_uppercase())
    );
    assert_eq!(refused(json("e3$=", &id, "AA==")), "`payload` is not base64");
    assert_eq!(refused(json("e30=", &id, "AB==")), "`sig` is not base64", "bits that mean nothing");
    assert_eq!(refused(text.replace(PAYLOAD_TYPE, "")), "`` is not a payload type");
    assert_eq!(refused(text.replace(PAYLOAD_TYPE, r#"a\"b"#)), "`a\"b` is not a payload type");
}

#[test]
fn entries_stay_within_what_a_bundle_can_carry() {
    let key = key(Scheme::Ed25519, 1);
    let overhead = Envelope::seal(PAYLOAD_TYPE, Vec::new(), &key).unwrap().canonical_bytes().len();
    let largest = (ENTRY_LIMIT_BYTES - overhead) / 4 * 3;
    let fits = Envelope::seal(PAYLOAD_TYPE, vec![b'x'; largest], &key).unwrap();
    assert!(fits.canonical_bytes().len() <= ENTRY_LIMIT_BYTES);
    assert_eq!(Envelope::parse(&fits.canonical_bytes()).unwrap(), fits);
    let refused = Envelope::seal(PAYLOAD_TYPE, vec![b'x'; largest + 3], &key).unwrap_err();
    assert!(matches!(refused, SealError::Envelope(EnvelopeError::TooLarge { .. })));
    assert!(matches!(Envelope::parse(&vec![b' '; 200_000]), Err(EnvelopeError::TooLarge { .. })));
}

#[test]
fn envelopes_from_elsewhere() {
    let key = key(Scheme::Ed25519, 1);
    let good = statement(1);
    let text = String::from_utf8(good.canonical_bytes()).unwrap();
    let foreign = ForeignEnvelope::parse(text.replacen('{', r#"{"extra":1,"#, 1).as_bytes()).unwrap();
    assert!(foreign.is_signed_by(key.key()));
    assert!(!foreign.is_signed_by(crate::fixtures::key(Scheme::Ed25519, 2).key()));
    let without_hint =
        ForeignEnvelope::parse(text.replace(&format!(r#""keyid":"{}","#, good.signer()), "").as_bytes()).unwrap();
    assert_eq!(without_hint.signatures[0].0, None);
    assert!(without_hint.is_signed_by(key.key()));
    let none = text.split_once('[').unwrap().0.to_owned() + "[]}";
    assert!(matches!(ForeignEnvelope::parse(none.as_bytes()), Err(EnvelopeError::Signatures(0))));
}

proptest! {
    #[test]
    fn any_bytes_are_an_envelope_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Envelope::parse(&bytes).is_err());
        prop_assert!(ForeignEnvelope::parse(&bytes).is_err());
    }

    #[test]
    fn changed_envelopes_never_verify_as_another_statement(at in 0_usize..400, to in any::<u8>()) {
        let good = statement(1);
        let mut bytes = good.canonical_bytes();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(read) = Envelope::parse(&bytes) {
            let key = key(Scheme::Ed25519, 1);
            prop_assert!(read == good || read.verify(key.key()).is_err());
            prop_assert_eq!(Envelope::from_entry(&read.canonical_bytes()).unwrap(), read);
        }
    }

    #[test]
    fn payloads_go_round(payload in proptest::collection::vec(any::<u8>(), 0..500)) {
        let key = key(Scheme::Ed25519, 1);
        let envelope = Envelope::seal(PAYLOAD_TYPE, payload, &key).unwrap();
        prop_assert_eq!(Envelope::from_entry(&envelope.canonical_bytes()).unwrap(), envelope);
    }
}

#[test]
fn entries_are_taken_apart_as_the_parser_does() {
    let envelope = statement(1);
    let entry = envelope.canonical_bytes();
    assert_eq!(Envelope::from_entry(&entry).unwrap(), envelope);
    assert_eq!(Envelope::parse(&entry).unwrap(), envelope);
    for at in 0..entry.len() {
        for to in [b' ', b'"', b'=', b'A', b'\\'] {
            let mut changed = entry.clone();
            changed[at] = to;
            let strict = Envelope::parse(&changed).ok().filter(|e| e.canonical_bytes() == changed);
            assert_eq!(Envelope::from_entry(&changed).ok(), strict, "{at} {to}");
        }
    }
}
