//! Reading what components say of themselves: the edge asks them, because it holds nothing that they could steal and speaks
//! HTTP with them anyway, and gives numbers to whoever steers it.
//!
//! It refuses to know what the numbers mean.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Series;

/// Addresses that are asked at once at most: two versions of all replicas of some components.
pub const MAX_READ_TARGETS: usize = 512;
/// Series that are asked of one address at most.
pub const MAX_READ_SERIES: usize = 64;
/// Samples of one series at most.
pub const MAX_READ_SAMPLES: usize = 1_024;

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadRequest {
    /// From which address of this host it is asked; the fabric lets health checks come from one only.
    pub source: Option<Ipv4Addr>,
    /// Milliseconds for each.
    pub timeout_ms: u32,
    /// Whom.
    pub targets: Vec<ReadTarget>,
}

/// One address that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadTarget {
    /// The address of an instance.
    pub address: SocketAddr,
    /// The path of its metrics.
    pub path: String,
    /// What of them.
    pub series: Vec<Series>,
}

/// What one address said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReadAnswer {
    /// Its answer was read; of each series in the order in which they were asked.
    Read(Vec<SeriesAnswer>),
    /// Nothing that could be read, and why.
    Unreadable(String),
}

/// What was said of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SeriesAnswer {
    /// Its samples, at least one, each finite.
    Samples(Vec<f64>),
    /// None, too many, or one that is no number, and why.
    Unreadable(String),
}
