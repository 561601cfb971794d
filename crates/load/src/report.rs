//! What a run found, and whether it counts: a run in which the generator itself was the limit says nothing of the system.
//!
//! Latencies are in microseconds from the intended send time, rates in requests a second.

use hdrhistogram::Histogram;
use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    tally::{Failure, Tally},
};

/// Send times are to be this close to the plan, at p99.
const MOST_LATE_US: f64 = 1_000.0;
/// A thread that is busy for more of the time is the limit itself.
const MOST_BUSY: f64 = 0.95;
/// The part of requests that may wait for a client without being the generator's fault.
const MOST_WAITED: f64 = 0.01;
/// A machine that stood still longer was suspended.
const MOST_SUSPENDED_S: f64 = 0.1;

/// Latencies, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Quantiles {
    /// Of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |part: f64| us(histogram.value_at_quantile(part));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: us(histogram.max()) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// A kind of requests, or all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindReport {
    /// Its name.
    pub name: String,
    /// Requests that were to be sent.
    pub planned: u64,
    /// Answered rightly.
    pub right: u64,
    /// Failed, each with why; those that never happened are left out.
    pub failed: Vec<(Failure, u64)>,
    /// How long answers took.
    pub latency_us: Quantiles,
}

impl KindReport {
    pub(crate) fn of(name: &str, tally: &Tally) -> Self {
        let failed = Failure::ALL.into_iter().zip(tally.counts.failed).filter(|(_, count)| *count > 0).collect();
        Self {
            name: name.to_owned(),
            planned: tally.counts.planned,
            right: tally.counts.right,
            failed,
            latency_us: Quantiles::of(&tally.latency),
        }
    }

    /// All that failed.
    pub fn failures(&self) -> u64 {
        self.failed.iter().map(|(_, count)| count).sum()
    }

    /// The part that failed or never ended.
    pub fn failed_part(&self) -> f64 {
        share(self.planned.saturating_sub(self.right), self.planned)
    }
}

/// A second of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Which, from the start.
    pub at: u32,
    /// Requests that were to be sent in it.
    pub planned: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// How long answers to them took.
    pub latency_us: Quantiles,
}

/// What the generator says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// Threads that sent.
    pub threads: usize,
    /// The busiest thread's processor time, as a part of the time.
    pub busy: f64,
    /// How late requests were taken to be sent.
    pub late_us: Quantiles,
    /// Requests for which no connection was free, and none could be added.
    pub waited: u64,
    /// Connections made.
    pub connections: u64,
    /// How long the machine stood still, in seconds.
    pub suspended_s: f64,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Where requests went.
    pub target: String,
    /// When it began.
    pub began: Timestamp,
    /// How long the plan was.
    pub seconds: f64,
    /// Requests a second that were to be sent. In a closed loop, those that were sent.
    pub offered: f64,
    /// Requests a second that were answered rightly.
    pub answered: f64,
    /// Whether the next request waited for the answer to the one before.
    pub closed: bool,
    /// All kinds together.
    pub all: KindReport,
    /// Each kind.
    pub kinds: Vec<KindReport>,
    /// Each second.
    pub each_second: Vec<Second>,
    /// The generator.
    pub own: Own,
    /// On what machine.
    pub machine: Machine,
    /// Why the run does not count; it does if there is no reason.
    pub does_not_count: Vec<String>,
}

/// What a run was, besides its counts.
pub(crate) struct Circumstances<'a> {
    pub(crate) all: &'a KindReport,
    pub(crate) own: &'a Own,
    pub(crate) closed: bool,
    pub(crate) stopped: bool,
    /// Requests without an end, also after their time limit.
    pub(crate) endless: u64,
    pub(crate) connections: usize,
}

/// Why a run does not count.
pub(crate) fn reasons(run: &Circumstances<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let (own, all) = (run.own, run.all);
    let of = |failure: Failure| all.failed.iter().find(|(f, _)| *f == failure).map_or(0, |(_, count)| *count);
    if all.planned == 0 {
        reasons.push("nothing was sent".to_owned());
    }
    if run.stopped {
        reasons.push("it was ended before its plan was".to_owned());
    }
    if own.suspended_s > MOST_SUSPENDED_S {
        reasons.push(format!("the machine was suspended for {:.1} s", own.suspended_s));
    }
    if own.busy > MOST_BUSY {
        reasons.push(format!(
            "the generator was busy for {:.0} % of the time: it was the limit; give it more `--threads`, or another machine",
            own.busy * 100.0
        ));
    }
    if !run.closed && own.late_us.p99 > MOST_LATE_US {
        reasons.push(format!(
            "the generator was {:.1} ms late at p99, and may be 1 ms late: something else used its processor",
            own.late_us.p99 / 1e3
        ));
    } else if !run.closed && own.late_us.p999 > MOST_LATE_US.max(all.latency_us.p999 / 2.0) {
        reasons.push(format!(
            "the generator was {:.1} ms late at p99.9, which is more than half of the latency there",
            own.late_us.p999 / 1e3
        ));
    }
    if share(own.waited, all.planned) > MOST_WAITED {
        reasons.push(format!(
            "{} requests found none of {} connections free; raise `connections`",
            own.waited, run.connections
        ));
    }
    if of(Failure::Ports) > 0 {
        reasons.push(format!(
            "no local port was left for {} requests; keep connections alive, or send from more addresses",
            of(Failure::Ports)
        ));
    }
    if of(Failure::Files) > 0 {
        reasons.push(format!("no file descriptor was left for {} requests; raise `ulimit -n`", of(Failure::Files)));
    }
    if run.endless > 0 {
        reasons.push(format!("{} requests had no end, also after their time limit", run.endless));
    }
    reasons
}

#[cfg(test)]
mod tests;
