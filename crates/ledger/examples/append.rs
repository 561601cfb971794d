//! Appends numbered statements to the log in a folder, some with bodies, from several threads, and has its checkpoints
//! cosigned; says what is done only when it is.
//!
//! `append <folder> [<first number> [<how many>]]`, for ever if it is not said how many. It prints `said <number> <index>`
//! for each statement, `cosigned <size>` for each cosignature of a witness in the same folder, and `kept <size>` when an
//! auditor's file covers so much. For trying out what kills, power cuts and full disks leave: `tests/faults` does that.

use std::{
    convert::Infallible,
    error::Error,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ledger::{
    blobs::FileBlobs,
    bodies::{Bodies, Body, Subject, SubjectBody},
    dsse::Envelope,
    follow::{Follower, WitnessPolicy},
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    store::SqliteStore,
    witness::{OpenWitnessError, Reply, Witness, WitnessedLog},
};
use model::Timestamp;

type Failed = Box<dyn Error + Send + Sync>;

/// Enough that statements of several threads share commits.
const THREADS: usize = 4;
/// Statements handed over at a time, so that commits of more than one entry are cut short too.
const AT_ONCE: u64 = 3;
/// One in so many statements has a body.
const BODY_EVERY: u64 = 7;
/// The bodies are about so many changes.
const SUBJECTS: u64 = 3;
/// When the witness signs: nothing here depends on the time.
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
/// How long the cosigner waits for the log to grow before it looks whether all is done.
const PATIENCE: Duration = Duration::from_millis(20);

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let mut number = || arguments.next().map(|a| a.to_string_lossy().parse::<u64>()).transpose();
    let first = number()?.unwrap_or(0);
    let end = number()?.map_or(u64::MAX, |count| first.saturating_add(count));

    let log_key = PrivateKey::from_seed(Scheme::Ed25519, &[8; 32]).ok_or("no key")?;
    let signer = NoteSigner::new("killed.example", NoteKeyType::Ed25519, Arc::new(log_key))?;
    let store = Arc::new(SqliteStore::open(&folder.join("log.db"))?);
    let blobs = Arc::new(FileBlobs::open(&folder.join("bodies"))?);
    let log = Log::open(store.clone(), signer, Arc::new(OpenDoor))?.keeping(Bodies::new(blobs, store));

    let (next, done) = (AtomicU64::new(first), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let cosigner = scope.spawn(|| cosign(&log, &folder, &done));
        let writers: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| write(&log, &next, end))).collect();
        let written = writers.into_iter().try_for_each(|writer| joined(writer.join()));
        done.store(true, Ordering::Relaxed);
        written.and(joined(cosigner.join()))
    })
}

fn joined(outcome: std::thread::Result<Result<(), Failed>>) -> Result<(), Failed> {
    outcome.unwrap_or_else(|_| Err("a thread panicked".into()))
}

fn write(log: &Log, next: &AtomicU64, end: u64) -> Result<(), Failed> {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[7; 32]).ok_or("no key")?;
    loop {
        let from = next.fetch_add(AT_ONCE, Ordering::Relaxed);
        let numbers = from..end.min(from.saturating_add(AT_ONCE));
        if numbers.is_empty() {
            return Ok(());
        }
        let batch: Result<Vec<_>, Failed> = numbers.clone().map(|n| submission(n, &key)).collect();
        for (number, receipt) in numbers.zip(log.append_all(batch?)) {
            let index = receipt?.index;
            say(&format!("said {number} {index}"))?;
        }
    }
}

/// The number, and the commitment of its body if it has one: the same each time.
fn submission(number: u64, key: &PrivateKey) -> Result<Submission, Failed> {
    if !number.is_multiple_of(BODY_EVERY) {
        return Ok(Submission::new(Envelope::seal("text/plain", number.to_string().into_bytes(), key)?));
    }
    let body =
        Body { salt: [number.to_le_bytes()[0]; 32], bytes: format!("body of {number}\n").repeat(20).into_bytes() };
    let payload = format!("{number} {}", body.commitment());
    let envelope = Envelope::seal("text/plain", payload.into_bytes(), key)?;
    Ok(Submission { envelope, bodies: vec![SubjectBody { subject: Subject::Change(number % SUBJECTS), body }] })
}

/// A witness and an auditor, who go along.
fn cosign(log: &Log, folder: &Path, done: &AtomicBool) -> Result<(), Failed> {
    let witness = open_witness(&folder.join("witness"), log)?;
    let kept = folder.join("kept");
    let bytes = match std::fs::read(&kept) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let mut follower = Follower::from_bytes(log.vkey().clone(), WitnessPolicy::unwitnessed(), &bytes)?;
    let mut last = 0;
    loop {
        let head = log.wait_beyond(last, PATIENCE);
        if head.size() > last {
            let send = |body: &[u8]| {
                let response = witness.add_checkpoint(body, NOW);
                Ok::<_, Infallible>(Reply { status: response.status, body: response.body })
            };
            (last, _) = ledger::witness::cosign(log, witness.vkey(), last, send)?;
            say(&format!("cosigned {last}"))?;
            let head = log.head();
            while follower.size() < head.size() {
                let mut advance = follower.begin(&head.to_bytes(), NOW)?;
                while advance.next() < advance.target() {
                    let limit = usize::try_from(advance.target() - advance.next())?;
                    log.entries(advance.next(), limit)?.iter().for_each(|entry| advance.push(entry));
                }
                follower.finish(advance)?;
            }
            ledger::durable::write(&kept, &follower.to_bytes(), 0o600)?;
            say(&format!("kept {}", follower.size()))?;
        } else if done.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn open_witness(folder: &Path, log: &Log) -> Result<Witness, Failed> {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[9; 32]).ok_or("no key")?;
    let signer = NoteSigner::new("witness.example", NoteKeyType::Cosignature, Arc::new(key))?;
    let logs = vec![WitnessedLog::new(log.vkey().clone())?];
    match Witness::open(folder, signer.clone(), logs.clone()) {
        // Made at the first start, which may have been cut short.
        Err(OpenWitnessError::NoList(_)) => {
            Witness::begin(folder)?;
            Ok(Witness::open(folder, signer, logs)?)
        }
        opened => Ok(opened?),
    }
}

/// One lock for line and flush: a line that is cut short is one that was not said.
fn say(line: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
