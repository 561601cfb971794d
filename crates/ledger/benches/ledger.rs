//! How fast a log takes statements in, against what one core's signature checks and the disk's syncs allow; how long a
//! statement takes from append to proof; and what a million entries change. `cargo bench -p ledger`; with `-- small`
//! a hundred thousand entries instead of a million. Compare only numbers of one run.

use std::{
    error::Error,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, PublicKey, Scheme, Signer as _},
    log::{Door, Log, Refusal, Submission},
    merkle::{Edge, TILE_WIDTH, leaf_hash},
    note::{NoteKeyType, NoteSigner},
    store::{Batch, SqliteStore, Store as _, StoredEntry},
};

/// Statements a measurement; a few seconds each.
const STATEMENTS: usize = 20_000;
const PAYLOAD_BYTES: usize = 700;
const WRITERS: usize = 256;
/// Entries of one commit at most, as the log's writer has it.
const BATCH: usize = 256;
/// As long as the disk is asked for syncs.
const SYNC_TIME: Duration = Duration::from_secs(2);

type Bench<T> = Result<T, Box<dyn Error>>;

/// Verifies each signature, as the door of a log of statements does.
struct Verifying(PublicKey);

impl Door for Verifying {
    fn check(&self, _: &Log, submission: &Submission) -> Result<(), Refusal> {
        submission.envelope.verify(&self.0).map_err(Refusal::new)
    }
}

struct World {
    key: PrivateKey,
    signer: NoteSigner,
}

impl World {
    fn statements(&self, from: usize, count: usize) -> Bench<Vec<Envelope>> {
        let payload = |n| format!("{n:0width$}", width = PAYLOAD_BYTES).into_bytes();
        Ok((from..from + count)
            .map(|n| Envelope::seal("text/plain", payload(n), &self.key))
            .collect::<Result<_, _>>()?)
    }

    fn open(&self, path: &Path) -> Bench<Log> {
        let door = Arc::new(Verifying(self.key.key().clone()));
        Ok(Log::open(Arc::new(SqliteStore::open(path)?), self.signer.clone(), door)?)
    }

    /// Puts entries into the file without a log in between, in large commits: they are only there to be many.
    fn fill(&self, path: &Path, size: u64) -> Bench<()> {
        let store = SqliteStore::open(path)?;
        let first = store.head()?.map_or(0, |head| head.size);
        let mut edge = Edge::load(first, |level, index| store.tile(level, index))?.ok_or("no edge")?;
        let note = |edge: &Edge| -> Bench<Vec<u8>> {
            let text =
                ledger::checkpoint::Checkpoint::new(self.signer.vkey().name(), edge.size(), edge.compact().root());
            let mut note = ledger::note::Note::new(text.to_string())?;
            note.add(self.signer.sign(note.text(), model::Timestamp::default())?);
            Ok(note.to_string().into_bytes())
        };
        while edge.size() < size {
            let mut batch = Batch { first: edge.size(), ..Batch::default() };
            for n in edge.size()..size.min(edge.size() + 16_384) {
                let payload = format!("filled {n:0width$}", width = PAYLOAD_BYTES).into_bytes();
                let envelope = Envelope::from_parts("text/plain", payload, self.key.key().id(), vec![1; 64])?;
                let bytes = envelope.canonical_bytes();
                edge.push(leaf_hash(&bytes));
                batch.entries.push(StoredEntry { identity: envelope.identity(), bytes });
            }
            batch.tiles = edge.take_changed();
            batch.note = note(&edge)?;
            store.commit(&batch)?;
        }
        Ok(())
    }
}

fn main() -> Bench<()> {
    let mut out = std::io::stdout().lock();
    let large: u64 = if std::env::args().any(|a| a == "small") { 100_000 } else { 1_000_000 };
    let world = World {
        key: PrivateKey::generate(Scheme::Ed25519)?,
        signer: NoteSigner::new(
            "bench.example",
            NoteKeyType::Ed25519,
            Arc::new(PrivateKey::generate(Scheme::Ed25519)?),
        )?,
    };
    let folder = tempfile::tempdir()?;
    let verified = verification_rate(&world)?;
    let synced = sync_rate(folder.path())?;
    let allowed = verified.min(synced * BATCH as f64);
    writeln!(out, "one core verifies {verified:.0} statements a second")?;
    writeln!(out, "the disk syncs {synced:.0} batches of {BATCH} a second: {:.0} statements", synced * BATCH as f64)?;

    let path = folder.path().join("log.db");
    world.fill(&path, 10_000)?;
    let small = at_size(&world, &path, 0, &mut out)?;
    writeln!(out, "  of what is allowed: {:.0} %", 100.0 * small.appends_s / allowed)?;
    world.fill(&path, large)?;
    let grown = at_size(&world, &path, 10 * STATEMENTS, &mut out)?;
    let change = |small: f64, grown: f64| 100.0 * (grown / small - 1.0);
    writeln!(out, "cost of an append: {:+.1} %", change(1.0 / small.appends_s, 1.0 / grown.appends_s))?;
    writeln!(out, "cost of one append alone: {:+.1} %", change(small.alone_us, grown.alone_us))?;
    writeln!(out, "cost of a proof: {:+.1} %", change(small.proof_us, grown.proof_us))?;
    Ok(())
}

