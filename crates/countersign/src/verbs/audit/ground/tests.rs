use std::sync::{Arc, Mutex};

use ledger::{
    checkpoint::Checkpoint,
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    merkle::{Edge, leaf_hash},
    note::{Note, NoteKeyType, NoteSignature, NoteSigner},
    statement::PAYLOAD_TYPE,
    store::{Batch, MemoryStore, Store, StoredEntry},
    sweep::{Found, StoreSource},
};
use model::Timestamp;

use super::*;

/// A log to which somebody appends whenever somebody else reads.
struct Busy {
    store: MemoryStore,
    edge: Mutex<Edge>,
    signer: NoteSigner,
    /// Whether it is written at all.
    grows: bool,
    /// Entries that are in the store though nobody signed for them.
    unsigned: usize,
}

impl Busy {
    fn new(signer: NoteSigner) -> Self {
        let store = MemoryStore::new();
        Self { store, edge: Mutex::new(Edge::new()), signer, grows: true, unsigned: 0 }
    }

    fn append(&self) {
        let mut edge = self.edge.lock().unwrap();
        let first = edge.size();
        let key = sim::history::key_of("builder").unwrap();
        let entry = Envelope::seal(PAYLOAD_TYPE, format!("entry {first}").into_bytes(), &key).unwrap();
        let (identity, bytes) = (entry.identity(), entry.canonical_bytes());
        edge.push(leaf_hash(&bytes));
        let text = Checkpoint::new(sim::history::ORIGIN, edge.size(), edge.compact().root()).to_string();
        let mut note = Note::new(text).unwrap();
        note.add(self.signer.sign(note.text(), Timestamp::default()).unwrap());
        let entries = vec![StoredEntry { identity, bytes }];
        let (tiles, note) = (edge.take_changed(), note.to_string().into_bytes());
        self.store.commit(&Batch { first, entries, tiles, note, ..Batch::default() }).unwrap();
    }

    fn read(&self) -> StoreSource<'_> {
        if self.grows {
            self.append();
        }
        StoreSource(&self.store)
    }
}

impl Source for Busy {
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        // After the answer: what is read next is already more than it covers.
        let head = StoreSource(&self.store).head();
        self.read();
        head
    }
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<Found>, StoreError> {
        let mut found = StoreSource(&self.store).entries(from, limit)?;
        self.read();
        let end = self.edge.lock().unwrap().size();
        let extra = (end..end + self.unsigned as u64).filter(|index| *index >= from);
        found.extend(extra.map(|i| Found { bytes: i.to_be_bytes().to_vec(), stored_as: None }));
        found.truncate(limit);
        Ok(found)
    }
    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.read().tile(level, index, width)
    }
    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.read().checkpoints(from_size, limit)
    }
    fn cosignatures(&self, size: u64) -> Result<Vec<NoteSignature>, StoreError> {
        self.read().cosignatures(size)
    }
    fn is_local(&self) -> bool {
        true
    }
}

fn findings(busy: &Busy) -> Vec<String> {
    let ground = find(busy, sim::history::log_signer().unwrap().vkey()).unwrap();
    ground.findings.into_iter().map(|finding| finding.what).collect()
}

#[test]
fn a_log_that_grows_while_it_is_read_is_not_accused() {
    let busy = Busy::new(sim::history::log_signer().unwrap());
    // Nothing is signed when the first question is asked, and something when the next one is.
    assert!(findings(&busy).is_empty(), "{:?}", findings(&busy));
    (0..300).for_each(|_| busy.append());
    assert!(findings(&busy).is_empty(), "{:?}", findings(&busy));
}

#[test]
fn entries_that_no_checkpoint_of_the_logs_covers_are_named() {
    let mut busy = Busy::new(sim::history::log_signer().unwrap());
    (0..300).for_each(|_| busy.append());
    (busy.grows, busy.unsigned) = (false, 2);
    assert_eq!(findings(&busy), ["the log has 302 entries, but signed only 300"]);
    // A checkpoint that covers them is no excuse if it is another's, nor is one that does not reach so far.
    busy.unsigned = 0;
    let other = PrivateKey::from_seed(Scheme::Ed25519, &[7; 32]).unwrap();
    let other = NoteSigner::new(sim::history::ORIGIN, NoteKeyType::Ed25519, Arc::new(other)).unwrap();
    let honest = std::mem::replace(&mut busy.signer, other);
    let late = Late { busy: &busy, asked: Mutex::new(0) };
    let ground = find(&late, honest.vkey()).unwrap();
    let found: Vec<&str> = ground.findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(found, ["the log has 301 entries, but signed only 300"]);
}

/// A log that is appended to once, after its head was asked for.
struct Late<'a> {
    busy: &'a Busy,
    asked: Mutex<u32>,
}

impl Source for Late<'_> {
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let head = self.busy.head();
        let mut asked = self.asked.lock().unwrap();
        if *asked == 0 {
            self.busy.append();
        }
        *asked += 1;
        head
    }
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<Found>, StoreError> {
        self.busy.entries(from, limit)
    }
    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.busy.tile(level, index, width)
    }
    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.busy.checkpoints(from_size, limit)
    }
    fn cosignatures(&self, size: u64) -> Result<Vec<NoteSignature>, StoreError> {
        self.busy.cosignatures(size)
    }
    fn is_local(&self) -> bool {
        true
    }
}
