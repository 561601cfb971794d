//! What is counted of a component and how it is judged: the questions that the edge asks of each unit of clients, and the
//! plan of the analysis that goes with them.

use model::{
    ComponentName, Series,
    release::{Analysis, Slower, Worse},
    route::{Flag, UNITS},
};
use serde::{Deserialize, Serialize};
use stats::{LATENCY_LEVELS, Margin, Measure, Plan, Question, TARGETS_PPM};

use super::{FAILED, since};
use crate::{
    progress::{Before, Transition},
    scene::Scene,
};

/// A whole, in millionths.
const ONE_PPM: u32 = 1_000_000;
/// A percent, in millionths.
const PERCENT_PPM: u32 = 10_000;
/// The rate of a component that nobody asked anything yet, in millionths of requests a unit and tick: one a second in all.
const GUESSED_RATE: u64 = 10_000;
/// A guess counts for as little as it is worth.
const GUESS_UNIT_TICKS: u32 = 100;

/// One thing that is counted. Those of the edge are written as they were before there were others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metric {
    /// By the edge.
    Edge(EdgeMetric),
    /// By the component.
    Counter(CounterMetric),
    /// A figure that may never be another.
    Invariant(InvariantMetric),
}

/// What the edge counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeMetric {
    /// What the edge is asked.
    pub flag: Flag,
    /// The quantile that the bound of a latency was at, in parts of a million.
    pub quantile_ppm: Option<u32>,
}

/// What a component counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterMetric {
    /// What is counted.
    pub name: Series,
    /// Out of what.
    pub of: Series,
    /// What is bad.
    pub worse: Worse,
    /// So many of those are sampled of an instance and tick at most.
    pub sample: u64,
}

/// A figure of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvariantMetric {
    /// Which.
    pub name: Series,
    /// What it must be.
    pub equals: i64,
}

/// What was seen of a component of the old version before the comparison.
pub(super) struct Seen {
    /// Requests a unit and tick, in millionths.
    rate: u64,
    /// Of a million requests, how many failed.
    failed_ppm: u32,
    /// For how many unit-ticks of looking that stands.
    unit_ticks: u32,
    /// Times that were seen at quantiles, in microseconds.
    quantiles_us: Vec<(u32, u64)>,
}

impl Seen {
    /// By what the edge has counted since the rollout began, and in the last minute.
    pub(super) fn of(
        scene: &Scene<'_>,
        transition: &Transition,
        before: &Before,
        component: &ComponentName,
        tick_ms: u32,
    ) -> Self {
        let row = transition.from.as_ref().and_then(|from| {
            scene.edge.versions.iter().find(|v| v.serial == *from.serial() && v.component == *component)
        });
        let lately =
            transition.from.as_ref().map_or(0, |from| since(scene.edge, &before.counts, from.serial(), component));
        let seconds = scene.now.since_s(before.at).max(1);
        // Requests a second, over units, times seconds a tick; in millionths.
        let rate = lately.saturating_mul(1_000).saturating_mul(u64::from(tick_ms)) / seconds / u64::from(UNITS);
        let (requests, errors) = row.map_or((0, 0), |v| (v.requests, v.errors));
        let failed_ppm = errors.saturating_mul(u64::from(ONE_PPM)).checked_div(requests).unwrap_or(0);
        let known = u128::from(requests) * 1_000_000 / u128::from(rate.max(1));
        Self {
            rate: if rate == 0 { GUESSED_RATE } else { rate },
            failed_ppm: u32::try_from(failed_ppm).unwrap_or(ONE_PPM).min(ONE_PPM / 2),
            unit_ticks: u32::try_from(known).unwrap_or(u32::MAX).clamp(GUESS_UNIT_TICKS, stats::HISTORY_UNIT_TICKS),
            quantiles_us: row.map(|v| v.quantiles_us.clone()).unwrap_or_default(),
        }
    }
}

/// What is counted, and how it is judged, in the same order.
pub(super) fn plan(settings: &Analysis, seen: &Seen, alpha_ppm: u32) -> (Vec<Metric>, Plan) {
    let margins = &settings.margins;
    let mut rows: Vec<(EdgeMetric, Measure)> = Vec::new();
    for level in LATENCY_LEVELS {
        let slower_percent = allowed(&margins.slower, level.quantile_ppm);
        let at = seen.quantiles_us.iter().find(|(quantile_ppm, _)| *quantile_ppm == level.quantile_ppm);
        let (Some(percent), Some((_, control_us))) = (slower_percent, at) else { continue };
        let trial_us = control_us.saturating_add(control_us.saturating_mul(u64::from(percent)) / 100);
        let slow = u64::from(ONE_PPM.saturating_sub(level.quantile_ppm));
        // Requests a unit and tick that are slower than the bound, in millionths.
        let mean_ppm = u64::try_from(u128::from(seen.rate) * u128::from(slow) / 1_000_000).unwrap_or(u64::MAX);
        for target_ppm in TARGETS_PPM {
            let slow = stats::from_mean(mean_ppm, target_ppm);
            let flag = Flag::Slower { control_us: *control_us, trial_us, count: slow.count };
            if rows.iter().any(|(metric, _)| metric.flag == flag) {
                continue;
            }
            let weight_ppm = level.weight_ppm / u32::try_from(TARGETS_PPM.len()).unwrap_or(u32::MAX);
            let metric = EdgeMetric { flag, quantile_ppm: Some(level.quantile_ppm) };
            rows.push((metric, slow.measure(weight_ppm, seen.unit_ticks)));
        }
    }
    let weight_ppm = ONE_PPM.saturating_sub(rows.iter().map(|(_, m)| m.weight_ppm).sum());
    let line = |ratio_percent: u32, added_ppm| Margin {
        ratio_ppm: ratio_percent.saturating_mul(PERCENT_PPM),
        plus_ppm: added_ppm,
    };
    let question = Question::Events {
        requests_per_million_unit_ticks: seen.rate,
        history_ppm: seen.failed_ppm,
        history_unit_ticks: seen.unit_ticks,
        margin: line(margins.error_ratio_percent, margins.error_added_ppm),
        promote: line(margins.promote_ratio_percent, margins.promote_added_ppm),
        limit_ppm: None,
    };
    rows.insert(0, (EdgeMetric { flag: FAILED, quantile_ppm: None }, Measure { weight_ppm, question }));
    let (metrics, measures) = rows.into_iter().map(|(metric, measure)| (Metric::Edge(metric), measure)).unzip();
    let plan = Plan { measures, alpha_ppm, beta_ppm: stats::BETA_PPM, horizon_ticks: stats::HORIZON_TICKS };
    (metrics, plan)
}

/// By how many percent it may be slower at a quantile.
fn allowed(slower: &Slower, quantile_ppm: u32) -> Option<u32> {
    match quantile_ppm {
        500_000 => slower.p50_percent,
        900_000 => slower.p90_percent,
        990_000 => slower.p99_percent,
        999_000 => slower.p999_percent,
        _ => None,
    }
}
