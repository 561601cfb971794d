//! Every write of a log fails in turn, in every way, and the log is opened again and checked as a whole.

use std::sync::{Mutex, OnceLock};

use super::*;
use crate::{
    check::{Evidence, check_log},
    dsse::Identity,
    follow::WitnessPolicy,
    store::{Batch, Mark, StoredCheckpoint, StoredEntry},
};

/// How a write goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing is written, and the store says that it failed.
    Lost,
    /// Everything is written, and the store says that it failed.
    Misreported,
    /// The disk is full: nothing is written.
    Full,
    /// The file system became read-only: nothing is written.
    ReadOnly,
}

/// A store of which one commit goes wrong.
struct FaultyStore {
    inner: Arc<dyn Store>,
    /// How many commits go well before; `None` when the fault is behind us.
    until: Mutex<Option<u64>>,
    fault: Fault,
}

impl FaultyStore {
    fn new(inner: Arc<dyn Store>, until: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner, until: Mutex::new(Some(until)), fault })
    }

    fn strikes(&self) -> bool {
        let mut until = self.until.lock().unwrap();
        let now = *until == Some(0);
        *until = until.and_then(|n| n.checked_sub(1));
        now
    }

    fn has_struck(&self) -> bool {
        self.until.lock().unwrap().is_none()
    }
}

impl Store for FaultyStore {
    fn mark(&self) -> Result<Mark, StoreError> {
        self.inner.mark()
    }
    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        self.inner.set_mark(mark)
    }
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if !self.strikes() {
            return self.inner.commit(batch);
        }
        match self.fault {
            Fault::Lost => Err(StoreError::Failed("lost".into())),
            Fault::Misreported => {
                self.inner.commit(batch)?;
                Err(StoreError::Failed("misreported".into()))
            }
            Fault::Full => Err(StoreError::DiskFull),
            Fault::ReadOnly => Err(StoreError::ReadOnly),
        }
    }

    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.inner.head()
    }
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        self.inner.entries(from, limit)
    }
    fn find(&self, identity: Identity) -> Result<Option<u64>, StoreError> {
        self.inner.find(identity)
    }
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.tile(level, index)
    }
    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.inner.checkpoints(from_size, limit)
    }
    fn add_cosignature(&self, size: u64, name: &str, line: &str) -> Result<(), StoreError> {
        self.inner.add_cosignature(size, name, line)
    }
    fn cosignatures(&self, size: u64) -> Result<Vec<String>, StoreError> {
        self.inner.cosignatures(size)
    }
    fn cosigned_sizes(&self, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.inner.cosigned_sizes(limit)
    }
}

fn check(store: &dyn Store) -> crate::check::WholeLog {
    let witnesses = WitnessPolicy::unwitnessed();
    let signer = log_signer();
    let evidence = Evidence { log: signer.vkey(), witnesses: &witnesses, checkpoints: &[], kept: None };
    check_log(store, &evidence).unwrap()
}

/// From just before a tile is full to just after, so that every kind of tile is written under the fault.
const FROM: u64 = 250;
const TO: u64 = 270;
/// Enough for a new log to have some commits.
const FEW: u64 = 8;
/// More failures to open than one fault can cause.
const OPEN_LIMIT: usize = 3;

/// Appends statements in batches of odd sizes, as a client does: what failed is sent again, to a log that is opened again
/// if it stopped. Gives every receipt, and how many appends and openings failed on the way.
fn run(store: &Arc<FaultyStore>, from: u64, to: u64) -> (Vec<(u64, Receipt)>, usize) {
    let mut receipts = Vec::new();
    let (mut failures, mut not_opened) = (0, 0);
    let mut next = from;
    let mut log = None;
    while next < to {
        let Some(opened) = &log else {
            log = Log::open(store.clone(), log_signer(), Arc::new(Guard)).ok();
            not_opened += usize::from(log.is_none());
            assert!(not_opened < OPEN_LIMIT, "one fault is one failure");
            continue;
        };
        // A duplicate in each batch, so that its place is right after a failure too.
        let end = to.min(next + 1 + next % 5);
        let numbers: Vec<u64> = (next.saturating_sub(1)..end).collect();
        let results = opened.append_all(numbers.iter().map(|n| Submission::new(statement(*n))).collect());
        let mut stopped = false;
        for (number, result) in numbers.iter().zip(results) {
            match result {
                Ok(receipt) if *number == next || *number + 1 == next => {
                    next = number + 1;
                    receipts.push((*number, receipt));
                }
                // One in the middle failed: those behind it are sent again, and keep their places.
                Ok(receipt) => receipts.push((*number, receipt)),
                Err(AppendError::Store(_)) => failures += 1,
                Err(AppendError::Stopped) => stopped = true,
                Err(other) => panic!("{other:?}"),
            }
        }
        if stopped {
            log = None;
        }
    }
    (receipts, failures + not_opened)
}

