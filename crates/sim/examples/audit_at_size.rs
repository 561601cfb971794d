//! How fast a large log is audited, as a ratio to what the cores' signature verification allows, in one run.
//!
//! `audit_at_size write FOLDER STATEMENTS [SYSTEMS]` writes a log with a past into `FOLDER`.
//! `audit_at_size measure FOLDER PROGRAM` measures bare verification on all cores, then runs `PROGRAM audit` on it: from
//! the start, again with what it kept, and after asking about one name. `docs/performance.md` has the figures.

use std::{
    error::Error,
    io::Write as _,
    num::NonZeroUsize,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ledger::{
    dsse::{Envelope, pae},
    keys::PublicKey,
    statement::Members,
    store::{SqliteStore, Store as _},
};

/// How long bare verification is measured.
const MEASURE: Duration = Duration::from_secs(4);
/// Messages that are verified in turn: more than fit a cache by size, so that they are read as an audit reads them.
const MESSAGES: usize = 8_192;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["write", folder, statements] => write(Path::new(folder), statements.parse()?, 50),
        ["write", folder, statements, systems] => write(Path::new(folder), statements.parse()?, systems.parse()?),
        ["measure", folder, program] => measure(Path::new(folder), program),
        _ => Err("audit_at_size write FOLDER STATEMENTS [SYSTEMS] | measure FOLDER PROGRAM".into()),
    }
}

fn write(folder: &Path, statements: u64, systems: u64) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    let store = SqliteStore::open(&folder.join("log.sqlite3"))?;
    let begun = Instant::now();
    let mut told = 0;
    let written = sim::history::write(&store, statements, systems, |size| {
        if size >= told + 100_000 {
            told = size;
            // Where nobody listens, nothing is lost.
            drop(writeln!(out, "{size} statements, {:.0?}", begun.elapsed()));
        }
    })?;
    ledger::durable::write(&folder.join("charter"), written.members.hash().to_string().as_bytes(), 0o644)?;
    writeln!(out, "{} statements about {systems} systems in {:.0?}:", written.size, begun.elapsed())?;
    for (kind, count) in &written.counts {
        writeln!(out, "  {kind} {count}")?;
    }
    Ok(())
}

fn measure(folder: &Path, program: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    let log = folder.join("log.sqlite3");
    let charter = std::fs::read_to_string(folder.join("charter"))?;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let (before, statements) = bare(&log, cores)?;
    writeln!(out, "bare verification on {cores} cores: {before:.0} signatures a second")?;
    let keep = folder.join("kept");
    drop(std::fs::remove_file(&keep));
    let run = |verb: &str, more: &[&str]| -> Outcome<(Duration, u64, String)> {
        let mut command = Command::new(program);
        command.arg("--dir").arg(folder).args(["--format", "json", verb]);
        command.arg("--source").arg(&log).args(["--charter", &charter]).args(more).stdout(Stdio::piped());
        ran(command)
    };
    let kept = keep.display().to_string();
    let (time, memory, report) = run("audit", &["--keep", &kept])?;
    let (after, _) = bare(&log, cores)?;
    let limit = f64::midpoint(before, after);
    writeln!(out, "bare verification again: {after:.0} signatures a second")?;
    let number = |name: &str| -> f64 {
        let line = report.lines().find(|l| l.trim_start().starts_with(&format!("\"{name}\"")));
        line.and_then(|l| l.split(':').nth(1)).and_then(|n| n.trim().trim_end_matches(',').parse().ok()).unwrap_or(0.0)
    };
    let (all, verdicts, checkpoints) = (number("statements"), number("verdicts"), number("checkpoints"));
    let signatures = all + number("cosignatures") + checkpoints + statements.ticks_of(all) * 2.0;
    let rate = |count: f64| count / time.as_secs_f64();
    writeln!(out, "audit of {all} statements, {verdicts} verdicts: {time:.1?}, {memory} MiB")?;
    writeln!(
        out,
        "  {:.0} statements a second, {:.0} % of the limit; {:.0} signatures a second with those of ticks and checkpoints, {:.0} %",
        rate(all),
        100.0 * rate(all) / limit,
        rate(signatures),
        100.0 * rate(signatures) / limit
    )?;
    let (time, memory, _) = run("audit", &["--keep", &kept])?;
    writeln!(out, "audit again with what was kept, nothing new: {time:.1?}, {memory} MiB")?;
    Ok(())
}

/// What the log is made of, from its first statements.
struct Shares {
    ticks: f64,
}

impl Shares {
    fn ticks_of(&self, statements: f64) -> f64 {
        self.ticks * statements
    }
}

/// Verifies robots' signatures over and over on all cores; how many a second, and the share of ticks.
fn bare(log: &Path, cores: NonZeroUsize) -> Outcome<(f64, Shares)> {
    let store = SqliteStore::open_read_only(log)?;
    let entries = store.entries(0, MESSAGES * 2)?;
    let envelopes: Vec<Envelope> = entries.iter().map(|e| Envelope::from_entry(&e.bytes)).collect::<Result<_, _>>()?;
    let first = envelopes.first().ok_or("the log is empty")?;
    let statement = ledger::statement::Statement::from_bytes(first.payload())?;
    let ledger::statement::v1::Claim::Charter(charter) = statement.claim else { return Err("no charter".into()) };
    let members = Members::of(*charter, model::Digest::of(first.payload()))?;
    let ticks =
        envelopes.iter().filter(|e| e.payload().windows(17).any(|w| w == b"/statement/tick/v".as_slice())).count();
    let shares = Shares { ticks: ticks as f64 / envelopes.len() as f64 };
    let signed: Vec<(PublicKey, Vec<u8>, Vec<u8>)> = envelopes
        .iter()
        .filter(|e| e.signature().len() == 64)
        .filter_map(|e| {
            let key = members.key(e.signer()).ok()?.clone();
            Some((key, pae(e.payload_type(), e.payload()), e.signature().to_vec()))
        })
        .take(MESSAGES)
        .collect();
    let begun = Instant::now();
    let verified: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores.get())
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0_u64;
                    for (key, message, signature) in signed.iter().cycle() {
                        if begun.elapsed() > MEASURE || key.verify(message, signature).is_err() {
                            break;
                        }
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap_or(0)).sum()
    });
    Ok((verified as f64 / begun.elapsed().as_secs_f64(), shares))
}

/// Runs a program; how long it took, the most memory that it held in MiB, and what it printed.
fn ran(mut command: Command) -> Outcome<(Duration, u64, String)> {
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut stdout = child.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut stdout));
    let mut most = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let now = std::fs::read_to_string(&status).unwrap_or_default();
        let held = now.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
        most = held.and_then(|n| n.parse().ok()).unwrap_or(0).max(most);
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let time = begun.elapsed();
    let text = reader.join().map_err(|_| "the output could not be read")??;
    if ended.success() { Ok((time, most / 1024, text)) } else { Err(format!("{ended}: {text}").into()) }
}
