//! Canaries of a whole installation under traffic: how soon a bad version is gone, and how often an equal one goes back.
//!
//! `cargo bench -p countersign --bench canaries -- bad 20` releases a version that fails one request in twenty, twenty times,
//! with a tenth of the clients, at 1,000 requests a second, and prints for each the time from the first bad answer to the
//! last. `-- same 900 4` runs four systems side by side for 900 seconds of comparison each, whose versions are equal, and
//! prints how many of them went back. Root, as for the tests of whole installations, whose modules it uses.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    dead_code,
    reason = "a bench fails by panicking, its files need no durable writes, and it uses a part of what tests have"
)]

#[path = "../tests/whole/fabric.rs"]
mod fabric;
#[path = "../tests/whole/files.rs"]
mod files;
#[path = "../tests/whole/installation.rs"]
mod installation;
#[path = "../tests/whole/left.rs"]
mod left;
#[path = "../tests/whole/request.rs"]
mod request;
#[path = "../tests/whole/wait.rs"]
mod wait;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{installation::Installation, request::get_as, wait::wait_for};

/// Clients at work at the same time: more than wait at once for a slow answer.
const AT_ONCE: u64 = 16;
/// Browsers that each client is in turn, with a cookie each.
const BROWSERS: u64 = 63;
/// Of so many requests, one is for what the bad version can not do.
const ONE_IN: u64 = 20;
/// What the bad version may take to be found, and an equal one to end.
const LONGEST: Duration = Duration::from_secs(1_800);
/// The aim, from the first bad answer to the last.
const AIM: Duration = Duration::from_secs(5);

/// The system's manifest: its web server serves files, and one small program.
const ANALYSIS: &str =
    "strategy = \"canary\"\nanalysis = { steps = [10], step_s = @STEP@, keep_percent = 10, identity = [\"cookie\"] }";
const QUOTE: &str =
    "#!/bin/busybox sh\n# shellcheck shell=dash\n# A quote.\nprintf 'Content-Type: text/plain\\r\\n\\r\\n%s\\n' 42\n";
const BAD_QUOTE: &str =
    "#!/bin/busybox sh\n# shellcheck shell=dash\n# A quote.\nprintf 'Status: 500 Internal Server Error\\r\\n\\r\\n'\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |at: usize, usual: u64| arguments.get(at).map_or(usual, |a| a.parse().expect("a number"));
    match arguments.first().map(String::as_str) {
        Some("bad") => bad(number(1, 20), number(2, 1_000)),
        Some("same") => same(number(1, 900), number(2, 4), number(3, 200)),
        _ => println!("canaries bad [RUNS [RATE]] | same [SECONDS [SYSTEMS [RATE]]]"),
    }
}

/// An installation with a first release that only serves what takes little.
fn installation(step_s: u64) -> Installation {
    let it = Installation::start();
    it.replace("countersign.toml", "strategy = \"blue-green\"", &ANALYSIS.replace("@STEP@", &step_s.to_string()));
    it.replace("countersign.toml", "cpu_percent = 100, pids = 64", "cpu_percent = 200, pids = 512");
    it.replace(
        "countersign.toml",
        "\"/www/health\" = \"health\",",
        "\"/www/health\" = \"health\", \"/www/cgi-bin/quote\" = \"out/quote\",",
    );
    it.replace("make.sh", "chmod 755", "cp quote.sh out/quote\nchmod 755");
    it.write("quote.sh", QUOTE);
    it.first_release();
    it
}

