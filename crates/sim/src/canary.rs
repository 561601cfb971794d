//! Canaries in simulation: traffic of two versions in worlds that are kind and worlds that are not, what documented
//! configurations of other systems would have done with it, and what `stats` does.
//!
//! The peers are models of documented configurations, not running clusters, and modelled kindly: their queries see the
//! trial alone, at once and exactly, they never raise its share, and a version that they miss is charged for one hour only.
//! `docs/statistics.md` says what follows from the figures and what does not.

pub mod cells;
pub mod gate;
pub mod kayenta;
pub mod latency;
pub mod peers;
pub mod stream;
pub mod thresholds;
pub mod world;

/// Every rollout is watched for an hour.
pub const SECONDS: usize = 3600;

/// Does `runs` independent runs on `threads` threads and returns their results in order, so that the same seeds give the
/// same figures on any number of threads.
pub fn runs<T: Send>(threads: usize, runs: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    use std::sync::atomic::{AtomicU64, Ordering};
    let next = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= runs {
                return done;
            }
            done.push((index, run(index)));
        }
    };
    let mut all: Vec<(u64, T)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests;
