//! Draining on the simulated host: who is told, when, and what happens if it can not be.

mod tests;
