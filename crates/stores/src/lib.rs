//! The stores room: where a log is kept when one machine is not enough. PostgreSQL for entries, S3 for bodies.
//!
//! It is a room of its own so that `ledger`, and with it whoever verifies offline, is built without any network code.

pub mod postgres;
pub mod s3;

/// An address as it may be printed: what stands before the last `@` of it can be a password, and is `…`.
pub fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        (_, None) => url.to_owned(),
    }
}
