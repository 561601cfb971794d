//! Whether a candidate is slower, dearer or fails more than a baseline that was driven beside it: from counts of both in
//! each block of a run, with one chance of being wrong for the whole run, however often it is looked at.
//!
//! In each block both versions get the same requests at the same time, and a coin says which of two places each of them
//! has. So under "no difference" each block's difference is as likely to point the one way as the other, whatever the
//! machine, its neighbours and the hour did to both: the signed-rank test (Wilcoxon 1945, zeros as in Pratt 1959) is
//! exact, with no assumption on how latencies are spread. Blocks are looked at when there are 12, 24 and 48; the chance
//! of each look is a part of the whole (Bonferroni). Within a look the metrics share the chance by Holm (1979).
//!
//! It refuses to know how the load was made. All comes in as integers and all that decides is computed in integers, so an
//! auditor who recomputes an answer years later gets the same one.
//!
//! # Units
//!
//! Ratios, margins, quantiles and chances are in millionths (`_ppm`): a margin of 50 000 is 5 %. A cost is in picoseconds a
//! request. A run without failures measured is refused: a candidate that answers nothing is very fast.

mod interval;
mod pooled;
mod signed_rank;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use interval::{Interval, interval};
pub use pooled::{Latencies, PooledTick, exceedances};
pub use signed_rank::{Chance, MOST_BLOCKS, Ranked, signed_rank};

/// The rules of this module. An answer is recomputed by the rules that it was made by.
pub const RULES: u32 = 1;
/// A look: how many blocks there are then, the chance to call a candidate regressed that is not, and the chance to pass one
/// that is as bad as a bound, in millionths. They add up to 1 % and 5 %.
pub const LOOKS: [Look; 3] = [
    Look { blocks: 12, false_alarm_ppm: 5_000, false_pass_ppm: 25_000 },
    Look { blocks: 24, false_alarm_ppm: 3_000, false_pass_ppm: 15_000 },
    Look { blocks: 48, false_alarm_ppm: 2_000, false_pass_ppm: 10_000 },
];
/// More metrics than anybody reads; Holm's share of each would be too small for twelve blocks beyond it:
/// 2^-12 is a twentieth of half a percent.
pub const MOST_METRICS: usize = 20;

const ONE_PPM: u32 = 1_000_000;
/// Ten times as slow is no margin.
const MOST_BOUND_PPM: u32 = 10 * ONE_PPM;
/// A second of CPU for one request; beyond it the exact comparison would not fit its integers.
const MOST_COST: u64 = 1_000_000_000_000;
/// More requests than a block of seconds holds, for the same reason.
const MOST_COUNT: u64 = 1_000_000_000_000;
/// Versions of which one was to get a twentieth more requests than the other were not driven alike: the one with fewer has
/// fewer beyond any quantile. The ends of a block take less than that.
const MOST_UNEVEN_PPM: u32 = 50_000;
/// A baseline that fails one request in twenty is broken, and being as good as it says nothing.
const MOST_BASELINE_FAILED_PPM: u32 = 50_000;

/// When a run is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// With how many blocks.
    pub blocks: usize,
    /// The chance to call a candidate regressed that is within all margins.
    pub false_alarm_ppm: u32,
    /// The chance to pass a candidate that is at a bound.
    pub false_pass_ppm: u32,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Metric {
    /// A quantile of the latency from the intended send time.
    Slower {
        /// Which: 990 000 is p99.
        quantile_ppm: u32,
    },
    /// CPU time a request.
    Cost,
    /// Requests a second at saturation: fewer is worse.
    Throughput,
    /// The share of requests that failed, a wrong answer among them.
    Failed,
}

/// What of a metric is harmless and what is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Of what.
    pub metric: Metric,
    /// Up to this a difference is harmless: a candidate is called regressed when it is clear that it is worse by more. A
    /// part of the baseline's value; for failures, a part of all requests.
    pub harmless_ppm: u32,
    /// A candidate passes when it is clear that it is not worse by this. More than what is harmless.
    pub bound_ppm: u32,
}

/// What a run is to be decided by, said before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The limits, each of another metric.
    pub limits: Vec<Limit>,
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// More than anybody reads, or the same twice.
    #[error("a policy has 1 to {MOST_METRICS} metrics, each once")]
    Metrics,
    /// A version that fails is fast.
    #[error("a policy must limit failures: what answers nothing, or wrongly, is fast")]
    NoFailures,
    /// Nothing could ever pass, or everything would.
    #[error("a bound must be above what is harmless, and at most ten times the baseline")]
    Bound,
    /// Not within a distribution.
    #[error("a quantile is above 0 and below 1 000 000 millionths")]
    Quantile,
}