struct Measured {
    appends_s: f64,
    alone_us: f64,
    proof_us: f64,
}

fn at_size(world: &World, path: &Path, from: usize, out: &mut dyn std::io::Write) -> Bench<Measured> {
    let start = Instant::now();
    let log = world.open(path)?;
    writeln!(out, "at {} entries: opened in {:.1} ms", log.head().size(), start.elapsed().as_secs_f64() * 1e3)?;
    let statements = world.statements(from, STATEMENTS)?;
    let latencies = append(&log, &statements, None);
    let appends_s = STATEMENTS as f64 / latencies.total.as_secs_f64();
    writeln!(out, "  {WRITERS} writers: {appends_s:.0} appends a second")?;
    let statements = world.statements(from + STATEMENTS, STATEMENTS)?;
    let paced = append(&log, &statements, Some(appends_s / 2.0));
    writeln!(
        out,
        "  at half that rate, append to proof: median {:.1} ms, p99 {:.1} ms",
        paced.quantile(0.5) * 1e3,
        paced.quantile(0.99) * 1e3
    )?;
    let alone = world.statements(from + 2 * STATEMENTS, 1_000)?;
    let start = Instant::now();
    for statement in alone {
        log.append(Submission::new(statement))?;
    }
    let alone_us = start.elapsed().as_secs_f64() * 1e6 / 1_000.0;
    let size = log.head().size();
    // Every tile once, so that what is measured is a log that runs, and not one that was just opened.
    for first in (0..size).step_by(TILE_WIDTH) {
        log.receipt(first)?;
    }
    let start = Instant::now();
    for n in 0..STATEMENTS as u64 {
        // Spread over the whole log, in no order that a cache likes.
        log.receipt(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size)?;
    }
    let proof_us = start.elapsed().as_secs_f64() * 1e6 / STATEMENTS as f64;
    let memory = std::fs::read_to_string("/proc/self/status")?;
    let memory = memory.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    writeln!(out, "  one append alone {alone_us:.0} us, a proof {proof_us:.0} us; {memory}")?;
    Ok(Measured { appends_s, alone_us, proof_us })
}

struct Latencies {
    total: Duration,
    sorted_s: Vec<f64>,
}

impl Latencies {
    fn quantile(&self, q: f64) -> f64 {
        let at = (self.sorted_s.len() as f64 * q) as usize;
        self.sorted_s.get(at).copied().unwrap_or_default()
    }
}

/// All writers at once; at a rate, each statement is due at its time and measured from there, whoever is late.
fn append(log: &Log, statements: &[Envelope], rate: Option<f64>) -> Latencies {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::with_capacity(statements.len()));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut own = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(statement) = statements.get(n) else { break };
                    let due = rate.map_or_else(Instant::now, |rate| start + Duration::from_secs_f64(n as f64 / rate));
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if log.append(Submission::new(statement.clone())).is_ok() {
                        own.push(due.elapsed().as_secs_f64());
                    }
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
            });
        }
    });
    let total = start.elapsed();
    let mut sorted_s = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(sorted_s.len(), statements.len(), "every append succeeded");
    sorted_s.sort_by(f64::total_cmp);
    Latencies { total, sorted_s }
}

fn verification_rate(world: &World) -> Bench<f64> {
    let statements = world.statements(0, STATEMENTS / 2)?;
    let start = Instant::now();
    for statement in &statements {
        statement.verify(world.key.key())?;
    }
    Ok(statements.len() as f64 / start.elapsed().as_secs_f64())
}

/// Writes of a batch's size, each synced, at the end of one file.
fn sync_rate(folder: &Path) -> Bench<f64> {
    let mut file = File::options().create_new(true).append(true).open(folder.join("synced"))?;
    let batch = vec![7; BATCH * (PAYLOAD_BYTES * 4 / 3 + 200)];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < SYNC_TIME {
        file.write_all(&batch)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
