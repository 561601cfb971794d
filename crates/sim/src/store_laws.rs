//! What every store promises, whatever it is made of, and what every log on one does.
//!
//! The laws are functions over any store, so that the same are asked of the one in memory, of SQLite and of PostgreSQL.
//! They panic where one is broken: they are for tests.

use std::sync::Arc;

use ledger::{
    bodies::{KeyState, Subject, SubjectKey, SubjectKeys},
    check::{Evidence, WholeLog, check_log},
    dsse::Envelope,
    follow::WitnessPolicy,
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    merkle::Tile,
    note::{NoteKeyType, NoteSigner},
    store::{Batch, Store, StoreError, StoredCheckpoint, StoredEntry},
};

const ORIGIN: &str = "laws.example/log";

/// A signed statement, another one for each number.
#[must_use]
pub fn statement(number: u64) -> Envelope {
    let payload = format!(r#"{{"statement":{number}}}"#).into_bytes();
    Envelope::seal("application/vnd.in-toto+json", payload, &key(1)).unwrap()
}

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_seed(Scheme::Ed25519, &[number; 32]).unwrap()
}

/// The key of the log that the laws are about.
#[must_use]
pub fn signer() -> NoteSigner {
    NoteSigner::new(ORIGIN, NoteKeyType::Ed25519, Arc::new(key(200))).unwrap()
}

/// Opens the log on a store.
#[must_use]
pub fn open(store: Arc<dyn Store>) -> Log {
    Log::open(store, signer(), Arc::new(OpenDoor)).unwrap()
}

/// Looks at a whole log.
#[must_use]
pub fn whole(store: &dyn Store) -> WholeLog {
    let (signer, witnesses) = (signer(), WitnessPolicy::unwitnessed());
    check_log(store, &Evidence { log: signer.vkey(), witnesses: &witnesses, checkpoints: &[], kept: None }).unwrap()
}

fn entry(number: u64) -> StoredEntry {
    let envelope = statement(number);
    StoredEntry { bytes: envelope.canonical_bytes(), identity: envelope.identity() }
}

fn batch(first: u64, count: u64) -> Batch {
    Batch {
        first,
        entries: (first..first + count).map(entry).collect(),
        tiles: vec![Tile { level: 0, index: 0, bytes: vec![first as u8; 32] }],
        note: format!("note {}", first + count).into_bytes(),
        ..Batch::default()
    }
}

/// What an empty store promises.
pub fn a_store_keeps_its_promises(store: &dyn Store) {
    if let Some(shared) = store.shared() {
        assert!(shared.take_turn().unwrap().is_ours());
    }
    assert_eq!(store.head().unwrap(), None);
    store.commit(&Batch { note: b"note 0".to_vec(), ..Batch::default() }).unwrap();
    store.commit(&batch(0, 3)).unwrap();
    store.commit(&batch(3, 2)).unwrap();
    assert_eq!(store.head().unwrap(), Some(StoredCheckpoint { size: 5, note: b"note 5".to_vec() }));
    assert_eq!(store.entries(1, 2).unwrap(), [entry(1), entry(2)]);
    assert_eq!(store.entries(4, 100).unwrap(), [entry(4)]);
    assert_eq!(store.entries(5, 100).unwrap(), []);
    assert_eq!(store.entries(u64::MAX, 100).unwrap(), []);
    assert_eq!(store.identities(3, 100).unwrap(), [entry(3).identity, entry(4).identity]);
    assert_eq!(store.find(entry(3).identity).unwrap(), Some(3));
    assert_eq!(store.find(entry(9).identity).unwrap(), None);
    let names = [9, 4, 0, 4].map(|n| entry(n).identity);
    assert_eq!(store.find_all(&names).unwrap(), [None, Some(4), Some(0), Some(4)]);
    assert_eq!(store.tile(0, 0).unwrap(), Some(vec![3; 32]), "the later tile replaces the earlier");
    assert_eq!(store.tile(1, 0).unwrap(), None);
    assert_eq!(store.tile(0, u64::MAX).unwrap(), None);
    let sizes = |from, limit| store.checkpoints(from, limit).unwrap().iter().map(|c| c.size).collect::<Vec<_>>();
    assert_eq!((sizes(0, 9), sizes(1, 1), sizes(6, 9)), (vec![0, 3, 5], vec![3], vec![]));
    a_commit_is_whole_or_not_at_all(store);
    for (size, name, line) in [(3, "b", "line b"), (3, "a", "line a"), (5, "a", "line 5"), (3, "a", "line a again")] {
        store.add_cosignature(size, name, line).unwrap();
    }
    assert_eq!(store.cosignatures(3).unwrap(), ["line a again", "line b"]);
    assert_eq!(store.cosignatures(4).unwrap(), Vec::<String>::new());
    assert_eq!((store.cosigned_sizes(9).unwrap(), store.cosigned_sizes(1).unwrap()), (vec![5, 3], vec![5]));
}

