//! What the release documents ask of a comparison: which components, which steps, and the numbers that it may not be
//! looser than.
//!
//! It refuses to know what the edge had counted before: histories, rates and the time at a quantile of the old version are
//! the agent's word.

use std::collections::BTreeMap;

use ledger::statement::v1::{Analysis as Counted, Asks, Line};
use model::{
    ComponentName, Digest, EnvironmentName,
    release::{Analysis, COUNTERS_PERCENT, Counter, Readings, Release, Slower, Worse},
    route::UNITS,
};
use stats::{BETA_PPM, HORIZON_TICKS, LATENCY_LEVELS, SLOW_PROMOTE_MARGIN, TARGETS_PPM};

use super::{mismatch::Difference, replay::Subject};

/// A percent, in millionths.
const PERCENT_PPM: u32 = 10_000;

/// What was approved.
#[derive(Clone, Debug)]
pub(super) struct Approved {
    /// The stricter of both documents; none if neither asks for a comparison.
    settings: Option<Analysis>,
    /// What is compared; none if nothing is.
    pub(super) components: Vec<ComponentName>,
    /// Counters of components that are compared as well.
    pub(super) counters: Vec<Subject>,
    /// Invariants of components that the new version has, those of one component and path together.
    pub(super) invariants: Vec<Subject>,
    /// The shares in percent that the new version may have, step by step: the cohort alone, the steps, and all but those
    /// who stay to compare with.
    pub(super) shares: Vec<u8>,
}

impl Approved {
    /// By the documents of the new version and of the one that it replaces.
    pub(super) fn of(new: &Release, old: &Release, environment: &EnvironmentName) -> Self {
        let asks = |release: &Release| release.environment(environment)?.analysis.clone();
        let settings = match (asks(new), asks(old)) {
            (Some(new), Some(old)) => Some(new.no_looser_than(&old)),
            (Some(new), None) => Some(new.alone(true)),
            (None, old) => old.map(|old| old.alone(false)),
        };
        let is_divided = |name: &&ComponentName| {
            [old, new].iter().all(|release| release.component(name).is_some_and(|c| !c.is_exclusive()))
        };
        let reached = new.environment(environment).into_iter().flat_map(|e| e.expose.keys());
        let components = if settings.is_some() { reached.filter(is_divided).cloned().collect() } else { Vec::new() };
        let shares = settings.as_ref().map_or_else(Vec::new, |settings| {
            let cohort = settings.cohort.iter().map(|_| 0);
            let kept = UNITS.saturating_sub(settings.keep_percent);
            cohort.chain(settings.steps.iter().copied()).chain([kept]).collect()
        });
        let readings = settings.as_ref().and_then(|s| s.readings.as_ref());
        let counters = readings.into_iter().flat_map(|r| &r.counters).filter(|c| is_divided(&&c.component));
        let counters = counters.map(counter).collect();
        let invariants = readings.map_or_else(Vec::new, |readings| together(readings, new));
        Self { counters, invariants, settings, components, shares }
    }

    /// What all counters have of the chance of a false alarm.
    fn counters_ppm(&self) -> u32 {
        let whole_ppm = self.settings.as_ref().map_or(0, |s| s.margins.false_rollback_ppm);
        if self.counters.is_empty() { 0 } else { whole_ppm.saturating_mul(COUNTERS_PERCENT) / 100 }
    }

    /// The same for a counter of a component, whose margins are its own. Invariants have no numbers to be loose.
    fn looser_reading(&self, claim: &Counted, subject: &Subject) -> Vec<Difference> {
        let mut found = Vec::new();
        let component = subject.component();
        let is_invariant = claim.metrics.iter().any(|m| matches!(m.asks, Asks::Invariant { .. }));
        if is_invariant && !self.invariants.contains(subject) {
            let what = "the release documents ask for other invariants than these together".to_owned();
            found.push(Difference::Metrics { component: component.clone(), what });
        }
        if !is_invariant && claim.metrics.len() > 1 {
            // A second row would take its weight from the first.
            let what = "a counter is compared by one row, and this has more".to_owned();
            found.push(Difference::Metrics { component: component.clone(), what });
        }
        let counters = self.settings.iter().filter_map(|s| s.readings.as_ref()).flat_map(|r| &r.counters);
        let each_ppm = self.counters_ppm() / u32::try_from(self.counters.len()).unwrap_or(u32::MAX).max(1);
        for metric in &claim.metrics {
            let Asks::Counter { margin, .. } = &metric.asks else { continue };
            let asked = counters.clone().find(|c| counter(c) == *subject);
            let Some(asked) = asked.filter(|_| self.counters.contains(subject)) else {
                let what = "the release documents do not ask to compare this counter".to_owned();
                found.push(Difference::Metrics { component: component.clone(), what });
                continue;
            };
            let numbers = [
                ("alpha_ppm", claim.alpha_ppm, each_ppm.max(1)),
                ("beta_ppm", claim.beta_ppm, BETA_PPM),
                ("horizon_ticks", claim.horizon_ticks, HORIZON_TICKS),
                ("counter, margin, ratio_ppm", margin.ratio_ppm, asked.ratio_percent.saturating_mul(PERCENT_PPM)),
                ("counter, margin, plus_ppm", margin.plus_ppm, asked.added_ppm),
                (
                    "counter, promote, ratio_ppm",
                    metric.promote.ratio_ppm,
                    asked.promote_ratio_percent.saturating_mul(PERCENT_PPM),
                ),
                ("counter, promote, plus_ppm", metric.promote.plus_ppm, asked.promote_added_ppm),
            ];
            for (number, is, approved) in numbers {
                if is > approved || (number == "alpha_ppm" && is != approved) {
                    let (number, found_is) = (number.to_owned(), u64::from(is));
                    let (component, approved) = (component.clone(), u64::from(approved));
                    found.push(Difference::Looser { component, number, found: found_is, approved });
                }
            }
        }
        found
    }

