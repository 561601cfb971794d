//! Statements as Sigstore bundles v0.3 (`sigstore/protobuf-specs:protos/sigstore_bundle.proto`): one envelope with exactly
//! one signature, and a hint at the key that verifies it.
//!
//! There is no certificate in them, for our keys are in a charter and not at an authority, and no entry of a Sigstore log:
//! that the statement is in our log is what a tlog-proof file says ([`crate::proof`]). A verifier that insists on either
//! refuses such a bundle. The signature of a person is SSHSIG and not raw Ed25519; nobody but us verifies that inside of a
//! bundle, so whoever writes one for a person says so in its name.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::dsse::Envelope;

/// The media type of the form that is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The bundle of one envelope, as JSON. The hint is the key's id: `sha256:` and the hash of the key in SSH wire form.
pub fn bundle(envelope: &Envelope) -> String {
    let hint = envelope.signer().to_string();
    json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": { "publicKey": { "hint": hint }, "tlogEntries": [] },
        "dsseEnvelope": {
            "payload": BASE64_STANDARD.encode(envelope.payload()),
            "payloadType": envelope.payload_type(),
            "signatures": [{ "sig": BASE64_STANDARD.encode(envelope.signature()), "keyid": hint }],
        },
    })
    .to_string()
}
