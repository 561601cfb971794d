//! Appends numbered statements to the log in a folder, some with bodies, from several threads, and has its checkpoints
//! cosigned; says what is done only when it is.
//!
//! `append <folder> [<first number> [<how many>]]`, for ever if it is not said how many. It prints `said <number> <index>`
//! for each statement and `cosigned <size>` for each cosignature. For trying out what kills, power cuts and full disks
//! leave: `tests/faults` does that.

use std::{
    error::Error,
    io::Write as _,
    path::PathBuf,
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
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    store::SqliteStore,
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
        let cosigner = scope.spawn(|| cosign(&log, &done));
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
            // One lock for line and flush: a line that is cut short is one that was not said.
            let mut out = std::io::stdout().lock();
            writeln!(out, "said {number} {index}")?;
            out.flush()?;
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

fn cosign(log: &Log, done: &AtomicBool) -> Result<(), Failed> {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[9; 32]).ok_or("no key")?;
    let witness = NoteSigner::new("witness.example", NoteKeyType::Cosignature, Arc::new(key))?;
    let mut last = 0;
    loop {
        let head = log.wait_beyond(last, PATIENCE);
        if head.size() > last {
            last = head.size();
            log.add_cosignature(last, &witness.sign(head.note().text(), Timestamp::from_unix(1_800_000_000))?)?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "cosigned {last}")?;
            out.flush()?;
        } else if done.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}
