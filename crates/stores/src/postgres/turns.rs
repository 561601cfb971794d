//! Taking turns on a database: the row of the turn, the table of offers, and news by `LISTEN`.
//!
//! The server's clock says when a turn is over, or the end of the session that has it: a lock of that session goes with
//! it, so that nobody waits for the time of a process that was killed. The fence does not rest on either. News may be lost
//! with a connection; whoever listens is told that there may be some when it is back.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use ledger::{
    dsse::Identity,
    store::{Changes, Offer, Shared, StoreError, Turn},
};
use model::Digest;
use postgres::fallible_iterator::FallibleIterator as _;

use super::{
    PostgresStore, TURN_MS, clamp,
    connection::{Open, failed},
    get, identity, missing, names, unsigned,
};

const TAKE_TURN: &str = "SELECT epoch, holder FROM countersign.take_turn($1, $2, $3::float8 * interval '1 ms')";
/// Ends a turn whose session is gone. Both conditions are needed: whoever prolonged or took one meanwhile keeps it.
const END_FORSAKEN: &str = "WITH ended AS (UPDATE countersign.turn SET ends = '-infinity' \
    WHERE epoch = $1 AND holder = $2 AND ends > clock_timestamp() AND pg_try_advisory_xact_lock($3) RETURNING 1) \
    SELECT 1 FROM ended";
/// `turn` as a number, above the epoch: the lock of the session that has that turn.
const GUARD: i64 = 0x7475_726e << 32;

/// Takes, prolongs or reads the turn on this session, and guards one that is this process's.
fn ask_turn(open: &mut Open, me: &str, ours: i64) -> Result<Option<(i64, String)>, postgres::Error> {
    let take = |open: &mut Open| -> Result<Option<(i64, String)>, postgres::Error> {
        let rows = open.rows(TAKE_TURN, &[&me, &ours, &TURN_MS])?;
        rows.first().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    };
    let mut turn = take(open)?;
    if let Some((epoch, holder)) = &turn
        && holder != me
        && !open.rows(END_FORSAKEN, &[epoch, holder, &guard_of(*epoch)])?.is_empty()
    {
        turn = take(open)?;
    }
    if let Some((epoch, holder)) = &turn
        && holder == me
        && open.guards != Some(*epoch)
    {
        // Not waited for: it is tried again when the turn is prolonged. Of turns that are over no lock is needed.
        open.rows("SELECT pg_advisory_unlock_all()", &[])?;
        let rows = open.rows("SELECT pg_try_advisory_lock($1)", &[&guard_of(*epoch)])?;
        let locked = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false);
        open.guards = locked.then_some(*epoch);
    }
    Ok(turn)
}

const fn guard_of(epoch: i64) -> i64 {
    GUARD.wrapping_add(epoch)
}

impl Shared for PostgresStore {
    fn take_turn(&self) -> Result<Turn, StoreError> {
        let ours = self.turn_of_ours();
        // Asked twice it takes another turn at worst.
        let turn = self.writer.with(&self.address, true, |open| ask_turn(open, &self.holder, ours))?;
        let (epoch, holder) = turn.ok_or_else(missing)?;
        if holder == self.holder {
            self.epoch.store(epoch, Ordering::SeqCst);
            return Ok(Turn::Sequencer { epoch: unsigned(epoch)? });
        }
        self.epoch.store(0, Ordering::SeqCst);
        Ok(Turn::Follower { epoch: unsigned(epoch)?, holder })
    }

    fn end_turn(&self) -> Result<(), StoreError> {
        let ours = self.epoch.swap(0, Ordering::SeqCst);
        let sql = "WITH ended AS (UPDATE countersign.turn SET holder = '', ends = '-infinity' \
                   WHERE holder = $1 AND epoch = $2 RETURNING 1) SELECT pg_notify('countersign', 'turn') FROM ended";
        self.writer.with(&self.address, true, |open| open.rows(sql, &[&self.holder, &ours]))?;
        Ok(())
    }

    fn hand_over(&self, offers: &[Offer]) -> Result<(), StoreError> {
        if offers.is_empty() {
            return Ok(());
        }
        let identities = names(offers.iter().map(|o| o.identity));
        let bytes: Vec<&[u8]> = offers.iter().map(|o| &o.bytes[..]).collect();
        let seals: Vec<&[u8]> = offers.iter().map(|o| &o.seal.as_bytes()[..]).collect();
        let sql = "WITH kept AS (INSERT INTO countersign.offers (identity, bytes, seal) \
                   SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) ON CONFLICT (identity) DO NOTHING) \
                   SELECT pg_notify('countersign', 'offers')";
        self.messenger.with(&self.address, true, |open| open.rows(sql, &[&identities, &bytes, &seals]))?;
        Ok(())
    }

    fn handed_over(&self, limit: usize) -> Result<Vec<Offer>, StoreError> {
        let sql = "SELECT identity, bytes, seal FROM countersign.offers ORDER BY seq LIMIT $1";
        let rows = self.read(|open| open.rows(sql, &[&clamp(limit)]))?;
        let offer = |row| {
            let seal: &[u8] = get(row, 2)?;
            let seal = <[u8; 32]>::try_from(seal).map(Digest::from_bytes).map_err(|e| StoreError::Failed(e.into()))?;
            Ok(Offer { identity: identity(row, 0)?, bytes: get(row, 1)?, seal })
        };
        rows.iter().map(offer).collect()
    }

    fn settle(&self, identities: &[Identity]) -> Result<(), StoreError> {
        let names = names(identities.iter().copied());
        let sql = "DELETE FROM countersign.offers WHERE identity = ANY ($1::bytea[])";
        self.messenger.with(&self.address, true, |open| open.rows(sql, &[&names]))?;
        Ok(())
    }

    fn wait(&self, timeout: Duration) -> Result<Changes, StoreError> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = Changes::default();
        if listener.as_ref().is_none_or(postgres::Client::is_closed) {
            *listener = None;
            let mut client = self.address.connect().map_err(failed)?;
            client.batch_execute("LISTEN countersign").map_err(failed)?;
            *listener = Some(client);
            // What was said while nobody listened.
            return Ok(Changes { head: true, offers: true, turn: true });
        }
        let Some(client) = listener.as_mut() else { return Ok(changes) };
        let heard = hear(client, timeout, &mut changes);
        if heard.is_err() {
            *listener = None;
        }
        heard.map(|()| changes).map_err(failed)
    }
}

fn hear(client: &mut postgres::Client, timeout: Duration, changes: &mut Changes) -> Result<(), postgres::Error> {
    let mut notifications = client.notifications();
    let mut next = notifications.timeout_iter(timeout).next()?;
    while let Some(notification) = next {
        match notification.payload() {
            "head" => changes.head = true,
            "offers" => changes.offers = true,
            _ => changes.turn = true,
        }
        next = notifications.iter().next()?;
    }
    Ok(())
}
