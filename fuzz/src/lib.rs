//! Fuzz targets, one a module: what must hold of whatever bytes come from outside, not only that reading them ends.
//!
//! A target takes bytes and panics if something does not hold. `fuzz_targets/` hands each to libFuzzer under its own
//! name, as cargo-fuzz expects; [`seeds`] makes the bytes that a run starts from. Nothing here is part of the product.

pub mod bundle;
pub mod bytes;
pub mod checkpoint;
pub mod envelope;
pub mod fixed;
pub mod kept;
pub mod key;
pub mod manifest;
pub mod note;
pub mod policy;
pub mod proof;
pub mod seeds;
pub mod statement;
pub mod submission;
pub mod tile;
pub mod witness_request;
