//! The `stats` room: whether a new version is worse than the old one, from counts of both, at any moment and with a stated
//! chance of being wrong. Pure mathematics: integers come in, answers go out, and the same integers give the same bits on
//! every machine.
//!
//! It refuses to know what was counted, by whom and when, and what is done with an answer.
//!
//! `docs/statistics.md` explains the method and proves it.

mod alternatives;
mod analysis;
mod answer;
mod block;
mod calibrate;
mod evidence;
mod exact;
mod forecast;
mod measure;
pub mod paired;
mod plan;
mod promotion;
mod real;
mod tick;

pub use analysis::{Analysis, SavedAnalysis};
pub use answer::{Answer, Because, Evidence, MeasureEvidence, Share, Wait};
pub use calibrate::{LATENCY_LEVELS, LatencyLevel, SlowCount, TARGETS_PPM, from_history, from_mean};
pub use forecast::Detectable;
pub use plan::{
    ALPHA_PPM, BETA_PPM, GO_BACK_MARGIN, HISTORY_UNIT_TICKS, HOLD_AT, HORIZON_TICKS, MAX_MEASURES, Margin, Measure,
    PROMOTE_MARGIN, Plan, PlanError, Question, SLOW_PROMOTE_MARGIN,
};
pub use tick::{Counts, MAX_REQUESTS, MAX_UNITS, Tick, TickError};
