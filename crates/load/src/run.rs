//! A run: threads that send, and what they found, second by second.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use hdrhistogram::serialization::{V2DeflateSerializer, interval_log};
use model::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use thiserror::Error;
use url::Url;

use crate::{
    arrivals::Arrivals,
    book::{Done, Message},
    machine::Machine,
    report::{Circumstances, KindReport, Own, Quantiles, Report, Second, reasons},
    scenario::Scenario,
    tally::{Tally, nanoseconds},
    transport::Target,
    worker,
};

pub use crate::transport::TargetError;

/// Threads have so long to begin.
pub(crate) const BEGIN: Duration = Duration::from_millis(100);

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests go.
    pub target: Url,
    /// Threads that send.
    pub threads: usize,
    /// When it begins, for the report.
    pub now: Timestamp,
    /// Ends the run before its plan does; the run does not count then.
    pub stop: Arc<AtomicBool>,
}

/// Why there is no run.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// This machine.
    #[error("requests can not be sent from here")]
    Io(#[from] io::Error),
    /// A thread ended without a word.
    #[error("a thread of the generator ended before its work did")]
    Thread,
}

/// A run that is over.
#[derive(Debug)]
pub struct Run {
    /// What it found.
    pub report: Report,
    /// A tally of each kind.
    pub tallies: Vec<Tally>,
    /// Latencies of each second and kind.
    seconds: BTreeMap<u32, Vec<Tally>>,
    kinds: Vec<String>,
}

/// What threads found, before anybody looks at it.
pub(crate) struct Driven {
    /// A tally for each arm and kind, of each second.
    pub(crate) seconds: BTreeMap<u32, Vec<Tally>>,
    pub(crate) own: Own,
    took: Duration,
}

/// Sends all of a scenario to one target, or to two in turns.
pub(crate) fn drive(
    scenario: &Arc<Scenario>,
    targets: &[Target],
    threads: usize,
    start: Instant,
    stop: &Arc<AtomicBool>,
    told: &mut impl FnMut(&Second),
) -> Result<Driven, RunError> {
    let asleep = stood_still();
    let (out, heard) = mpsc::channel();
    let mut started = Vec::new();
    for id in 0..threads {
        let task = worker::Task {
            scenario: Arc::clone(scenario),
            targets: targets.to_vec(),
            start,
            share: (id as u64, threads as u64),
            stop: Arc::clone(stop),
        };
        let out = out.clone();
        let named = std::thread::Builder::new().name(format!("load-{id}"));
        started.push(named.spawn(move || worker::run(task, out))?);
    }
    drop(out);
    let (seconds, done) = collect(&heard, threads, told);
    for thread in started {
        thread.join().map_err(|_| RunError::Thread)??;
    }
    if done.len() != threads {
        return Err(RunError::Thread);
    }
    let suspended = stood_still().saturating_sub(asleep);
    let took = Instant::now().saturating_duration_since(start);
    Ok(Driven { seconds, own: own(&done, took, suspended), took })
}

/// Sends all of a scenario. `told` hears of each second when all its requests have ended.
pub fn run(scenario: Scenario, settings: &Settings, mut told: impl FnMut(&Second)) -> Result<Run, RunError> {
    let scenario = Arc::new(scenario);
    let targets = [Target::find(&settings.target, scenario.protocol, scenario.ca.as_deref())?];
    let machine = Machine::here();
    let start = Instant::now() + BEGIN;
    let Driven { seconds, own, took } = drive(&scenario, &targets, settings.threads, start, &settings.stop, &mut told)?;
    let mut tallies = vec![Tally::default(); scenario.kinds.len()];
    for of_second in seconds.values() {
        for (sum, tally) in tallies.iter_mut().zip(of_second) {
            sum.add(tally);
        }
    }
    let closed = matches!(scenario.arrivals, Arrivals::Closed { .. });
    let stopped = settings.stop.load(Ordering::Relaxed);
    let planned_s = scenario.arrivals.seconds();
    // A plan of recorded times may be one moment.
    let seconds_long = if stopped { took.as_secs_f64() } else { planned_s }.max(0.001);
    let all = KindReport::of("all", &sum(&tallies));
    let endless = all.planned.saturating_sub(all.right + all.failures());
    let does_not_count =
        reasons(&Circumstances { all: &all, own: &own, closed, stopped, endless, connections: scenario.connections });
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = |count: u64| count as f64 / seconds_long;
    let report = Report {
        target: settings.target.to_string(),
        began: settings.now,
        seconds: seconds_long,
        offered: rate(all.planned),
        answered: rate(all.right),
        closed,
        kinds: scenario.kinds.iter().zip(&tallies).map(|(name, tally)| KindReport::of(name, tally)).collect(),
        all,
        each_second: seconds.iter().map(|(at, tallies)| second(*at, tallies)).collect(),
        own,
        machine,
        does_not_count,
    };
    Ok(Run { report, tallies, seconds, kinds: scenario.kinds.clone() })
}

