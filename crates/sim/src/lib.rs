//! The `sim` room: simulated clock, host, edge and traffic, fixtures, and the checks that span rooms. Not shipped.

pub mod driver;
pub mod rollout_run;
pub mod world;
