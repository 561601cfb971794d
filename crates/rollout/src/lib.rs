//! The rollout room: from what should run and what does run to the next steps, as a value.
//!
//! Nothing here does anything: no files, no sockets, no clock. `runtime` observes and executes.

pub mod instance;
pub mod step;
