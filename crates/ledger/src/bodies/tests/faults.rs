//! Every write that a statement with a body takes fails in turn, in both ways: the key of its subject, the body, the
//! entry, the cosignature, and the destruction of a key. Whoever sends again in the end has what was acknowledged, and
//! what was erased is not read.

use std::sync::Mutex;

use super::*;
use crate::{
    dsse::Identity,
    fixtures::{entries, log_signer, statement, witness_signer},
    log::{AppendError, Log, OpenDoor, Submission},
    store::{Batch, Mark, Store, StoredCheckpoint, StoredEntry},
};

/// How a write goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing is written, and it is said that it failed.
    Lost,
    /// Everything is written, and it is said that it failed.
    Misreported,
}

/// What is written, so that each kind is known to have been struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Write {
    Entry,
    Cosignature,
    Key,
    Body,
    Destruction,
}

/// Strikes once.
struct Striker {
    fault: Fault,
    /// How many writes go well before; `None` when the fault is behind us.
    until: Mutex<Option<u64>>,
    struck: Mutex<Option<Write>>,
}

impl Striker {
    fn write<T, E>(
        &self,
        what: Write,
        work: impl FnOnce() -> Result<T, E>,
        failed: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let mut until = self.until.lock().unwrap();
        let strikes = *until == Some(0);
        *until = until.and_then(|n| n.checked_sub(1));
        if !strikes {
            return work();
        }
        *self.struck.lock().unwrap() = Some(what);
        match self.fault {
            Fault::Lost => Err(failed()),
            Fault::Misreported => work().and_then(|_| Err(failed())),
        }
    }
}

fn store_failed() -> StoreError {
    StoreError::Failed("struck".into())
}

struct FaultyStore {
    inner: Arc<MemoryStore>,
    striker: Arc<Striker>,
}

impl Store for FaultyStore {
    fn mark(&self) -> Result<Mark, StoreError> {
        self.inner.mark()
    }
    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        self.inner.set_mark(mark)
    }
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.striker.write(Write::Entry, || self.inner.commit(batch), store_failed)
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
        self.striker.write(Write::Cosignature, || self.inner.add_cosignature(size, name, line), store_failed)
    }
    fn cosignatures(&self, size: u64) -> Result<Vec<String>, StoreError> {
        self.inner.cosignatures(size)
    }
    fn cosigned_sizes(&self, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.inner.cosigned_sizes(limit)
    }
}

impl SubjectKeys for FaultyStore {
    fn get_or_make(&self, subject: SubjectDigest, fresh: &SubjectKey) -> Result<KeyState, StoreError> {
        if self.inner.get(subject)? != KeyState::Absent {
            return self.inner.get(subject);
        }
        self.striker.write(Write::Key, || self.inner.get_or_make(subject, fresh), store_failed)
    }
    fn get(&self, subject: SubjectDigest) -> Result<KeyState, StoreError> {
        self.inner.get(subject)
    }
    fn destroy(&self, subject: SubjectDigest) -> Result<(), StoreError> {
        self.striker.write(Write::Destruction, || self.inner.destroy(subject), store_failed)
    }
    fn subjects(
        &self,
        after: Option<SubjectDigest>,
        limit: usize,
    ) -> Result<Vec<(SubjectDigest, KeyState)>, StoreError> {
        self.inner.subjects(after, limit)
    }
}

struct FaultyBlobs {
    inner: FileBlobs,
    striker: Arc<Striker>,
}

impl Blobs for FaultyBlobs {
    fn put(&self, name: &BlobName, bytes: &[u8]) -> Result<(), BlobError> {
        self.striker.write(Write::Body, || self.inner.put(name, bytes), || BlobError::Unavailable("struck".into()))
    }
    fn get(&self, name: &BlobName) -> Result<Option<Vec<u8>>, BlobError> {
        self.inner.get(name)
    }
    fn exists(&self, name: &BlobName) -> Result<bool, BlobError> {
        self.inner.exists(name)
    }
    fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        self.inner.delete(name)
    }
    fn names(&self, after: Option<&BlobName>, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        self.inner.names(after, limit)
    }
    fn place(&self) -> String {
        self.inner.place()
    }
}

/// A log with its bodies, which a client opens again whenever it has stopped.
struct Client {
    store: Arc<FaultyStore>,
    blobs: Arc<FaultyBlobs>,
    log: Option<Log>,
    failures: usize,
}

