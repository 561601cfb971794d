//! A statement on its way to the log, with the bodies that it commits to: the JSON that is posted.
//!
//! It reads what anybody may send, and refuses to know whether it is signed or let in. It writes nothing.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ledger::{
    bodies::{Body, SubjectBody, SubjectError},
    dsse::{Envelope, EnvelopeError},
    log::Submission,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The form: a DSSE envelope as JSON, and bodies.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    envelope: Box<RawValue>,
    bodies: Vec<FormBody>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormBody {
    /// Whom it is about, such as `person:ada`: whose erasure takes it away.
    subject: String,
    /// 32 bytes as 64 lower-case hex digits.
    salt: String,
    /// The bytes, as base64.
    body: String,
}

/// Why bytes are not a submission.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// Not the form.
    #[error("this is not a submission of a statement")]
    Form(#[from] serde_json::Error),
    /// The envelope does not hold up.
    #[error("this is not an envelope")]
    Envelope(#[from] EnvelopeError),
    /// A body is about nothing that bodies are about.
    #[error("a body does not say whom it is about")]
    Subject(#[from] SubjectError),
    /// A salt of another form.
    #[error("the salt of a body is not 32 bytes of hex")]
    Salt(#[from] hex::FromHexError),
    /// A body of another form.
    #[error("a body is not base64")]
    Body(#[from] base64::DecodeError),
}

/// Reads what was posted.
///
/// # Errors
/// [`SubmissionError`]; nothing of it is to be used then.
pub fn read(bytes: &[u8]) -> Result<Submission, SubmissionError> {
    let form: Form = serde_json::from_slice(bytes)?;
    let envelope = Envelope::parse(form.envelope.get().as_bytes())?;
    let bodies = form.bodies.iter().map(|body| {
        let mut salt = [0; 32];
        hex::decode_to_slice(&body.salt, &mut salt)?;
        Ok(Body { salt, bytes: BASE64_STANDARD.decode(&body.body)? }.about(body.subject.parse()?))
    });
    Ok(Submission { envelope, bodies: bodies.collect::<Result<_, SubmissionError>>()? })
}

/// Reads the statement alone, for who keeps no bodies: what is wrong with one stops no stop.
///
/// # Errors
/// [`SubmissionError`], as far as it is about the form and the envelope.
pub fn statement_of(bytes: &[u8]) -> Result<Envelope, SubmissionError> {
    let form: Form = serde_json::from_slice(bytes)?;
    Ok(Envelope::parse(form.envelope.get().as_bytes())?)
}

/// Writes what is to be posted.
///
/// # Errors
/// [`SubmissionError::Form`], which is a defect.
pub fn write(envelope: &Envelope, bodies: &[SubjectBody]) -> Result<Vec<u8>, SubmissionError> {
    let text = String::from_utf8_lossy(&envelope.canonical_bytes()).into_owned();
    let bodies = bodies.iter().map(|SubjectBody { subject, body }| FormBody {
        subject: subject.to_string(),
        salt: hex::encode(body.salt),
        body: BASE64_STANDARD.encode(&body.bytes),
    });
    Ok(serde_json::to_vec(&Form { envelope: RawValue::from_string(text)?, bodies: bodies.collect() })?)
}
