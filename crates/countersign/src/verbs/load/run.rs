//! `countersign load run`: send what a scenario says, when it says, whatever becomes of it.
//!
//! It needs no folder and no log. Exit code 0 is a run that counts and in which no more failed than the scenario allows; 4 one
//! in which more failed; 6 one that does not count, because the generator was the limit. Files are written in each case,
//! durably: a disk that is full is an error, and leaves what was there before.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use load::{
    report::{KindReport, Report, Second},
    run::{Run, Settings},
    scenario::ScenarioError,
};
use model::Clock as _;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{
    super::{Flags, Format, line, print_json},
    page,
};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    progress::Progress,
};

/// Send the requests of a scenario at their times, and measure from then
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scenario, a TOML file; docs/load.md describes it
    scenario: PathBuf,
    /// Where to, such as http://127.0.0.1:8080; goes before the scenario's own
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Threads that send; each takes a processor
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Write all figures here, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write every second's latencies here, as an HdrHistogram V2 log
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// Write a page with plots here: one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let (scenario, target) =
        load::run::read(&args.scenario, args.target.as_deref()).map_err(|error| refused(error, &args.scenario))?;
    // What can not be written is found before anything is sent.
    for path in [&args.json, &args.hdr, &args.html].into_iter().flatten() {
        write(path, b"")?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .because(Kind::Unavailable, "signals can not be heard")?;
    }
    let most_failed = scenario.most_failed;
    let settings = Settings { target, threads: usize::from(args.threads), now: SystemClock.now(), stop };
    let mut progress = Progress::new();
    let mut heard = Heard::default();
    let done = load::run::run(scenario, &settings, |second| {
        if let Some(words) = heard.hear(second) {
            progress.say(&words);
        }
    })
    .because(Kind::Unavailable, "the run can not be made")?;
    drop(progress);
    files(args, &done)?;
    let report = &done.report;
    match common.format {
        Format::Json => print_json(out, report)?,
        Format::Text => told(report, out)?,
    }
    if !report.does_not_count.is_empty() {
        return Err(Fault::new(Kind::Unavailable, "the run does not count").hint(report.does_not_count.join("; ")));
    }
    if report.all.failed_part() > most_failed {
        return Err(Fault::new(
            Kind::Refused,
            format!(
                "{} of {} requests failed, and the scenario allows {} %",
                report.all.planned - report.all.right,
                report.all.planned,
                most_failed * 100.0
            ),
        ));
    }
    Ok(())
}

pub(super) fn refused(error: ScenarioError, path: &Path) -> Fault {
    let kind = if matches!(error, ScenarioError::Read { .. }) { Kind::Usage } else { Kind::Input };
    Fault::from_error(kind, error)
        .context(format!("the scenario `{}` can not be run", path.display()))
        .hint("docs/load.md describes scenarios; examples/load has one")
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    ledger::durable::write(path, bytes, 0o644)
        .because(Kind::Unavailable, format!("`{}` can not be written", path.display()))
}

fn files(args: &Args, done: &Run) -> Result<(), Fault> {
    if let Some(path) = &args.json {
        let mut json = serde_json::to_vec_pretty(&done.report).because(Kind::Internal, "the report is no JSON")?;
        json.push(b'\n');
        write(path, &json)?;
    }
    if let Some(path) = &args.hdr {
        let mut log = Vec::new();
        done.write_hdr(&mut log).because(Kind::Internal, "the histograms can not be encoded")?;
        write(path, &log)?;
    }
    match &args.html {
        Some(path) => write(path, page::page(&done.report).as_bytes()),
        None => Ok(()),
    }
}

/// What is said while a run goes on.
#[derive(Default)]
struct Heard {
    sent: u64,
    failed: u64,
}

impl Heard {
    fn hear(&mut self, second: &Second) -> Option<String> {
        self.sent += second.planned;
        self.failed += second.failed;
        // On a terminal the line changes in place; elsewhere it is a line of a log, and one in ten is enough.
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        (is_terminal || second.at.is_multiple_of(10)).then(|| {
            format!(
                "{} s: {} a second, p50 {}, p99 {}; {} sent, {} failed",
                second.at + 1,
                second.planned,
                time(second.latency_us.p50),
                time(second.latency_us.p99),
                self.sent,
                self.failed
            )
        })
    }
}

/// Microseconds as people write times.
pub(super) fn time(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 100_000.0 => format!("{:.2} ms", us / 1e3),
        us if us < 1_000_000.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Why requests failed, in words.
pub(super) fn failures(kind: &KindReport) -> String {
    let each: Vec<String> = kind.failed.iter().map(|(failure, count)| format!("{count} {}", failure.words())).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

fn told(report: &Report, out: &mut dyn Write) -> Result<(), Fault> {
    let kind = if report.closed { "closed loop" } else { "open loop" };
    line(
        out,
        format!(
            "{}: {:.0} requests a second for {:.0} s, {:.0} answered rightly ({kind})",
            report.target, report.offered, report.seconds, report.answered
        ),
    )?;
    line(out, format!("{:<24} {:>9} {:>9} {:>9} {:>9} {:>9}  failed", "", "sent", "p50", "p99", "p99.9", "longest"))?;
    let alone = report.kinds.len() == 1;
    for kind in report.kinds.iter().chain((!alone).then_some(&report.all)) {
        let latency = kind.latency_us;
        line(
            out,
            format!(
                "{:<24} {:>9} {:>9} {:>9} {:>9} {:>9}  {}",
                kind.name,
                kind.planned,
                time(latency.p50),
                time(latency.p99),
                time(latency.p999),
                time(latency.max),
                failures(kind)
            ),
        )?;
    }
    let own = &report.own;
    line(
        out,
        format!(
            "the generator: {} late at p99 ({} at p99.9), busy for {:.0} % of the time, {} connections",
            time(own.late_us.p99),
            time(own.late_us.p999),
            own.busy * 100.0,
            own.connections
        ),
    )?;
    if report.closed {
        line(out, "in a closed loop a request waits for the answer before it: its latencies leave out that wait")?;
    }
    Ok(())
}
