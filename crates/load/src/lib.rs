//! Load: an open-loop generator for whole systems through their edge, and what it found.
//!
//! Requests are sent when they were meant to be sent, whatever became of those before; latencies count from then, so a system
//! that stands still can not hide it. It refuses to know a log, a verdict or a release; what a run says about those is decided
//! elsewhere, from its numbers.

pub mod arrivals;
pub mod check;
pub mod compare;
pub mod machine;
pub mod places;
pub mod report;
pub mod run;
pub mod scenario;
pub mod tally;
pub mod template;

mod book;
mod draw;
mod http1;
mod http2;
mod pacer;
mod transport;
mod websocket;
mod worker;
