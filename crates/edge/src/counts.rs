//! What the edge counts. Exact under concurrency: every number is an atomic that moves once for each thing counted, and a
//! request is counted by a guard, so that no way out of the code forgets it.
//!
//! It refuses to know what a number means for a rollout.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::header::HeaderValue;
use model::{
    ComponentName, Serial,
    route::{Clients, ComponentCounts, CutSessions, SurgeCounts, VersionClients, VersionCounts},
};

use crate::{
    clients::{Remembered, Watch},
    compare::Compared,
    limits::MAX_COUNTED_VERSIONS,
    recent::Recent,
    surge::Admission,
};

/// Bounds from 64 µs in powers of two; the 21st is 67 s, above the longest wait for an answer by default.
pub(crate) const LATENCY_BOUNDS: usize = 21;
/// The first bound is 2 to this power, in microseconds.
const FIRST_BOUND_LOG2: u32 = 6;

/// All counters.
#[derive(Default)]
pub(crate) struct Counts {
    versions: Mutex<Versions>,
    components: Mutex<HashMap<ComponentName, Arc<ComponentCounter>>>,
    admissions: Mutex<BTreeMap<ComponentName, Weak<Admission>>>,
    held_now: AtomicU64,
    /// Clients remembered of all versions.
    pub(crate) clients_in_all: AtomicU64,
    pub(crate) watch: Arc<Watch>,
    routes: AtomicU64,
}

#[derive(Default)]
struct Versions {
    by_name: HashMap<(ComponentName, Serial), Arc<VersionCounter>>,
    next_id: u64,
}

/// The counters of one component.
#[derive(Default)]
pub(crate) struct ComponentCounter {
    pub(crate) requests: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) shed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) moved: AtomicU64,
}

/// The counters of one version of one component.
pub(crate) struct VersionCounter {
    /// Larger than that of every version counted before.
    id: u64,
    /// The serial as answers carry it.
    pub(crate) header: HeaderValue,
    requests: AtomicU64,
    errors: AtomicU64,
    in_flight: AtomicU64,
    held: AtomicU64,
    pub(crate) clients: Remembered,
    recent: Mutex<Recent>,
    latency: [AtomicU64; LATENCY_BOUNDS + 1],
}

