//! Canaries on the simulated host whose components say of themselves what they counted, truthfully and otherwise.

mod tests;
