//! Tests of the edge against real sockets on the loopback: clients, the edge, and instances that behave and misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what is wrong by failing"
)]

mod bodies;
mod comparing;
mod control;
mod heads;
mod holding;
mod identities;
mod retries;
mod support;
mod surging;
mod switching;
mod tcp;
mod tls;
mod tunnels;
mod versions;
