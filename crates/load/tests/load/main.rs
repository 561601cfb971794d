//! Runs against servers on sockets: what is sent, what is measured, and what does not count.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by failing")]

mod compared;
mod runs;
mod servers;
