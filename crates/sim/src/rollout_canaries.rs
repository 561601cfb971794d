//! Canaries on the simulated host: clients divided between two versions, and what the comparison makes of it.

mod tests;
