//! The `ledger` room.
pub mod blobs;
pub mod bodies;
pub mod charter;
pub mod check;
pub mod checkpoint;
pub mod copy;
pub mod dsse;
pub mod durable;
pub mod erasure;
pub mod excerpt;
#[cfg(test)]
mod fixtures;
pub mod follow;
pub mod keys;
pub mod log;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod quorum;
pub mod reader;
pub mod sigstore;
pub mod statement;
pub mod store;
pub mod subjects;
pub mod sweep;
pub mod tick;
pub mod tlog_policy;
pub mod verified;
pub mod witness;

pub use follow::FreshCheckpoint;
pub use verified::Verified;
