//! The stores room: where a log is kept when one machine is not enough. PostgreSQL for entries, S3 for bodies.
//!
//! It is a room of its own so that `ledger`, and with it whoever verifies offline, is built without any network code.

pub mod postgres;
pub mod s3;
