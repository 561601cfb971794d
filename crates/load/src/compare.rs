//! Two versions driven beside each other: in each block both get the same requests at the same rate at the same time, each in
//! one of two places, and a coin says which. What each block counted is decided by [`stats::paired`], at its looks.
//!
//! The first second of a block is not counted: what starts is slow. A block in which the generator was the limit, the machine
//! was suspended or a version had ended by itself is told with its reason; a run with a block of which the generator was the limit
//! is inconclusive, whatever it says.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use model::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};
use stats::paired::{
    self, Answer, Blocks, Decision, Failures, Interval, LOOKS, Latencies, Metric, Pair, PairedError, Policy,
    PooledTick, exceedances,
};
use thiserror::Error;

use crate::{
    arrivals::{Arrivals, Segment},
    machine::Machine,
    places::{self, Addresses, PlaceError, Running, Version},
    report::{Own, Quantiles},
    run::{BEGIN, RunError, drive, sum},
    scenario::{self, Scenario, ScenarioError},
    tally::Tally,
    transport::Target,
};

/// Seconds at the start of a block that are not counted.
const WARM_S: u32 = 1;
/// A generator that took requests later than this at p99 of a block was a part of what it measured.
const MOST_LATE_US: f64 = 2_000.0;
const MOST_BUSY: f64 = 0.95;
const MOST_SUSPENDED_S: f64 = 0.1;

/// How a comparison is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The version that is to pass.
    pub candidate: Version,
    /// The version that it is compared with.
    pub baseline: Version,
    /// What brings the state for a block back, if something does.
    pub prepare: Option<String>,
    /// How long a version may take to listen.
    pub ready: Duration,
    /// Seconds of a block that are counted.
    pub block_s: u32,
    /// What is decided by.
    pub policy: Policy,
    /// Threads that send.
    pub threads: usize,
    /// What the coin is made from.
    pub coin: u64,
    /// When it begins, for the report.
    pub now: Timestamp,
    /// Ends it early; it is inconclusive then.
    pub stop: Arc<AtomicBool>,
}

