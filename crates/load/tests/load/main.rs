//! Runs against servers on sockets: what is sent, what is measured, and what does not count.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests say what is wrong by failing")]

mod runs;
mod servers;
