//! The sandbox: one command in a place where it sees the host's programs read-only, writes only to its workspace,
//! and reaches nothing but what its phase allows.
//!
//! [`run`] belongs into a small root process of its own (an executor), which takes plans from an unprivileged one
//! ([`serve`], [`ask`]) and checks them itself against its own [`Rules`]. It refuses to know what is built and
//! whether it is any good. All mounts live in a mount namespace of the thread that makes them, so that a crash
//! leaves none; a container that outlives its executor is ended by the [`sweep`] at the next start.

mod bundle;
mod cgroup;
mod endpoint;
mod execute;
mod plan;
mod proxy;
mod relay;
mod seccomp;
mod stage;
mod wire;

#[cfg(test)]
mod tests;

pub use cgroup::sweep;
pub use endpoint::{Endpoint, EndpointError};
pub use execute::{SandboxError, run};
pub use plan::{Denied, Mount, Outcome, Phase, PlanError, Rules, SandboxLimits, SandboxPlan, WORKSPACE};
pub use wire::{WireError, ask, serve};
