//! When requests are to be sent: constant rates, ramps and steps, evenly or at random, and times that were recorded.
//!
//! A plan is fixed before anything is sent, so a slow system gets no fewer requests for being slow (an open loop; Schroeder,
//! Wierman and Harchol-Balter, "Open Versus Closed", NSDI 2006). It refuses to know what is sent.
//!
//! Rates that change are turned into times by the inverse of the expected number of arrivals (time rescaling): the arrival
//! number `x` is at the `t` at which the rate adds up to `x`. At random means that `x` grows by exponential steps, which is a
//! Poisson process; evenly means that it grows by one.

use rand::Rng;
use rand_distr::{Distribution as _, Exp1};
use serde::{Deserialize, Serialize};

/// A stretch of time in which the rate goes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Requests a second at its start.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
    /// How long it is.
    pub seconds: f64,
}

impl Segment {
    fn arrivals(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.seconds
    }

    /// When so many have arrived: `from * t + (to - from) / (2 * seconds) * t^2 = count`, in the form that loses no digits
    /// where the rate hardly changes.
    fn at(&self, count: f64) -> f64 {
        if count <= 0.0 {
            return 0.0;
        }
        let bend = (self.to - self.from) / self.seconds;
        let root = (self.from * self.from + 2.0 * bend * count).max(0.0).sqrt();
        (2.0 * count / (self.from + root)).min(self.seconds)
    }
}

/// How arrivals lie within a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// One after the other at equal distances.
    #[default]
    Even,
    /// A Poisson process: as independent clients come.
    Random,
}

/// The arrivals of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// By rates.
    Rates {
        /// One after the other.
        segments: Vec<Segment>,
        /// Within a rate.
        spacing: Spacing,
    },
    /// At times that were recorded, in nanoseconds from the start, ascending.
    Recorded(Vec<u64>),
    /// As fast as so many connections get answers: a closed loop, for the throughput at saturation. Its latencies leave out
    /// what a client would have waited.
    Closed {
        /// For how long.
        seconds: f64,
    },
}

impl Arrivals {
    /// How long the plan is, in seconds.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Rates { segments, .. } => segments.iter().map(|s| s.seconds).sum(),
            #[expect(clippy::cast_precision_loss, reason = "a time for people")]
            Self::Recorded(times) => times.last().map_or(0.0, |last| *last as f64 / 1e9),
            Self::Closed { seconds } => *seconds,
        }
    }

    /// The times of all arrivals, in nanoseconds from the start. None in a closed loop.
    pub fn times<R: Rng>(&self, random: R) -> Times<'_, R> {
        Times { of: self, random, next: 0, count: 0.0, segment: 0, before: 0.0, start: 0.0 }
    }
}

/// Times of arrivals, ascending.
#[derive(Debug)]
pub struct Times<'a, R> {
    of: &'a Arrivals,
    random: R,
    next: usize,
    /// How many are expected by the next arrival.
    count: f64,
    segment: usize,
    /// How many are expected before the segment, and when it starts.
    before: f64,
    start: f64,
}

impl<R: Rng> Iterator for Times<'_, R> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        match self.of {
            Arrivals::Closed { .. } => None,
            Arrivals::Recorded(times) => {
                let time = times.get(self.next).copied();
                self.next += 1;
                time
            }
            Arrivals::Rates { segments, spacing } => {
                self.count += match spacing {
                    // The first in the middle of its distance, so that a rate over a time is that many arrivals.
                    Spacing::Even if self.next == 0 => 0.5,
                    Spacing::Even => 1.0,
                    Spacing::Random => Exp1.sample(&mut self.random),
                };
                self.next += 1;
                loop {
                    let segment = segments.get(self.segment)?;
                    let within = self.count - self.before;
                    if within < segment.arrivals() {
                        #[expect(
                            clippy::cast_possible_truncation,
                            clippy::cast_sign_loss,
                            reason = "times of runs of days fit, and none is below zero"
                        )]
                        return Some(((self.start + segment.at(within)) * 1e9) as u64);
                    }
                    self.before += segment.arrivals();
                    self.start += segment.seconds;
                    self.segment += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
