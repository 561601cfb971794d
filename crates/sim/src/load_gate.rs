//! Runs of load in simulation: two versions driven beside each other on machines that are quiet, shared and hostile, what
//! `stats::paired` says of them, and what a gate would that compares one run with one that is kept.
//!
//! The worlds follow what was measured of shared machines: slow drift, bursts of neighbours, pauses, and an effect of each
//! start, a quarter of it each place's own; a coin gives the two places to the versions anew in each block. They are no measurement of a real machine.

use std::f64::consts::TAU;

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, Exp, Normal, Pareto};
use stats::paired::{Blocks, Failures, Metric, Pair, Policy, PooledTick, exceedances};

#[cfg(test)]
mod tests;

/// Seconds of a block.
pub const BLOCK_S: usize = 5;
/// Half seconds are the shortest ticks.
const TICKS: usize = 2 * BLOCK_S;
/// How finely the noise goes on.
const STEP_S: f64 = 0.05;
/// The part of the noise that each place has for itself.
const OWN: f64 = 0.25;
/// Picoseconds of CPU for a request where nothing disturbs.
const COST_PS: f64 = 200e6;
/// How much of what slows latencies makes requests dearer.
const COST_PART: f64 = 0.25;
/// Microseconds of a usual answer where nothing disturbs.
const USUAL_US: f64 = 2_000.0;

/// What a machine does to what runs on it.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// The deviation of slow drift, as a logarithm.
    pub drift: f64,
    /// Seconds between bursts of neighbours, and how much slower they make all, at least and at most; none if 0.
    pub bursts: (f64, f64, f64),
    /// Seconds between pauses, and how long they are at most; none if 0.
    pub pauses: (f64, f64),
    /// The deviation of one start from another, as a logarithm.
    pub start: f64,
}

/// A machine of its own, one that is shared, and one whose neighbours never rest.
pub const WORLDS: [World; 3] = [
    World { name: "quiet", drift: 0.01, bursts: (0.0, 1.0, 1.0), pauses: (0.0, 0.0), start: 0.005 },
    World { name: "shared", drift: 0.08, bursts: (10.0, 1.3, 2.5), pauses: (15.0, 0.08), start: 0.01 },
    World { name: "hostile", drift: 0.25, bursts: (4.0, 1.5, 4.0), pauses: (5.0, 0.2), start: 0.03 },
];

/// One version in one half second: latencies in microseconds, ascending, each with a count.
type Latencies = Vec<(u64, u64)>;

/// One block of a run: each version's half seconds and what its requests cost, the candidate's first.
#[derive(Clone, Debug)]
pub struct Block {
    ticks: [Vec<Latencies>; 2],
    cost_ps: [f64; 2],
}

/// A run without any difference. Effects are put on when it is measured.
#[derive(Clone, Debug)]
pub struct Run {
    blocks: Vec<Block>,
    rate: usize,
}

/// How much slower or dearer the candidate is, in millionths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effect {
    /// All latencies.
    pub slower_ppm: u64,
    /// CPU.
    pub dearer_ppm: u64,
}

/// What disturbs, over time: a logarithm by which all is slower, and how long a request that comes now must wait.
struct Noise {
    slower: Vec<f64>,
    waits: Vec<f64>,
}

impl Noise {
    fn new(world: &World, seconds: usize, random: &mut ChaCha8Rng) -> Self {
        let steps = (seconds as f64 / STEP_S) as usize;
        let (period, phase) = (random.random_range(60.0..300.0), random.random_range(0.0..TAU));
        let drift = |step: usize| world.drift * 2_f64.sqrt() * libm::sin(phase + TAU * step as f64 * STEP_S / period);
        let mut noise = Self { slower: (0..steps).map(drift).collect(), waits: vec![0.0; steps] };
        let (every, least, most) = world.bursts;
        each(every, seconds, random, |at, random| {
            let (length, factor) = (after(1.0, random), random.random_range(least..most));
            noise.over(at, length, |slower, _, _| *slower += libm::log(factor));
        });
        let (every, longest) = world.pauses;
        each(every, seconds, random, |at, random| {
            let length = random.random_range(0.0..longest);
            noise.over(at, length, |_, waits, left| *waits = waits.max(left));
        });
        noise
    }

    /// Does something to each step of a time, given what is left of it.
    fn over(&mut self, at: f64, length: f64, change: impl Fn(&mut f64, &mut f64, f64)) {
        let first = (at / STEP_S) as usize;
        for (slower, waits, step) in
            self.slower.iter_mut().zip(&mut self.waits).enumerate().skip(first).map(|(step, (s, w))| (s, w, step))
        {
            let left = at + length - step as f64 * STEP_S;
            if left <= 0.0 {
                break;
            }
            change(slower, waits, left);
        }
    }
}

/// Calls at random moments, so many seconds apart.
fn each(every: f64, seconds: usize, random: &mut ChaCha8Rng, mut happens: impl FnMut(f64, &mut ChaCha8Rng)) {
    if every <= 0.0 {
        return;
    }
    let mut at = after(every, random);
    while at < seconds as f64 {
        happens(at, random);
        at += after(every, random);
    }
}

fn after(mean: f64, random: &mut ChaCha8Rng) -> f64 {
    Exp::new(1.0 / mean).map_or(mean, |exp| exp.sample(random))
}

fn normal(deviation: f64, random: &mut ChaCha8Rng) -> f64 {
    Normal::new(0.0, deviation).map_or(0.0, |normal| normal.sample(random))
}

