//! DSSE envelopes (`secure-systems-lab/dsse`, protocol and envelope, v1.0): one signature an envelope, one envelope
//! an entry of the log.
//!
//! It knows bytes, types and keys, and refuses to know what a payload says.
//!
//! Reading is strict where two readers could differ (unknown fields, duplicate keys, a second signature) and liberal
//! where the specification asks for it (standard and URL-safe base64). Writing has one form, [`Envelope::canonical_bytes`],
//! and those are the bytes that the log hashes.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use model::{Digest, KeyId};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::keys::{PublicKey, SignError, Signer, VerifyError};

/// 65,535 bytes: an entry bundle carries a 16-bit length in front of each entry (C2SP tlog-tiles, "Log entries").
pub const ENTRY_LIMIT_BYTES: usize = 65_535;
/// What an envelope in canonical form takes beside payload, type and signature: fields, quotes, and a key id of 71
/// characters.
const FRAME_BYTES: usize = 68 + 71;
/// 1 MiB: an envelope from elsewhere (another CI system) may be larger than an entry; it is stored as a body.
const FOREIGN_LIMIT_BYTES: usize = 1024 * 1024;
/// 16 signatures: as many as a signed note must be able to carry; no CI system sends more.
const FOREIGN_SIGNATURE_LIMIT: usize = 16;
/// 255 characters: twice what RFC 6838 section 4.2 allows for each half of a media type.
const TYPE_LIMIT: usize = 255;

const LIBERAL: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LIBERAL);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LIBERAL);

/// A payload, its type, and one signature over both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signer: KeyId,
    signature: Vec<u8>,
}

/// Names a statement: the SHA-256 of the payload followed by the 32 bytes of the key's id. The same payload by the
/// same key is the same statement, however it was encoded and however often it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Digest);

/// An envelope made by somebody else's tool: any number of signatures, key ids as hints only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignEnvelope {
    /// The type of the payload, a media type.
    pub payload_type: String,
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// Key id hint, if there is one, and signature.
    pub signatures: Vec<(Option<String>, Vec<u8>)>,
}