/// More failures than one fault can cause.
const FAILURES_LIMIT: usize = 3;

impl Client {
    fn log(&mut self) -> &Log {
        while self.log.is_none() {
            match Log::open(self.store.clone(), log_signer(), Arc::new(OpenDoor)) {
                Ok(log) => self.log = Some(log.keeping(Bodies::new(self.blobs.clone(), self.store.clone()))),
                Err(_) => self.failed(),
            }
        }
        self.log.as_ref().unwrap()
    }

    fn failed(&mut self) {
        self.failures += 1;
        assert!(self.failures < FAILURES_LIMIT, "one fault is one failure");
    }

    /// Sends until it is in; whether its subject was erased instead.
    fn append(&mut self, number: u64, said: &SubjectBody) -> bool {
        loop {
            let submission = Submission { envelope: statement(number), bodies: vec![said.clone()] };
            match self.log().append(submission) {
                Ok(_) => return true,
                Err(AppendError::Keep(why)) if matches!(*why, KeepError::Erased(_)) => return false,
                Err(AppendError::Stopped) => self.log = None,
                Err(_) => self.failed(),
            }
        }
    }

    fn until_it_is_done<E>(&mut self, mut work: impl FnMut(&Log) -> Result<(), E>) {
        while work(self.log()).is_err() {
            self.failed();
        }
    }
}

/// Three changes: the first is erased after its first statement.
fn story(client: &mut Client) -> Vec<(SubjectBody, bool)> {
    let mut all = Vec::new();
    for number in 0..6 {
        let body = said(Subject::Change(number % 3), &format!("body {number}"));
        let taken = client.append(number, &body);
        assert_eq!(taken, number != 3, "nothing new is kept about what was erased");
        all.push((body, taken));
        if number == 1 {
            client.until_it_is_done(|log| log.bodies().unwrap().erase(Subject::Change(0).digest()));
        }
        let head = client.log().head();
        let signature = witness_signer("witness.example", 201)
            .sign(head.note().text(), model::Timestamp::from_unix(1_800_000_000 + number))
            .unwrap();
        client.until_it_is_done(|log| log.add_cosignature(head.size(), &signature));
    }
    all
}

#[test]
fn every_write_lost_or_misreported_keeps_what_was_acknowledged_and_nothing_that_was_erased() {
    for fault in [Fault::Lost, Fault::Misreported] {
        let mut struck = std::collections::BTreeSet::new();
        for until in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let striker = Arc::new(Striker { fault, until: Mutex::new(Some(until)), struck: Mutex::new(None) });
            let store = Arc::new(FaultyStore { inner: Arc::new(MemoryStore::new()), striker: striker.clone() });
            let inner = FileBlobs::open(&folder.path().join("bodies")).unwrap();
            let blobs = Arc::new(FaultyBlobs { inner, striker: striker.clone() });
            let mut client = Client { store: store.clone(), blobs, log: None, failures: 0 };
            let all = story(&mut client);

            let case = format!("{fault:?} at write {until}, {:?}", striker.struck.lock().unwrap());
            let log = client.log();
            assert_eq!(entries(log).len(), 5, "{case}: each that was taken once, and not the one that was refused");
            for (said, taken) in &all {
                let expected = match (taken, &said.subject) {
                    (false, _) => KeptBody::Missing,
                    (true, Subject::Change(0)) => KeptBody::Erased,
                    (true, _) => KeptBody::Kept(said.body.clone()),
                };
                assert_eq!(log.body(&said.body.commitment()).unwrap(), expected, "{case}: {:?}", said.subject);
            }
            assert_eq!(store.get(Subject::Change(0).digest()).unwrap(), KeyState::Destroyed, "{case}");
            for size in [1, 2, 3, 4, 5] {
                assert_eq!(store.cosignatures(size).unwrap().len(), 1, "{case}: size {size}");
            }
            let Some(what) = *striker.struck.lock().unwrap() else {
                assert_eq!(client.failures, 0, "{case}");
                break;
            };
            assert_eq!(client.failures, 1, "{case}: somebody was told, once");
            struck.insert(what);
        }
        let kinds = [Write::Entry, Write::Cosignature, Write::Key, Write::Body, Write::Destruction];
        assert_eq!(struck.into_iter().collect::<Vec<_>>(), kinds, "{fault:?}: every kind of write was struck");
    }
}
