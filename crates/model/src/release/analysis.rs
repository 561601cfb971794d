//! How a new version is compared with the one that it replaces, on live traffic. What the numbers mean for a rollout is
//! in `rollout`; the method is in docs/statistics.md.

use serde::{Deserialize, Serialize};

use crate::{
    Digest,
    release::Readings,
    route::{CohortRule, Identity},
};

/// Ticks on end without a request to the new version after which people are told: a minute of seconds.
pub const QUIET_TICKS: u64 = 60;

/// How a new version is compared with the one that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// Shares of clients in percent that get the new version, one step after the other; never none, each above the one
    /// before, and none above `100 - keep_percent`.
    pub steps: Vec<u8>,
    /// Seconds that each step lasts at least.
    pub step_s: u32,
    /// The share of clients in percent that stays on the old version while the new one is watched after it was promoted:
    /// without it there is nothing to compare with.
    pub keep_percent: u8,
    /// Seconds after which a rollout that is still undecided goes back.
    pub undecided_s: u32,
    /// Seconds without a word from the agent after which the edge sends everybody to the old version by itself.
    pub silence_s: u32,
    /// The length of a tick in milliseconds: at least the longest burst of failures that one replica may have without
    /// being worse for it.
    pub tick_ms: u32,
    /// How clients are told apart: the first of these that a request has, else its address.
    pub identity: Vec<Identity>,
    /// Who gets the new version before anybody else, and at every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Cohort>,
    /// What is worse enough to go back.
    pub margins: Margins,
    /// What is read of the components themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings: Option<Readings>,
    /// So many different people who report trouble with the new version hold it where it is; none if they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports_hold: Option<u32>,
}

/// Clients by name or by what a token says of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// Seconds that the new version is theirs alone before the first step.
    pub alone_s: u32,
    /// Identities as the edge verifies them.
    pub named: Vec<String>,
    /// Claims of a signed token and their values.
    pub claims: Vec<(String, String)>,
}

/// What is worse enough to go back, and what is good enough to go on.
///
/// With `p` the old version's share of failed requests, going back needs evidence that the new one's is above
/// `error_ratio_percent / 100 * p + error_added_ppm / 1e6`, and going on evidence that it is below
/// `promote_ratio_percent / 100 * p + promote_added_ppm / 1e6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margins {
    /// Times the old version's share, in percent; at least 100.
    pub error_ratio_percent: u32,
    /// And this many in a million requests.
    pub error_added_ppm: u32,
    /// Times the old version's share, in percent; above `error_ratio_percent`.
    pub promote_ratio_percent: u32,
    /// And this many in a million requests.
    pub promote_added_ppm: u32,
    /// By how many percent the time at each quantile may be longer; a quantile that is not named is not judged.
    pub slower: Slower,
    /// The chance, in a million, that a rollout of a version that is no worse ever goes back: over all that is compared
    /// and all time.
    pub false_rollback_ppm: u32,
}

/// By how many percent the time to an answer may be longer at a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slower {
    /// At the median.
    pub p50_percent: Option<u32>,
    /// At the 90th percentile.
    pub p90_percent: Option<u32>,
    /// At the 99th percentile.
    pub p99_percent: Option<u32>,
    /// At the 99.9th percentile.
    pub p999_percent: Option<u32>,
}

impl Default for Margins {
    /// As docs/statistics.md gives reasons for.
    fn default() -> Self {
        Self {
            error_ratio_percent: 125,
            error_added_ppm: 200,
            promote_ratio_percent: 200,
            promote_added_ppm: 500,
            slower: Slower {
                p50_percent: Some(5),
                p90_percent: Some(5),
                p99_percent: Some(10),
                p999_percent: Some(25),
            },
            false_rollback_ppm: 10_000,
        }
    }
}

impl Cohort {
    /// Who it is, as the edge is told.
    pub fn rules(&self) -> Vec<CohortRule> {
        let named = self.named.iter().map(|name| CohortRule::Named(Digest::of(name.as_bytes())));
        let claims =
            self.claims.iter().map(|(name, value)| CohortRule::Claim { name: name.clone(), value: value.clone() });
        named.chain(claims).collect()
    }
}

impl Analysis {
    /// The same steps, judged by whatever is stricter in either: what judges a change is not in the change alone, so a
    /// new version can not loosen the comparison that it is put to.
    #[must_use]
    pub fn no_looser_than(&self, before: &Self) -> Self {
        let (new, old) = (&self.margins, &before.margins);
        let either = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        let margins = Margins {
            error_ratio_percent: new.error_ratio_percent.min(old.error_ratio_percent),
            error_added_ppm: new.error_added_ppm.min(old.error_added_ppm),
            promote_ratio_percent: new.promote_ratio_percent.min(old.promote_ratio_percent),
            promote_added_ppm: new.promote_added_ppm.min(old.promote_added_ppm),
            slower: Slower {
                p50_percent: either(new.slower.p50_percent, old.slower.p50_percent),
                p90_percent: either(new.slower.p90_percent, old.slower.p90_percent),
                p99_percent: either(new.slower.p99_percent, old.slower.p99_percent),
                p999_percent: either(new.slower.p999_percent, old.slower.p999_percent),
            },
            // A larger chance of a false alarm finds a fault sooner.
            false_rollback_ppm: new.false_rollback_ppm.max(old.false_rollback_ppm),
        };
        Self {
            step_s: self.step_s.max(before.step_s),
            keep_percent: self.keep_percent.max(before.keep_percent),
            undecided_s: self.undecided_s.min(before.undecided_s),
            margins,
            readings: Readings::between(self.readings.as_ref(), before.readings.as_ref()),
            reports_hold: either(self.reports_hold, before.reports_hold),
            ..self.clone()
        }
    }

    /// Where only one of the two versions says how it is compared. See [`Readings`] for what can not be read then.
    #[must_use]
    pub fn alone(&self, is_new: bool) -> Self {
        let (new, old) = if is_new { (self.readings.as_ref(), None) } else { (None, self.readings.as_ref()) };
        Self { readings: Readings::between(new, old), ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