/// A store with the first statements in it, made in one commit.
fn filled() -> Arc<MemoryStore> {
    static BATCH: OnceLock<Batch> = OnceLock::new();
    let batch = BATCH.get_or_init(|| {
        let mut edge = crate::merkle::Edge::new();
        let mut entries = Vec::new();
        for envelope in (0..FROM).map(statement) {
            edge.push(leaf_hash(&envelope.canonical_bytes()));
            entries.push(StoredEntry { bytes: envelope.canonical_bytes(), identity: envelope.identity() });
        }
        let note = SignedCheckpoint::sign(FROM, edge.compact().root(), &log_signer()).unwrap().to_bytes();
        Batch { entries, tiles: edge.take_changed(), note, ..Batch::default() }
    });
    let store = Arc::new(MemoryStore::new());
    store.commit(batch).unwrap();
    store
}

#[test]
fn every_write_lost_or_misreported_leaves_a_whole_log() {
    let empty = || Arc::new(MemoryStore::new());
    for (start, from, to) in [(filled as fn() -> Arc<MemoryStore>, FROM, TO), (empty, 0, FEW)] {
        for fault in [Fault::Lost, Fault::Misreported, Fault::Full, Fault::ReadOnly] {
            for until in 0.. {
                let memory = start();
                let store = FaultyStore::new(memory.clone(), until, fault);
                let (receipts, failures) = run(&store, from, to);
                let whole = check(&*memory);
                let case = format!("{fault:?} at write {until} after {from}");
                assert_eq!(whole.range.size(), to, "{case}: nothing lost, nothing twice");
                for (number, receipt) in &receipts {
                    receipt.verify(&statement(*number), log_signer().vkey()).unwrap();
                    let entry = memory.entries(receipt.index, 1).unwrap().pop().unwrap();
                    assert_eq!(entry.bytes, statement(*number).canonical_bytes(), "{case}");
                }
                if !store.has_struck() {
                    assert_eq!(failures, 0, "{case}");
                    assert!(until > 2, "{case}: several commits were made to fail");
                    break;
                }
                assert!(failures > 0, "{case}: somebody was told");
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_with_the_reason_while_reading_goes_on() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), 2, Fault::Full);
    let log = open_log_with(store, Arc::new(Guard));
    fill(&log, 0, 1);
    let Err(AppendError::Store(reason)) = log.append(Submission::new(statement(1))) else { panic!("appended") };
    assert_eq!(reason.to_string(), "the disk of the log is full");
    assert_eq!(entries(&log).len(), 1);
    assert_eq!(log.head().size(), 1);
    log.receipt(0).unwrap().verify(&statement(0), log.vkey()).unwrap();
    assert_eq!(log.append(Submission::new(statement(1))).unwrap().index, 1, "when there is space again, it goes on");
}

#[test]
fn a_write_of_unknown_outcome_stops_writing_and_not_reading() {
    for (fault, after) in [(Fault::Lost, 1), (Fault::Misreported, 2)] {
        let memory = Arc::new(MemoryStore::new());
        let log = open_log(FaultyStore::new(memory.clone(), 2, fault));
        fill(&log, 0, 1);
        assert!(matches!(log.append(Submission::new(statement(1))), Err(AppendError::Store(_))));
        let stopped = log.append(Submission::new(statement(2))).unwrap_err();
        assert_eq!(stopped.to_string(), "the log has stopped writing after a failed write; start it again");
        assert_eq!(entries(&log).len(), 1, "what is not covered by a head that was acknowledged is not served");
        drop(log);
        assert_eq!(open_log(memory).head().size(), after);
    }
}
