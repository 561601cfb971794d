//! JSON for frozen wire forms: one way to write, and reading that refuses what two readers could take differently.

use serde::{Serialize, de::DeserializeOwned};

/// Why bytes are not the wire form that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON, an unknown or missing field, a duplicate key, or a value out of its range.
    #[error("not a valid document")]
    Json(#[from] serde_json::Error),
    /// The bytes parse, but are not the bytes that writing the value gives.
    #[error("the document is not in its canonical form")]
    NotCanonical,
}

/// Writes a wire form: no spaces, fields in the order of their declaration.
pub fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    Ok(serde_json::to_vec(value)?)
}

/// Reads a wire form and insists that writing it again gives the same bytes. That refuses unknown fields,
/// duplicate keys, odd number forms and spaces in one stroke, whatever the type's own derives let pass.
pub fn from_json_strict<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value: T = serde_json::from_slice(bytes)?;
    if to_json(&value)? == bytes { Ok(value) } else { Err(CanonicalError::NotCanonical) }
}
