//! Comparisons of a service with itself made slower, for measurements: `load-pairs NUMBER PERCENT [BLOCK_S]`.
//!
//! The service works a fixed number of steps a request; the candidate so many percent more. Each comparison is one of
//! `countersign load compare`, ended after its first look. Beside it stands the gate that most use, on the same runs: a run's
//! p99 more than 10 % above the stored p99 of the baseline of the comparison before.

use std::{
    error::Error,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use load::{
    compare::{Comparison, Plan, compare},
    places::Version,
    report::Quantiles,
    scenario::Scenario,
};
use model::Timestamp;
use stats::paired::{Answer, Policy};

/// Steps of work a request: some 150 µs.
const STEPS: u64 = 150_000;
const RATE: u32 = 500;
/// Blocks of the first look, at which each comparison ends here.
const BLOCKS: usize = 12;

fn main() -> Result<(), Box<dyn Error>> {
    if let (Ok(address), Ok(steps)) = (std::env::var("ADDRESS"), std::env::var("STEPS")) {
        return serve(&address, steps.parse()?);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (number, percent, block_s) = match &*arguments {
        [number, percent] => (number.parse()?, percent.parse()?, 5),
        [number, percent, block_s] => (number.parse()?, percent.parse()?, block_s.parse()?),
        _ => return Err("give NUMBER PERCENT [BLOCK_S]".into()),
    };
    let (mut found, mut single, mut before): ([usize; 3], [usize; 2], Option<f64>) = ([0; 3], [0; 2], None);
    for run in 0..number {
        let done = once(percent, block_s, run)?;
        let at = match done.answer {
            Answer::Regressed(_) => 0,
            Answer::NotRegressed => 1,
            Answer::Inconclusive { .. } => 2,
        };
        if let Some(count) = found.get_mut(at) {
            *count += 1;
        }
        let (candidate, baseline) = (p99(&done, |n| n.candidate_us), p99(&done, |n| n.baseline_us));
        if let Some(stored) = before.replace(baseline) {
            let at = usize::from(candidate <= stored * 1.1);
            if let Some(count) = single.get_mut(at) {
                *count += 1;
            }
        }
        let estimates: Vec<String> = done
            .found
            .iter()
            .filter_map(|f| {
                let part = |ppm: u64| f64::from(u32::try_from(ppm).unwrap_or(u32::MAX)) / 1e4 - 100.0;
                Some(format!(
                    "{:+.1} % (would find {:+.1} %)",
                    part(f.estimate_ppm?),
                    part(f.detectable_ppm.unwrap_or(0))
                ))
            })
            .collect();
        writeln!(std::io::stdout(), "{run}: {:?}; {}; {}", done.answer, estimates.join(", "), done.reasons.join("; "))?;
    }
    let [regressed, passed, unclear] = found;
    writeln!(
        std::io::stdout(),
        "{percent} % slower: {regressed} regressed, {passed} not regressed, {unclear} inconclusive after {BLOCKS} blocks; \
         single run against the one before: {} above 10 % of p99, {} not",
        single[0],
        single[1]
    )?;
    Ok(())
}

fn p99(done: &Comparison, of: impl Fn(&load::compare::BlockNote) -> Quantiles) -> f64 {
    let sum: f64 = done.notes.iter().map(|note| of(note).p99).sum();
    sum / f64::from(u32::try_from(done.notes.len().max(1)).unwrap_or(1))
}

fn once(percent: u64, block_s: u32, run: u64) -> Result<Comparison, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let version = |name, steps: u64| Version { name, command: format!("STEPS={steps} exec '{}'", program.display()) };
    let text = format!("[[arrivals]]\nrate = {RATE}\nseconds = 1\n[[request]]\nname = 'work'\npath = '/'");
    let stop = Arc::default();
    let plan = Plan {
        candidate: version("candidate", STEPS + STEPS * percent / 100),
        baseline: version("baseline", STEPS),
        prepare: None,
        ready: Duration::from_secs(30),
        block_s,
        policy: Policy::usual(),
        threads: 1,
        coin: 20_261_124 + run,
        now: Timestamp::from_unix(0),
        stop: Arc::clone(&stop),
    };
    let mut first = None;
    let whole = compare(Scenario::parse(&text, Path::new("."))?, &plan, |blocks, decision| {
        if let (BLOCKS, Some(decision)) = (blocks, decision) {
            first = Some(decision.answer.clone());
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    })?;
    Ok(Comparison { answer: first.unwrap_or(whole.answer), reasons: Vec::new(), ..whole })
}

/// Works and answers, until it is ended.
fn serve(address: &str, steps: u64) -> Result<(), Box<dyn Error>> {
    for stream in TcpListener::bind(address)?.incoming() {
        let stream = stream?;
        std::thread::spawn(move || answer(stream, steps));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, steps: u64) {
    let mut asked = [0; 4096];
    while stream.read(&mut asked).is_ok_and(|size| size > 0) {
        let mut state = 1_u64;
        for step in 0..steps {
            state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
        }
        let body = format!("{state:020}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
