//! Thresholds that somebody tuned: every combination of an interval, a limit on the part that fails, how many intervals may
//! exceed it, and how many requests an interval needs to count.

use super::SECONDS;

const INTERVALS_S: [usize; 4] = [10, 30, 60, 300];
const LIMITS: [f64; 13] = [0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.35, 0.5];
const ALLOWED: [usize; 7] = [0, 1, 2, 3, 4, 6, 9];
const REQUESTS: [f64; 3] = [1.0, 20.0, 100.0];

/// How many combinations there are.
pub const CONFIGURATIONS: usize = INTERVALS_S.len() * LIMITS.len() * ALLOWED.len() * REQUESTS.len();

/// When each configuration goes back, in seconds, in a fixed order.
#[must_use]
pub fn all(sums: &[(f64, f64)]) -> Vec<Option<usize>> {
    let mut found = Vec::with_capacity(CONFIGURATIONS);
    for interval in INTERVALS_S {
        let windows: Vec<(usize, f64, f64)> = (interval..=SECONDS)
            .step_by(interval)
            .filter_map(|until| {
                let (from, to) = (sums.get(until - interval)?, sums.get(until)?);
                Some((until, to.0 - from.0, to.1 - from.1))
            })
            .collect();
        for requests in REQUESTS {
            for limit in LIMITS {
                let mut exceeded = windows.iter().filter(|window| window.1 >= requests && window.2 > limit * window.1);
                let mut times = Vec::new();
                let most = ALLOWED.iter().copied().max().unwrap_or(0);
                while times.len() <= most {
                    let Some(window) = exceeded.next() else { break };
                    times.push(window.0);
                }
                found.extend(ALLOWED.iter().map(|allowed| times.get(*allowed).copied()));
            }
        }
    }
    found
}
