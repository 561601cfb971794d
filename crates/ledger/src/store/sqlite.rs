//! A log in one SQLite file, in WAL mode with `synchronous = FULL`: a commit returns when it is synced.
//!
//! A crash at any moment leaves the last whole commit; SQLite finishes or forgets the one under way when the file is
//! opened again. After a failed sync what the disk holds is not known (see [`crate::durable`] for the hole): the error
//! is [`StoreError::Failed`], and the log stops writing until it is opened again and checked.

mod keys;

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use model::Digest;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use super::{Batch, Mark, Store, StoreError, StoredCheckpoint, StoredCosignature, StoredEntry};
use crate::{
    dsse::Identity,
    durable::{self, LockError},
};

/// `cslg`, in SQLite's header, so that a file of another program is not taken for a log.
const APPLICATION_ID: i32 = 0x6373_6c67;
/// Of the tables below. A newer file is refused, never guessed at.
const SCHEMA_VERSION: i32 = 3;
/// As many as there are readers worth having on the machines this runs on; more would wait for the same disk.
const READERS: usize = 4;
/// Five seconds: only a checkpointing reader of another process holds the file for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE entries (idx INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL) STRICT;
CREATE TABLE tiles (level INTEGER NOT NULL, idx INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (level, idx)) STRICT;
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT;
CREATE TABLE cosignatures (size INTEGER NOT NULL, name TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (size, name)) STRICT;
CREATE TABLE subject_keys (subject BLOB PRIMARY KEY, key BLOB) STRICT;
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), mark TEXT NOT NULL, place TEXT NOT NULL) STRICT;
INSERT INTO mark VALUES (1, 'open', '');
";

/// 8,192 pages of 4 KiB, 32 MiB: the write-ahead log is folded into the file every some twenty full batches and not every
/// third, so that pages which change with every batch are written there once and few appends wait for it.
const WAL_PAGES: i64 = 8_192;
/// 32 MiB of pages for the writer: the upper levels of the index of names, and what the last batches changed of it.
const CACHE_KIB: i64 = 32 * 1024;

const ADD_COSIGNATURE: &str = "INSERT OR REPLACE INTO cosignatures (size, name, line) VALUES (?1, ?2, ?3)";

/// A store in a file.
pub struct SqliteStore {
    /// Before the writer, so that they are closed first: the last connection to close folds the write-ahead log into
    /// the file, and one that only reads can not.
    readers: Vec<Mutex<Connection>>,
    writer: Option<Mutex<Connection>>,
    next: AtomicUsize,
    /// Held as long as the store may write, so that a second process is refused at its start and not at its first write.
    _lock: Option<durable::Lock>,
}

