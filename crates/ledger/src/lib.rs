//! The `ledger` room.
pub mod checkpoint;
pub mod dsse;
pub mod durable;
pub mod keys;
pub mod log;
pub mod merkle;
pub mod note;
pub mod store;
pub mod statement;
