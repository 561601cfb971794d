//! The rollout room: from what should run and what does run to the next steps, as a value.
//!
//! Nothing here does anything: no files, no sockets, no clock. `runtime` observes and executes.

mod act;
mod advance;
pub mod beside;
pub mod comparison;
mod drain;
pub mod instance;
pub mod intent;
pub mod milestone;
pub mod order;
pub mod plan;
pub mod progress;
pub mod reason;
pub mod refuse;
mod routes;
mod scene;
pub mod step;
pub mod watch;

pub use intent::{Intent, Leave, Place, Trouble, Version};
pub use plan::{Grounds, Outcome, Plan, Planned, Report, Seen, plan};
pub use progress::Progress;