/// Why a file could not be opened as a log.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Another process has it open for writing.
    #[error("the log is in use; stop the other process first")]
    Lock(#[source] LockError),
    /// It can not be opened, or is not one of ours.
    #[error("can not open the log at `{}`", .0.display())]
    Store(PathBuf, #[source] StoreError),
}

impl SqliteStore {
    /// Opens the file for writing, making it if it is not there. The folder must be there.
    pub fn open(path: &Path) -> Result<Self, OpenStoreError> {
        let failed = |e| OpenStoreError::Store(path.to_owned(), e);
        let lock = durable::Lock::take(&path.with_extension("lock")).map_err(|e| match e {
            LockError::Held(_) => OpenStoreError::Lock(e),
            LockError::Io(_, e) => failed(of_io(e)),
        })?;
        // Keys of subjects are in it. SQLite gives its side files the mode of this one.
        let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        made.map_err(|e| failed(of_io(e)))?;
        let writer = open_writer(path).map_err(failed)?;
        durable::sync_folder_of(path).map_err(|e| failed(StoreError::Failed(e.into())))?;
        let readers = open_readers(path).map_err(failed)?;
        Ok(Self { writer: Some(Mutex::new(writer)), readers, next: AtomicUsize::new(0), _lock: Some(lock) })
    }

    /// Opens the file for reading only, beside a process that may be writing; also from a medium that can not be
    /// written, if the log was closed before it was copied there.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenStoreError> {
        let readers = open_readers(path).or_else(|e| {
            // Reading in WAL mode writes a side file. Where that can not be, and nothing waits in a WAL, nothing moves.
            if has_wal(path) { Err(e) } else { open_unmoving(path).map_err(|_| e) }
        });
        let readers = readers.map_err(|e| OpenStoreError::Store(path.to_owned(), e))?;
        Ok(Self { writer: None, readers, next: AtomicUsize::new(0), _lock: None })
    }

    /// A reader, taking turns. Reading changes nothing, so a poisoned lock is as good as a clean one.
    fn reader(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
        let reader = self.readers.get(turn).ok_or(StoreError::ReadOnly)?;
        Ok(reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The writer. A panic while it was held has rolled its transaction back when the transaction was dropped.
    fn writer(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let id = pragma(&connection, path, "application_id")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if id == 0 && tables == 0 {
        // One transaction: a crash in between leaves an empty file, which is made again.
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; {SCHEMA} COMMIT;"
            ))
            .map_err(failed)?;
    }
    check_ours(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
    // What is deleted is overwritten: keys of erased subjects.
    connection.pragma_update(None, "secure_delete", "ON").map_err(failed)?;
    Ok(connection)
}

fn open_readers(path: &Path) -> Result<Vec<Mutex<Connection>>, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    readers(path, || Connection::open_with_flags(path, flags))
}

/// Without looking for changes by others (`immutable`, "URI Filenames" in SQLite's documentation).
fn open_unmoving(path: &Path) -> Result<Vec<Mutex<Connection>>, StoreError> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(b);
    let escape = |b: &u8| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02x}") };
    let uri = format!("file:{}?immutable=1", path.as_os_str().as_bytes().iter().map(escape).collect::<String>());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    readers(path, || Connection::open_with_flags(&uri, flags))
}

fn readers(path: &Path, open: impl Fn() -> rusqlite::Result<Connection>) -> Result<Vec<Mutex<Connection>>, StoreError> {
    let mut readers = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        let connection = open().map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        check_ours(&connection, path)?;
        readers.push(Mutex::new(connection));
    }
    Ok(readers)
}

/// Whether commits wait in the write-ahead log beside the file.
fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    fs::metadata(wal).is_ok_and(|m| m.len() > 0)
}

fn check_ours(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let ours = pragma(connection, path, "application_id")? == APPLICATION_ID
        && pragma(connection, path, "user_version")? == SCHEMA_VERSION;
    if ours { Ok(()) } else { Err(StoreError::Foreign(path.display().to_string())) }
}

/// A number in the file's header; the first thing that is read of it.
fn pragma(connection: &Connection, path: &Path, name: &str) -> Result<i32, StoreError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign(path.display().to_string()),
        _ => failed(e),
    })
}

