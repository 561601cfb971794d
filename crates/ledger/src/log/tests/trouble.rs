//! A shared store that fails for a while: everybody gets an answer, and closing ends.

use std::sync::{
    Condvar,
    atomic::{AtomicBool, AtomicU64},
};

use super::*;
use crate::{
    dsse::Identity,
    store::{Batch, Changes, Mark, Offer, Shared, Store, StoredCheckpoint, StoredEntry, Turn},
};

/// One process on a store that several could share, and that can be taken away.
struct DownStore {
    inner: MemoryStore,
    down: AtomicBool,
    /// The number of the turn that it has.
    epoch: AtomicU64,
}

impl DownStore {
    fn new() -> Self {
        Self { inner: MemoryStore::new(), down: AtomicBool::new(false), epoch: AtomicU64::new(1) }
    }
}

impl DownStore {
    fn up(&self) -> Result<&MemoryStore, StoreError> {
        if self.down.load(Ordering::SeqCst) { Err(StoreError::Failed("down".into())) } else { Ok(&self.inner) }
    }
}

impl Store for DownStore {
    fn mark(&self) -> Result<Mark, StoreError> {
        self.up()?.mark()
    }
    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        self.up()?.set_mark(mark)
    }
    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.up()?.commit(batch)
    }
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.up()?.head()
    }
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        self.up()?.entries(from, limit)
    }
    fn find(&self, identity: Identity) -> Result<Option<u64>, StoreError> {
        self.up()?.find(identity)
    }
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.up()?.tile(level, index)
    }
    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.up()?.checkpoints(from_size, limit)
    }
    fn add_cosignature(&self, size: u64, name: &str, line: &str) -> Result<(), StoreError> {
        self.up()?.add_cosignature(size, name, line)
    }
    fn cosignatures(&self, size: u64) -> Result<Vec<String>, StoreError> {
        self.up()?.cosignatures(size)
    }
    fn cosigned_sizes(&self, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.up()?.cosigned_sizes(limit)
    }
}

impl Shared for DownStore {
    fn take_turn(&self) -> Result<Turn, StoreError> {
        self.up().map(|_| Turn::Sequencer { epoch: self.epoch.load(Ordering::SeqCst) })
    }
    fn end_turn(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn hand_over(&self, _: &[Offer]) -> Result<(), StoreError> {
        Ok(())
    }
    fn handed_over(&self, _: usize) -> Result<Vec<Offer>, StoreError> {
        self.up().map(|_| Vec::new())
    }
    fn settle(&self, _: &[Identity]) -> Result<(), StoreError> {
        Ok(())
    }
    fn wait(&self, timeout: Duration) -> Result<Changes, StoreError> {
        thread::park_timeout(timeout);
        Ok(Changes::default())
    }
}

#[test]
fn a_store_that_is_away_leaves_nobody_without_an_answer() {
    let store = Arc::new(DownStore::new());
    let log = open_log(store.clone());
    fill(&log, 0, 3);
    store.down.store(true, Ordering::SeqCst);
    // More than one batch, so that some are still in the queue when the first are given up.
    let several = (3..603).map(|n| Submission::new(statement(n))).collect();
    assert!(log.append_all(several).iter().all(Result::is_err), "everybody is told");
    store.down.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        let again = scope.spawn(|| log.append(Submission::new(statement(3))));
        assert!(again.join().unwrap().is_ok(), "when it is there again, it goes on");
        store.down.store(true, Ordering::SeqCst);
        let caught = scope.spawn(|| log.append(Submission::new(statement(700))));
        log.close();
        assert!(caught.join().unwrap().is_err(), "closing answers and ends");
    });
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the log has this turn and orders nothing in it.
fn wait_unbegun(log: &Log, epoch: u64) -> Turn {
    let start = std::time::Instant::now();
    let mut news = 0;
    loop {
        if let Some(turn) = log.unbegun_turn().filter(|turn| *turn == Turn::Sequencer { epoch }) {
            return turn;
        }
        assert!(start.elapsed() < PATIENCE, "turn {epoch}: {:?}", log.turn());
        news = log.wait_news(news, Duration::from_millis(100));
    }
}

