//! What became of requests: counts and latencies, a second and kind each, as they were meant to be sent.
//!
//! Latencies are in nanoseconds from the intended send time to the end of the answer (HdrHistogram, 3 digits). A request
//! that is late because the system was slow to answer the one before counts its waiting: nothing is left out (Tene, "How NOT
//! to Measure Latency", on coordinated omission). A request without any answer in time counts as long as it was waited for;
//! one that failed at once has no latency, it is counted as failed.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Seconds in a slice.
pub const SLICE_NS: u64 = 1_000_000_000;
/// An hour, the longest latency.
const MOST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// No connection: refused, unreachable, or reset while it was made.
    Connect,
    /// No local port was left.
    Ports,
    /// No file descriptor was left.
    Files,
    /// TLS was not agreed on.
    Tls,
    /// The connection ended before the answer did.
    Closed,
    /// Not HTTP or not WebSocket, or longer than is read.
    Protocol,
    /// No whole answer in time.
    Timeout,
    /// An answer with a wrong status.
    Status,
    /// An answer that says something wrong.
    Body,
}

impl Failure {
    /// All, in the order of their counts.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Ports,
        Self::Files,
        Self::Tls,
        Self::Closed,
        Self::Protocol,
        Self::Timeout,
        Self::Status,
        Self::Body,
    ];

    /// In people's words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Ports => "no local port left",
            Self::Files => "no file descriptor left",
            Self::Tls => "TLS failed",
            Self::Closed => "closed before the answer",
            Self::Protocol => "not the protocol",
            Self::Timeout => "no answer in time",
            Self::Status => "wrong status",
            Self::Body => "wrong answer",
        }
    }

    /// Whether there was a whole answer, or as long a wait as there may be.
    const fn has_latency(self) -> bool {
        matches!(self, Self::Timeout | Self::Status | Self::Body)
    }
}

/// Counts of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// That were to be sent.
    pub planned: u64,
    /// That were answered rightly.
    pub right: u64,
    /// That failed, in the order of [`Failure::ALL`].
    pub failed: [u64; Failure::ALL.len()],
}

impl Counts {
    /// All failures.
    pub fn failures(&self) -> u64 {
        self.failed.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.planned += other.planned;
        self.right += other.right;
        for (mine, others) in self.failed.iter_mut().zip(other.failed) {
            *mine += others;
        }
    }
}

/// Counts and latencies of requests.
#[derive(Clone, Debug)]
pub struct Tally {
    /// How many.
    pub counts: Counts,
    /// How long, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// An empty histogram of nanoseconds.
pub fn nanoseconds() -> Histogram<u64> {
    let mut histogram = Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("0 to 5 digits are taken"));
    histogram.auto(true);
    histogram
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: Counts::default(), latency: nanoseconds() }
    }
}

impl Tally {
    /// Counts the end of a request.
    pub fn end(&mut self, outcome: Result<(), Failure>, latency_ns: u64) {
        match outcome {
            Ok(()) => self.counts.right += 1,
            Err(failure) => {
                let at = Failure::ALL.iter().position(|f| *f == failure);
                if let Some(count) = at.and_then(|at| self.counts.failed.get_mut(at)) {
                    *count += 1;
                }
            }
        }
        if outcome.is_ok() || outcome.is_err_and(Failure::has_latency) {
            // It grows up to an hour.
            let _recorded = self.latency.record(latency_ns.clamp(1, MOST_NS));
        }
    }

    /// Adds another's counts and latencies.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        // Both have the same bounds and digits.
        let _added = self.latency.add(&other.latency);
    }
}

#[cfg(test)]
mod tests;
