//! The keys of subjects in the log's database.
//!
//! Destroying a key empties its row at once, and then rewrites the table by `ALTER TABLE`, which leaves row versions that are
//! over behind also where an older snapshot could still see them (`VACUUM FULL` would carry those along). The rewriting
//! waits a moment for whoever reads the table and then fails: a `pg_dump` reads it until it ends. The key is not handed out
//! any more, but its old row is in the table's file until destroying it again succeeds; `rewritten` says that it has. A
//! crash in between is finished the same way. A transaction that was open before and looks at the table for the first
//! time after the rewriting finds it empty (PostgreSQL, "Caveats" of concurrency control); none of ours lasts longer than
//! a statement. What this can not reach: the server's write-ahead log until it is recycled, archives and standbys, backups,
//! and blocks that a file system freed without overwriting.
//!
//! All of it is on a connection of its own: a commit never waits for a key.

use ledger::{
    bodies::{KeyState, SubjectDigest, SubjectKey, SubjectKeys},
    store::StoreError,
};
use model::Digest;
use postgres::Row;

use super::{PostgresStore, clamp, get};

/// In one transaction. A fifth of a second for the lock: whoever asks for a key meanwhile waits behind it. The
/// expression changes nothing, and is what makes the server write every row anew.
const REWRITE: &str = "SET LOCAL lock_timeout = '200ms'; \
    ALTER TABLE countersign.subject_keys ALTER COLUMN key TYPE bytea USING key || ''::bytea; \
    UPDATE countersign.subject_keys SET rewritten = true WHERE key IS NULL AND NOT rewritten";

impl SubjectKeys for PostgresStore {
    fn get_or_make(&self, subject: SubjectDigest, fresh: &SubjectKey) -> Result<KeyState, StoreError> {
        match self.get(subject)? {
            KeyState::Absent => {}
            known => return Ok(known),
        }
        if !self.writes {
            return Err(StoreError::ReadOnly);
        }
        let (name, key) = (&subject.digest().as_bytes()[..], &fresh.as_bytes()[..]);
        let sql =
            "INSERT INTO countersign.subject_keys (subject, key) VALUES ($1, $2) ON CONFLICT (subject) DO NOTHING";
        self.keys.with(&self.address, true, |open| open.rows(sql, &[&name, &key]))?;
        self.get(subject)
    }

    fn get(&self, subject: SubjectDigest) -> Result<KeyState, StoreError> {
        let name = &subject.digest().as_bytes()[..];
        let rows =
            self.read(|open| open.rows("SELECT key FROM countersign.subject_keys WHERE subject = $1", &[&name]))?;
        rows.first().map_or(Ok(KeyState::Absent), |row| state(row, 0))
    }

    fn destroy(&self, subject: SubjectDigest) -> Result<(), StoreError> {
        if !self.writes {
            return Err(StoreError::ReadOnly);
        }
        let name = &subject.digest().as_bytes()[..];
        // One that never had a key leaves nothing to rewrite.
        let sql = "INSERT INTO countersign.subject_keys AS k (subject, key, rewritten) VALUES ($1, NULL, true) \
                   ON CONFLICT (subject) DO UPDATE SET key = NULL WHERE k.key IS NOT NULL";
        let left = "SELECT 1 FROM countersign.subject_keys WHERE subject = $1 AND NOT rewritten";
        self.keys.with(&self.address, true, |open| {
            open.rows(sql, &[&name])?;
            if open.rows(left, &[&name])?.is_empty() {
                return Ok(());
            }
            let mut transaction = open.client.transaction()?;
            transaction.batch_execute(REWRITE)?;
            transaction.commit()
        })
    }

    fn subjects(
        &self,
        after: Option<SubjectDigest>,
        limit: usize,
    ) -> Result<Vec<(SubjectDigest, KeyState)>, StoreError> {
        let after = after.as_ref().map_or(&[][..], |subject| subject.digest().as_bytes());
        let sql = "SELECT subject, key FROM countersign.subject_keys WHERE subject > $1 ORDER BY subject LIMIT $2";
        let rows = self.read(|open| open.rows(sql, &[&after, &clamp(limit)]))?;
        rows.iter()
            .map(|row| {
                let subject = Digest::from_bytes(bytes_32(get(row, 0)?)?);
                Ok((SubjectDigest::from_digest(subject), state(row, 1)?))
            })
            .collect()
    }
}

fn state(row: &Row, column: usize) -> Result<KeyState, StoreError> {
    let key: Option<&[u8]> = get(row, column)?;
    key.map_or(Ok(KeyState::Destroyed), |key| Ok(KeyState::Kept(SubjectKey::from_bytes(bytes_32(key)?))))
}

fn bytes_32(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Failed("32 bytes are expected in the database, and there are others".into()))
}
