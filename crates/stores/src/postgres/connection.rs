//! One connection to the server: made when it is needed, made again when it is lost.
//!
//! It refuses to know what is asked. Each session is told to sync its commits and to give up what takes too long, and is
//! refused if the server is too old or does not sync at all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ledger::store::StoreError;
use postgres::{Client, Row, Statement, error::SqlState, types::ToSql};

use super::Address;

/// PostgreSQL 15.
const OLDEST_VERSION: i32 = 150_000;

/// What every session is told. Half a minute for a statement and ten seconds for a lock: a commit takes milliseconds, and
/// who waits longer waits for something that is broken.
const SESSION: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '30s'; SET default_transaction_isolation = 'read committed'; \
    SET search_path = pg_catalog, pg_temp; SET jit = off;";

/// A place for one connection.
pub(super) struct Line {
    /// Whether commits of this one are synced before they are answered.
    synced: bool,
    open: Mutex<Option<Open>>,
}

/// An open connection with the statements that it has prepared.
pub(super) struct Open {
    pub(super) client: Client,
    /// The turn whose lock this session holds.
    pub(super) guards: Option<i64>,
    prepared: HashMap<&'static str, Statement>,
}

impl Open {
    pub(super) fn rows(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, postgres::Error> {
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.client.prepare(sql)?;
                self.prepared.insert(sql, statement.clone());
                statement
            }
        };
        self.client.query(&statement, parameters)
    }
}

impl Line {
    pub(super) const fn new(synced: bool) -> Self {
        Self { synced, open: Mutex::new(None) }
    }

    /// Does something on the connection. One that was lost since the last time is made again, once; what is done must be
    /// such that doing it twice is as good as once, or `again` must be false.
    pub(super) fn with<T>(
        &self,
        address: &Address,
        again: bool,
        mut work: impl FnMut(&mut Open) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        let mut place = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = self.ensure(&mut place, address)?;
        let Some(open) = place.as_mut() else { return Err(StoreError::Failed("no connection".into())) };
        let error = match work(open) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        // The server's own word leaves the connection as good as before.
        if error.as_db_error().is_some() && !open.client.is_closed() {
            return Err(failed(error));
        }
        *place = None;
        if fresh || !again {
            return Err(failed(error));
        }
        self.ensure(&mut place, address)?;
        let Some(open) = place.as_mut() else { return Err(failed(error)) };
        work(open).map_err(failed)
    }

    /// True if the connection was made just now.
    fn ensure(&self, place: &mut MutexGuard<'_, Option<Open>>, address: &Address) -> Result<bool, StoreError> {
        if place.as_ref().is_some_and(|open| !open.client.is_closed()) {
            return Ok(false);
        }
        **place = None;
        let client = connect(address, self.synced)?;
        **place = Some(Open { client, guards: None, prepared: HashMap::new() });
        Ok(true)
    }
}

fn connect(address: &Address, synced: bool) -> Result<Client, StoreError> {
    let mut client = address.connect().map_err(failed)?;
    client.batch_execute(SESSION).map_err(failed)?;
    let found = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('fsync')::bool, \
             current_setting('synchronous_commit')",
            &[],
        )
        .map_err(failed)?;
    let (version, syncs, commits) = (found.get::<_, i32>(0), found.get::<_, bool>(1), found.get::<_, String>(2));
    if version < OLDEST_VERSION {
        return Err(StoreError::Failed(
            format!("the server is PostgreSQL {}, and 15 is the oldest that will do", version / 10_000).into(),
        ));
    }
    if !syncs {
        return Err(StoreError::Failed(
            "the server runs with `fsync = off`: what it acknowledges does not outlive a power cut".into(),
        ));
    }
    // `local` forgets what a standby has not got; `on` waits for one where there is one.
    let wanted = match (synced, commits.as_str()) {
        (true, "remote_apply") => "remote_apply",
        (true, _) => "on",
        (false, _) => "off",
    };
    client.batch_execute(&format!("SET synchronous_commit = '{wanted}'")).map_err(failed)?;
    Ok(client)
}

pub(super) fn failed(error: postgres::Error) -> StoreError {
    match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => StoreError::DiskFull,
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly,
        _ => StoreError::Failed(error.into()),
    }
}