impl Policy {
    /// The usual policy: 3 % of p50, 5 % of p99, 3 % of CPU and two failures in ten thousand are harmless; a candidate
    /// passes when it is clear that it is not worse by 10 %, 15 %, 10 % and one in a thousand.
    pub fn usual() -> Self {
        let limit = |metric, harmless_ppm, bound_ppm| Limit { metric, harmless_ppm, bound_ppm };
        Self {
            limits: vec![
                limit(Metric::Slower { quantile_ppm: 500_000 }, 30_000, 100_000),
                limit(Metric::Slower { quantile_ppm: 990_000 }, 50_000, 150_000),
                limit(Metric::Cost, 30_000, 100_000),
                limit(Metric::Failed, 200, 1_000),
            ],
        }
    }

    /// Whether a run can be decided by it.
    pub fn check(&self) -> Result<(), PolicyError> {
        let twice = |at: usize, limit: &Limit| self.limits.iter().take(at).any(|l| l.metric == limit.metric);
        if self.limits.is_empty() || self.limits.len() > MOST_METRICS {
            return Err(PolicyError::Metrics);
        }
        for (at, limit) in self.limits.iter().enumerate() {
            if twice(at, limit) {
                return Err(PolicyError::Metrics);
            }
            if limit.bound_ppm <= limit.harmless_ppm || limit.bound_ppm > MOST_BOUND_PPM {
                return Err(PolicyError::Bound);
            }
            if let Metric::Slower { quantile_ppm } = limit.metric
                && (quantile_ppm == 0 || quantile_ppm >= ONE_PPM)
            {
                return Err(PolicyError::Quantile);
            }
        }
        let failures = self.limits.iter().any(|l| l.metric == Metric::Failed);
        failures.then_some(()).ok_or(PolicyError::NoFailures)
    }
}

/// The same of both versions in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Of the candidate.
    pub candidate: u64,
    /// Of the baseline.
    pub baseline: u64,
}

/// Failures in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    /// Requests that were to be sent.
    pub requests: Pair,
    /// Those of them that had no answer, or a wrong one.
    pub failed: Pair,
}

/// What was measured of one metric, a block each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Blocks {
    /// Of a latency's quantile: requests beyond the quantile of both versions together, as [`exceedances`] counts them.
    Slower {
        /// With the candidate's latencies divided by one and what is harmless.
        harmless: Vec<Pair>,
        /// With the candidate's latencies divided by one and the bound.
        bound: Vec<Pair>,
    },
    /// CPU time, in picoseconds a request.
    Cost(Vec<Pair>),
    /// Requests a second at saturation.
    Throughput(Vec<Pair>),
    /// Failures.
    Failed(Vec<Failures>),
}

/// Why a run can not be decided. A run that is refused passes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PairedError {
    /// The policy.
    #[error("the policy can not decide anything")]
    Policy(#[from] PolicyError),
    /// Not what the policy asks for.
    #[error("metric {metric} was not measured as the policy asks for it")]
    NotMeasured {
        /// Its place in the policy.
        metric: usize,
    },
    /// Not all blocks have all metrics, or there are not as many as at a look.
    #[error("{blocks} blocks of metric {metric}; a run is looked at with 12, 24 and 48")]
    NotALook {
        /// Its place in the policy.
        metric: usize,
        /// How many there are.
        blocks: usize,
    },
    /// A block in which a version got nothing says nothing of it.
    #[error("in block {block} a version got no requests, or metric {metric} has no value")]
    Empty {
        /// Its place in the policy.
        metric: usize,
        /// Which, from 0.
        block: usize,
    },
    /// One version was to get more than the other.
    #[error("in block {block} the versions were not driven alike: {candidate} requests and {baseline}")]
    NotAlike {
        /// Which, from 0.
        block: usize,
        /// Requests that the candidate was to get.
        candidate: u64,
        /// Requests that the baseline was to get.
        baseline: u64,
    },
    /// What to be as good as does not work.
    #[error("the baseline is broken: it failed {failed} of {requests} requests, or all of a block")]
    BrokenBaseline {
        /// Its failures in the whole run.
        failed: u64,
        /// Its requests in the whole run.
        requests: u64,
    },
    /// More failed than there were, or counts at the bound that those at the margin exclude.
    #[error("the counts of metric {metric} in block {block} can not be")]
    Impossible {
        /// Its place in the policy.
        metric: usize,
        /// Which, from 0.
        block: usize,
    },
}

/// What a run says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// The candidate is worse by more than is harmless, in these metrics (their places in the policy).
    Regressed(Vec<usize>),
    /// The candidate is not worse by a bound, in any metric.
    NotRegressed,
    /// Neither is clear. It does not pass.
    Inconclusive {
        /// With how many blocks it is looked at again; none if this was the last look.
        next: Option<usize>,
        /// Metrics that are not clear to be within their bound.
        unclear: Vec<usize>,
    },
}

