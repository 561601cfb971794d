//! The grid of the comparison: nine kinds of traffic, four faults, and what each gate makes of the same streams.

use super::{
    SECONDS, gate, kayenta, peers, runs,
    stream::{Source, Stream, Units},
    thresholds,
    world::{P0, World},
};

/// Requests a second of both versions.
pub const RPS: [f64; 3] = [10.0, 100.0, 1000.0];
/// The trial's share of them.
pub const SHARES: [f64; 3] = [0.01, 0.05, 0.10];
/// The parts of requests that a bad version fails.
pub const FAULTS: [f64; 4] = [0.005, 0.02, 0.1, 1.0];
/// The chance of a false alarm that every gate in the comparison may have at most.
pub const ALPHA: f64 = 0.01;

/// Ticks of a second.
pub const SECOND: gate::Ticks = gate::Ticks { slots: 4, rest: 0, by_request: false };
/// Ticks of a quarter of a second, a flagged unit resting for three more.
pub const QUARTER: gate::Ticks = gate::Ticks { slots: 1, rest: 3, by_request: false };

/// The gates that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// `stats` with ticks of a second.
    Second,
    /// `stats` with ticks of a quarter of a second.
    Quarter,
    /// The same mathematics by the request, which takes failures for independent.
    ByRequest,
    /// The sequential test of counts.
    Counts,
    /// Argo Rollouts, background analysis.
    ArgoBackground,
    /// Argo Rollouts, inline analysis.
    ArgoInline,
    /// Flagger with the documented threshold.
    Flagger10,
    /// Flagger with its default threshold.
    Flagger1,
    /// Kayenta judging once, after an hour.
    Kayenta60,
    /// Kayenta judging every 5 min from 10 min on.
    Kayenta5,
    /// The limit: knows what is wrong beforehand.
    Wald,
}

impl Gate {
    /// Configurations that their systems document.
    pub const DOCUMENTED: [Self; 6] =
        [Self::ArgoBackground, Self::ArgoInline, Self::Flagger10, Self::Flagger1, Self::Kayenta60, Self::Kayenta5];

    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "stats, 1 s",
            Self::Quarter => "stats, 250 ms",
            Self::ByRequest => "by request",
            Self::Counts => "counts test",
            Self::ArgoBackground => "argo background",
            Self::ArgoInline => "argo inline",
            Self::Flagger10 => "flagger 10",
            Self::Flagger1 => "flagger 1",
            Self::Kayenta60 => "kayenta 60",
            Self::Kayenta5 => "kayenta 5",
            Self::Wald => "Wald's limit",
        }
    }

    /// After how many slots it goes back, if it does.
    ///
    /// # Errors
    /// If the simulation makes counts that can not be.
    pub fn goes_back(
        self,
        source: &Source,
        stream: &Stream,
        sums: &[(f64, f64)],
    ) -> Result<Option<usize>, gate::GateError> {
        let ours = |ticks: gate::Ticks| {
            let ticks = gate::Ticks { slots: (ticks.slots * source.slots / 4).max(1), ..ticks };
            gate::goes_back(&gate::plan(source, ticks), ticks, stream)
        };
        let seconds = match self {
            Self::Second => return ours(SECOND),
            Self::Quarter => return ours(QUARTER),
            Self::ByRequest => return ours(gate::Ticks { by_request: true, ..SECOND }),
            Self::Counts => peers::counts_test(stream, source.share, ALPHA),
            Self::ArgoBackground => peers::argo_background(sums),
            Self::ArgoInline => peers::argo_inline(sums),
            Self::Flagger10 => peers::flagger(sums, 10),
            Self::Flagger1 => peers::flagger(sums, 1),
            Self::Kayenta60 => kayenta::judged(stream, 60, 60),
            Self::Kayenta5 => kayenta::judged(stream, 10, 5),
            Self::Wald => match source.world {
                World::Steady(p1) if p1 > P0 => peers::wald(sums, P0, p1, ALPHA),
                _ => None,
            },
        };
        Ok(seconds.map(|seconds| seconds * source.slots))
    }
}

