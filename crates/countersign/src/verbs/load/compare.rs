//! `countersign load compare`: start two versions beside each other by their commands, drive both, and say whether the candidate
//! is worse.
//!
//! It needs no folder and no log, and its answer is no evidence: a statement about digests would have to come from the tester.
//! Exit code 0 is *not regressed*, 4 *regressed*, 6 *inconclusive*. Ctrl-C ends it after its block.

use std::{
    io::Write,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use load::{
    compare::{self, CompareError, Comparison, Found, Plan},
    places::Version,
};
use model::Clock as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use stats::paired::{Answer, Blocks, LOOKS, Metric, Policy};

use super::{
    super::{Flags, Format, line, print_json},
    run::{refused, write},
};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    progress::Progress,
};

/// Drive two versions beside each other, and say whether the candidate is worse
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scenario, with one constant rate; each version gets that rate
    scenario: PathBuf,
    /// The command that starts the candidate: it listens at $ADDRESS, and stays in the foreground
    #[arg(long, value_name = "COMMAND")]
    candidate: String,
    /// The command that starts the version before
    #[arg(long, value_name = "COMMAND")]
    baseline: String,
    /// A command before each block, which brings back the state that the versions need
    #[arg(long, value_name = "COMMAND")]
    prepare: Option<String>,
    /// Seconds of a block that are counted; a run has 12, 24 or 48 blocks
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    block_s: u16,
    /// Seconds that a version may take until it listens
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    ready_s: u16,
    /// Threads that send; each takes a processor
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Repeat the coin of an earlier run
    #[arg(long)]
    coin: Option<u64>,
    /// Write all figures here, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let scenario = load::scenario::Scenario::read(&args.scenario).map_err(|error| refused(error, &args.scenario))?;
    if let Some(path) = &args.json {
        write(path, b"")?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .because(Kind::Unavailable, "signals can not be heard")?;
    }
    let coin = match args.coin {
        Some(coin) => coin,
        None => getrandom::u64().because(Kind::Unavailable, "there is no chance to throw a coin with")?,
    };
    let plan = Plan {
        candidate: Version { name: "candidate", command: args.candidate.clone() },
        baseline: Version { name: "baseline", command: args.baseline.clone() },
        prepare: args.prepare.clone(),
        ready: Duration::from_secs(u64::from(args.ready_s)),
        block_s: u32::from(args.block_s),
        policy: Policy::usual(),
        threads: usize::from(args.threads),
        coin,
        now: SystemClock.now(),
        stop,
    };
    let mut progress = Progress::new();
    let last = LOOKS.last().map_or(0, |look| look.blocks);
    let done = compare::compare(scenario, &plan, |blocks, decision| {
        progress.say(&match decision {
            None => format!("block {blocks} of at most {last}"),
            Some(decision) => format!("after {blocks} blocks: {}", answer(&decision.answer)),
        });
    })
    .map_err(|error| {
        let kind = match &error {
            CompareError::Rate | CompareError::Policy(_) | CompareError::Scenario(_) => Kind::Input,
            _ => Kind::Unavailable,
        };
        Fault::from_error(kind, error)
            .context("the versions can not be compared")
            .hint("docs/load.md describes comparisons")
    })?;
    drop(progress);
    if let Some(path) = &args.json {
        let mut json = serde_json::to_vec_pretty(&done).because(Kind::Internal, "the comparison is no JSON")?;
        json.push(b'\n');
        write(path, &json)?;
    }
    match common.format {
        Format::Json => print_json(out, &done)?,
        Format::Text => told(&done, out)?,
    }
    match &done.answer {
        Answer::NotRegressed => Ok(()),
        Answer::Regressed(metrics) => {
            let which: Vec<String> = metrics.iter().filter_map(|at| done.found.get(*at)).map(name).collect();
            Err(Fault::new(Kind::Refused, format!("the candidate is worse: {}", which.join(", "))))
        }
        Answer::Inconclusive { .. } => Err(Fault::new(Kind::Unavailable, "inconclusive: the candidate does not pass")
            .hint(if done.reasons.is_empty() {
                "longer blocks (`--block-s`), a higher rate, or a quieter machine show smaller differences".to_owned()
            } else {
                done.reasons.join("; ")
            })),
    }
}

const fn answer(answer: &Answer) -> &'static str {
    match answer {
        Answer::Regressed(_) => "regressed",
        Answer::NotRegressed => "not regressed",
        Answer::Inconclusive { .. } => "inconclusive",
    }
}

fn name(found: &Found) -> String {
    match found.limit.metric {
        Metric::Slower { quantile_ppm } => format!("latency p{}", f64::from(quantile_ppm) / 1e4),
        Metric::Cost => "CPU a request".to_owned(),
        Metric::Throughput => "throughput".to_owned(),
        Metric::Failed => "failures".to_owned(),
    }
}

/// A factor as people say it.
fn change(ppm: Option<u64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a factor for people")]
    ppm.map_or_else(|| "?".to_owned(), |ppm| format!("{:+.1} %", (ppm as f64 / 1e6 - 1.0) * 100.0))
}

fn told(done: &Comparison, out: &mut dyn Write) -> Result<(), Fault> {
    line(
        out,
        format!(
            "{} after {} blocks of {} s, {:.0} requests a second for each version (coin {})",
            answer(&done.answer),
            done.notes.len(),
            done.block_s,
            done.rate,
            done.coin
        ),
    )?;
    line(
        out,
        format!(
            "{:<16} {:>9} {:>22} {:>10} {:>8}  it is",
            "", "estimate", "19 times in 20 within", "would find", "bound"
        ),
    )?;
    for found in &done.found {
        let state = match (found.regressed, found.cleared) {
            (true, _) => "worse",
            (false, true) => "within its bound",
            (false, false) => "not clear",
        };
        let (estimate, within, finds) = if let Blocks::Failed(failures) = &found.blocks {
            let sum = |of: &dyn Fn(&stats::paired::Failures) -> u64| failures.iter().map(of).sum::<u64>();
            let of = |failed: u64, all: u64| format!("{failed} of {all}");
            let candidate = of(sum(&|f| f.failed.candidate), sum(&|f| f.requests.candidate));
            let baseline = of(sum(&|f| f.failed.baseline), sum(&|f| f.requests.baseline));
            (candidate, format!("baseline {baseline}"), String::new())
        } else {
            let within = format!("{} to {}", change(found.low_ppm), change(found.high_ppm));
            (change(found.estimate_ppm), within, change(found.detectable_ppm))
        };
        let bound = change(Some(1_000_000 + u64::from(found.limit.bound_ppm)));
        line(out, format!("{:<16} {estimate:>9} {within:>22} {finds:>10} {bound:>8}  {state}", name(found)))?;
    }
    for reason in &done.reasons {
        line(out, reason)?;
    }
    let mut wrong: Vec<(usize, &String)> = Vec::new();
    for (at, note) in done.notes.iter().enumerate() {
        wrong.extend(note.wrong.iter().map(|words| (at + 1, words)));
    }
    for (block, words) in wrong.iter().take(5) {
        line(out, format!("block {block}: {words}"))?;
    }
    if wrong.len() > 5 {
        line(out, format!("and {} more; `--json` has all", wrong.len() - 5))?;
    }
    Ok(())
}