impl Run {
    /// Writes the latencies of every second and kind as an HdrHistogram log, version 2: a line each, in nanoseconds, with the
    /// kind as its tag.
    pub fn write_hdr(&self, to: &mut dyn Write) -> io::Result<()> {
        let other = |error: &dyn std::fmt::Debug| io::Error::other(format!("{error:?}"));
        let mut serializer = V2DeflateSerializer::new();
        let began = std::time::UNIX_EPOCH + Duration::from_secs(self.report.began.unix());
        let mut to = to;
        let mut log = interval_log::IntervalLogWriterBuilder::new()
            .add_comment("latencies in nanoseconds from the intended send time")
            .with_start_time(began)
            .with_base_time(began)
            .with_max_value_divisor(1e6)
            .begin_log_with(&mut to, &mut serializer)?;
        for (at, tallies) in &self.seconds {
            for (kind, tally) in self.kinds.iter().zip(tallies) {
                // A tag ends at a comma or a space.
                let tag: String = kind.chars().map(|c| if c == ',' || c.is_whitespace() { '-' } else { c }).collect();
                let start = Duration::from_secs(u64::from(*at));
                log.write_histogram(&tally.latency, start, Duration::from_secs(1), interval_log::Tag::new(&tag))
                    .map_err(|e| other(&e))?;
            }
        }
        Ok(())
    }
}

/// Reads a scenario and where it goes: `target` goes before the scenario's own.
pub fn read(path: &Path, target: Option<&str>) -> Result<(Scenario, Url), crate::scenario::ScenarioError> {
    let scenario = Scenario::read(path)?;
    let url = match target {
        Some(text) => crate::scenario::target(text)?,
        None => scenario.target.clone().ok_or_else(|| {
            crate::scenario::ScenarioError::Wrong(
                "where to? name a `target` in the scenario, or give `--target`".into(),
            )
        })?,
    };
    Ok((scenario, url))
}

pub(crate) fn sum(tallies: &[Tally]) -> Tally {
    let mut all = Tally::default();
    for tally in tallies {
        all.add(tally);
    }
    all
}

fn second(at: u32, tallies: &[Tally]) -> Second {
    let all = sum(tallies);
    Second { at, planned: all.counts.planned, failed: all.counts.failures(), latency_us: Quantiles::of(&all.latency) }
}

/// All that the threads say, until the last has ended.
fn collect(
    heard: &mpsc::Receiver<Message>,
    threads: usize,
    told: &mut impl FnMut(&Second),
) -> (BTreeMap<u32, Vec<Tally>>, Vec<Done>) {
    let mut seconds: BTreeMap<u32, (usize, Vec<Tally>)> = BTreeMap::new();
    let mut done = Vec::new();
    for message in heard {
        match message {
            Message::Slice { slice, tallies } => {
                let (heard, sums) = seconds.entry(slice).or_insert_with(|| (0, vec![Tally::default(); tallies.len()]));
                *heard += 1;
                for (sum, tally) in sums.iter_mut().zip(&tallies) {
                    sum.add(tally);
                }
                if *heard == threads {
                    told(&second(slice, sums));
                }
            }
            Message::Done(one) => done.push(*one),
        }
    }
    (seconds.into_iter().map(|(at, (_, tallies))| (at, tallies)).collect(), done)
}

fn own(done: &[Done], took: Duration, suspended: Duration) -> Own {
    let mut late = nanoseconds();
    for one in done {
        // Both have the same digits, and grow.
        let _added = late.add(&one.late);
    }
    let busiest = done.iter().map(|one| one.cpu).max().unwrap_or_default();
    Own {
        threads: done.len(),
        busy: busiest.as_secs_f64() / took.as_secs_f64().max(0.001),
        late_us: Quantiles::of(&late),
        waited: done.iter().map(|one| one.waited).sum(),
        connections: done.iter().map(|one| one.connections).sum(),
        suspended_s: suspended.as_secs_f64(),
    }
}

/// How long this machine was suspended since it started: the boot clock goes on meanwhile, the monotonic one does not.
fn stood_still() -> Duration {
    let of = |clock| {
        let time = clock_gettime(clock);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let monotonic = of(ClockId::Monotonic);
    of(ClockId::Boottime).saturating_sub(monotonic)
}