/// Why there is no comparison.
#[derive(Debug, Error)]
pub enum CompareError {
    /// A run of blocks needs one rate for each.
    #[error(
        "a comparison needs one constant rate: a scenario with a single `[[arrivals]]` of `rate`, and `[[request]]`"
    )]
    Rate,
    /// The policy.
    #[error(transparent)]
    Policy(#[from] paired::PolicyError),
    /// An address.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A version.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The generator.
    #[error(transparent)]
    Run(#[from] RunError),
    /// This machine.
    #[error("there is no address to start a version at")]
    Address(#[from] std::io::Error),
    /// The blocks can not be decided.
    #[error("the blocks can not be decided")]
    Paired(#[from] PairedError),
}

/// One metric of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Which, and what is harmless and what too much, in millionths.
    pub limit: paired::Limit,
    /// Whether it is clear that it is worse than harmless.
    pub regressed: bool,
    /// Whether it is clear that it is within its bound.
    pub cleared: bool,
    /// The candidate as a part of the baseline, in millionths: the lower end of what has it 19 times in 20, if there is one.
    pub low_ppm: Option<u64>,
    /// The estimate; none for failures.
    pub estimate_ppm: Option<u64>,
    /// The upper end.
    pub high_ppm: Option<u64>,
    /// The smallest factor that this run would have found 19 times in 20.
    pub detectable_ppm: Option<u64>,
    /// What was counted in each block.
    pub blocks: Blocks,
}

/// A block, as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockNote {
    /// Whether the candidate had the second place.
    pub candidate_second: bool,
    /// How long the candidate's answers took.
    pub candidate_us: Quantiles,
    /// How long the baseline's took.
    pub baseline_us: Quantiles,
    /// What the generator says of itself.
    pub own: Own,
    /// What was wrong with it.
    pub wrong: Vec<String>,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The rules by which it is decided.
    pub rules: u32,
    /// When it began.
    pub began: Timestamp,
    /// Requests a second that each version got.
    pub rate: f64,
    /// Seconds of each block that are counted.
    pub block_s: u32,
    /// What the coin was made from.
    pub coin: u64,
    /// On what machine.
    pub machine: Machine,
    /// Each block.
    pub notes: Vec<BlockNote>,
    /// Each metric, in the policy's order.
    pub found: Vec<Found>,
    /// What it says.
    pub answer: Answer,
    /// Why it is inconclusive though the numbers say something, or what else is to be known.
    pub reasons: Vec<String>,
}

/// What a block counted.
#[derive(Clone, Debug)]
struct Block {
    /// Latencies of each second, of the candidate and the baseline.
    seconds: Vec<[Vec<(u64, u64)>; 2]>,
    failures: Failures,
    /// Processor time a request, in picoseconds.
    cost: Pair,
}

/// Drives both versions until a look is conclusive or the last is over. `told` hears of each block: how many there are, and of the
/// decision at a look.
pub fn compare(
    scenario: Scenario,
    plan: &Plan,
    mut told: impl FnMut(usize, Option<&Decision>),
) -> Result<Comparison, CompareError> {
    plan.policy.check()?;
    let rate = rate(&scenario)?;
    let scenario = with_block(scenario, rate, plan.block_s);
    let machine = Machine::here();
    let mut addresses = Addresses::new();
    let mut coin = ChaCha8Rng::seed_from_u64(plan.coin);
    let (mut blocks, mut notes): (Vec<Block>, Vec<BlockNote>) = (Vec::new(), Vec::new());
    let mut decided: Option<Result<Decision, PairedError>> = None;
    for look in LOOKS {
        while blocks.len() < look.blocks && !plan.stop.load(Ordering::Relaxed) {
            let candidate_second = coin.random_bool(0.5);
            let seed = coin.random();
            let (block, note) = block(&scenario, plan, addresses.two()?, candidate_second, seed)?;
            blocks.push(block);
            notes.push(note);
            told(blocks.len(), None);
        }
        if blocks.len() < look.blocks {
            break;
        }
        let decision = paired::decide(&plan.policy, &measured(&plan.policy, &blocks));
        told(blocks.len(), decision.as_ref().ok());
        let goes_on = matches!(&decision, Ok(Decision { answer: Answer::Inconclusive { next: Some(_), .. }, .. }));
        decided = Some(decision);
        if !goes_on {
            break;
        }
    }
    let mut reasons = Vec::new();
    let blocks_measured = measured(&plan.policy, &blocks);
    let (mut answer, findings) = match decided {
        Some(Ok(decision)) => (decision.answer, decision.findings),
        Some(Err(error)) => {
            reasons.push(error.to_string());
            (Answer::Inconclusive { next: None, unclear: Vec::new() }, Vec::new())
        }
        None => (Answer::Inconclusive { next: Some(LOOKS[0].blocks), unclear: Vec::new() }, Vec::new()),
    };
    if plan.stop.load(Ordering::Relaxed) {
        reasons.push(format!("it was ended after {} blocks", blocks.len()));
        answer = Answer::Inconclusive { next: None, unclear: Vec::new() };
    }
    let noisy = notes.iter().filter(|note| !of_the_generator(&note.own).is_empty()).count();
    if noisy > 0 {
        reasons.push(format!(
            "in {noisy} of {} blocks the generator was late, busy or suspended itself: this machine is too noisy for this rate",
            notes.len()
        ));
        // What a generator does that is late it does to both; worse may be true, not worse is not shown.
        if answer == Answer::NotRegressed {
            answer = Answer::Inconclusive { next: None, unclear: Vec::new() };
        }
    }
    let found = plan.policy.limits.iter().zip(blocks_measured).enumerate().map(|(at, (limit, of))| {
        let interval = interval(&plan.policy, limit.metric, &blocks);
        Found {
            limit: *limit,
            regressed: findings.get(at).is_some_and(|f| f.regressed),
            cleared: findings.get(at).is_some_and(|f| f.cleared),
            low_ppm: interval.and_then(|i| i.low_ppm),
            estimate_ppm: interval.map(|i| i.estimate_ppm),
            high_ppm: interval.and_then(|i| i.high_ppm),
            detectable_ppm: interval.and_then(|i| i.detectable_ppm),
            blocks: of,
        }
    });
    Ok(Comparison {
        rules: paired::RULES,
        began: plan.now,
        rate,
        block_s: plan.block_s,
        coin: plan.coin,
        machine,
        found: found.collect(),
        notes,
        answer,
        reasons,
    })
}

fn rate(scenario: &Scenario) -> Result<f64, CompareError> {
    match &scenario.arrivals {
        Arrivals::Rates { segments, .. } if !scenario.recorded => match segments.as_slice() {
            [one] if (one.from - one.to).abs() < f64::EPSILON => Ok(one.from),
            _ => Err(CompareError::Rate),
        },
        _ => Err(CompareError::Rate),
    }
}

fn with_block(mut scenario: Scenario, rate: f64, block_s: u32) -> Scenario {
    if let Arrivals::Rates { segments, .. } = &mut scenario.arrivals {
        *segments = vec![Segment { from: rate, to: rate, seconds: f64::from(WARM_S + block_s) }];
    }
    scenario
}

/// Starts both versions, drives them, and ends them.
fn block(
    scenario: &Scenario,
    plan: &Plan,
    places: [SocketAddr; 2],
    candidate_second: bool,
    seed: u64,
) -> Result<(Block, BlockNote), CompareError> {
    if let Some(command) = &plan.prepare {
        places::prepare(command)?;
    }
    let [first, second] = places;
    let (of_candidate, of_baseline) = if candidate_second { (second, first) } else { (first, second) };
    // In the order of the places, so that which starts first is the coin's too.
    let (mut candidate, mut baseline);
    if candidate_second {
        baseline = Running::start(&plan.baseline, of_baseline)?;
        candidate = Running::start(&plan.candidate, of_candidate)?;
    } else {
        candidate = Running::start(&plan.candidate, of_candidate)?;
        baseline = Running::start(&plan.baseline, of_baseline)?;
    }
    candidate.wait(plan.ready)?;
    baseline.wait(plan.ready)?;
    let target = |address: SocketAddr| -> Result<Target, CompareError> {
        let url = scenario::target(&format!("http://{address}"))?;
        Ok(Target::find(&url, scenario.protocol, None).map_err(RunError::from)?)
    };
    let targets = [target(of_candidate)?, target(of_baseline)?];
    let scenario = Arc::new(Scenario { seed, ..scenario.clone() });
    let start = Instant::now() + BEGIN;
    let (driven, cpu) = std::thread::scope(|scope| {
        let clock = scope.spawn(|| {
            let at = |seconds: u32| {
                let moment = start + Duration::from_secs(u64::from(seconds));
                std::thread::sleep(moment.saturating_duration_since(Instant::now()));
                [candidate.cpu_ns(), baseline.cpu_ns()]
            };
            [at(WARM_S), at(WARM_S + plan.block_s)]
        });
        let driven = drive(&scenario, &targets, plan.threads, start, &plan.stop, &mut |_| {});
        (driven, clock.join())
    });
    let driven = driven?;
    let [before, after] = cpu.map_err(|_| RunError::Thread)?;
    let mut wrong = of_the_generator(&driven.own);
    for running in [&mut candidate, &mut baseline] {
        if let Some(status) = running.ended() {
            wrong.push(format!("{} ended by itself, with {status}", running.name()));
        }
    }
    let kinds = scenario.kinds.len();
    let mut counted = Block {
        seconds: Vec::new(),
        failures: Failures { requests: Pair { candidate: 0, baseline: 0 }, failed: Pair { candidate: 0, baseline: 0 } },
        cost: Pair { candidate: 0, baseline: 0 },
    };
    let (mut all_candidate, mut all_baseline) = (Tally::default(), Tally::default());
    for (at, tallies) in &driven.seconds {
        if *at < WARM_S || *at >= WARM_S + plan.block_s {
            continue;
        }
        let (of_candidate, of_baseline) = tallies.split_at_checked(kinds).unwrap_or_default();
        let (of_candidate, of_baseline) = (sum(of_candidate), sum(of_baseline));
        counted.failures.requests.candidate += of_candidate.counts.planned;
        counted.failures.requests.baseline += of_baseline.counts.planned;
        // What has no end has failed.
        counted.failures.failed.candidate += of_candidate.counts.planned - of_candidate.counts.right;
        counted.failures.failed.baseline += of_baseline.counts.planned - of_baseline.counts.right;
        all_candidate.add(&of_candidate);
        all_baseline.add(&of_baseline);
        counted.seconds.push([latencies(&of_candidate), latencies(&of_baseline)]);
    }
    let cost = |arm: usize, requests: u64| {
        let used =
            after.get(arm).copied().unwrap_or_default().saturating_sub(before.get(arm).copied().unwrap_or_default());
        (used * 1_000).checked_div(requests).unwrap_or_default()
    };
    counted.cost = Pair {
        candidate: cost(0, counted.failures.requests.candidate),
        baseline: cost(1, counted.failures.requests.baseline),
    };
    let note = BlockNote {
        candidate_second,
        candidate_us: Quantiles::of(&all_candidate.latency),
        baseline_us: Quantiles::of(&all_baseline.latency),
        own: driven.own,
        wrong,
    };
    Ok((counted, note))
}

fn of_the_generator(own: &Own) -> Vec<String> {
    let mut wrong = Vec::new();
    if own.suspended_s > MOST_SUSPENDED_S {
        wrong.push(format!("the machine was suspended for {:.1} s", own.suspended_s));
    }
    if own.busy > MOST_BUSY {
        wrong.push(format!("the generator was busy for {:.0} % of the time", own.busy * 100.0));
    }
    if own.late_us.p99 > MOST_LATE_US {
        wrong.push(format!("the generator was {:.1} ms late at p99", own.late_us.p99 / 1e3));
    }
    wrong
}

fn latencies(tally: &Tally) -> Vec<(u64, u64)> {
    tally.latency.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
}

/// What is decided by, of each limit.
fn measured(policy: &Policy, blocks: &[Block]) -> Vec<Blocks> {
    let each = policy.limits.iter().map(|limit| match limit.metric {
        Metric::Slower { quantile_ppm } => {
            let at =
                |margin: u32| blocks.iter().map(|b| b.beyond(quantile_ppm, 1_000_000 + u64::from(margin))).collect();
            Blocks::Slower { harmless: at(limit.harmless_ppm), bound: at(limit.bound_ppm) }
        }
        Metric::Cost => Blocks::Cost(blocks.iter().map(|b| b.cost).collect()),
        // A plan asks for none: both are driven at one rate.
        Metric::Throughput => Blocks::Throughput(Vec::new()),
        Metric::Failed => Blocks::Failed(blocks.iter().map(|b| b.failures).collect()),
    });
    each.collect()
}

fn interval(policy: &Policy, metric: Metric, blocks: &[Block]) -> Option<Interval> {
    if blocks.is_empty() {
        return None;
    }
    let metrics = policy.limits.len();
    match metric {
        Metric::Slower { quantile_ppm } => {
            Some(paired::interval(metrics, |factor| blocks.iter().map(|b| b.beyond(quantile_ppm, factor)).collect()))
        }
        Metric::Cost => Some(paired::interval(metrics, |factor| {
            let divided =
                |cost: u64| u64::try_from(u128::from(cost) * 1_000_000 / u128::from(factor.max(1))).unwrap_or(u64::MAX);
            blocks.iter().map(|b| Pair { candidate: divided(b.cost.candidate), ..b.cost }).collect()
        })),
        Metric::Throughput | Metric::Failed => None,
    }
}

impl Block {
    fn beyond(&self, quantile_ppm: u32, scale_ppm: u64) -> Pair {
        let ticks: Vec<PooledTick<'_>> = self
            .seconds
            .iter()
            .map(|[candidate, baseline]| {
                let (candidate, baseline): (&Latencies, &Latencies) = (candidate, baseline);
                PooledTick { candidate, baseline }
            })
            .collect();
        exceedances(&ticks, quantile_ppm, scale_ppm)
    }
}