#[test]
fn in_no_turn_anything_is_ordered_before_it_was_begun() {
    let store = Arc::new(DownStore::new());
    let log = Log::open_asking_first(store.clone(), log_signer(), Arc::new(OpenDoor)).unwrap();
    thread::scope(|scope| {
        for epoch in 1..=3 {
            let turn = wait_unbegun(&log, epoch);
            let said = scope.spawn(|| log.append(Submission::new(statement(log.head().size()))));
            // Whatever else is asked of it, and also if an earlier turn is begun late.
            log.begin(Turn::Sequencer { epoch: epoch - 1 });
            assert_eq!(log.wait_beyond(epoch - 1, Duration::from_millis(50)).size(), epoch - 1);
            assert_eq!(store.inner.head().unwrap().unwrap().size, epoch - 1, "nothing is written");
            log.begin(turn);
            assert_eq!(said.join().unwrap().unwrap().index, epoch - 1);
            assert_eq!(log.unbegun_turn(), None);
            store.epoch.store(epoch + 1, Ordering::SeqCst);
        }
    });
    // What the witnesses say before a turn holds in it: what came in is refused.
    let turn = wait_unbegun(&log, 4);
    thread::scope(|scope| {
        let said = scope.spawn(|| log.append(Submission::new(statement(99))));
        log.stop_taking_in(SetBack::Fork("witness.example".to_owned()));
        log.begin(turn);
        assert!(matches!(said.join().unwrap(), Err(AppendError::SetBack(_))));
    });
    assert_eq!(store.inner.head().unwrap().unwrap().size, 3);
}

#[test]
fn closing_does_not_wait_for_a_turn_to_begin() {
    let log = Log::open_asking_first(Arc::new(DownStore::new()), log_signer(), Arc::new(OpenDoor)).unwrap();
    wait_unbegun(&log, 1);
    thread::scope(|scope| {
        let said = scope.spawn(|| log.append(Submission::new(statement(0))));
        log.close();
        assert!(matches!(said.join().unwrap(), Err(AppendError::Closed)));
    });
}

/// A disk on which a commit takes until it is let go.
struct SlowStore {
    inner: MemoryStore,
    held: Mutex<bool>,
    /// Commits that have begun.
    begun: AtomicU64,
    let_go: Condvar,
}

impl SlowStore {
    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.let_go.notify_all();
    }
}

impl Store for SlowStore {
    fn mark(&self) -> Result<Mark, StoreError> {
        self.inner.mark()
    }
    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        self.inner.set_mark(mark)
    }
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        drop(self.let_go.wait_while(self.held.lock().unwrap(), |held| *held).unwrap());
        self.inner.commit(batch)
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

#[test]
fn on_a_slow_disk_appends_wait_and_readers_go_on() {
    let store = Arc::new(SlowStore {
        inner: MemoryStore::new(),
        held: Mutex::new(false),
        begun: AtomicU64::new(0),
        let_go: Condvar::new(),
    });
    let log = open_log(store.clone());
    fill(&log, 0, 5);
    let before = store.begun.load(Ordering::SeqCst);
    store.hold(true);
    thread::scope(|scope| {
        let (answers, answered) = mpsc::channel();
        for number in 5..8 {
            let (answers, log) = (answers.clone(), &log);
            scope.spawn(move || answers.send(log.append(Submission::new(statement(number))).map(|r| r.index)).unwrap());
        }
        let start = std::time::Instant::now();
        while store.begun.load(Ordering::SeqCst) == before {
            assert!(start.elapsed() < PATIENCE, "no commit has begun");
            thread::yield_now();
        }
        // The commit hangs in the disk now. Whatever was acknowledged is read as ever, and nothing else is.
        assert_eq!(log.head().size(), 5);
        assert_eq!(entries(&log).len(), 5);
        for index in 0..5 {
            log.receipt(index).unwrap().verify(&statement(index), log.vkey()).unwrap();
        }
        log.consistency_proof(2, 5).unwrap();
        assert!(log.resource(TilePath::Checkpoint).unwrap().is_some());
        assert!(answered.try_recv().is_err(), "nobody has an answer before the disk has it");
        store.hold(false);
        let mut indices: Vec<u64> = (0..3).map(|_| answered.recv_timeout(PATIENCE).unwrap().unwrap()).collect();
        indices.sort_unstable();
        assert_eq!(indices, [5, 6, 7]);
    });
}
