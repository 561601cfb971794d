//! The `sim` room: simulated clock, host, edge and traffic, fixtures, and the checks that span rooms. Not shipped.

#[cfg(test)]
mod blob_laws;
pub mod canary;
pub mod driver;
pub mod history;
pub mod load_gate;
pub mod postgres_server;
#[cfg(test)]
mod rollout_canaries;
#[cfg(test)]
mod rollout_drains;
#[cfg(test)]
mod rollout_readings;
#[cfg(test)]
mod rollout_refusals;
pub mod rollout_run;
#[cfg(test)]
mod rollout_stories;
#[cfg(test)]
mod rollout_versions;
pub mod s3_server;
pub mod security_key;
pub mod speaking;
#[cfg(test)]
mod store_laws;
pub mod tls;
pub mod world;