    /// What of a plan is looser than it may be.
    pub(super) fn looser(&self, claim: &Counted, subject: &Subject) -> Vec<Difference> {
        let name = || subject.component().clone();
        let mut found = Vec::new();
        if !subject.is_of_edge() {
            return self.looser_reading(claim, subject);
        }
        let (Some(settings), true) = (&self.settings, self.components.contains(subject.component())) else {
            let what = "the release documents do not ask to compare it".to_owned();
            return vec![Difference::Metrics { component: name(), what }];
        };
        let mut must = |number: &str, found_is: u64, approved: u64, fits: bool| {
            if !fits {
                let number = number.to_owned();
                found.push(Difference::Looser { component: name(), number, found: found_is, approved });
            }
        };
        let margins = &settings.margins;
        let parts = u32::try_from(self.components.len()).unwrap_or(u32::MAX).max(1);
        let alpha_ppm = margins.false_rollback_ppm.saturating_sub(self.counters_ppm()) / parts;
        // Larger goes back from good versions, smaller stays with bad ones.
        must("alpha_ppm", claim.alpha_ppm.into(), alpha_ppm.into(), claim.alpha_ppm == alpha_ppm);
        must("beta_ppm", claim.beta_ppm.into(), BETA_PPM.into(), claim.beta_ppm <= BETA_PPM);
        let horizon = claim.horizon_ticks;
        must("horizon_ticks", horizon.into(), HORIZON_TICKS.into(), horizon <= HORIZON_TICKS);
        let mut line = |words: &str, line: &Line, ratio_ppm: u32, plus_ppm: u32| {
            must(&format!("{words}, ratio_ppm"), line.ratio_ppm.into(), ratio_ppm.into(), line.ratio_ppm <= ratio_ppm);
            must(&format!("{words}, plus_ppm"), line.plus_ppm.into(), plus_ppm.into(), line.plus_ppm <= plus_ppm);
        };
        for metric in &claim.metrics {
            match &metric.asks {
                Asks::Failed { margin, .. } => {
                    let ppm = |percent: u32| percent.saturating_mul(PERCENT_PPM);
                    line("failures, margin", margin, ppm(margins.error_ratio_percent), margins.error_added_ppm);
                    let promote = (ppm(margins.promote_ratio_percent), margins.promote_added_ppm);
                    line("failures, promote", &metric.promote, promote.0, promote.1);
                }
                Asks::Slower { .. } => {
                    let most = SLOW_PROMOTE_MARGIN;
                    line("slow units, promote", &metric.promote, most.ratio_ppm, most.plus_ppm);
                }
                Asks::Counter { .. } | Asks::Invariant { .. } => {}
            }
        }
        for metric in &claim.metrics {
            let Asks::Slower { quantile_ppm, control_us, trial_us, .. } = metric.asks else { continue };
            let level = LATENCY_LEVELS.iter().find(|level| level.quantile_ppm == quantile_ppm);
            let percent = allowed(&margins.slower, quantile_ppm);
            let (Some(level), Some(percent)) = (level, percent) else {
                let what = format!("the release documents do not judge the quantile of {quantile_ppm} millionths");
                found.push(Difference::Metrics { component: name(), what });
                continue;
            };
            let mut must = |number: &str, found_is: u64, approved: u64| {
                if found_is > approved {
                    let number = format!("{number} at {quantile_ppm} millionths");
                    found.push(Difference::Looser { component: name(), number, found: found_is, approved });
                }
            };
            let bound_us = control_us.saturating_add(control_us.saturating_mul(u64::from(percent)) / 100);
            must("trial_us", trial_us, bound_us);
            let weight_ppm = level.weight_ppm / u32::try_from(TARGETS_PPM.len()).unwrap_or(u32::MAX);
            must("weight_ppm", metric.weight_ppm.into(), weight_ppm.into());
        }
        if !claim.metrics.iter().any(|m| matches!(m.asks, Asks::Failed { .. })) {
            let what = "whether requests fail is not compared".to_owned();
            found.push(Difference::Metrics { component: name(), what });
        }
        found
    }
}

fn counter(asked: &Counter) -> Subject {
    Subject::counter(asked.component.clone(), asked.name.digest(), asked.of.digest(), asked.worse == Worse::More)
}

/// Invariants as they are read: in the order of the release documents, those behind one path together.
fn together(readings: &Readings, new: &Release) -> Vec<Subject> {
    let mut all: BTreeMap<(&ComponentName, &str), Vec<Digest>> = BTreeMap::new();
    for invariant in readings.invariants.iter().filter(|i| new.component(&i.component).is_some()) {
        all.entry((&invariant.component, &invariant.path)).or_default().push(invariant.name.digest());
    }
    all.into_iter().map(|((component, _), names)| Subject::invariants(component.clone(), names)).collect()
}

/// By how many percent it may be slower at a quantile.
const fn allowed(slower: &Slower, quantile_ppm: u32) -> Option<u32> {
    match quantile_ppm {
        500_000 => slower.p50_percent,
        900_000 => slower.p90_percent,
        990_000 => slower.p99_percent,
        999_000 => slower.p999_percent,
        _ => None,
    }
}