/// What a look finds of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The chance of blocks at least as bad, if the candidate were worse by what is harmless.
    pub harmless: Chance,
    /// The chance of blocks at least as good, if the candidate were worse by the bound.
    pub bound: Chance,
    /// Whether it is clear that it is worse.
    pub regressed: bool,
    /// Whether it is clear that it is within the bound.
    pub cleared: bool,
}

/// The decision of a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What it says.
    pub answer: Answer,
    /// Of each metric, in the policy's order.
    pub findings: Vec<Finding>,
}

/// The look with so many blocks.
pub fn look(blocks: usize) -> Option<Look> {
    LOOKS.into_iter().find(|look| look.blocks == blocks)
}

/// Decides a run at one of its looks: `measured` has what was measured of each limit, in the policy's order.
///
/// Regressed: Holm's step-down over the metrics' exact one-sided chances, within the look's `false_alarm_ppm`. Not
/// regressed: each metric's chance at its bound is within `false_pass_ppm` (an intersection-union test, Berger 1982, so the
/// metrics need not share it). Failures must be within their bound in the whole run's totals besides, because ranks do not
/// see how much a candidate fails in the few blocks in which it does. Regressed goes first: a candidate that is clearly a little worse than harmless in one metric
/// and clearly within the bound is regressed.
pub fn decide(policy: &Policy, measured: &[Blocks]) -> Result<Decision, PairedError> {
    policy.check()?;
    let count = policy.limits.len();
    let blocks = measured.first().map_or(0, Blocks::count);
    let now = look(blocks).ok_or(PairedError::NotALook { metric: 0, blocks })?;
    let mut findings = Vec::with_capacity(count);
    for (metric, limit) in policy.limits.iter().enumerate() {
        let of = measured.get(metric).ok_or(PairedError::NotMeasured { metric })?;
        if of.count() != blocks {
            return Err(PairedError::NotALook { metric, blocks: of.count() });
        }
        let harmless = signed_rank(&of.scores(metric, limit, limit.harmless_ppm)?);
        let bound = signed_rank(&of.scores(metric, limit, limit.bound_ppm)?);
        findings.push(Finding {
            harmless: harmless.at_least,
            bound: bound.at_most,
            regressed: false,
            cleared: bound.at_most.is_within(u64::from(now.false_pass_ppm), 1) && of.is_within_in_all(limit.bound_ppm),
        });
    }
    if measured.len() > count {
        return Err(PairedError::NotMeasured { metric: count });
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| {
        let of = |at: &usize| findings.get(*at).map(|f: &Finding| f.harmless);
        of(a).cmp(&of(b)).then(a.cmp(b))
    });
    let mut regressed = Vec::new();
    for (done, metric) in order.into_iter().enumerate() {
        let left = u64::try_from(count - done).unwrap_or(u64::MAX);
        let Some(finding) = findings.get_mut(metric) else { break };
        if !finding.harmless.is_within(u64::from(now.false_alarm_ppm), left) {
            break;
        }
        finding.regressed = true;
        regressed.push(metric);
    }
    regressed.sort_unstable();
    let unclear: Vec<usize> =
        findings.iter().enumerate().filter(|(_, finding)| !finding.cleared).map(|(at, _)| at).collect();
    let answer = match (regressed.is_empty(), unclear.is_empty()) {
        (false, _) => Answer::Regressed(regressed),
        (true, true) => Answer::NotRegressed,
        (true, false) => {
            let next = LOOKS.iter().map(|l| l.blocks).find(|next| *next > blocks);
            Answer::Inconclusive { next, unclear }
        }
    };
    Ok(Decision { answer, findings })
}

impl Blocks {
    /// How many; 0 if its parts differ.
    pub fn count(&self) -> usize {
        match self {
            Self::Slower { harmless, bound } if harmless.len() == bound.len() => harmless.len(),
            Self::Slower { .. } => 0,
            Self::Cost(pairs) | Self::Throughput(pairs) => pairs.len(),
            Self::Failed(failures) => failures.len(),
        }
    }

    /// Whether no more failed in the whole run than the baseline's share and the bound. True for what is no count of failures.
    fn is_within_in_all(&self, bound_ppm: u32) -> bool {
        let Self::Failed(failures) = self else { return true };
        let [candidate, baseline] = totals(failures);
        share(candidate.0, candidate.1) - share(baseline.0, baseline.1)
            <= i128::from(bound_ppm) * SHARE_SCALE / i128::from(ONE_PPM)
    }

