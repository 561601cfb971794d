//! The `build` room: from a commit to images, their bills of materials and provenance; suites and their reports.
//!
//! It refuses to know policy: what it makes is evidence, and whether that is enough is decided by the gate.

pub mod git;
pub mod junit;
pub mod sandbox;
pub mod suite;
