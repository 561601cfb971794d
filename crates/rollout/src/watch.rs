//! Judging a version by what the edge counts of it. Today one rule, an absolute share of errors; sequential
//! analysis against the version before becomes a second variant of [`Rule`] and changes nothing else.

use model::{
    ComponentName, Serial,
    release::Environment,
    route::{EdgeCounts, VersionCounts},
};
use serde::{Deserialize, Serialize};

/// How a version is judged while it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Too many errors in any one component, whatever the version before did.
    ErrorShare {
        /// The share of requests, in hundredths of a percent, above which the version is bad.
        limit_bp: u32,
        /// Requests of a component below which its share says nothing.
        min_requests: u32,
    },
}

impl Rule {
    /// The rule that an environment asks for.
    pub const fn of(environment: &Environment) -> Self {
        Self::ErrorShare { limit_bp: environment.error_limit_bp, min_requests: environment.error_min_requests }
    }
}

/// What one component of one version had been asked when its rollout began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The component.
    pub component: ComponentName,
    /// Requests by then.
    pub requests: u64,
    /// Errors by then.
    pub errors: u64,
}

/// Requests and errors since the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Requests.
    pub requests: u64,
    /// Of those, errors.
    pub errors: u64,
}

/// What the counts say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Enough requests, few enough errors.
    Good(Tally),
    /// Too few requests to say anything; only health checks speak for the version.
    TooFew(Tally),
    /// Too many errors in this component.
    Bad {
        /// The component.
        component: ComponentName,
        /// What was counted of it.
        tally: Tally,
    },
}

/// What the edge has counted of a version by now.
pub fn baseline(counts: &EdgeCounts, serial: &Serial) -> Vec<Baseline> {
    let row = |v: &VersionCounts| Baseline { component: v.component.clone(), requests: v.requests, errors: v.errors };
    counts.versions.iter().filter(|v| &v.serial == serial).map(row).collect()
}

/// Judges a version by what was counted of it since the baseline.
///
/// Good needs enough requests in at least one component; one bad component is enough for bad.
pub fn judge(rule: Rule, since: &[Baseline], counts: &EdgeCounts, serial: &Serial) -> Judgement {
    let Rule::ErrorShare { limit_bp, min_requests } = rule;
    let (mut all, mut enough) = (Tally::default(), false);
    for row in counts.versions.iter().filter(|v| &v.serial == serial) {
        let tally = tally(since.iter().find(|b| b.component == row.component), row);
        all.requests = all.requests.saturating_add(tally.requests);
        all.errors = all.errors.saturating_add(tally.errors);
        if tally.requests == 0 || tally.requests < u64::from(min_requests) {
            continue;
        }
        enough = true;
        // u128, because a share of u64 requests in hundredths of a percent does not fit u64.
        if u128::from(tally.errors) * 10_000 > u128::from(limit_bp) * u128::from(tally.requests) {
            return Judgement::Bad { component: row.component.clone(), tally };
        }
    }
    if enough { Judgement::Good(all) } else { Judgement::TooFew(all) }
}

/// The counters are since the edge started: if they shrank, the edge started again and everything is new.
fn tally(since: Option<&Baseline>, row: &VersionCounts) -> Tally {
    match since {
        Some(b) if row.requests >= b.requests && row.errors >= b.errors => {
            Tally { requests: row.requests - b.requests, errors: row.errors - b.errors }
        }
        _ => Tally { requests: row.requests, errors: row.errors },
    }
}

#[cfg(test)]
mod tests;