fn a_commit_is_whole_or_not_at_all(store: &dyn Store) {
    let before = store.entries(0, 100).unwrap();
    for (case, wrong) in [
        ("behind", batch(4, 2)),
        ("ahead", batch(6, 2)),
        ("a statement that is there", Batch { entries: vec![entry(7), entry(0)], ..batch(5, 0) }),
        ("a statement twice", Batch { entries: vec![entry(7), entry(7)], ..batch(5, 0) }),
    ] {
        let wrong = Batch { tiles: vec![Tile { level: 9, index: 9, bytes: vec![1] }], ..wrong };
        let error = store.commit(&wrong).unwrap_err();
        assert!(error.nothing_changed(), "{case}: {error:?}");
        assert!(matches!(error, StoreError::OutOfStep { .. } | StoreError::Duplicate(_)), "{case}: {error:?}");
        assert_eq!(store.entries(0, 100).unwrap(), before, "{case}");
        assert_eq!(store.tile(9, 9).unwrap(), None, "{case}");
        assert_eq!(store.find(entry(7).identity).unwrap(), None, "{case}");
    }
}

/// What every table of the keys of subjects promises.
pub fn keys_are_kept_and_destroyed(keys: &dyn SubjectKeys) {
    let subject = |name: &str| name.parse::<Subject>().unwrap().digest();
    let (ada, ben, cem) = (subject("person:ada"), subject("person:ben"), subject("change:3"));
    let (first, second) = (SubjectKey::new().unwrap(), SubjectKey::new().unwrap());
    assert_ne!(first, second);
    assert_eq!(keys.get(ada).unwrap(), KeyState::Absent);
    assert_eq!(keys.get_or_make(ada, &first).unwrap(), KeyState::Kept(first.clone()));
    assert_eq!(keys.get_or_make(ada, &second).unwrap(), KeyState::Kept(first.clone()), "the first stays");
    assert_eq!(keys.get_or_make(ben, &second).unwrap(), KeyState::Kept(second.clone()));
    for _ in 0..2 {
        keys.destroy(ada).unwrap();
        assert_eq!(keys.get(ada).unwrap(), KeyState::Destroyed);
        assert_eq!(keys.get_or_make(ada, &second).unwrap(), KeyState::Destroyed, "none is made again");
    }
    keys.destroy(cem).unwrap();
    assert_eq!(keys.get_or_make(cem, &first).unwrap(), KeyState::Destroyed, "also one that never had a key");
    assert_eq!(keys.get(ben).unwrap(), KeyState::Kept(second.clone()), "others keep theirs");
    let mut all = vec![(ada, KeyState::Destroyed), (ben, KeyState::Kept(second)), (cem, KeyState::Destroyed)];
    all.sort_by_key(|(subject, _)| *subject);
    assert_eq!(keys.subjects(None, 9).unwrap(), all);
    assert_eq!(keys.subjects(Some(all[0].0), 1).unwrap(), all[1..2]);
    assert_eq!(keys.subjects(Some(all[2].0), 9).unwrap(), []);
}

/// What a log on an empty store does, also when it is closed and opened again. Gives its last checkpoint and every tile
/// and entry bundle, which are the same bytes on every store.
pub fn a_log_is_a_log(open_store: impl Fn() -> Arc<dyn Store>) -> Vec<Vec<u8>> {
    let log = open(open_store());
    let append = |log: &Log, numbers: std::ops::Range<u64>| {
        let batch = numbers.clone().map(|n| Submission::new(statement(n))).collect();
        for (number, receipt) in numbers.zip(log.append_all(batch)) {
            let receipt = receipt.unwrap();
            assert_eq!(receipt.index, number);
            receipt.verify(&statement(number), log.vkey()).unwrap();
        }
    };
    append(&log, 0..270);
    append(&log, 200..300);
    let signed_again = Envelope::from_parts(
        statement(7).payload_type(),
        statement(7).payload().to_vec(),
        statement(7).signer(),
        vec![7; 64],
    );
    assert_eq!(log.append(Submission::new(signed_again.unwrap())).unwrap().index, 7, "however its envelope is encoded");
    let head = log.head();
    log.close();
    drop(log);
    let store = open_store();
    let log = open(store.clone());
    assert_eq!(log.head().to_bytes(), head.to_bytes());
    append(&log, 290..310);
    let proof = log.consistency_proof(head.size(), 310).unwrap();
    let now = log.head();
    ledger::merkle::verify_consistency(head.size(), &head.root(), 310, &now.root(), &proof).unwrap();
    assert_eq!(whole(&*store).range.size(), 310);
    PATHS.map(|path| log.resource(path.parse().unwrap()).unwrap().unwrap()).into()
}

/// What a log of 310 entries serves.
const PATHS: [&str; 6] =
    ["checkpoint", "tile/0/000", "tile/0/001.p/54", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/54"];

#[cfg(test)]
mod tests;