/// What a gate did in one run: after how many seconds it went back, and how many failed requests the trial had served by
/// then, or in the whole hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Seconds.
    pub seconds: Option<f64>,
    /// Failed requests.
    pub failed: f64,
}

/// What a gate did in many runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Runs.
    pub runs: usize,
    /// The part that went back.
    pub went_back: f64,
    /// The median time to it; more than an hour if fewer than half did.
    pub median_s: f64,
    /// The median of failed requests.
    pub failed_median: f64,
    /// Their mean.
    pub failed_mean: f64,
}

impl Summary {
    /// Of these runs.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "some thousand runs")]
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let (mut seconds, mut failed) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            seconds.push(outcome.seconds.unwrap_or(f64::INFINITY));
            failed.push(outcome.failed);
        }
        let runs = seconds.len();
        let each = runs.max(1) as f64;
        let went_back = seconds.iter().filter(|second| second.is_finite()).count() as f64 / each;
        let failed_mean = failed.iter().sum::<f64>() / each;
        Self { runs, went_back, median_s: median(&mut seconds), failed_median: median(&mut failed), failed_mean }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What came of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Where its traffic came from.
    pub source: Source,
    /// What each gate did.
    pub gates: Vec<(Gate, Summary)>,
    /// For each configuration of thresholds: the part that went back and the mean of failed requests.
    pub thresholds: Vec<(f64, f64)>,
}

impl Cell {
    /// What a gate did.
    #[must_use]
    pub fn gate(&self, gate: Gate) -> Option<&Summary> {
        self.gates.iter().find(|(found, _)| *found == gate).map(|(_, summary)| summary)
    }
}

/// A source of the grid.
#[must_use]
pub fn source(rps: f64, share: f64, world: World) -> Source {
    let units = if matches!(world, World::Bursts { .. }) { Units::Replicas } else { Units::Users };
    Source { rps, share, world, slots: 4, units }
}

/// Shows the same streams to all gates. Only every so many runs (`thinned`) are shown to the gates that take long and that
/// no goal is about.
///
/// # Errors
/// If the simulation makes counts that can not be.
pub fn compare(
    source: Source,
    gates: &[Gate],
    with_thresholds: bool,
    count: u64,
    thinned: (&[Gate], u64),
    (seed, threads): (u64, usize),
) -> Result<Cell, gate::GateError> {
    #[expect(clippy::cast_precision_loss, reason = "slots of an hour")]
    let one = |run: u64| -> Result<_, gate::GateError> {
        let stream = source.stream(seed, run);
        let sums = stream.trial_sums();
        let mut outcomes = Vec::new();
        for gate in gates {
            if thinned.0.contains(gate) && !run.is_multiple_of(thinned.1) {
                continue;
            }
            let slots = gate.goes_back(&source, &stream, &sums)?;
            let failed = stream.failed(slots.unwrap_or(stream.rows.len()));
            outcomes.push((*gate, Outcome { seconds: slots.map(|slots| slots as f64 / source.slots as f64), failed }));
        }
        let mut thresholds = Vec::new();
        if with_thresholds {
            let failed = |until: usize| sums.get(until).map_or(0.0, |sum| sum.1);
            thresholds =
                thresholds::all(&sums).into_iter().map(|at| (at.is_some(), failed(at.unwrap_or(SECONDS)))).collect();
        }
        Ok((outcomes, thresholds))
    };
    let all = runs(threads, count, one).into_iter().collect::<Result<Vec<_>, _>>()?;
    let of = |gate: Gate| all.iter().filter_map(move |run| Some(run.0.iter().find(|it| it.0 == gate)?.1));
    let gates = gates.iter().map(|gate| (*gate, Summary::of(of(*gate)))).collect();
    let mut thresholds = vec![(0.0, 0.0); if with_thresholds { thresholds::CONFIGURATIONS } else { 0 }];
    #[expect(clippy::cast_precision_loss, reason = "some thousand runs")]
    let each = 1.0 / all.len().max(1) as f64;
    for run in &all {
        for (sum, (went_back, failed)) in thresholds.iter_mut().zip(&run.1) {
            *sum = (sum.0 + each * f64::from(u8::from(*went_back)), sum.1 + each * failed);
        }
    }
    Ok(Cell { source, gates, thresholds })
}
