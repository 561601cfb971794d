//! Whole installations, driven as people drive them: the program as it was built, real processes with users of their
//! own, real containers, a witness, git over a bare repository, and requests over loopback.
//!
//! The tests are named `root_…`: they need root, and nextest runs them one at a time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its files need no durable writes"
)]

mod amended;
mod attacks;
mod builders;
mod canary;
mod counted;
mod disks;
mod fabric;
mod faults;
mod files;
mod halts;
mod host;
mod installation;
mod kills;
mod left;
mod places;
mod promises;
mod queue;
mod refusals;
mod release;
mod request;
mod small;
mod speaker;
mod steps;
mod stores;
mod traffic;
mod trouble;
mod twins;
mod upgrade;
mod values;
mod versions;
mod wait;
mod watched;