impl Store for SqliteStore {
    fn mark(&self) -> Result<Mark, StoreError> {
        let words = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let (mark, place) = self.reader()?.query_row("SELECT mark, place FROM mark", [], words).map_err(failed)?;
        Mark::from_words(&mark, place)
    }

    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let (mark, place) = mark.words();
        let set = self.writer()?.execute("UPDATE mark SET mark = ?1, place = ?2", [mark, place]);
        set.map(|_| ()).map_err(failed)
    }

    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let reader = self.reader()?;
        let mut query =
            reader.prepare_cached("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1").map_err(failed)?;
        query.query_row([], checkpoint).optional().map_err(failed)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let found: u64 = transaction
            .query_row("SELECT coalesce(max(idx) + 1, 0) FROM entries", [], |row| row.get(0))
            .map_err(failed)?;
        if found != batch.first {
            return Err(StoreError::OutOfStep { expected: batch.first, found });
        }
        {
            let prepare = |sql| transaction.prepare_cached(sql).map_err(failed);
            let mut add_entry = prepare("INSERT INTO entries (idx, identity, bytes) VALUES (?1, ?2, ?3)")?;
            for (index, entry) in (found..).zip(&batch.entries) {
                let identity = entry.identity.digest();
                add_entry.execute(params![index, identity.as_bytes(), entry.bytes]).map_err(|e| {
                    match e.sqlite_error_code() {
                        Some(ErrorCode::ConstraintViolation) => StoreError::Duplicate(entry.identity),
                        _ => failed(e),
                    }
                })?;
            }
            let mut add_tile = prepare("INSERT OR REPLACE INTO tiles (level, idx, bytes) VALUES (?1, ?2, ?3)")?;
            for tile in &batch.tiles {
                add_tile.execute(params![tile.level, tile.index, tile.bytes]).map_err(failed)?;
            }
            let mut add_checkpoint = prepare("INSERT INTO checkpoints (size, note) VALUES (?1, ?2)")?;
            for earlier in &batch.history.checkpoints {
                add_checkpoint.execute(params![earlier.size, earlier.note]).map_err(failed)?;
            }
            let mut add_cosignature = prepare(ADD_COSIGNATURE)?;
            for StoredCosignature { size, name, line } in &batch.history.cosignatures {
                add_cosignature.execute(params![size, name, line]).map_err(failed)?;
            }
            add_checkpoint.execute(params![batch.size(), batch.note]).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn entries(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        let reader = self.reader()?;
        let mut query = reader
            .prepare_cached("SELECT idx, identity, bytes FROM entries WHERE idx >= ?1 ORDER BY idx LIMIT ?2")
            .map_err(failed)?;
        let rows = query
            .query_map(params![clamp_index(from), clamp(limit)], |row| {
                let entry = StoredEntry { identity: Identity::from_digest(digest(row, 1)?), bytes: row.get(2)? };
                Ok((row.get::<_, u64>(0)?, entry))
            })
            .map_err(failed)?;
        let mut entries = Vec::new();
        for (row, index) in rows.zip(from..) {
            let (found, entry) = row.map_err(failed)?;
            // A gap means that a row was deleted: what follows it has no place in the order any more.
            if found != index {
                return Err(StoreError::Failed(format!("entry {index} is missing").into()));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn find(&self, identity: Identity) -> Result<Option<u64>, StoreError> {
        let reader = self.reader()?;
        let mut query = reader.prepare_cached("SELECT idx FROM entries WHERE identity = ?1").map_err(failed)?;
        query.query_row([identity.digest().as_bytes()], |row| row.get(0)).optional().map_err(failed)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let reader = self.reader()?;
        let mut query =
            reader.prepare_cached("SELECT bytes FROM tiles WHERE level = ?1 AND idx = ?2").map_err(failed)?;
        query.query_row(params![level, clamp_index(index)], |row| row.get(0)).optional().map_err(failed)
    }

    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let reader = self.reader()?;
        let mut query = reader
            .prepare_cached("SELECT size, note FROM checkpoints WHERE size >= ?1 ORDER BY size LIMIT ?2")
            .map_err(failed)?;
        let rows = query.query_map(params![clamp_index(from_size), clamp(limit)], checkpoint).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn add_cosignature(&self, size: u64, name: &str, line: &str) -> Result<(), StoreError> {
        let writer = self.writer()?;
        writer
            .prepare_cached(ADD_COSIGNATURE)
            .and_then(|mut s| s.execute(params![size, name, line]))
            .map_err(failed)?;
        Ok(())
    }

    fn cosignatures(&self, size: u64) -> Result<Vec<String>, StoreError> {
        let reader = self.reader()?;
        let mut query =
            reader.prepare_cached("SELECT line FROM cosignatures WHERE size = ?1 ORDER BY name").map_err(failed)?;
        let rows = query.query_map([clamp_index(size)], |row| row.get(0)).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn cosigned_sizes(&self, limit: usize) -> Result<Vec<u64>, StoreError> {
        let reader = self.reader()?;
        let sql = "SELECT DISTINCT size FROM cosignatures ORDER BY size DESC LIMIT ?1";
        let mut query = reader.prepare_cached(sql).map_err(failed)?;
        let rows = query.query_map([clamp(limit)], |row| row.get(0)).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

fn checkpoint(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredCheckpoint> {
    Ok(StoredCheckpoint { size: row.get(0)?, note: row.get(1)? })
}

fn digest(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest::from_bytes)
}

/// SQLite's integers are signed; no table has more rows than fit.
fn clamp(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn clamp_index(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Of the files beside SQLite's own calls.
fn of_io(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        _ => StoreError::Failed(error.into()),
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        _ => StoreError::Failed(error.into()),
    }
}
