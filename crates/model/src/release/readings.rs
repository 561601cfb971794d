//! What is read of components themselves while two versions are compared: counters of what went wrong, and figures that may
//! never be another. How it is judged is in `rollout`; what holds of it is in docs/statistics.md.

use serde::{Deserialize, Serialize};

use crate::{ComponentName, series::Series};

/// Of all of alpha, in percent, what counters have together; the rest is for what the edge counts.
pub const COUNTERS_PERCENT: u32 = 20;

/// What is read of components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readings {
    /// Seconds for which something may be unreadable; then the rollout goes back. Meanwhile nobody more gets the new version.
    pub unreadable_s: u32,
    /// Counters that are compared.
    pub counters: Vec<Counter>,
    /// What must be the case in every instance of the new version.
    pub invariants: Vec<Invariant>,
}

/// A counter of a component, compared between two versions: of so many things that happened, how many were bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// Of which component.
    pub component: ComponentName,
    /// Where it answers with its metrics, in the text format of OpenMetrics or Prometheus.
    pub path: String,
    /// What is counted.
    pub name: Series,
    /// Out of what: also a counter, and never less than `name`.
    pub of: Series,
    /// What is bad.
    pub worse: Worse,
    /// What is harmless: this many percent of the old version's share of bad ones, at least 100.
    pub ratio_percent: u32,
    /// And this many in a million.
    pub added_ppm: u32,
    /// What must be ruled out before promotion, in percent of the old version's share.
    pub promote_ratio_percent: u32,
    /// And this many in a million.
    pub promote_added_ppm: u32,
}

/// What is bad of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worse {
    /// Those that `name` counts (payments that were rejected).
    More,
    /// Those of `of` that `name` does not count (orders that were not filled).
    Fewer,
}

/// A figure that may never be another, such as what a ledger is out of balance by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invariant {
    /// Of which component.
    pub component: ComponentName,
    /// Where it answers with its metrics.
    pub path: String,
    /// Which samples: each of them.
    pub name: Series,
    /// What each of them must be.
    pub equals: i64,
}

impl Counter {
    /// Whether it asks the same of the same.
    fn is_same(&self, other: &Self) -> bool {
        (&self.component, &self.name, &self.of, self.worse) == (&other.component, &other.name, &other.of, other.worse)
    }

    fn no_looser_than(&self, before: &Self) -> Self {
        Self {
            ratio_percent: self.ratio_percent.min(before.ratio_percent),
            added_ppm: self.added_ppm.min(before.added_ppm),
            promote_ratio_percent: self.promote_ratio_percent.min(before.promote_ratio_percent),
            promote_added_ppm: self.promote_added_ppm.min(before.promote_added_ppm),
            ..self.clone()
        }
    }
}

impl Readings {
    /// What is asked when `new` replaces `old`: of the counters, those that the old version promised to have, each by the
    /// stricter margins; of the invariants, those of either. A counter that only the new version names has nothing to be
    /// compared with yet. Nothing if nothing is asked.
    pub(super) fn between(new: Option<&Self>, old: Option<&Self>) -> Option<Self> {
        let unreadable_s = new.into_iter().chain(old).map(|r| r.unreadable_s).min()?;
        let counters = old.map(|old| &old.counters).into_iter().flatten().map(|counter| {
            let now = new.and_then(|new| new.counters.iter().find(|c| c.is_same(counter)));
            now.map_or_else(|| counter.clone(), |now| now.no_looser_than(counter))
        });
        let mut invariants: Vec<Invariant> = new.map(|new| new.invariants.clone()).unwrap_or_default();
        for invariant in old.map(|old| &old.invariants).into_iter().flatten() {
            let is_same = |i: &Invariant| {
                (&i.component, &i.name, i.equals) == (&invariant.component, &invariant.name, invariant.equals)
            };
            if !invariants.iter().any(is_same) {
                invariants.push(invariant.clone());
            }
        }
        let between = Self { unreadable_s, counters: counters.collect(), invariants };
        (!between.counters.is_empty() || !between.invariants.is_empty()).then_some(between)
    }
}