    /// A signed score for each block, above 0 where the candidate is worse than the baseline by more than the margin.
    fn scores(&self, metric: usize, limit: &Limit, margin_ppm: u32) -> Result<Vec<i128>, PairedError> {
        let with_margin = u128::from(ONE_PPM) + u128::from(margin_ppm);
        let one = u128::from(ONE_PPM);
        let each = |pairs: &[Pair], score: &dyn Fn(u128, u128) -> i128, least: u64, most: u64| {
            let scored = pairs.iter().enumerate().map(|(block, pair)| {
                if pair.candidate < least || pair.baseline < least {
                    return Err(PairedError::Empty { metric, block });
                }
                if pair.candidate > most || pair.baseline > most {
                    return Err(PairedError::Impossible { metric, block });
                }
                Ok(score(u128::from(pair.candidate), u128::from(pair.baseline)))
            });
            scored.collect()
        };
        match (self, limit.metric) {
            (Self::Slower { harmless, bound }, Metric::Slower { .. }) => {
                // The more the candidate is divided by, the fewer of it and the more of the other are beyond.
                let contradicts = |(h, b): (&Pair, &Pair)| b.candidate > h.candidate || b.baseline < h.baseline;
                if let Some(block) = harmless.iter().zip(bound).position(contradicts) {
                    return Err(PairedError::Impossible { metric, block });
                }
                let pairs = if margin_ppm == limit.harmless_ppm { harmless } else { bound };
                // Half a request is added to each, so that none is a number too.
                each(pairs, &|c, b| ratio(2 * c + 1, 2 * b + 1), 0, MOST_COUNT)
            }
            (Self::Cost(pairs), Metric::Cost) => each(pairs, &|c, b| ratio(c * one, b * with_margin), 1, MOST_COST),
            (Self::Throughput(pairs), Metric::Throughput) => {
                each(pairs, &|c, b| ratio(b * one, c * with_margin), 1, MOST_COUNT)
            }
            (Self::Failed(failures), Metric::Failed) => {
                check_failures(metric, failures)?;
                let scored = failures.iter().map(|f| {
                    share(f.failed.candidate, f.requests.candidate)
                        - share(f.failed.baseline, f.requests.baseline)
                        - i128::from(margin_ppm) * SHARE_SCALE / i128::from(ONE_PPM)
                });
                Ok(scored.collect())
            }
            _ => Err(PairedError::NotMeasured { metric }),
        }
    }
}

/// Whether counts of failures can be, and are of two versions that were driven alike and of which the baseline works.
fn check_failures(metric: usize, failures: &[Failures]) -> Result<(), PairedError> {
    for (block, Failures { requests, failed }) in failures.iter().enumerate() {
        let Pair { candidate, baseline } = *requests;
        if candidate == 0 || baseline == 0 {
            return Err(PairedError::Empty { metric, block });
        }
        let more = failed.candidate > candidate || failed.baseline > baseline;
        if more || candidate > MOST_COUNT || baseline > MOST_COUNT {
            return Err(PairedError::Impossible { metric, block });
        }
        let (fewer, uneven) = (candidate.min(baseline), candidate.abs_diff(baseline));
        if u128::from(uneven) * u128::from(ONE_PPM) > u128::from(fewer) * u128::from(MOST_UNEVEN_PPM) {
            return Err(PairedError::NotAlike { block, candidate, baseline });
        }
    }
    let [_, (failed, requests)] = totals(failures);
    let often = u128::from(failed) * u128::from(ONE_PPM) > u128::from(requests) * u128::from(MOST_BASELINE_FAILED_PPM);
    if often || failures.iter().any(|f| f.failed.baseline == f.requests.baseline) {
        return Err(PairedError::BrokenBaseline { failed, requests });
    }
    Ok(())
}

/// Failures and requests in all blocks: the candidate's, then the baseline's.
fn totals(failures: &[Failures]) -> [(u64, u64); 2] {
    let sum = |of: &dyn Fn(&Failures) -> u64| failures.iter().fold(0_u64, |sum, f| sum.saturating_add(of(f)));
    [
        (sum(&|f| f.failed.candidate), sum(&|f| f.requests.candidate)),
        (sum(&|f| f.failed.baseline), sum(&|f| f.requests.baseline)),
    ]
}

/// Shares of failures are compared in parts of a million million.
const SHARE_SCALE: i128 = 1_000_000_000_000;

fn share(part: u64, of: u64) -> i128 {
    i128::from(part) * SHARE_SCALE / i128::from(of.max(1))
}

/// Binary digits of a ratio that count.
const RATIO_BITS: u32 = 40;

/// The order of logarithms of ratios in integers: below 0, 0 or above 0 as the first is less than, equal to or more than the
/// second, and of the same size when the two change places.
fn ratio(first: u128, second: u128) -> i128 {
    let size = |more: u128, less: u128| {
        let ratio = (more << RATIO_BITS) / less.max(1);
        i128::try_from(ratio.saturating_sub(1 << RATIO_BITS).max(1)).unwrap_or(i128::MAX)
    };
    match first.cmp(&second) {
        std::cmp::Ordering::Less => -size(second, first),
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => size(first, second),
    }
}
