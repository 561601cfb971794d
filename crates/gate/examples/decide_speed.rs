//! How long one decision takes over the facts of a log with many releases: median and 99th percentile.
//!
//! `cargo run --release -p gate --example decide_speed [releases]`

#![expect(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the tests of this room use more of the world, and a measurement may stop"
)]

use std::time::{Duration, Instant};

use gate::{Facts, decide_with, policy, policy::Policy, shown_digest};

#[path = "../src/world/mod.rs"]
mod world;

/// Enough for a 99th percentile with ten values beyond it.
const ROUNDS: usize = 1_000;

fn main() {
    let releases: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    let mut world = world::World::founded(world::charter());
    let mut last = world.go_live(1, None);
    for ordinal in 2..releases {
        last = world.go_live(ordinal, Some(&last));
    }
    let put = world.put(releases.max(2), Some(&last));
    world.approve_both(&put);
    let facts = world.facts();
    let policy = Policy::parse(&world.charter.policy).unwrap();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            assert!(decide_with(&policy, &facts, put.proposal).unwrap().is_granted());
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "{} statements, {releases} releases: p50 {:?}, p99 {:?}",
        facts.size(),
        times[ROUNDS / 2],
        times[ROUNDS * 99 / 100]
    );
}