/// Bad versions, one after the other.
fn bad(runs: u64, rate: u64) {
    let it = installation(60);
    let mut times = Vec::new();
    for run in 1..=runs {
        // Another digest each: a version that went back is not tried again.
        it.write("quote.sh", &format!("{BAD_QUOTE}# {run}\n"));
        it.push(&format!("Bad version {run}"));
        let serial = format!("visits-{:06}", run + 1);
        it.proposal(&serial);
        let load = Load::start(it.exposed, rate);
        it.approve(&serial);
        let end = end_of(&it, &serial);
        // Long enough for what was under way to be answered.
        std::thread::sleep(Duration::from_secs(2));
        let (sent, failed) = load.stop();
        let spent = match (failed.iter().min(), failed.iter().max()) {
            (Some(first), Some(last)) => *last - *first,
            _ => Duration::ZERO,
        };
        println!(
            "run {run}: {end}; {} of {} requests failed, {} in another way; the last {:.2} s after the first; {:.0} requests a second",
            failed.len(),
            sent.requests,
            sent.other,
            spent.as_secs_f64(),
            sent.rate()
        );
        assert!(end == "went-back-worse" && !failed.is_empty(), "{end}");
        times.push(spent);
    }
    times.sort();
    let within = times.iter().filter(|t| **t < AIM).count();
    println!(
        "{within} of {runs} within {} s; median {:.2?}, longest {:.2?}",
        AIM.as_secs(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

/// Versions that do the same, in several systems at the same time.
fn same(seconds: u64, systems: u64, rate: u64) {
    let one = |number: u64| {
        std::thread::spawn(move || {
            let it = installation(seconds);
            let load = Load::start(it.exposed, rate);
            let (mut compared, mut ends, mut release) = (0, Vec::new(), 1);
            while compared < seconds {
                release += 1;
                it.write("quote.sh", &format!("{QUOTE}# {release}\n"));
                it.push(&format!("Equal version {release}"));
                let serial = format!("visits-{release:06}");
                it.approve(&serial);
                let ended = wait_for("enough is compared", LONGEST, String::new, || {
                    std::thread::sleep(Duration::from_secs(1));
                    let end = ended(&it, &serial);
                    (end.is_some() || compared + ticks(&it, &serial) >= seconds).then_some(end)
                });
                compared += ticks(&it, &serial);
                ends.push(ended.unwrap_or_else(|| "under way".to_owned()));
            }
            let (sent, failed) = load.stop();
            println!(
                "system {number}: {compared} s compared in {} releases, {ends:?}; {} requests, {:.0} a second, {} failed",
                ends.len(),
                sent.requests,
                sent.rate(),
                failed.len() as u64 + sent.other
            );
            (compared, ends.iter().filter(|e| e.starts_with("went-back")).count())
        })
    };
    let all: Vec<JoinHandle<(u64, usize)>> = (1..=systems).map(one).collect();
    let all: Vec<(u64, usize)> = all.into_iter().map(|one| one.join().unwrap()).collect();
    let (seconds, back) = all.iter().fold((0, 0), |(s, b), (seconds, back)| (s + seconds, b + back));
    println!("{seconds} s of equal versions compared, {back} went back");
}

/// How a release's rollout ended, if it has.
fn ended(it: &Installation, serial: &str) -> Option<String> {
    let last = it.milestones(serial).pop()?;
    (last == "live" || last == "stuck" || last.starts_with("went-back")).then_some(last)
}

fn end_of(it: &Installation, serial: &str) -> String {
    wait_for(&format!("{serial} ends"), LONGEST, || it.story(), || ended(it, serial))
}

/// Ticks of a comparison that the log has, a second each.
fn ticks(it: &Installation, serial: &str) -> u64 {
    let claims = it.claims("analysis");
    let of = claims.iter().filter(|(_, claim)| claim["serial"] == serial);
    of.map(|(_, claim)| claim["ticks"].as_array().map_or(0, Vec::len) as u64).sum()
}

/// What was sent.
struct Sent {
    requests: u64,
    /// Those without an answer, or with another failure than the bad version's.
    other: u64,
    time: Duration,
}

impl Sent {
    fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }
}

/// Requests at a rate, each at its time, whatever becomes of the others.
struct Load {
    begun: Instant,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    other: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Duration>>>,
}

impl Load {
    fn start(address: SocketAddr, rate: u64) -> Self {
        let (begun, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let (sent, other) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let client = |client: u64| {
            let (stop, sent, other) = (stop.clone(), sent.clone(), other.clone());
            std::thread::spawn(move || {
                let mut cookies = vec![None::<String>; BROWSERS as usize];
                let mut failed = Vec::new();
                // A request each `AT_ONCE / rate` seconds, this client's shifted by its number.
                for number in (client..).step_by(AT_ONCE as usize) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let at = Duration::from_micros(number * 1_000_000 / rate);
                    std::thread::sleep(at.saturating_sub(begun.elapsed()));
                    let turn = number / AT_ONCE;
                    let cookie = &mut cookies[(turn % BROWSERS) as usize];
                    let path = if turn % ONE_IN == 7 { "/cgi-bin/quote" } else { "/health" };
                    sent.fetch_add(1, Ordering::Relaxed);
                    match get_as(address, path, cookie.as_deref()) {
                        Ok(answer) if answer.status == 200 => {
                            if answer.cookie.is_some() {
                                *cookie = answer.cookie;
                            }
                        }
                        // What the bad version says, and nobody else.
                        Ok(answer) if answer.status == 500 => failed.push(begun.elapsed()),
                        _ => {
                            other.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                failed
            })
        };
        let clients = (0..AT_ONCE).map(client).collect();
        Self { begun, stop, sent, other, clients }
    }

    fn stop(self) -> (Sent, Vec<Duration>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (Sent { requests: read(&self.sent), other: read(&self.other), time: self.begun.elapsed() }, failed)
    }
}
