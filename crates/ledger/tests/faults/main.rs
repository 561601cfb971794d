//! A real process that writes a real log, and what becomes of it when it is killed, loses power or finds its disk full.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and prints the seed to repeat it with"
)]

mod chance;
mod disk;
mod full;
mod killed;
mod power;
mod trace;
mod writer;
