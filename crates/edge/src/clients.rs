//! The clients of each version: who they are, how many connections and long sessions they have open, and when each was last
//! seen. Connections, sessions and times of a version are exact; clients are remembered up to a bound.
//!
//! In memory only: after a crash an edge knows of no client, and says since when it looks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use model::{
    Timestamp,
    route::{Client, CutSessions, VersionClients},
};

use crate::{
    counts::VersionCounter,
    lease::Leases,
    limits::{CLIENT_MEMORY_S, MAX_CLIENTS, MAX_CLIENTS_IN_ALL, MAX_CLIENTS_LISTED},
};

/// A clock that does not jump: the system's at the start, and since then the monotonic one.
pub(crate) struct Watch {
    born: Instant,
    since: Timestamp,
}

impl Default for Watch {
    fn default() -> Self {
        Self { born: Instant::now(), since: system_time() }
    }
}

#[expect(clippy::disallowed_methods, reason = "times are only shown, or compared with those of tokens, by nobody else")]
fn system_time() -> Timestamp {
    Timestamp::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}

impl Watch {
    pub(crate) const fn since(&self) -> Timestamp {
        self.since
    }

    pub(crate) fn at(&self, moment: Instant) -> Timestamp {
        self.since.plus_s(moment.saturating_duration_since(self.born).as_secs())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// The system's time, which tokens are measured by.
    #[expect(clippy::unused_self, reason = "time is asked of one thing")]
    pub(crate) fn wall(&self) -> Timestamp {
        system_time()
    }
}

/// The clients of one version.
#[derive(Default)]
pub(crate) struct Remembered {
    by_identity: Mutex<HashMap<Arc<str>, Arc<Seen>>>,
    more: AtomicBool,
    connections: AtomicU64,
    sessions: AtomicU64,
    /// Seconds since 1970; 0 is never.
    last_seen: AtomicU64,
    cut: Mutex<Option<Cut>>,
    pub(crate) leases: Leases,
}

#[derive(Clone, Copy)]
struct Cut {
    sessions: u64,
    since: Timestamp,
    last: Timestamp,
}

/// One client of one version.
#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    sessions: AtomicU64,
    last_seen: AtomicU64,
}

/// A connection whose last request went to a version. It counts there until this is dropped.
pub(crate) struct Visit {
    version: Arc<VersionCounter>,
    identity: Arc<str>,
    client: Option<Arc<Seen>>,
}

/// A long session on a version. It counts there until this is dropped.
pub(crate) struct SessionCount {
    version: Arc<VersionCounter>,
    client: Option<Arc<Seen>>,
    watch: Arc<Watch>,
}

impl Remembered {
    fn clients(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Seen>>> {
        // Entries are added and removed whole.
        self.by_identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody asked for the version and was not sent there.
    pub(crate) fn was_asked_for(&self, now: Timestamp) {
        self.last_seen.store(now.unix(), Ordering::Relaxed);
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.clients().len()
    }

    /// Open sessions.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    fn find(&self, identity: &Arc<str>, in_all: &AtomicU64) -> Option<Arc<Seen>> {
        let mut clients = self.clients();
        if let Some(seen) = clients.get(identity) {
            return Some(Arc::clone(seen));
        }
        if clients.len() >= MAX_CLIENTS || in_all.load(Ordering::Relaxed) >= MAX_CLIENTS_IN_ALL {
            self.more.store(true, Ordering::Relaxed);
            return None;
        }
        in_all.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(clients.entry(Arc::clone(identity)).or_default()))
    }

    /// Forgets clients that have no connection here and were not seen for long.
    pub(crate) fn forget_old(&self, now: Timestamp, in_all: &AtomicU64) {
        let mut clients = self.clients();
        let before = clients.len();
        clients.retain(|_, seen| {
            // A count of one is the map's own, and nobody gets another without its lock.
            Arc::strong_count(seen) > 1
                || now.since_s(Timestamp::from_unix(seen.last_seen.load(Ordering::Relaxed))) < CLIENT_MEMORY_S
        });
        let forgotten = before - clients.len();
        if clients.is_empty() {
            clients.shrink_to_fit();
        }
        in_all.fetch_sub(forgotten as u64, Ordering::Relaxed);
    }

