//! What this room's own tests stand on. Other rooms' tests take theirs from `sim`.

use std::sync::Arc;

use crate::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{Door, Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    store::{MemoryStore, Store},
};

pub(crate) const ORIGIN: &str = "countersign.example/log";
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

pub(crate) fn key(scheme: Scheme, number: u8) -> PrivateKey {
    PrivateKey::from_seed(scheme, &[number; 32]).unwrap()
}

pub(crate) fn log_signer() -> NoteSigner {
    NoteSigner::new(ORIGIN, NoteKeyType::Ed25519, Arc::new(key(Scheme::Ed25519, 200))).unwrap()
}

pub(crate) fn witness_signer(name: &str, number: u8) -> NoteSigner {
    NoteSigner::new(name, NoteKeyType::Cosignature, Arc::new(key(Scheme::Ed25519, number))).unwrap()
}

/// A signed statement, another one for each number.
pub(crate) fn statement(number: u64) -> Envelope {
    let payload = format!(r#"{{"statement":{number}}}"#).into_bytes();
    Envelope::seal(PAYLOAD_TYPE, payload, &key(Scheme::Ed25519, 1)).unwrap()
}

pub(crate) fn open_log(store: Arc<dyn Store>) -> Log {
    open_log_with(store, Arc::new(OpenDoor))
}

pub(crate) fn open_log_with(store: Arc<dyn Store>, door: Arc<dyn Door>) -> Log {
    Log::open(store, log_signer(), door).unwrap()
}

/// A log in memory with this many statements.
pub(crate) fn log_of(count: u64) -> (Log, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let log = open_log(store.clone());
    fill(&log, 0, count);
    (log, store)
}

/// Appends statements `from..to`.
pub(crate) fn fill(log: &Log, from: u64, to: u64) {
    let numbers: Vec<u64> = (from..to).collect();
    for chunk in numbers.chunks(200) {
        for receipt in log.append_all(chunk.iter().map(|n| Submission::new(statement(*n))).collect()) {
            receipt.unwrap();
        }
    }
}

/// Every entry of a log.
pub(crate) fn entries(log: &Log) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let more = log.entries(all.len() as u64, crate::log::ENTRIES_LIMIT).unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}
