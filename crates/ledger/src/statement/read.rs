//! Opening an envelope: signature, form and entitlement, in that order, the same at the log's door and at every
//! reader's.

use std::sync::Arc;

use crate::{
    dsse::Envelope,
    keys::VerifyError,
    statement::{EntitlementError, Members, PAYLOAD_TYPE, PayloadError, Signatory, Statement},
};

/// Why an envelope is not a statement of this log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Another payload type.
    #[error("`{0}` is not the payload type of statements")]
    PayloadType(String),
    /// The signature does not fit.
    #[error("the signature by {0} does not fit the statement")]
    Signature(model::KeyId, #[source] VerifyError),
    /// The payload does not fit its kind.
    #[error("the payload can not be read")]
    Payload(#[from] PayloadError),
    /// The signer may not say this.
    #[error(transparent)]
    Entitlement(#[from] EntitlementError),
}

/// Opens an envelope under a charter.
pub fn open(envelope: &Envelope, members: &Members) -> Result<(Statement, Arc<Signatory>), ReadError> {
    if envelope.payload_type() != PAYLOAD_TYPE {
        return Err(ReadError::PayloadType(envelope.payload_type().to_owned()));
    }
    let signer = envelope.signer();
    envelope.verify(members.key(signer)?).map_err(|e| ReadError::Signature(signer, e))?;
    let statement = Statement::from_bytes(envelope.payload())?;
    let signatory = members.entitle(&statement, signer)?;
    Ok((statement, signatory))
}
