//! `watch` as a process of its own, beside a real log, gate and front: faults, and who is told of them within which time. A
//! real Alertmanager and a real Prometheus take part (`scripts/setup test` installs them).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its files need no durable writes"
)]

mod peers;
mod size;
mod stage;
mod told;
