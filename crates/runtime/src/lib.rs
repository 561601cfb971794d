//! The runtime room: drivers that observe and execute, idempotently. They choose nothing.
//!
//! `local` runs components as OCI containers on one Linux host; `protocol` puts a driver behind a socket, so that
//! the one process that has privileges does nothing else; `plan` is what that process checks by itself.

pub mod driver;
mod durable;
pub mod local;
pub mod plan;
pub mod protocol;

pub use driver::{Driver, DriverError};
