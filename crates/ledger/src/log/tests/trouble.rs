//! A shared store that fails for a while: everybody gets an answer, and closing ends.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    dsse::Identity,
    store::{Batch, Changes, Mark, Offer, Shared, Store, StoredCheckpoint, StoredEntry, Turn},
};

/// One process on a store that several could share, and that can be taken away.
struct DownStore {
    inner: MemoryStore,
    down: AtomicBool,
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
        self.up().map(|_| Turn::Sequencer { epoch: 1 })
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
    let store = Arc::new(DownStore { inner: MemoryStore::new(), down: AtomicBool::new(false) });
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
