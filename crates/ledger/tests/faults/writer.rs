//! The process that writes (`examples/append.rs`), what it says, and what must be true of the log that it leaves.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use ledger::{
    blobs::FileBlobs,
    bodies::{Bodies, Body, KeptBody},
    check::{Evidence, WholeLog, check_log},
    dsse::Envelope,
    follow::{Follower, WitnessKey, WitnessPolicy},
    keys::{PrivateKey, Scheme, Signer as _},
    merkle::{inclusion_proof, leaf_hash, verify_inclusion},
    note::{NoteKeyType, VerifierKey},
    store::{SqliteStore, Store, StoredNodes},
};
use model::{Digest, Timestamp};

/// The example beside the tests; `cargo nextest` and `cargo test` build both.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let path = target.join("examples").join("append");
    assert!(path.is_file(), "build the examples first: `cargo build -p ledger --examples`");
    path
}

fn vkey(name: &str, key_type: NoteKeyType, seed: u8) -> VerifierKey {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[seed; 32]).unwrap();
    VerifierKey::new(name, key_type, key.key()).unwrap()
}

pub fn log_key() -> VerifierKey {
    vkey("killed.example", NoteKeyType::Ed25519, 8)
}

/// The one witness, of whose cosignatures none is needed and all are checked.
pub fn witnesses() -> WitnessPolicy {
    let vkey = vkey("witness.example", NoteKeyType::Cosignature, 9);
    WitnessPolicy::new(vec![WitnessKey { vkey, operator: "somebody".to_owned() }], 0).unwrap()
}

/// What the writer has said so far: a promise, each.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Statements by number, with their index.
    pub indices: BTreeMap<u64, u64>,
    /// Sizes whose checkpoints were said to be cosigned.
    pub cosigned: Vec<u64>,
}

impl Said {
    /// A whole line; the last one before a kill may be cut short, and then was not said.
    pub fn hear(&mut self, line: &str) {
        let mut words = line.strip_suffix('\n').unwrap_or_default().split(' ');
        match (words.next(), words.next().and_then(|w| w.parse().ok()), words.next().and_then(|w| w.parse().ok())) {
            (Some("said"), Some(number), Some(index)) => {
                let before = self.indices.insert(number, index);
                assert!(before.is_none_or(|before| before == index), "{number}: first at {before:?}, then at {index}");
            }
            (Some("cosigned"), Some(size), None) => self.cosigned.push(size),
            _ => assert!(!line.ends_with('\n'), "it said {line:?}"),
        }
    }
}

/// Opens the log as its next writer would, for that is when a store finishes or forgets what was under way, and closes it.
pub fn recover(folder: &Path) -> u64 {
    let store = SqliteStore::open(&folder.join("log.db")).unwrap();
    store.head().unwrap().map_or(0, |head| head.size)
}

/// The whole-log check, and every promise: statements once and where it was said, with proofs, bodies and cosignatures.
pub fn check(folder: &Path, said: &Said) -> WholeLog {
    let store = Arc::new(SqliteStore::open(&folder.join("log.db")).unwrap());
    let (log, witnesses) = (log_key(), witnesses());
    let evidence = Evidence { log: &log, witnesses: &witnesses, checkpoints: &[], kept: None };
    let whole = check_log(&*store, &evidence).unwrap();
    keeps(folder, &store, said, whole.range.size(), whole.range.root());
    whole
}

/// Goes on from what was followed before: everything new is hashed, and continues what was there.
pub fn follow(folder: &Path, follower: &mut Follower, said: &Said) {
    let store = Arc::new(SqliteStore::open_read_only(&folder.join("log.db")).unwrap());
    let Some(head) = store.head().unwrap() else {
        assert!(said.indices.is_empty(), "nothing was said before there was a log");
        return;
    };
    let entries = store.entries(follower.size(), usize::MAX).unwrap();
    let bytes: Vec<&[u8]> = entries.iter().map(|e| e.bytes.as_slice()).collect();
    follower.advance(&bytes, &head.note, Timestamp::from_unix(1)).unwrap();
    keeps(folder, &store, said, head.size, follower.range().root());
}

fn keeps(folder: &Path, store: &Arc<SqliteStore>, said: &Said, size: u64, root: Digest) {
    let blobs = Arc::new(FileBlobs::open(&folder.join("bodies")).unwrap());
    let bodies = Bodies::new(blobs, store.clone());
    for (number, index) in &said.indices {
        assert!(*index < size, "{number} was said to be at {index} of {size}");
        let entry = store.entries(*index, 1).unwrap().pop().unwrap();
        let envelope = Envelope::from_entry(&entry.bytes).unwrap();
        assert_eq!(store.find(envelope.identity()).unwrap(), Some(*index), "{number} is there once");
        let payload = String::from_utf8(envelope.payload().to_vec()).unwrap();
        let (said_number, commitment) = payload.split_once(' ').unwrap_or((&payload, ""));
        assert_eq!(said_number, number.to_string(), "at {index}");
        let proof = inclusion_proof(&StoredNodes(&**store), *index, size).unwrap();
        verify_inclusion(leaf_hash(&entry.bytes), *index, size, &root, &proof).unwrap();
        if !commitment.is_empty() {
            let kept = bodies.read(&commitment.parse().unwrap()).unwrap();
            let KeptBody::Kept(Body { bytes, .. }) = kept else { panic!("the body of {number}: {kept:?}") };
            assert!(bytes.starts_with(format!("body of {number}\n").as_bytes()));
        }
    }
    for size in &said.cosigned {
        assert_eq!(store.cosignatures(*size).unwrap().len(), 1, "the cosignature for {size}");
    }
}
