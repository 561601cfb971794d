//! The keys of subjects in the log's file.
//!
//! Destroying a key overwrites its cell (`secure_delete`), folds the write-ahead log into the file and cuts it to nothing,
//! so that the log's own files hold the key no longer. A crash in between leaves the key destroyed and an older page
//! perhaps in the write-ahead log; destroying again finishes. What this can not reach: backups of the file, snapshots
//! and copy-on-write file systems, flash that moves blocks, and blocks that a file system freed without overwriting.

use model::Digest;
use rusqlite::{OptionalExtension as _, params};

use super::{SqliteStore, clamp, failed};
use crate::{
    bodies::{KeyState, SubjectDigest, SubjectKey, SubjectKeys},
    store::StoreError,
};

impl SubjectKeys for SqliteStore {
    fn get_or_make(&self, subject: SubjectDigest, fresh: &SubjectKey) -> Result<KeyState, StoreError> {
        // Most subjects have a key already: readers do not wait for whoever writes.
        match self.get(subject)? {
            KeyState::Absent => {}
            known => return Ok(known),
        }
        {
            let writer = self.writer()?;
            let sql = "INSERT OR IGNORE INTO subject_keys (subject, key) VALUES (?1, ?2)";
            let bytes = params![subject.digest().as_bytes(), fresh.as_bytes()];
            writer.prepare_cached(sql).and_then(|mut s| s.execute(bytes)).map_err(failed)?;
        }
        self.get(subject)
    }

    fn get(&self, subject: SubjectDigest) -> Result<KeyState, StoreError> {
        let reader = self.reader()?;
        let mut query = reader.prepare_cached("SELECT key FROM subject_keys WHERE subject = ?1").map_err(failed)?;
        let found = query.query_row([subject.digest().as_bytes()], |row| row.get::<_, Option<[u8; 32]>>(0));
        Ok(found.optional().map_err(failed)?.map_or(KeyState::Absent, state))
    }

    fn destroy(&self, subject: SubjectDigest) -> Result<(), StoreError> {
        let writer = self.writer()?;
        let sql = "INSERT INTO subject_keys (subject, key) VALUES (?1, NULL)
                   ON CONFLICT (subject) DO UPDATE SET key = NULL";
        writer.execute(sql, [subject.digest().as_bytes()]).map_err(failed)?;
        // The first column is 1 if a reader was in the way for longer than the busy timeout (SQLite, "PRAGMA
        // wal_checkpoint"); the key may then still be in the write-ahead log.
        let busy: i64 = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(failed)?;
        if busy == 0 { Ok(()) } else { Err(StoreError::Failed("the write-ahead log is in use".into())) }
    }

    fn subjects(
        &self,
        after: Option<SubjectDigest>,
        limit: usize,
    ) -> Result<Vec<(SubjectDigest, KeyState)>, StoreError> {
        let reader = self.reader()?;
        let sql = "SELECT subject, key FROM subject_keys WHERE subject > ?1 ORDER BY subject LIMIT ?2";
        let mut query = reader.prepare_cached(sql).map_err(failed)?;
        let after = after.as_ref().map_or(&[][..], |subject| subject.digest().as_bytes());
        let rows = query
            .query_map(params![after, clamp(limit)], |row| {
                let subject = SubjectDigest::from_digest(Digest::from_bytes(row.get(0)?));
                Ok((subject, state(row.get(1)?)))
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

fn state(key: Option<[u8; 32]>) -> KeyState {
    key.map_or(KeyState::Destroyed, |bytes| KeyState::Kept(SubjectKey::from_bytes(bytes)))
}
