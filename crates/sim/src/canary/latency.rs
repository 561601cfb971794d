//! Latency of two versions: how often requests are slower than the quantiles of the old version, and what `stats` makes of
//! it with the usual levels.
//!
//! The old version's latency is lognormal with a median of 20 ms up to its 95th percentile and a Pareto tail from there on,
//! with its 99th percentile at 87 ms. The trial is one unit and the control is as many units of its size as fit, and a tick
//! is as long as it takes for 20 requests a unit.

use rand::{Rng, RngExt, SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, Poisson};
use stats::{
    ALPHA_PPM, Analysis, BETA_PPM, Counts, HISTORY_UNIT_TICKS, LATENCY_LEVELS, Plan, SlowCount, TARGETS_PPM, Tick,
    from_history,
};

use super::{SECONDS, gate::GateError};

const MEDIAN_MS: f64 = 20.0;
const SPREAD: f64 = 0.5;
const TAIL_FROM: f64 = 0.95;
const TAIL_INDEX: f64 = 2.5;
/// Quantiles of the normal distribution for the quantiles of the body: 90 % and where the tail begins.
const Z_90: f64 = 1.281_551_565_544_600_4;
const Z_95: f64 = 1.644_853_626_951_472_2;
/// A slower tail slows from the 95th percentile on, and in full from the 98th.
const TAIL_RAMP: f64 = 0.03;
/// Past ticks of the control that counts of slow requests are chosen from.
const HISTORY: usize = 20_000;
/// So many requests a unit and tick.
const REQUESTS: f64 = 20.0;
const LEVELS: usize = LATENCY_LEVELS.len();

/// How the trial's latency differs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slower {
    /// Not at all.
    No,
    /// Only the slowest requests, by this factor.
    Tail(f64),
    /// All requests, by this factor.
    Whole(f64),
}

/// Two versions whose latency is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Requests a second, of both versions.
    pub rps: f64,
    /// The trial's share.
    pub share: f64,
    /// How the trial differs.
    pub slower: Slower,
    /// Whether the usual margins are harmless, or nothing is.
    pub margins: bool,
    /// Pauses of each unit by itself: how many a second, and how many seconds on average.
    pub pauses: Option<(f64, f64)>,
}

/// What follows from it once: chances of a request to be slower than each level's bound, counts that flag a unit.
#[derive(Clone, Debug)]
pub struct Prepared {
    tick_s: f64,
    controls: u32,
    control: Unit,
    trial: Unit,
    /// For each level and target.
    flags: Vec<(usize, u32)>,
    plan: Plan,
}

/// What the requests of one unit do in a tick.
#[derive(Clone, Debug)]
struct Unit {
    /// Requests between one level's bound and the next one's, and beyond the last.
    bands: [Option<Poisson<f64>>; LEVELS],
    requests: f64,
    /// The chance of a pause in a tick, requests a second, seconds on average.
    pauses: Option<(f64, f64, f64)>,
}

impl Unit {
    fn new(slower: [f64; LEVELS], requests: f64, tick_s: f64, pauses: Option<(f64, f64)>) -> Self {
        let beyond = slower.iter().skip(1).copied().chain([0.0]);
        let mut bands = [None; LEVELS];
        for (band, (at, next)) in bands.iter_mut().zip(slower.into_iter().zip(beyond)) {
            *band = Poisson::new(requests * (at - next)).ok();
        }
        let pauses = pauses.map(|(rate, seconds)| (-(-rate * tick_s).exp_m1(), requests / tick_s, seconds));
        Self { bands, requests, pauses }
    }

    /// How many requests of a tick are slower than each bound.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a tick")]
    fn slow(&self, rng: &mut impl Rng) -> [u32; LEVELS] {
        let mut draw = |poisson: Option<Poisson<f64>>| poisson.map_or(0, |poisson| poisson.sample(rng) as u32);
        let mut counts = self.bands.map(&mut draw);
        let mut more = 0;
        if let Some((chance, rps, seconds)) = self.pauses
            && rng.random::<f64>() < chance
        {
            let lasts = -seconds * (1.0 - rng.random::<f64>()).ln();
            more = Poisson::new(rps * lasts).map_or(0, |poisson| poisson.sample(rng) as u32);
        }
        for count in counts.iter_mut().rev() {
            more += *count;
            *count = more;
        }
        counts
    }
}

