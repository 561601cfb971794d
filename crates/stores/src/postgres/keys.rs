//! The keys of subjects in the log's database.
//!
//! Destroying a key empties its row and rewrites the table (`VACUUM FULL`), so that the table's own file holds the key no
//! longer. A crash in between leaves the key destroyed and its old row perhaps in the file; destroying again finishes.
//! What this can not reach: the server's write-ahead log until it is recycled, archives and standbys, backups, and blocks
//! that a file system freed without overwriting.

use ledger::{
    bodies::{KeyState, SubjectDigest, SubjectKey, SubjectKeys},
    store::StoreError,
};
use model::Digest;
use postgres::Row;

use super::{PostgresStore, clamp, get};

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
        self.writer.with(&self.address, true, |open| open.rows(sql, &[&name, &key]))?;
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
        let sql = "INSERT INTO countersign.subject_keys (subject, key) VALUES ($1, NULL) \
                   ON CONFLICT (subject) DO UPDATE SET key = NULL";
        self.writer.with(&self.address, true, |open| {
            open.rows(sql, &[&name])?;
            open.client.batch_execute("VACUUM (FULL) countersign.subject_keys")
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
