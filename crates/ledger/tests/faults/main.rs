//! A real process that writes a real log, and what becomes of it when it is killed, loses power or finds its disk full.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and prints the seed to repeat it with"
)]

mod chance;
mod killed;
mod writer;