/// The normal distribution.
fn normal(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

fn tail_from_ms() -> f64 {
    MEDIAN_MS * (SPREAD * Z_95).exp()
}

/// The part of the old version's requests that are slower than this.
fn slower_than(ms: f64) -> f64 {
    if ms <= tail_from_ms() {
        1.0 - normal((ms / MEDIAN_MS).ln() / SPREAD)
    } else {
        (1.0 - TAIL_FROM) * (tail_from_ms() / ms).powf(TAIL_INDEX)
    }
}

impl Slower {
    /// The part of the trial's requests that are slower than this.
    #[must_use]
    pub fn than(self, ms: f64) -> f64 {
        match self {
            Self::No => slower_than(ms),
            Self::Whole(factor) => slower_than(ms / factor),
            Self::Tail(_) if ms <= tail_from_ms() => slower_than(ms),
            Self::Tail(factor) => {
                let quantile = |part: f64| tail_from_ms() * ((1.0 - TAIL_FROM) / part).powf(1.0 / TAIL_INDEX);
                let slowed = |part: f64| ((1.0 - part - TAIL_FROM) / TAIL_RAMP).clamp(0.0, 1.0);
                // The part that is slower falls as the bound rises, so it is halved into.
                let (mut low, mut high) = (1e-12_f64, 1.0 - TAIL_FROM);
                for _ in 0..60 {
                    let part = (low * high).sqrt();
                    if quantile(part) * (1.0 + (factor - 1.0) * slowed(part)) > ms { low = part } else { high = part }
                }
                low
            }
        }
    }
}

impl Latency {
    /// Bounds of the control for each level, in milliseconds.
    fn bounds() -> [f64; LEVELS] {
        let tail = |part: f64| tail_from_ms() * ((1.0 - TAIL_FROM) / part).powf(1.0 / TAIL_INDEX);
        [MEDIAN_MS, MEDIAN_MS * (SPREAD * Z_90).exp(), tail(0.01), tail(0.001)]
    }

    /// Chooses counts from a past of the control, and makes the plan.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small figures")]
    pub fn prepare(&self, seed: u64) -> Prepared {
        let tick_s = (REQUESTS / (self.rps * self.share)).ceil().max(1.0);
        let requests = self.rps * self.share * tick_s;
        let mut bounds = Self::bounds();
        let control = Unit::new(bounds.map(slower_than), requests, tick_s, self.pauses);
        if self.margins {
            for (bound, level) in bounds.iter_mut().zip(LATENCY_LEVELS) {
                *bound *= 1.0 + f64::from(level.margin_ppm) / 1e6;
            }
        }
        let trial = Unit::new(bounds.map(|bound| self.slower.than(bound)), requests, tick_s, self.pauses);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let past: Vec<_> = (0..HISTORY).map(|_| control.slow(&mut rng)).collect();
        let (mut flags, mut measures) = (Vec::new(), Vec::new());
        for (index, level) in LATENCY_LEVELS.iter().enumerate() {
            let counts: Vec<usize> = past.iter().filter_map(|slow| Some(*slow.get(index)? as usize)).collect();
            let most = counts.iter().max().copied().unwrap_or(0);
            let mut unit_ticks = vec![0; most + 1];
            for count in counts {
                if let Some(ticks) = unit_ticks.get_mut(count) {
                    *ticks += 1;
                }
            }
            // Latency alone: its parts of alpha are taken for all of it.
            let weight_ppm = level.weight_ppm * 10 / 3 / 2;
            for target in TARGETS_PPM {
                let chosen = from_history(&unit_ticks, target).unwrap_or(SlowCount { count: 1, history_ppm: 0 });
                flags.push((index, chosen.count));
                measures.push(chosen.measure(weight_ppm, HISTORY_UNIT_TICKS * 2));
            }
        }
        let horizon_ticks = (SECONDS as u32) / (tick_s as u32);
        let plan = Plan { measures, alpha_ppm: ALPHA_PPM, beta_ppm: BETA_PPM, horizon_ticks };
        Prepared { tick_s, controls: (1.0 / self.share).round() as u32 - 1, control, trial, flags, plan }
    }
}

impl Prepared {
    /// After how many seconds of hour number `run` it goes back, if it does.
    ///
    /// # Errors
    /// If the simulation makes counts that can not be.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "requests of a tick")]
    pub fn goes_back(&self, seed: u64, run: u64) -> Result<Option<f64>, GateError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(run + 1);
        let mut analysis = Analysis::new(self.plan.clone()).map_err(GateError::Plan)?;
        for number in 1..=self.plan.horizon_ticks {
            let blank = Counts { trial_units: 1, control_units: self.controls, ..Counts::default() };
            let mut counts = vec![blank; self.flags.len()];
            for unit in 0..=self.controls {
                let slow = if unit == 0 { &self.trial } else { &self.control }.slow(&mut rng);
                for (counts, (level, least)) in counts.iter_mut().zip(&self.flags) {
                    let flagged = u32::from(slow.get(*level).is_some_and(|slow| slow >= least));
                    if unit == 0 {
                        counts.trial_flagged += flagged;
                    } else {
                        counts.control_flagged += flagged;
                    }
                }
            }
            let trial_requests = self.trial.requests as u64;
            let tick = Tick { trial_requests, control_requests: trial_requests * u64::from(self.controls), counts };
            analysis.step(&tick).map_err(GateError::Tick)?;
            if analysis.went_back() {
                return Ok(Some(f64::from(number) * self.tick_s));
            }
        }
        Ok(None)
    }
}