/// Why bytes are not an envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Larger than the limit.
    #[error("the envelope has {size} bytes, more than {limit}; put large parts into a body")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not JSON of the right shape, a field unknown or there twice.
    #[error("not a DSSE envelope: `payload`, `payloadType` and `signatures` in JSON, each once")]
    Json(#[source] serde_json::Error),
    /// A field that must be base64 is not.
    #[error("`{0}` is not base64")]
    Base64(&'static str),
    /// None, or more than one.
    #[error("an envelope carries one signature, not {0}")]
    Signatures(usize),
    /// The key id is missing or not ours.
    #[error("`{0}` is not a key id: `sha256:` and 64 hex digits")]
    KeyId(String),
    /// The type is empty, too long or not a media type.
    #[error("`{0}` is not a payload type")]
    Type(String),
    /// An entry of the log that is not in the one form in which entries are written.
    #[error("the entry is not in its canonical form")]
    NotCanonical,
}

/// Why no envelope was made.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It would not be one.
    #[error("the statement does not fit an envelope")]
    Envelope(#[from] EnvelopeError),
    /// The key did not sign.
    #[error("the statement was not signed")]
    Sign(#[from] SignError),
}

/// The bytes that are signed: `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body` (DSSE protocol, "Signature Definition").
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// Signs a payload.
    pub fn seal(payload_type: &str, payload: Vec<u8>, signer: &dyn Signer) -> Result<Self, SealError> {
        check_type(payload_type)?;
        let signature = signer.sign(&pae(payload_type, &payload))?;
        let envelope = Self { payload_type: payload_type.to_owned(), payload, signer: signer.key().id(), signature };
        envelope.check_size()?;
        Ok(envelope)
    }

    /// Puts together what was signed elsewhere, as on a person's own device. Nothing is verified yet.
    pub fn from_parts(
        payload_type: &str,
        payload: Vec<u8>,
        signer: KeyId,
        signature: Vec<u8>,
    ) -> Result<Self, EnvelopeError> {
        check_type(payload_type)?;
        let envelope = Self { payload_type: payload_type.to_owned(), payload, signer, signature };
        envelope.check_size()?;
        Ok(envelope)
    }

    /// Reads an envelope as it comes from outside. The signature is not verified here.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        // Base64 in the URL-safe alphabet has the same length, so whatever is longer than the limit twice over,
        // spaces included, can not be within it.
        let limit = ENTRY_LIMIT_BYTES * 2;
        if bytes.len() > limit {
            return Err(EnvelopeError::TooLarge { size: bytes.len(), limit });
        }
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(EnvelopeError::Json)?;
        let [signature] = wire.signatures.as_slice() else {
            return Err(EnvelopeError::Signatures(wire.signatures.len()));
        };
        let hint = signature.keyid.as_deref().unwrap_or_default();
        let signer = hint.parse().map_err(|_| EnvelopeError::KeyId(hint.chars().take(TYPE_LIMIT).collect()))?;
        let payload = decode(&wire.payload).ok_or(EnvelopeError::Base64("payload"))?;
        let signature = decode(&signature.sig).ok_or(EnvelopeError::Base64("sig"))?;
        Self::from_parts(&wire.payload_type, payload, signer, signature)
    }

    /// Reads an entry of the log, which is in the canonical form and no other.
    pub fn from_entry(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if let Some(envelope) = Self::of_canonical(bytes) {
            return Ok(envelope);
        }
        // It is not an entry; why not is for the ordinary parser to say.
        let envelope = Self::parse(bytes)?;
        if envelope.canonical_bytes() == bytes { Ok(envelope) } else { Err(EnvelopeError::NotCanonical) }
    }

    /// Takes the canonical form apart without a JSON parser. `Some` proves that writing gives these bytes again: what
    /// stands between the fields is compared, the strict decoder of base64 takes one spelling of each value (padded, the
    /// bits behind the last byte zero), a key id has one, and a type that JSON would escape is refused.
    fn of_canonical(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > ENTRY_LIMIT_BYTES {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let (payload, rest) = text.strip_prefix(r#"{"payload":""#)?.split_once('"')?;
        let (payload_type, rest) = rest.strip_prefix(r#","payloadType":""#)?.split_once('"')?;
        let (keyid, rest) = rest.strip_prefix(r#","signatures":[{"keyid":""#)?.split_once('"')?;
        let (signature, end) = rest.strip_prefix(r#","sig":""#)?.split_once('"')?;
        if end != "}]}" || check_type(payload_type).is_err() {
            return None;
        }
        Some(Self {
            payload: BASE64_STANDARD.decode(payload).ok()?,
            payload_type: payload_type.to_owned(),
            signer: keyid.parse().ok()?,
            signature: BASE64_STANDARD.decode(signature).ok()?,
        })
    }

    /// The one form in which an envelope is written and hashed: no spaces, fields in this order, padded standard base64.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        // The type holds no character that JSON escapes (`check_type`), and the rest is base64 and hex.
        format!(
            r#"{{"payload":"{}","payloadType":"{}","signatures":[{{"keyid":"{}","sig":"{}"}}]}}"#,
            BASE64_STANDARD.encode(&self.payload),
            self.payload_type,
            self.signer,
            BASE64_STANDARD.encode(&self.signature),
        )
        .into_bytes()
    }

    /// Verifies the signature. The key must be the one that the envelope names.
    pub fn verify(&self, key: &PublicKey) -> Result<(), VerifyError> {
        if key.id() != self.signer {
            return Err(VerifyError::Mismatch(key.id()));
        }
        key.verify(&pae(&self.payload_type, &self.payload), &self.signature)
    }

    /// The statement's name.
    pub fn identity(&self) -> Identity {
        Identity::of(&self.payload, self.signer)
    }

    /// The type of the payload.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The key that is said to have signed; true only after [`Envelope::verify`].
    pub const fn signer(&self) -> KeyId {
        self.signer
    }

    /// The signature's bytes, in the form of the key's scheme.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn check_size(&self) -> Result<(), EnvelopeError> {
        let base64 = |bytes: usize| bytes.div_ceil(3).saturating_mul(4);
        let size = FRAME_BYTES
            .saturating_add(base64(self.payload.len()))
            .saturating_add(self.payload_type.len())
            .saturating_add(base64(self.signature.len()));
        if size > ENTRY_LIMIT_BYTES { Err(EnvelopeError::TooLarge { size, limit: ENTRY_LIMIT_BYTES }) } else { Ok(()) }
    }
}

impl Identity {
    /// The name of the statement with this payload by this key.
    pub fn of(payload: &[u8], signer: KeyId) -> Self {
        let hasher = Sha256::new_with_prefix(payload).chain_update(signer.digest().as_bytes());
        Self(Digest::from_bytes(hasher.finalize().into()))
    }

    /// A name that was stored or sent as a digest.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn digest(self) -> Digest {
        self.0
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl ForeignEnvelope {
    /// Reads an envelope of another tool. Unknown fields are passed over, as the specification asks.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > FOREIGN_LIMIT_BYTES {
            return Err(EnvelopeError::TooLarge { size: bytes.len(), limit: FOREIGN_LIMIT_BYTES });
        }
        let wire: ForeignWire<'_> = serde_json::from_slice(bytes).map_err(EnvelopeError::Json)?;
        let count = wire.signatures.len();
        if count == 0 || count > FOREIGN_SIGNATURE_LIMIT {
            return Err(EnvelopeError::Signatures(count));
        }
        check_type(&wire.payload_type)?;
        let payload = decode(&wire.payload).ok_or(EnvelopeError::Base64("payload"))?;
        let signatures = wire
            .signatures
            .iter()
            .map(|s| Some((s.keyid.as_deref().map(str::to_owned), decode(&s.sig)?)))
            .collect::<Option<_>>()
            .ok_or(EnvelopeError::Base64("sig"))?;
        Ok(Self { payload_type: wire.payload_type.into_owned(), payload, signatures })
    }

    /// Whether one of the signatures is this key's. Hints are not believed: every signature is tried.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let message = pae(&self.payload_type, &self.payload);
        self.signatures.iter().any(|(_, signature)| key.verify(&message, signature).is_ok())
    }
}

/// The frozen field names; `Cow` because JSON may escape any of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    payload: std::borrow::Cow<'a, str>,
    #[serde(rename = "payloadType", borrow)]
    payload_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    signatures: Vec<WireSignature<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature<'a> {
    #[serde(borrow, default)]
    keyid: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    sig: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct ForeignWire<'a> {
    #[serde(borrow)]
    payload: std::borrow::Cow<'a, str>,
    #[serde(rename = "payloadType", borrow)]
    payload_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    signatures: Vec<ForeignSignature<'a>>,
}

#[derive(Deserialize)]
struct ForeignSignature<'a> {
    #[serde(borrow, default)]
    keyid: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    sig: std::borrow::Cow<'a, str>,
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

fn check_type(text: &str) -> Result<(), EnvelopeError> {
    let fits = !text.is_empty()
        && text.len() <= TYPE_LIMIT
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    if fits { Ok(()) } else { Err(EnvelopeError::Type(text.chars().take(TYPE_LIMIT).collect())) }
}

#[cfg(test)]
mod tests;
