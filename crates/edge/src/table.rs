//! Route tables: what is checked before one is carried out, and the form in which requests read it.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use model::{
    ComponentName, Serial,
    route::{Route, RouteState, RouteTable},
};

use crate::{
    counts::{ComponentCounter, Counts, VersionCounter},
    instance::Instance,
    limits::{MAX_BACKENDS, MAX_HOLD_MS, MAX_INSTANCES, MAX_ROUTES},
};

/// What is wrong with a route table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Two routes listen on one address.
    #[error("two routes listen on `{0}`")]
    ListenTwice(SocketAddr),
    /// A listener needs a port that others can name.
    #[error("the route of `{component}` listens on port 0")]
    ListenPort {
        /// Whose route.
        component: ComponentName,
    },
    /// One version stands twice behind one route.
    #[error("`{serial}` stands twice behind the route of `{component}`")]
    VersionTwice {
        /// Whose route.
        component: ComponentName,
        /// Which version.
        serial: Serial,
    },
    /// An instance address stands twice behind one route, or can not be connected to.
    #[error("the instance `{address}` of `{component}` stands twice or has port 0")]
    Instance {
        /// Whose route.
        component: ComponentName,
        /// Which address.
        address: SocketAddr,
    },
    /// Requests would be held for longer than any client waits.
    #[error("the route of `{component}` holds requests for {limit_ms} ms, more than {MAX_HOLD_MS}")]
    HoldTooLong {
        /// Whose route.
        component: ComponentName,
        /// What was asked for, in milliseconds.
        limit_ms: u32,
    },
    /// More of something than fits.
    #[error("{what}: {count}, more than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
}

/// One route as requests see it. A request keeps the one that it started on.
pub(crate) struct InForce {
    pub(crate) component: Arc<ComponentCounter>,
    pub(crate) state: RouteState,
    pub(crate) versions: Vec<VersionInForce>,
}

/// One version behind a route.
pub(crate) struct VersionInForce {
    weight: u32,
    counter: Arc<VersionCounter>,
    instances: Vec<Arc<Instance>>,
    turn: AtomicUsize,
}

/// Checks what can be checked without touching the system.
pub(crate) fn check(table: &RouteTable) -> Result<(), TableError> {
    let within =
        |what, count, limit| if count > limit { Err(TableError::TooMany { what, count, limit }) } else { Ok(()) };
    within("routes", table.routes.len(), MAX_ROUTES)?;
    let mut listens = HashSet::new();
    for route in &table.routes {
        let component = || route.component.clone();
        if route.listen.port() == 0 {
            return Err(TableError::ListenPort { component: component() });
        }
        if !listens.insert(route.listen) {
            return Err(TableError::ListenTwice(route.listen));
        }
        if let RouteState::Hold { limit_ms } = route.state
            && limit_ms > MAX_HOLD_MS
        {
            return Err(TableError::HoldTooLong { component: component(), limit_ms });
        }
        within("versions behind a route", route.backends.len(), MAX_BACKENDS)?;
        let (mut serials, mut addresses) = (HashSet::new(), HashSet::new());
        for backend in &route.backends {
            within("instances of a version", backend.instances.len(), MAX_INSTANCES)?;
            if !serials.insert(&backend.serial) {
                return Err(TableError::VersionTwice { component: component(), serial: backend.serial.clone() });
            }
            let mut wrong =
                backend.instances.iter().filter(|address| address.port() == 0 || !addresses.insert(**address));
            if let Some(address) = wrong.next() {
                return Err(TableError::Instance { component: component(), address: *address });
            }
        }
    }
    Ok(())
}

impl InForce {
    /// The form of a route that requests read. Instances that were there before keep their connections.
    pub(crate) fn new(route: &Route, counts: &Counts, before: Option<&Self>) -> Self {
        let versions = route
            .backends
            .iter()
            .map(|backend| {
                let counter = counts.version(&route.component, &backend.serial);
                let known = before
                    .and_then(|before| before.versions.iter().find(|version| version.counter.id() == counter.id()));
                let instance = |address: &SocketAddr| {
                    known
                        .and_then(|version| version.instances.iter().find(|instance| instance.address == *address))
                        .map_or_else(|| Arc::new(Instance::new(*address)), Arc::clone)
                };
                let instances = backend.instances.iter().map(instance).collect();
                VersionInForce { weight: backend.weight, counter, instances, turn: AtomicUsize::new(0) }
            })
            .collect();
        Self { component: counts.component(&route.component), state: route.state, versions }
    }

    /// Closes the idle connections to instances that take nothing new on the route that follows: they may be about to end.
    pub(crate) fn settle(&self, after: &Self) {
        for instance in self.versions.iter().flat_map(|version| &version.instances) {
            instance.set_leaving(!after.takes(instance));
        }
    }

    fn takes(&self, instance: &Arc<Instance>) -> bool {
        self.state == RouteState::Open
            && self
                .versions
                .iter()
                .filter(|version| version.weight > 0)
                .flat_map(|version| &version.instances)
                .any(|one| Arc::ptr_eq(one, instance))
    }

    /// All instances.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.versions.iter().flat_map(|version| &version.instances)
    }

    /// A version by weight, among those that have an instance which was not tried.
    pub(crate) fn choose(&self, turn: &AtomicU64, tried: &[Arc<Instance>]) -> Option<usize> {
        let weight = |version: &VersionInForce| if version.has_untried(tried) { u64::from(version.weight) } else { 0 };
        let total: u64 = self.versions.iter().map(weight).sum();
        if total == 0 {
            return None;
        }
        // A request that chooses again takes no turn, because that would be another's share.
        let turn = if tried.is_empty() { turn.fetch_add(1, Ordering::Relaxed) } else { turn.load(Ordering::Relaxed) };
        let mut point = spread(turn, total);
        self.versions.iter().position(|version| {
            let weight = weight(version);
            let here = point < weight;
            point = point.saturating_sub(weight);
            here
        })
    }
}

/// The `n`th point of a sequence that fills `0..total` evenly at every length (multiples of the golden ratio modulo 1,
/// Knuth, The Art of Computer Programming, volume 3, section 6.4), so that shares are right over tens of requests and
/// not only over thousands.
fn spread(n: u64, total: u64) -> u64 {
    let fraction = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The product of two 64-bit numbers shifted by 64 is below `total`, so it fits.
    u64::try_from((u128::from(fraction) * u128::from(total)) >> 64).unwrap_or(0)
}

impl VersionInForce {
    pub(crate) fn counter(&self) -> Arc<VersionCounter> {
        Arc::clone(&self.counter)
    }

    fn has_untried(&self, tried: &[Arc<Instance>]) -> bool {
        self.instances.iter().any(|instance| !is_tried(tried, instance))
    }

    /// The instance whose turn it is, among those that were not tried; those that refused lately come last.
    pub(crate) fn next_instance(&self, tried: &[Arc<Instance>]) -> Option<Arc<Instance>> {
        let from = match self.instances.len() {
            0 => return None,
            1 => 0,
            count => self.turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        let (tail, head) = self.instances.split_at_checked(from)?;
        let untried = || head.iter().chain(tail).filter(|instance| !is_tried(tried, instance));
        untried().find(|instance| !instance.is_avoided()).or_else(|| untried().next()).map(Arc::clone)
    }
}

fn is_tried(tried: &[Arc<Instance>], instance: &Arc<Instance>) -> bool {
    tried.iter().any(|one| one.address == instance.address)
}

#[cfg(test)]
mod tests;
