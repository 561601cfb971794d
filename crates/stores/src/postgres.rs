//! A log in PostgreSQL 15 or newer, for several processes at once.
//!
//! One of them has the turn to add entries; a commit names the turn that it was made under, and the server refuses it if
//! that is over. Commits are synced (`synchronous_commit`) before they are answered. A crash of a process loses what it
//! had not committed, which nobody has a receipt for. If a connection breaks under a commit, whether it happened is not
//! known: the turn is given up, and a new one can only be taken after the server has ended that commit one way or the
//! other. It refuses to know what entries mean.

mod address;
mod connection;
mod keys;
mod turns;

use std::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use ledger::{
    dsse::Identity,
    store::{Batch, Mark, Shared, Store, StoreError, StoredCheckpoint, StoredEntry},
};
use model::Digest;
use postgres::{Row, error::SqlState, types::ToSql};

pub use address::{Address, AddressError};

use connection::{Line, Open};

/// Of the tables in `schema.sql`. A newer one is refused, never guessed at.
const SCHEMA_VERSION: i32 = 2;
const SCHEMA: &str = include_str!("postgres/schema.sql");
/// `countersign` as a number, so that two processes that make the tables at once do so one after the other.
const MAKING: i64 = 0x636f_756e_7465_7273;
/// As many connections for reading; more would wait for the same server.
const READERS: usize = 4;
/// A turn lasts three seconds: six times the interval at which it is prolonged, and with it another process takes over
/// well within five.
const TURN_MS: f64 = 3_000.0;

const ADD_BATCH: &str = "SELECT outcome, at_size FROM countersign.add_batch(\
    $1, $2, $3::float8 * interval '1 ms', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// A store in a database.
pub struct PostgresStore {
    address: Address,
    /// What this process calls itself in the row of the turn; another one each time the store is opened.
    holder: String,
    /// The turn that this process has; 0 for none.
    epoch: AtomicI64,
    /// Whether entries may be added.
    writes: bool,
    writer: Line,
    /// For what needs no sync: handing over.
    messenger: Line,
    /// For the keys of subjects, so that no commit and no turn waits for one that is destroyed.
    keys: Line,
    readers: Vec<Line>,
    next: AtomicUsize,
    listener: Mutex<Option<postgres::Client>>,
}

impl PostgresStore {
    /// Opens a database for writing, making the tables if it has none.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if they are of another version or not ours, and whatever the server says.
    pub fn open(address: Address) -> Result<Self, StoreError> {
        let store = Self::new(address, true)?;
        store.writer.with(&store.address, false, |open| {
            let mut transaction = open.client.transaction()?;
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MAKING])?;
            if transaction.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = 'countersign'", &[])?.is_none() {
                transaction.batch_execute(SCHEMA)?;
            }
            transaction.commit()
        })?;
        store.check_version()?;
        Ok(store)
    }

    /// Opens a database that holds a log, for reading alone.
    ///
    /// # Errors
    /// As [`Self::open`]; nothing is made.
    pub fn open_read_only(address: Address) -> Result<Self, StoreError> {
        let store = Self::new(address, false)?;
        store.check_version()?;
        Ok(store)
    }

    fn new(address: Address, writes: bool) -> Result<Self, StoreError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| StoreError::Failed(e.to_string().into()))?;
        Ok(Self {
            address,
            holder: format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(random)),
            epoch: AtomicI64::new(0),
            writes,
            writer: Line::new(true),
            messenger: Line::new(false),
            keys: Line::new(true),
            readers: (0..READERS).map(|_| Line::new(true)).collect(),
            next: AtomicUsize::new(0),
            listener: Mutex::new(None),
        })
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let foreign = || StoreError::Foreign(self.address.to_string());
        let found = self.read(|open| {
            let found = open.client.query("SELECT version FROM countersign.format", &[]);
            match found {
                Err(e) if e.code().is_some_and(is_about_names) => Ok(Vec::new()),
                other => other,
            }
        })?;
        let version = found.first().and_then(|row| row.try_get::<_, i32>(0).ok());
        if version == Some(SCHEMA_VERSION) { Ok(()) } else { Err(foreign()) }
    }

    /// Reads on one of the connections for it, taking turns; again on a new one if it was lost.
    fn read<T>(&self, work: impl FnMut(&mut Open) -> Result<T, postgres::Error>) -> Result<T, StoreError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
        let reader = self.readers.get(turn).ok_or(StoreError::ReadOnly)?;
        reader.with(&self.address, true, work)
    }

    fn turn_of_ours(&self) -> i64 {
        self.epoch.load(Ordering::SeqCst)
    }
}

/// No such schema, table or column.
fn is_about_names(code: &SqlState) -> bool {
    [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME].contains(code)
}

