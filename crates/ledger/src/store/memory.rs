//! A log in memory: for simulations, and for auditors who were handed a log as files and write nothing.
//!
//! What it holds is gone with the process; nothing else is different from the store on disk.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Batch, Mark, Store, StoreError, StoredCheckpoint, StoredEntry};
use crate::{
    bodies::{KeyState, SubjectDigest, SubjectKey, SubjectKeys},
    dsse::Identity,
};

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    entries: Vec<StoredEntry>,
    by_identity: BTreeMap<Identity, u64>,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
    /// `None` where the key was destroyed.
    keys: BTreeMap<SubjectDigest, Option<SubjectKey>>,
    checkpoints: BTreeMap<u64, Vec<u8>>,
    cosignatures: BTreeMap<(u64, String), String>,
    mark: Mark,
}

impl MemoryStore {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Each change below is made of inserts that can not fail half way, so a poisoned lock holds whole data.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn mark(&self) -> Result<Mark, StoreError> {
        Ok(self.held().mark.clone())
    }

    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        self.held().mark = mark.clone();
        Ok(())
    }

    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let last = self.held().checkpoints.last_key_value().map(|(size, note)| (*size, note.clone()));
        Ok(last.map(|(size, note)| StoredCheckpoint { size, note }))
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut held = self.held();
        let found = held.entries.len() as u64;
        if found != batch.first {
            return Err(StoreError::OutOfStep { expected: batch.first, found });
        }
        let mut added = BTreeMap::new();
        for (index, entry) in (found..).zip(&batch.entries) {
            if held.by_identity.contains_key(&entry.identity) || added.insert(entry.identity, index).is_some() {
                return Err(StoreError::Duplicate(entry.identity));
            }
        }
        held.by_identity.append(&mut added);
        held.entries.extend(batch.entries.iter().cloned());
        held.tiles.extend(batch.tiles.iter().map(|t| ((t.level, t.index), t.bytes.clone())));
        held.checkpoints.extend(batch.history.checkpoints.iter().map(|c| (c.size, c.note.clone())));
        held.cosignatures.extend(batch.history.cosignatures.iter().map(|c| ((c.size, c.name.clone()), c.line.clone())));
        held.checkpoints.insert(batch.size(), batch.note.clone());
        Ok(())
    }

    fn entries(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(self.held().entries.iter().skip(from).take(limit).cloned().collect())
    }

    fn find(&self, identity: Identity) -> Result<Option<u64>, StoreError> {
        Ok(self.held().by_identity.get(&identity).copied())
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held().tiles.get(&(level, index)).cloned())
    }

    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let held = self.held();
        let found = held.checkpoints.range(from_size..).take(limit);
        Ok(found.map(|(size, note)| StoredCheckpoint { size: *size, note: note.clone() }).collect())
    }

    fn add_cosignature(&self, size: u64, name: &str, line: &str) -> Result<(), StoreError> {
        self.held().cosignatures.insert((size, name.to_owned()), line.to_owned());
        Ok(())
    }

    fn cosignatures(&self, size: u64) -> Result<Vec<String>, StoreError> {
        let held = self.held();
        let of_size = held.cosignatures.range((size, String::new())..).take_while(|((s, _), _)| *s == size);
        Ok(of_size.map(|(_, line)| line.clone()).collect())
    }

    fn cosigned_sizes(&self, limit: usize) -> Result<Vec<u64>, StoreError> {
        let mut sizes: Vec<u64> = self.held().cosignatures.keys().map(|(size, _)| *size).rev().collect();
        sizes.dedup();
        sizes.truncate(limit);
        Ok(sizes)
    }
}

impl SubjectKeys for MemoryStore {
    fn get_or_make(&self, subject: SubjectDigest, fresh: &SubjectKey) -> Result<KeyState, StoreError> {
        let mut held = self.held();
        Ok(state(Some(held.keys.entry(subject).or_insert_with(|| Some(fresh.clone())))))
    }

    fn get(&self, subject: SubjectDigest) -> Result<KeyState, StoreError> {
        Ok(state(self.held().keys.get(&subject)))
    }

    fn destroy(&self, subject: SubjectDigest) -> Result<(), StoreError> {
        self.held().keys.insert(subject, None);
        Ok(())
    }

    fn subjects(
        &self,
        after: Option<SubjectDigest>,
        limit: usize,
    ) -> Result<Vec<(SubjectDigest, KeyState)>, StoreError> {
        let held = self.held();
        let later = held.keys.iter().filter(|(subject, _)| after.is_none_or(|after| **subject > after));
        Ok(later.take(limit).map(|(subject, key)| (*subject, state(Some(key)))).collect())
    }
}

fn state(found: Option<&Option<SubjectKey>>) -> KeyState {
    match found {
        None => KeyState::Absent,
        Some(None) => KeyState::Destroyed,
        Some(Some(key)) => KeyState::Kept(key.clone()),
    }
}