/// Adds one. The numbers are read one by one and order nothing but `in_flight`, so relaxed is enough.
pub(crate) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A panic while one of these locks was held can not leave a set or a map half changed, so its poison is ignored.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    /// A number that no route before had.
    pub(crate) fn next_route(&self) -> u64 {
        self.routes.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The counter of this component, made at its first use.
    pub(crate) fn component(&self, component: &ComponentName) -> Arc<ComponentCounter> {
        Arc::clone(locked(&self.components).entry(component.clone()).or_default())
    }

    /// The counter of this version, made at its first use.
    pub(crate) fn version(&self, component: &ComponentName, serial: &Serial) -> Arc<VersionCounter> {
        let mut versions = locked(&self.versions);
        if let Some(counter) = versions.by_name.get(&(component.clone(), serial.clone())) {
            return Arc::clone(counter);
        }
        versions.next_id += 1;
        let counter = Arc::new(VersionCounter::new(versions.next_id, serial));
        versions.by_name.insert((component.clone(), serial.clone()), Arc::clone(&counter));
        counter
    }

    /// Forgets the oldest versions that nothing refers to, once there are more than the limit; likewise components, whose
    /// age nobody needs.
    pub(crate) fn forget_old(&self) {
        let mut components = locked(&self.components);
        if components.len() > MAX_COUNTED_VERSIONS {
            components.retain(|_, counter| Arc::strong_count(counter) > 1);
        }
        drop(components);
        let mut versions = locked(&self.versions);
        let surplus = versions.by_name.len().saturating_sub(MAX_COUNTED_VERSIONS);
        if surplus == 0 {
            return;
        }
        let mut unused: Vec<_> = versions
            .by_name
            .iter()
            .filter(|(_, counter)| Arc::strong_count(counter) == 1)
            .map(|(name, counter)| (counter.id, name.clone()))
            .collect();
        unused.sort_unstable_by_key(|(id, _)| *id);
        for (_, name) in unused.into_iter().take(surplus) {
            if let Some(version) = versions.by_name.remove(&name) {
                self.clients_in_all.fetch_sub(version.clients.len() as u64, Ordering::Relaxed);
            }
        }
    }

    /// Forgets clients that have not been here for long, and old times.
    pub(crate) fn forget_clients(&self) {
        let now = self.watch.now();
        for version in locked(&self.versions).by_name.values() {
            version.clients.forget_old(now, &self.clients_in_all);
            locked(&version.recent).forget(Instant::now());
        }
    }

    /// The clients of each version, sorted. `start` names the edge.
    pub(crate) fn clients(&self, start: u64, (generation, revision): (u64, u64)) -> Clients {
        let mut named: Vec<_> = {
            let versions = locked(&self.versions);
            versions.by_name.iter().map(|(name, counter)| (name.clone(), Arc::clone(counter))).collect()
        };
        named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let now = self.watch.now();
        let row = |((component, serial), counter): ((ComponentName, Serial), Arc<VersionCounter>)| {
            let mut row = VersionClients {
                component,
                serial,
                connections: 0,
                sessions: 0,
                clients: 0,
                more: false,
                last_seen: None,
                seen: Vec::new(),
                leases: Vec::new(),
            };
            counter.clients.fill(&mut row, now);
            row
        };
        let versions = named.into_iter().map(row).collect();
        Clients { start, since: self.watch.since(), now, generation, revision, versions }
    }

    /// Sessions that were cut, sorted.
    pub(crate) fn cut_rows(&self) -> Vec<CutSessions> {
        let versions = locked(&self.versions);
        let mut rows: Vec<_> =
            versions.by_name.iter().filter_map(|(name, counter)| counter.clients.cut(name)).collect();
        rows.sort_unstable_by(|a, b| (&a.component, &a.serial).cmp(&(&b.component, &b.serial)));
        rows
    }

    /// From now on this says who goes on to a component.
    pub(crate) fn admits(&self, component: &ComponentName, admission: &Arc<Admission>) {
        let mut admissions = locked(&self.admissions);
        admissions.retain(|_, admission| admission.strong_count() > 0);
        admissions.insert(component.clone(), Arc::downgrade(admission));
    }

    /// What admissions counted, sorted by component.
    pub(crate) fn surge_rows(&self) -> Vec<SurgeCounts> {
        let admissions = locked(&self.admissions);
        admissions.iter().filter_map(|(component, admission)| Some(admission.upgrade()?.row(component))).collect()
    }

    /// Takes one of the places for held requests, if one is free.
    pub(crate) fn take_hold_place(&self, limit: u64) -> bool {
        let take = |held: u64| (held < limit).then_some(held + 1);
        self.held_now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Gives a place for held requests back.
    pub(crate) fn give_hold_place(&self) {
        self.held_now.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests that wait now.
    pub(crate) fn held_now(&self) -> u64 {
        self.held_now.load(Ordering::Relaxed)
    }

    /// Rows by component and serial, sorted.
    pub(crate) fn version_rows(&self) -> Vec<VersionCounts> {
        let versions = locked(&self.versions);
        let mut rows: Vec<_> =
            versions.by_name.iter().map(|((component, serial), counter)| counter.row(component, serial)).collect();
        rows.sort_unstable_by(|a, b| (&a.component, &a.serial).cmp(&(&b.component, &b.serial)));
        rows
    }

    /// Rows by component, sorted.
    pub(crate) fn component_rows(&self) -> Vec<ComponentCounts> {
        let components = locked(&self.components);
        let mut rows: Vec<_> = components
            .iter()
            .map(|(component, counter)| ComponentCounts {
                component: component.clone(),
                requests: counter.requests.load(Ordering::Relaxed),
                turned_away: counter.turned_away.load(Ordering::Relaxed),
                rejected: counter.rejected.load(Ordering::Relaxed),
                abandoned: counter.abandoned.load(Ordering::Relaxed),
                shed: counter.shed.load(Ordering::Relaxed),
                retried: counter.retried.load(Ordering::Relaxed),
                moved: counter.moved.load(Ordering::Relaxed),
            })
            .collect();
        rows.sort_unstable_by(|a, b| a.component.cmp(&b.component));
        rows
    }
}

impl VersionCounter {
    fn new(id: u64, serial: &Serial) -> Self {
        Self {
            id,
            // A serial is lower-case letters, digits and hyphens, all of which a header value may have.
            header: HeaderValue::from_str(&serial.to_string()).unwrap_or(HeaderValue::from_static("unknown")),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            held: AtomicU64::new(0),
            clients: Remembered::default(),
            recent: Mutex::default(),
            latency: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Unlike that of any other version since the edge started.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Counts a request that was held before it came here.
    pub(crate) fn was_held(&self) {
        add_one(&self.held);
    }

    /// Counts the time that the head of an answer took.
    pub(crate) fn took(&self, time: Duration, now: Instant) {
        locked(&self.recent).took(time, now);
        if let Some(bucket) = self.latency.get(bucket(time)) {
            add_one(bucket);
        }
    }

    fn row(&self, component: &ComponentName, serial: &Serial) -> VersionCounts {
        // `in_flight` is read first: whoever sees 0 sees every request that has been in flight among `requests`.
        let in_flight = self.in_flight.load(Ordering::SeqCst);
        VersionCounts {
            component: component.clone(),
            serial: serial.clone(),
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            in_flight,
            clients: self.clients.len() as u64,
            held: self.held.load(Ordering::Relaxed),
            latency_us: self
                .latency
                .iter()
                .enumerate()
                .map(|(i, n)| (bound_us(i), n.load(Ordering::Relaxed)))
                .collect(),
            quantiles_us: locked(&self.recent).quantiles_us(Instant::now()),
        }
    }
}

/// The upper bound of a bucket in microseconds, itself included.
pub(crate) const fn bound_us(bucket: usize) -> u64 {
    if bucket < LATENCY_BOUNDS { 1 << (FIRST_BOUND_LOG2 as usize + bucket) } else { u64::MAX }
}

/// The bucket of a time: the first whose bound is not below it.
fn bucket(time: Duration) -> usize {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let log2_ceil = u64::BITS - us.saturating_sub(1).leading_zeros();
    (log2_ceil.saturating_sub(FIRST_BOUND_LOG2) as usize).min(LATENCY_BOUNDS)
}

/// One request in flight on a version. It ends when this is dropped, and then counts as one request.
pub(crate) struct InFlight {
    version: Arc<VersionCounter>,
    began: Instant,
    /// Until the answer's head.
    took: Option<Duration>,
    failed: bool,
    counts: bool,
    compared: Option<Compared>,
}

impl InFlight {
    /// Begins (invariant `counted-before-sent`).
    pub(crate) fn begin(version: Arc<VersionCounter>, compared: Option<Compared>) -> Self {
        version.in_flight.fetch_add(1, Ordering::SeqCst);
        Self { version, began: Instant::now(), took: None, failed: false, counts: true, compared }
    }

    /// When it began.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// Ends it as if it had never begun: nothing was sent.
    pub(crate) fn withdraw(mut self) {
        self.counts = false;
    }

    /// It counts as an error too.
    pub(crate) const fn fail(&mut self) {
        self.failed = true;
    }

    /// The head of the answer is here.
    pub(crate) fn answered(&mut self, server_error: bool) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.began);
        self.took = Some(took);
        self.version.took(took, now);
        self.failed |= server_error;
    }

    /// The version's counters.
    pub(crate) const fn version(&self) -> &Arc<VersionCounter> {
        &self.version
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.counts {
            if self.failed {
                add_one(&self.version.errors);
            }
            add_one(&self.version.requests);
            if let Some(compared) = self.compared.take() {
                compared.ended(self.failed, self.took.unwrap_or_else(|| self.began.elapsed()));
            }
        }
        self.version.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