impl Store for PostgresStore {
    fn mark(&self) -> Result<Mark, StoreError> {
        let rows = self.read(|open| open.rows("SELECT mark, place FROM countersign.format", &[]))?;
        let row = rows.first().ok_or_else(missing)?;
        Mark::from_words(get(row, 0)?, get(row, 1)?)
    }

    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        if !self.writes {
            return Err(StoreError::ReadOnly);
        }
        let (mark, place) = mark.words();
        let sql = "UPDATE countersign.format SET mark = $1, place = $2";
        self.writer.with(&self.address, true, |open| open.rows(sql, &[&mark, &place]))?;
        Ok(())
    }

    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let sql = "SELECT size, note FROM countersign.checkpoints ORDER BY size DESC LIMIT 1";
        self.read(|open| open.rows(sql, &[]))?.first().map(checkpoint).transpose()
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if !self.writes {
            return Err(StoreError::ReadOnly);
        }
        let identities = names(batch.entries.iter().map(|e| e.identity));
        let entries: Vec<&[u8]> = batch.entries.iter().map(|e| &e.bytes[..]).collect();
        let levels: Vec<i16> = batch.tiles.iter().map(|t| i16::from(t.level)).collect();
        let places = batch.tiles.iter().map(|t| signed(t.index)).collect::<Result<Vec<i64>, _>>()?;
        let tiles: Vec<&[u8]> = batch.tiles.iter().map(|t| &t.bytes[..]).collect();
        let (epoch, first) = (self.turn_of_ours(), signed(batch.first)?);
        let (earlier, cosigned) = (&batch.history.checkpoints, &batch.history.cosignatures);
        let earlier_sizes = earlier.iter().map(|c| signed(c.size)).collect::<Result<Vec<i64>, _>>()?;
        let earlier_notes: Vec<&[u8]> = earlier.iter().map(|c| &c.note[..]).collect();
        let cosigned_sizes = cosigned.iter().map(|c| signed(c.size)).collect::<Result<Vec<i64>, _>>()?;
        let cosigned_by: Vec<&str> = cosigned.iter().map(|c| c.name.as_str()).collect();
        let cosigned_lines: Vec<&str> = cosigned.iter().map(|c| c.line.as_str()).collect();
        let parameters: [&(dyn ToSql + Sync); 15] = [
            &self.holder,
            &epoch,
            &TURN_MS,
            &first,
            &identities,
            &entries,
            &levels,
            &places,
            &tiles,
            &batch.note,
            &earlier_sizes,
            &earlier_notes,
            &cosigned_sizes,
            &cosigned_by,
            &cosigned_lines,
        ];
        let answer = self.writer.with(&self.address, false, |open| open.rows(ADD_BATCH, &parameters));
        let rows = match answer {
            Ok(rows) => rows,
            Err(error) => {
                if let Some(identity) = self.duplicate(&error, batch) {
                    return Err(StoreError::Duplicate(identity));
                }
                if !error.nothing_changed() {
                    // See the head of this file: not before that commit has ended is another made.
                    self.epoch.store(0, Ordering::SeqCst);
                }
                return Err(error);
            }
        };
        let row = rows.first().ok_or_else(missing)?;
        let found = unsigned(get(row, 1)?)?;
        match get::<&str>(row, 0)? {
            "added" => Ok(()),
            "fenced" => {
                self.epoch.store(0, Ordering::SeqCst);
                Err(StoreError::Fenced { epoch: found })
            }
            _ => Err(StoreError::OutOfStep { expected: batch.first, found }),
        }
    }

    fn entries(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        let Ok(first) = signed(from) else { return Ok(Vec::new()) };
        let sql = "SELECT idx, identity, bytes FROM countersign.entries WHERE idx >= $1 ORDER BY idx LIMIT $2";
        let rows = self.read(|open| open.rows(sql, &[&first, &clamp(limit)]))?;
        in_order(&rows, from)?;
        rows.iter().map(|row| Ok(StoredEntry { identity: identity(row, 1)?, bytes: get(row, 2)? })).collect()
    }

    fn identities(&self, from: u64, limit: usize) -> Result<Vec<Identity>, StoreError> {
        let Ok(first) = signed(from) else { return Ok(Vec::new()) };
        let sql = "SELECT idx, identity FROM countersign.entries WHERE idx >= $1 ORDER BY idx LIMIT $2";
        let rows = self.read(|open| open.rows(sql, &[&first, &clamp(limit)]))?;
        in_order(&rows, from)?;
        rows.iter().map(|row| identity(row, 1)).collect()
    }

    fn find(&self, identity: Identity) -> Result<Option<u64>, StoreError> {
        Ok(self.find_all(&[identity])?.pop().flatten())
    }

    fn find_all(&self, identities: &[Identity]) -> Result<Vec<Option<u64>>, StoreError> {
        let names = names(identities.iter().copied());
        let sql = "SELECT a.place, e.idx FROM unnest($1::bytea[]) WITH ORDINALITY AS a (identity, place) \
                   JOIN countersign.entries AS e ON e.identity = a.identity";
        let rows = self.read(|open| open.rows(sql, &[&names]))?;
        let mut found = vec![None; identities.len()];
        for row in &rows {
            let place = unsigned(get(row, 0)?)?;
            let slot = usize::try_from(place - 1).ok().and_then(|place| found.get_mut(place)).ok_or_else(missing)?;
            *slot = Some(unsigned(get(row, 1)?)?);
        }
        Ok(found)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Ok(index) = signed(index) else { return Ok(None) };
        let sql = "SELECT bytes FROM countersign.tiles WHERE level = $1 AND idx = $2";
        let rows = self.read(|open| open.rows(sql, &[&i16::from(level), &index]))?;
        rows.first().map(|row| get(row, 0)).transpose()
    }

    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let Ok(from) = signed(from_size) else { return Ok(Vec::new()) };
        let sql = "SELECT size, note FROM countersign.checkpoints WHERE size >= $1 ORDER BY size LIMIT $2";
        self.read(|open| open.rows(sql, &[&from, &clamp(limit)]))?.iter().map(checkpoint).collect()
    }

    fn add_cosignature(&self, size: u64, name: &str, line: &str) -> Result<(), StoreError> {
        if !self.writes {
            return Err(StoreError::ReadOnly);
        }
        let size = signed(size)?;
        let sql = "WITH kept AS (INSERT INTO countersign.cosignatures (size, name, line) VALUES ($1, $2, $3) \
                   ON CONFLICT (size, name) DO UPDATE SET line = excluded.line) \
                   SELECT pg_notify('countersign', 'head')";
        self.writer.with(&self.address, true, |open| open.rows(sql, &[&size, &name, &line]))?;
        Ok(())
    }

    fn cosignatures(&self, size: u64) -> Result<Vec<String>, StoreError> {
        let Ok(size) = signed(size) else { return Ok(Vec::new()) };
        let sql = "SELECT line FROM countersign.cosignatures WHERE size = $1 ORDER BY name COLLATE \"C\"";
        self.read(|open| open.rows(sql, &[&size]))?.iter().map(|row| get(row, 0)).collect()
    }

    fn cosigned_sizes(&self, limit: usize) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT DISTINCT size FROM countersign.cosignatures ORDER BY size DESC LIMIT $1";
        let rows = self.read(|open| open.rows(sql, &[&clamp(limit)]))?;
        rows.iter().map(|row| unsigned(get(row, 0)?)).collect()
    }

    fn shared(&self) -> Option<&dyn Shared> {
        self.writes.then_some(self)
    }
}