    /// As [`VersionClients`] has it, without the names.
    pub(crate) fn fill(&self, row: &mut VersionClients, now: Timestamp) {
        row.leases = self.leases.in_force(now);
        let time = |seconds: u64| (seconds > 0).then(|| Timestamp::from_unix(seconds));
        row.connections = self.connections.load(Ordering::Relaxed);
        row.sessions = self.sessions();
        row.more = self.more.load(Ordering::Relaxed);
        row.last_seen = time(self.last_seen.load(Ordering::Relaxed));
        let clients = self.clients();
        row.clients = clients.len() as u64;
        let mut seen: Vec<(u64, u64, &Arc<str>, &Arc<Seen>)> = clients
            .iter()
            .map(|(identity, seen)| {
                (seen.connections.load(Ordering::Relaxed), seen.last_seen.load(Ordering::Relaxed), identity, seen)
            })
            .collect();
        let order = |a: &(u64, u64, &Arc<str>, &Arc<Seen>), b: &(u64, u64, &Arc<str>, &Arc<Seen>)| {
            (b.0 > 0, b.1, a.2).cmp(&(a.0 > 0, a.1, b.2))
        };
        if seen.len() > MAX_CLIENTS_LISTED {
            seen.select_nth_unstable_by(MAX_CLIENTS_LISTED, order);
            seen.truncate(MAX_CLIENTS_LISTED);
        }
        seen.sort_unstable_by(order);
        row.seen = seen
            .into_iter()
            .map(|(connections, last_seen, identity, seen)| Client {
                identity: identity.to_string(),
                connections,
                sessions: seen.sessions.load(Ordering::Relaxed),
                last_seen: Timestamp::from_unix(last_seen),
            })
            .collect();
    }

    /// A session was cut, `since` when its version took nothing new.
    pub(crate) fn was_cut(&self, since: Timestamp, now: Timestamp) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        let before = cut.map_or(0, |cut| cut.sessions);
        *cut = Some(Cut { sessions: before + 1, since, last: now });
    }

    /// The sessions that were cut, if any were.
    pub(crate) fn cut(&self, name: &(model::ComponentName, model::Serial)) -> Option<CutSessions> {
        let cut = (*self.cut.lock().unwrap_or_else(PoisonError::into_inner))?;
        let (component, serial) = name.clone();
        Some(CutSessions { component, serial, sessions: cut.sessions, since: cut.since, last: cut.last })
    }
}

impl Visit {
    /// A connection of this client comes to a version.
    pub(crate) fn new(version: &Arc<VersionCounter>, identity: &Arc<str>, now: Timestamp, in_all: &AtomicU64) -> Self {
        let client = version.clients.find(identity, in_all);
        version.clients.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(client) = &client {
            client.connections.fetch_add(1, Ordering::Relaxed);
        }
        let visit = Self { version: Arc::clone(version), identity: Arc::clone(identity), client };
        visit.touch(now);
        visit
    }

    /// Whether another request of it belongs here too.
    pub(crate) fn is_of(&self, version: &VersionCounter, identity: &Arc<str>) -> bool {
        self.version.id() == version.id() && (Arc::ptr_eq(&self.identity, identity) || self.identity == *identity)
    }

    /// It sent a request.
    pub(crate) fn touch(&self, now: Timestamp) {
        self.version.clients.last_seen.store(now.unix(), Ordering::Relaxed);
        if let Some(client) = &self.client {
            client.last_seen.store(now.unix(), Ordering::Relaxed);
        }
    }

    /// A long session begins.
    pub(crate) fn session(&self, watch: &Arc<Watch>) -> SessionCount {
        self.version.clients.sessions.fetch_add(1, Ordering::Relaxed);
        if let Some(client) = &self.client {
            client.sessions.fetch_add(1, Ordering::Relaxed);
        }
        SessionCount { version: Arc::clone(&self.version), client: self.client.clone(), watch: Arc::clone(watch) }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.version.clients.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = &self.client {
            client.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for SessionCount {
    fn drop(&mut self) {
        let now = self.watch.now().unix();
        self.version.clients.sessions.fetch_sub(1, Ordering::Relaxed);
        self.version.clients.last_seen.store(now, Ordering::Relaxed);
        if let Some(client) = &self.client {
            client.sessions.fetch_sub(1, Ordering::Relaxed);
            client.last_seen.store(now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
