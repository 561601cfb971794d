//! The process that writes (`examples/append.rs`), what it says, and what must be true of the log that it leaves.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use ledger::{
    blobs::FileBlobs,
    bodies::{Bodies, Body, KeptBody},
    check::{Evidence, check_log},
    dsse::Envelope,
    follow::{Follower, WitnessKey, WitnessPolicy},
    keys::{PrivateKey, Scheme, Signer as _},
    log::{Log, OpenDoor, Submission},
    merkle::{inclusion_proof, leaf_hash, verify_inclusion},
    note::{NoteKeyType, NoteSigner, VerifierKey},
    store::{SqliteStore, Store, StoredNodes},
    witness::{OpenWitnessError, Witness, WitnessedLog},
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
    /// The largest size that an auditor was said to have kept.
    pub kept: u64,
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
            (Some("kept"), Some(size), None) => self.kept = self.kept.max(size),
            _ => assert!(!line.ends_with('\n'), "it said {line:?}"),
        }
    }
}

/// Opens the log as its next writer does, which is when a store finishes or forgets what was under way. Then the
/// whole-log check, and every promise: statements once and where it was said, with proofs, bodies and cosignatures; what
/// the witness and the auditor have, and that both go on from there.
pub fn check(folder: &Path, said: &Said) -> u64 {
    let store = Arc::new(SqliteStore::open(&folder.join("log.db")).unwrap());
    let (log, witnesses) = (log_key(), witnesses());
    if store.head().unwrap().is_none() {
        assert!(said.indices.is_empty() && said.kept == 0, "what was said is gone: {said:?}");
        return 0;
    }
    let evidence = Evidence { log: &log, witnesses: &witnesses, checkpoints: &[], kept: None };
    let whole = check_log(&*store, &evidence).unwrap();
    keeps(folder, &store, said, whole.range.size(), whole.range.root());
    witness_and_auditor(folder, &store, said, whole.range.size());
    whole.range.size()
}

fn witness_and_auditor(folder: &Path, store: &SqliteStore, said: &Said, size: u64) {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[9; 32]).unwrap();
    let signer = NoteSigner::new("witness.example", NoteKeyType::Cosignature, Arc::new(key)).unwrap();
    let cosigned = said.cosigned.iter().max().copied().unwrap_or_default();
    match Witness::open(&folder.join("witness"), signer, vec![WitnessedLog::new(log_key()).unwrap()]) {
        Ok(witness) => {
            let remembered = witness.latest("killed.example").map_or(0, |c| c.size);
            assert!(remembered >= cosigned, "it has cosigned {cosigned} and remembers {remembered}");
            assert!(remembered <= size, "what it saw was synced");
        }
        Err(OpenWitnessError::NoList(_)) => assert_eq!(cosigned, 0, "it has begun"),
        Err(e) => panic!("{e}"),
    }
    let bytes = match std::fs::read(folder.join("kept")) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read.unwrap(),
    };
    let mut auditor = Follower::from_bytes(log_key(), witnesses(), &bytes).unwrap();
    assert!(auditor.size() >= said.kept, "it has kept {} and has {}", said.kept, auditor.size());
    let entries = store.entries(auditor.size(), usize::MAX).unwrap();
    let entries: Vec<&[u8]> = entries.iter().map(|e| e.bytes.as_slice()).collect();
    auditor.advance(&entries, &store.head().unwrap().unwrap().note, Timestamp::from_unix(1)).unwrap();
}

/// Opens the log for appending and sends two statements: one that is in keeps its place, a new one gets the next.
pub fn goes_on(folder: &Path, said: &Said) {
    let key = |seed| PrivateKey::from_seed(Scheme::Ed25519, &[seed; 32]).unwrap();
    let signer = NoteSigner::new("killed.example", NoteKeyType::Ed25519, Arc::new(key(8))).unwrap();
    let store = Arc::new(SqliteStore::open(&folder.join("log.db")).unwrap());
    let log = Log::open(store, signer, Arc::new(OpenDoor)).unwrap();
    let append = |payload: &str| {
        let envelope = Envelope::seal("text/plain", payload.as_bytes().to_vec(), &key(7)).unwrap();
        log.append(Submission::new(envelope)).unwrap().index
    };
    let size = log.head().size();
    if let Some((number, index)) = said.indices.iter().find(|(number, _)| *number % 7 != 0) {
        assert_eq!(append(&number.to_string()), *index, "{number} is sent again");
    }
    assert_eq!(append("new"), size);
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
