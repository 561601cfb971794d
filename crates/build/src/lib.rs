//! The `build` room: from a commit to images, their bills of materials and provenance; suites and their reports.
//!
//! It refuses to know policy: what it makes is evidence, and whether that is enough is decided by the gate.

pub mod builder;
pub mod fetch;
#[cfg(test)]
mod fixture;
pub mod git;
mod hashing;
pub mod image;
pub mod junit;
pub mod provenance;
pub mod sandbox;
pub mod sbom;
pub mod suite;
pub mod toolchain;
pub mod workspace;