impl Run {
    /// So many blocks at so many requests a second and version.
    pub fn new(world: &World, blocks: usize, rate: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let seconds = blocks * BLOCK_S;
        let both = Noise::new(world, seconds, &mut random);
        let own = [(); 2].map(|()| Noise::new(world, seconds, &mut random));
        let tail = Pareto::new(1.5, 2.5).ok();
        let block = |at: usize| {
            let mut block = Block { ticks: [Vec::new(), Vec::new()], cost_ps: [COST_PS; 2] };
            // The coin: which of the two places, and so whose noise, each version has in this block.
            let [one, other] = &own;
            let places = if random.random_bool(0.5) { [one, other] } else { [other, one] };
            for ((own, ticks), cost) in places.into_iter().zip(&mut block.ticks).zip(&mut block.cost_ps) {
                let start = normal(world.start, &mut random);
                let mut slower_sum = 0.0;
                for tick in 0..TICKS {
                    let mut values = Vec::with_capacity(rate / 2);
                    for number in 0..rate / 2 {
                        let second = (at * BLOCK_S) as f64 + (tick as f64 + number as f64 / (rate / 2) as f64) / 2.0;
                        let step = ((second / STEP_S) as usize).min(both.slower.len() - 1);
                        let mixed = |both: &[f64], own: &[f64]| {
                            let of = |all: &[f64]| all.get(step).copied().unwrap_or(0.0);
                            (1.0 - OWN) * of(both) + OWN * of(own)
                        };
                        let slower = start + mixed(&both.slower, &own.slower);
                        slower_sum += slower;
                        let usual = match &tail {
                            Some(tail) if random.random_bool(0.02) => tail.sample(&mut random),
                            _ => libm::exp(normal(0.3, &mut random)),
                        };
                        let waits = mixed(&both.waits, &own.waits);
                        values.push(((USUAL_US * usual * libm::exp(slower)) + waits * 1e6) as u64);
                    }
                    values.sort_unstable();
                    ticks.push(values.into_iter().map(|value| (value, 1)).collect());
                }
                let slower = slower_sum / (TICKS * (rate / 2)) as f64;
                *cost *= libm::exp(COST_PART * slower + normal(0.01, &mut random));
            }
            block
        };
        Self { blocks: (0..blocks).map(block).collect(), rate }
    }

    /// What the first so many blocks of it are measured to be, for each limit of a policy.
    pub fn measure(&self, blocks: usize, policy: &Policy, effect: Effect) -> Vec<Blocks> {
        let blocks = || self.blocks.iter().take(blocks);
        let of = |limit: &stats::paired::Limit| match limit.metric {
            Metric::Slower { quantile_ppm } => {
                let at = |margin_ppm: u32| {
                    let scale = (1_000_000 + u64::from(margin_ppm)) * 1_000_000 / (1_000_000 + effect.slower_ppm);
                    blocks().map(|block| block.beyond(quantile_ppm, scale)).collect()
                };
                Blocks::Slower { harmless: at(limit.harmless_ppm), bound: at(limit.bound_ppm) }
            }
            Metric::Failed => {
                let requests = (self.rate * BLOCK_S) as u64;
                let none = Failures {
                    requests: Pair { candidate: requests, baseline: requests },
                    failed: Pair { candidate: 0, baseline: 0 },
                };
                Blocks::Failed(blocks().map(|_| none).collect())
            }
            Metric::Cost | Metric::Throughput => Blocks::Cost(blocks().map(|block| block.cost(effect)).collect()),
        };
        policy.limits.iter().map(of).collect()
    }

    /// A quantile of one version over the whole run, in microseconds: what a single run is judged by.
    pub fn quantile(&self, version: usize, quantile: f64) -> f64 {
        let ticks = self.blocks.iter().filter_map(|block| block.ticks.get(version)).flatten();
        let mut all: Vec<u64> = ticks.flatten().map(|(value, _)| *value).collect();
        all.sort_unstable();
        let at = (quantile * all.len() as f64) as usize;
        all.get(at).or(all.last()).map_or(0.0, |value| *value as f64)
    }

    /// The cost of a request of one version over the whole run.
    pub fn cost(&self, version: usize) -> f64 {
        let costs = self.blocks.iter().filter_map(|block| block.cost_ps.get(version));
        costs.sum::<f64>() / self.blocks.len() as f64
    }
}

impl Block {
    /// Ticks of half a second for a median, of a second for what is rarer.
    fn beyond(&self, quantile_ppm: u32, scale: u64) -> Pair {
        let [candidate, baseline] = &self.ticks;
        let length = if quantile_ppm <= 500_000 { 1 } else { 2 };
        let joined = |ticks: &[Latencies]| {
            let mut all: Latencies = ticks.concat();
            all.sort_unstable();
            all
        };
        let ticks: Vec<[Latencies; 2]> =
            candidate.chunks(length).zip(baseline.chunks(length)).map(|(c, b)| [joined(c), joined(b)]).collect();
        let pooled: Vec<PooledTick<'_>> =
            ticks.iter().map(|[candidate, baseline]| PooledTick { candidate, baseline }).collect();
        exceedances(&pooled, quantile_ppm, scale)
    }

    fn cost(&self, effect: Effect) -> Pair {
        let [candidate, baseline] = self.cost_ps;
        let dearer = 1.0 + effect.dearer_ppm as f64 / 1e6;
        Pair { candidate: (candidate * dearer) as u64, baseline: baseline as u64 }
    }
}
