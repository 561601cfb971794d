//! The runtime room: drivers that observe and execute, idempotently. They choose nothing.
//!
//! `local` runs components as OCI containers on one Linux host; `protocol` puts any driver behind a socket.

pub mod driver;
mod durable;
#[cfg(target_os = "linux")]
pub mod local;