impl PostgresStore {
    /// Which statement the server found twice, if that is why it refused a batch. Looked up, because its words are for
    /// people.
    fn duplicate(&self, error: &StoreError, batch: &Batch) -> Option<Identity> {
        let StoreError::Failed(source) = error else { return None };
        let code = source.downcast_ref::<postgres::Error>().and_then(postgres::Error::code);
        if code != Some(&SqlState::UNIQUE_VIOLATION) {
            return None;
        }
        let names: Vec<Identity> = batch.entries.iter().map(|e| e.identity).collect();
        let stored = self.find_all(&names).ok()?;
        let twice = names.iter().enumerate().find(|(place, name)| names.iter().take(*place).any(|n| n == *name));
        names.iter().zip(stored).find(|(_, found)| found.is_some()).map(|(name, _)| *name).or(twice.map(|(_, n)| *n))
    }
}

fn checkpoint(row: &Row) -> Result<StoredCheckpoint, StoreError> {
    Ok(StoredCheckpoint { size: unsigned(get(row, 0)?)?, note: get(row, 1)? })
}

fn identity(row: &Row, column: usize) -> Result<Identity, StoreError> {
    let bytes: &[u8] = get(row, column)?;
    let digest = <[u8; 32]>::try_from(bytes).map_err(|e| StoreError::Failed(e.into()))?;
    Ok(Identity::from_digest(Digest::from_bytes(digest)))
}

/// A gap means that a row was deleted: what follows it has no place in the order any more.
fn in_order(rows: &[Row], from: u64) -> Result<(), StoreError> {
    for (row, index) in rows.iter().zip(from..) {
        if unsigned(get(row, 0)?)? != index {
            return Err(StoreError::Failed(format!("entry {index} is missing").into()));
        }
    }
    Ok(())
}

fn get<'a, T: postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(|e| StoreError::Failed(e.into()))
}

/// Names of statements, as the server takes a list of them.
fn names(identities: impl Iterator<Item = Identity>) -> Vec<Vec<u8>> {
    identities.map(|identity| identity.digest().as_bytes().to_vec()).collect()
}

/// PostgreSQL's integers are signed.
fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|e| StoreError::Failed(e.into()))
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|e| StoreError::Failed(e.into()))
}

fn clamp(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn missing() -> StoreError {
    StoreError::Failed("the server's answer has another form than was asked for".into())
}
