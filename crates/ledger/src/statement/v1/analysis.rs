//! What an agent counted while it compared two versions on live traffic, and what followed from it. From these integers
//! and the two release documents anybody computes the same answers again.

use model::{ComponentName, Digest, EnvironmentName, Serial};
use serde::{Deserialize, Serialize};

/// Some ticks of one comparison, in order. The next statement of the same comparison goes on where this one ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// The environment.
    pub environment: EnvironmentName,
    /// The new release.
    pub release: Digest,
    /// Its serial.
    pub serial: Serial,
    /// The release that it is compared with.
    pub other: Digest,
    /// The log index of the proposal that the verdict was about.
    pub proposal: u64,
    /// Names the comparison; the edge divides clients by it.
    pub salt: Digest,
    /// The chance to go back from a version that is not worse by more than the margins, in millionths: over all metrics of
    /// the component and all time.
    pub alpha_ppm: u32,
    /// The chance to promote a version that is exactly at the margin for that, in millionths.
    pub beta_ppm: u32,
    /// Over so many ticks faults that begin late are expected.
    pub horizon_ticks: u32,
    /// What is counted, one row a metric.
    pub metrics: Vec<Metric>,
    /// The number of the first of these ticks in the comparison, which counts from 0.
    pub first: u64,
    /// The ticks.
    pub ticks: Vec<AnalysisTick>,
    /// What followed from all ticks up to the last of these.
    pub answer: AnalysisAnswer,
    /// How long answers took by then, at the quantiles that the edge keeps. Nothing is decided by it; it is what people are
    /// shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Times>,
}

/// The time to an answer at one quantile, in both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Which, in parts of a million.
    pub quantile_ppm: u32,
    /// Of the new version, in microseconds.
    pub trial_us: u64,
    /// Of the old version, in microseconds.
    pub control_us: u64,
}

/// One yes-or-no question that is asked of each unit of clients in each tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Of which component.
    pub component: ComponentName,
    /// The question.
    pub asks: Asks,
    /// Its part of alpha, in millionths; those of all metrics but invariants add up to a million.
    pub weight_ppm: u32,
    /// How often it was so before, in millionths: of requests that failed, of units that were slow.
    pub history_ppm: u32,
    /// For how many units and ticks that counts.
    pub history_unit_ticks: u32,
    /// What must be ruled out before promotion.
    pub promote: Line,
}

/// A line between what is good enough and what is not: `ratio_ppm / 1e6` times the old version's share and
/// `plus_ppm / 1e6` on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// In millionths.
    pub ratio_ppm: u32,
    /// In millionths.
    pub plus_ppm: u32,
}

/// What is asked of each unit in each tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asks {
    /// Whether a request failed.
    Failed {
        /// Requests of both versions that a million units of clients have in a tick, as expected beforehand.
        requests_per_million_unit_ticks: u64,
        /// What is harmless.
        margin: Line,
    },
    /// Whether at least so many requests took longer than a bound.
    Slower {
        /// The quantile that the bound was at for the old version, in parts of a million.
        quantile_ppm: u32,
        /// The bound for the old version, in microseconds.
        control_us: u64,
        /// The bound for the new version, with its margin, in microseconds.
        trial_us: u64,
        /// So many requests.
        count: u32,
    },
    /// Whether something bad was counted by the component in a sample of what it counted in the tick. A unit is an
    /// instance here, and the requests of a tick are what was sampled. A statement asks this of one counter alone.
    Counter {
        /// SHA-256 of the series that counts, as the release document has it.
        name: Digest,
        /// The same of what it counts out of.
        of: Digest,
        /// What is bad.
        worse: Worse,
        /// As above, of what is sampled.
        requests_per_million_unit_ticks: u64,
        /// What is harmless.
        margin: Line,
    },
    /// Whether a figure was another than it may ever be. A unit is an instance of the new version. It has no weight and no
    /// history, and the first that is flagged goes back. A statement asks this of the invariants of one component alone.
    Invariant {
        /// SHA-256 of the series, as the release document has it.
        name: Digest,
    },
}

/// What is bad of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worse {
    /// What it counts.
    More,
    /// What it does not count.
    Fewer,
}

/// One tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalysisTick {
    /// The share of clients that had the new version, in percent; 0 for the cohort alone.
    pub share: u8,
    /// Requests of the new version.
    pub requests: u64,
    /// Requests of the old version.
    pub other_requests: u64,
    /// A row a metric: units of the new version, of those flagged, units of the old version, of those flagged.
    pub counts: Vec<[u32; 4]>,
}

/// What followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnalysisAnswer {
    /// Neither is shown.
    NotYet,
    /// It is worse: go back.
    GoBack,
    /// It is no worse than it may be.
    Promote,
}
