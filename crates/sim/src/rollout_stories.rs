//! Operators' stories as golden scripts: what a plan says and does, round by round, on the simulated host.

mod tests;
