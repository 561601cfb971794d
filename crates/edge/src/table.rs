//! Route tables: what is checked before one is carried out, and the form in which requests read it.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::header::HeaderName;

use model::{
    ComponentName, Serial,
    release::{OTHER_CLASS, Surge},
    route::{Arm, Identity, Meant, Names, Protocol, Route, RouteState, RouteTable, Split},
};

use crate::{
    compare::{self, Compared, Comparison, Place},
    counts::{ComponentCounter, Counts, VersionCounter},
    identity::{Identities, Known},
    instance::Instance,
    limits::{
        MAX_BACKENDS, MAX_CLASS_NAME_BYTES, MAX_CLASSES, MAX_DRAIN_MS, MAX_HOLD_MS, MAX_IDENTITIES, MAX_INSTANCES,
        MAX_NAME_BYTES, MAX_NAMES, MAX_QUEUE_MS, MAX_ROUTES,
    },
    surge::Admission,
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
    /// Long sessions would be drained for longer than anybody waits.
    #[error("the route of `{component}` drains sessions for {drain_ms} ms, more than {MAX_DRAIN_MS}")]
    DrainTooLong {
        /// Whose route.
        component: ComponentName,
        /// What was asked for, in milliseconds.
        drain_ms: u32,
    },
    /// Clients can not be known like that.
    #[error("the route of `{component}` can not know clients by {what}")]
    Identity {
        /// Whose route.
        component: ComponentName,
        /// By what, and why not.
        what: String,
    },
    /// Two versions can not be compared like that.
    #[error("the comparison on the route of `{component}` can not be made: {what}")]
    Split {
        /// Whose route.
        component: ComponentName,
        /// Why.
        what: String,
    },
    /// The rules for a surge can not be kept.
    #[error("the route of `{component}` can not do in a surge what it says: {what}")]
    Surge {
        /// Whose route.
        component: ComponentName,
        /// Why.
        what: String,
    },
    /// A name stands for two versions, or is none.
    #[error("`{host}` is no name in lower case, or stands twice on the route of `{component}`")]
    Name {
        /// Whose route.
        component: ComponentName,
        /// Which name.
        host: String,
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
    /// Unlike that of any other route since the edge started.
    id: u64,
    pub(crate) component: Arc<ComponentCounter>,
    pub(crate) protocol: Protocol,
    pub(crate) state: RouteState,
    pub(crate) versions: Vec<VersionInForce>,
    pub(crate) identities: Arc<Identities>,
    /// How long sessions may stay on a version that takes nothing new.
    pub(crate) drain: Option<Duration>,
    pub(crate) split: Option<SplitInForce>,
    /// Who goes on and who waits, if the route says so.
    pub(crate) admission: Option<Arc<Admission>>,
    names: Option<Names>,
    /// Versions that a name stands for.
    named: Vec<Arc<VersionCounter>>,
}

/// Whom a request asks for.
pub(crate) enum Asked {
    /// Whoever's turn it is.
    Plain,
    /// One version.
    Version(ByName),
}

/// A version that was asked for by a name.
pub(crate) struct ByName {
    pub(crate) counter: Arc<VersionCounter>,
    /// Where it is behind the route, if it has instances.
    pub(crate) version: Option<usize>,
    pub(crate) closing: bool,
    pub(crate) lease_s: u32,
}

/// Two of the versions compared.
pub(crate) struct SplitInForce {
    pub(crate) split: Arc<Split>,
    pub(crate) comparison: Arc<Comparison>,
    /// Where the versions are, if they are there.
    trial: Option<usize>,
    control: Option<usize>,
}

/// Where a request goes, and whether it is compared there.
pub(crate) struct Choice {
    pub(crate) version: usize,
    pub(crate) compared: Option<Compared>,
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
        if let Some(drain_ms) = route.drain_ms.filter(|drain_ms| *drain_ms > MAX_DRAIN_MS) {
            return Err(TableError::DrainTooLong { component: component(), drain_ms });
        }
        within("ways of knowing clients of a route", route.identity.len(), MAX_IDENTITIES)?;
        if let Some(what) = route.identity.iter().find_map(|identity| identity_fault(identity, route)) {
            return Err(TableError::Identity { component: component(), what });
        }
        if let Some(what) = route.split.as_ref().and_then(compare::fault) {
            return Err(TableError::Split { component: component(), what });
        }
        if let Some(names) = &route.names {
            within("names behind a route", names.versions.len().saturating_add(names.plain.len()), MAX_NAMES)?;
            let mut hosts = HashSet::new();
            let all = names.plain.iter().chain(names.versions.iter().map(|named| &named.host));
            if let Some(host) = all.into_iter().find(|host| !is_name(host) || !hosts.insert(*host)) {
                return Err(TableError::Name { component: component(), host: host.clone() });
            }
        }
        if let Some(surge) = &route.surge {
            within("classes of requests of a route", surge.classes.len(), MAX_CLASSES)?;
            if let Some(what) = surge_fault(surge) {
                return Err(TableError::Surge { component: component(), what });
            }
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

/// What is wrong with the rules for a surge: what would let nobody through, or is no field.
fn surge_fault(surge: &Surge) -> Option<String> {
    let rates = [surge.client, surge.total];
    if rates.iter().flatten().any(|rate| rate.per_s == 0 || rate.burst == 0)
        || [surge.client_connections, surge.connections].contains(&Some(0))
    {
        return Some("a limit of nothing lets nobody through".to_owned());
    }
    if surge.queue_ms > MAX_QUEUE_MS {
        return Some(format!("requests would wait {} ms, more than {MAX_QUEUE_MS}", surge.queue_ms));
    }
    let mut names = HashSet::new();
    for class in &surge.classes {
        if !names.insert(&class.name) || class.name == OTHER_CLASS {
            return Some(format!("the class `{}` stands there twice", class.name));
        }
        let letters = class.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if class.name.is_empty() || class.name.len() > MAX_CLASS_NAME_BYTES || !letters {
            return Some(format!("`{}` is no name of a class", class.name));
        }
        let header = class.header.as_ref().filter(|header| HeaderName::from_bytes(header.name.as_bytes()).is_err());
        if let Some(header) = header {
            return Some(format!("`{}` is no name of a field", header.name));
        }
    }
    None
}

/// A DNS name in lower case that no client could mean as an address.
fn is_name(host: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && host.parse::<std::net::IpAddr>().is_err()
        && host.split('.').all(|label| !label.is_empty())
}

/// What is wrong with a way of knowing clients.
fn identity_fault(identity: &Identity, route: &Route) -> Option<String> {
    match identity {
        Identity::Certificate => {
            let may_show_one = route.tls.as_ref().is_some_and(|files| files.clients.is_some());
            (!may_show_one).then(|| "certificates without TLS and the authorities that they are from".to_owned())
        }
        Identity::Token { header, claim, .. } => {
            if HeaderName::from_bytes(header.as_bytes()).is_err() {
                return Some(format!("a token in `{header}`, which is no name of a field"));
            }
            (route.protocol == Protocol::Tcp || claim.is_empty())
                .then(|| "a token over plain TCP or without a claim".to_owned())
        }
        // The characters of a token (RFC 6265 section 4.1.1), which those of a field's name are.
        Identity::Cookie { name } => (route.protocol == Protocol::Tcp
            || HeaderName::from_bytes(name.as_bytes()).is_err())
        .then(|| format!("the cookie `{name}`")),
    }
}

impl InForce {
    /// The form of a route that requests read. Instances that were there before keep their connections, and a comparison
    /// that goes on keeps what is in flight.
    pub(crate) fn new(
        route: &Route,
        (generation, revision): (u64, u64),
        identities: Arc<Identities>,
        counts: &Counts,
        before: Option<&Self>,
    ) -> Self {
        let versions: Vec<_> = route
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
        let split = route.split.as_ref().map(|split| {
            let split = Arc::new(split.clone());
            let known = before.and_then(|before| before.split.as_ref()).map(|split| &split.comparison);
            let comparison = match known.filter(|known| known.continues(&route.component, &split)) {
                Some(known) => {
                    known.restart(&split, generation, revision);
                    Arc::clone(known)
                }
                None => Arc::new(Comparison::new(&route.component, &split, generation, revision)),
            };
            let index = |serial: &Serial| route.backends.iter().position(|backend| backend.serial == *serial);
            let (trial, control) = (index(&split.trial), index(&split.control));
            SplitInForce { split, comparison, trial, control }
        });
        let admission = route.surge.as_ref().map(|surge| {
            let known = before.and_then(|before| before.admission.as_ref());
            let known = known.filter(|known| known.rules() == surge).map(Arc::clone);
            let admission = known.unwrap_or_else(|| Admission::new(surge));
            counts.admits(&route.component, &admission);
            admission
        });
        let named = route.names.iter().flat_map(|names| &names.versions);
        let named = named.map(|named| counts.version(&route.component, &named.serial)).collect();
        Self {
            admission,
            names: route.names.clone(),
            named,
            id: counts.next_route(),
            component: counts.component(&route.component),
            protocol: route.protocol,
            state: route.state,
            versions,
            identities,
            drain: route.drain_ms.map(|drain_ms| Duration::from_millis(u64::from(drain_ms))),
            split,
        }
    }

    /// The same route for requests that come too late: nobody takes them, and sessions have as long to end as they had.
    pub(crate) fn closed(&self) -> Self {
        Self {
            id: self.id,
            component: Arc::clone(&self.component),
            protocol: self.protocol,
            state: RouteState::Closed,
            versions: Vec::new(),
            identities: Arc::clone(&self.identities),
            drain: self.drain,
            split: None,
            admission: None,
            names: None,
            named: Vec::new(),
        }
    }

    /// Whether names say which version is meant.
    pub(crate) const fn has_names(&self) -> bool {
        self.names.is_some()
    }

    /// Whom a host means; nothing if it means nobody. Without a host, and without names, it is whoever's turn it is.
    pub(crate) fn asked(&self, host: Option<&str>) -> Option<Asked> {
        let (Some(names), Some(host)) = (&self.names, host) else { return Some(Asked::Plain) };
        match names.meant(host) {
            Meant::Plain => Some(Asked::Plain),
            Meant::Unknown => None,
            Meant::Version(named) => {
                let at = names.versions.iter().position(|one| one.host == named.host)?;
                let counter = Arc::clone(self.named.get(at)?);
                let version = self.versions.iter().position(|one| one.counter.id() == counter.id());
                Some(Asked::Version(ByName { counter, version, closing: named.closing, lease_s: named.lease_s }))
            }
        }
    }

    /// Whether a version may be asked for by a name.
    fn is_named(&self, version: &VersionCounter) -> bool {
        self.named.iter().any(|one| one.id() == version.id())
    }

    /// A version that was asked for by its name, if it has an instance that was not tried.
    pub(crate) fn choose_named(&self, version: Option<usize>, tried: &[Arc<Instance>]) -> Option<Choice> {
        let version = version.filter(|at| self.versions.get(*at).is_some_and(|one| one.has_untried(tried)))?;
        Some(Choice { version, compared: None })
    }

    /// Whether a version gets new requests.
    pub(crate) fn serves(&self, version: &VersionCounter) -> bool {
        self.is_named(version)
            || self.state == RouteState::Open
                && self.versions.iter().any(|one| one.weight > 0 && one.counter.id() == version.id())
    }

    /// Closes the idle connections to instances that take nothing new on the route that follows: they may be about to end.
    pub(crate) fn settle(&self, after: &Self) {
        for instance in self.versions.iter().flat_map(|version| &version.instances) {
            instance.set_leaving(!after.takes(instance));
        }
        if let Some(before) = &self.split
            && after.split.as_ref().is_none_or(|after| !Arc::ptr_eq(&after.comparison, &before.comparison))
        {
            before.comparison.end();
        }
    }

    fn takes(&self, instance: &Arc<Instance>) -> bool {
        let open = self.state == RouteState::Open;
        self.versions
            .iter()
            .filter(|version| open && version.weight > 0 || self.is_named(&version.counter))
            .flat_map(|version| &version.instances)
            .any(|one| Arc::ptr_eq(one, instance))
    }

    /// All instances.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.versions.iter().flat_map(|version| &version.instances)
    }

    /// The version that a client belongs to, or else one by weight. A request that was on a version before is not
    /// compared, nor one that goes elsewhere because its own version is not there.
    pub(crate) fn choose_for(
        &self,
        known: &Known,
        turn: &AtomicU64,
        tried: &[Arc<Instance>],
        first: bool,
    ) -> Option<Choice> {
        if let Some(SplitInForce { split, comparison, trial, control }) = &self.split {
            let Place { arm, unit } = comparison.place(split, self.id, known);
            let wanted = if arm == Arm::Trial { *trial } else { *control };
            let has = |index: &usize| {
                self.versions.get(*index).is_some_and(|version| version.weight > 0 && version.has_untried(tried))
            };
            if let Some(version) = wanted.filter(has) {
                let compared = unit.filter(|_| first).map(|unit| Compared::new(Arc::clone(comparison), arm, unit));
                return Some(Choice { version, compared });
            }
        }
        self.choose(turn, tried).map(|version| Choice { version, compared: None })
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
