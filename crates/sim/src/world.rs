//! A simulated host: containers, volumes, an edge that carries requests, and time that only moves when it is told to.
//!
//! It checks at every moment what must hold whatever happens (see [`Violation`]), and remembers each breach. It knows
//! nothing of plans: it is given steps by [`crate::driver::FakeDriver`] and looked at by whoever asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use model::{
    ComponentName, Serial, Timestamp,
    route::{EdgeCounts, Route, RouteState, RouteTable, Ticks, VersionCounts},
};
use rollout::instance::{InstanceId, InstanceSpec, InstanceState, Observed, ObservedInstance, RestorePoint};

mod division;
mod traffic;

use division::Division;
use traffic::{Request, Travel};

/// How long one moment of the simulation is.
pub const TICK_MS: u64 = 250;
/// Where the simulated time begins.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// Two instances of an exclusive component ran at once.
    TwoWriters(InstanceId, InstanceId),
    /// A volume was copied or put back while something could write to it.
    VolumeInUse(ComponentName),
    /// A version ran on state that it can not use.
    StateTooNew(InstanceId, String),
    /// A request failed although nothing was wrong with the instances that served it.
    Dropped(String),
    /// What was answered to a client as done is not there.
    Lost(ComponentName, u64),
    /// A public listener had nobody behind it.
    NobodyServes(SocketAddr),
    /// An instance of the version before was stopped before the new one had passed its watch.
    StoppedTooEarly(InstanceId),
    /// An instance was told that it drains while it was still given requests.
    ToldTooEarly(InstanceId),
    /// The edge was given a table that it had to refuse.
    WrongTable(String),
    /// A source was started without knowing where a target is.
    WrongPeer(InstanceId, String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoWriters(a, b) => write!(f, "{a} and {b} wrote at once"),
            Self::VolumeInUse(c) => write!(f, "the volume of {c} was touched while in use"),
            Self::StateTooNew(i, m) => write!(f, "{i} ran on state after {m}"),
            Self::Dropped(why) => write!(f, "a request was dropped: {why}"),
            Self::Lost(c, n) => write!(f, "{n} acknowledged writes to {c} were lost"),
            Self::NobodyServes(listen) => write!(f, "nobody served {listen}"),
            Self::StoppedTooEarly(i) => write!(f, "{i} was stopped before the watch was over"),
            Self::ToldTooEarly(i) => write!(f, "{i} was told that it drains while it took requests"),
            Self::WrongTable(why) => write!(f, "a wrong route table: {why}"),
            Self::WrongPeer(i, why) => write!(f, "{i} was started with a wrong peer: {why}"),
        }
    }
}

/// How instances of one component of one version behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Milliseconds from start to being well; `None` for never.
    pub healthy_after_ms: Option<u64>,
    /// Milliseconds from start to ending by itself.
    pub crash_after_ms: Option<u64>,
    /// Of ten thousand requests, how many it answers with an error.
    pub error_bp: u64,
    /// Whether it must be killed, and how long that takes.
    pub ignores_stop: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { healthy_after_ms: Some(500), crash_after_ms: None, error_bp: 0, ignores_stop: false }
    }
}

/// One container.
#[derive(Clone, Debug)]
struct Container {
    spec: InstanceSpec,
    address: SocketAddr,
    started_ms: u64,
    ended: Option<(u64, i32)>,
}

/// The state of a component: which migrations it has had and which writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Volume {
    migrations: BTreeMap<String, bool>,
    writes: BTreeSet<u64>,
}

/// The host, its edge and its clients.
#[derive(Clone, Debug)]
pub struct World {
    now_ms: u64,
    containers: BTreeMap<InstanceId, Container>,
    next_address: u8,
    volumes: BTreeMap<ComponentName, Volume>,
    saved: BTreeMap<(ComponentName, Serial), (RestorePoint, Volume)>,
    table: RouteTable,
    counts: BTreeMap<(ComponentName, Serial), VersionCounts>,
    division: Division,
    requests: Vec<Request>,
    next_request: u64,
    acknowledged: BTreeMap<ComponentName, BTreeSet<u64>>,
    behaviour: BTreeMap<(u64, String), Behaviour>,
    /// When the public routes first went to a version, and how long it has to be watched.
    front: Option<(Serial, u64)>,
    watch_ms: u64,
    /// Whether a version was ever up, so that somebody must serve from then on.
    up: bool,
    /// Requests a tick to each public listener.
    pub traffic: u64,
    /// Whether instances misbehave, so that public listeners may be without anybody for a while.
    pub excused: bool,
    /// Whether a copy that is there already stays as it is, as a wrong driver would have it.
    pub keeps_points: bool,
    drifted: BTreeSet<InstanceId>,
    /// Who was told that it drains, in order; whoever is not here did not hear it.
    pub told_drain: Vec<InstanceId>,
    /// Whether instances refuse to be told.
    pub deaf: bool,
    /// Whether the observer has just started again and has asked nobody yet.
    pub blind: bool,
    violations: BTreeSet<Violation>,
}

impl World {
    /// An empty host. `watch_s` is what its releases ask for.
    pub fn new(watch_s: u32) -> Self {
        Self {
            now_ms: EPOCH_MS,
            containers: BTreeMap::new(),
            next_address: 2,
            volumes: BTreeMap::new(),
            saved: BTreeMap::new(),
            table: RouteTable { generation: 0, revision: 0, routes: Vec::new() },
            counts: BTreeMap::new(),
            division: Division::default(),
            requests: Vec::new(),
            next_request: 1,
            acknowledged: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            front: None,
            watch_ms: u64::from(watch_s) * 1_000,
            up: false,
            traffic: 2,
            excused: false,
            keeps_points: false,
            drifted: BTreeSet::new(),
            told_drain: Vec::new(),
            deaf: false,
            blind: false,
            violations: BTreeSet::new(),
        }
    }

    /// The time.
    pub const fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.now_ms / 1_000)
    }

    /// Makes the instances of a component of the `ordinal`th version behave so.
    pub fn behave(&mut self, ordinal: u64, component: &str, behaviour: Behaviour) {
        self.behaviour.insert((ordinal, component.to_owned()), behaviour);
    }

    /// What must never happen and did.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.violations.iter()
    }

    /// The edge starts again: it forgets its table and its counts.
    pub fn restart_edge(&mut self) {
        self.table = RouteTable { generation: 0, revision: 0, routes: Vec::new() };
        self.counts.clear();
        self.division.restart(self.now_ms);
        self.requests.clear();
        // Its clients' connections broke with it; that is not the plan's doing.
        self.up = false;
    }

    /// Ends an instance from outside.
    pub fn kill(&mut self, id: &InstanceId) {
        let now_ms = self.now_ms;
        if let Some(c) = self.containers.get_mut(id).filter(|c| c.ended.is_none()) {
            c.ended = Some((now_ms, 137));
        }
    }

    /// Changes a running instance from outside, so that it is no longer what was started.
    pub fn drift(&mut self, id: &InstanceId) {
        self.drifted.insert(id.clone());
    }

    /// The address of an instance, running or not.
    pub fn address(&self, id: &InstanceId) -> Option<SocketAddr> {
        self.containers.get(id).map(|c| c.address)
    }

    /// Serials of which anything is left, running or not.
    pub fn serials(&self) -> BTreeSet<Serial> {
        self.containers.keys().map(|id| id.serial.clone()).collect()
    }

    /// How many instances run and are well.
    pub fn healthy(&self) -> usize {
        self.containers.values().filter(|c| self.is_healthy(c)).count()
    }

    /// The public listeners and who serves them, in words.
    pub fn served(&self) -> Vec<String> {
        let versions = |r: &Route| {
            let open = r.backends.iter().filter(|b| b.weight > 0).map(|b| b.serial.to_string());
            open.collect::<Vec<_>>().join("+")
        };
        self.table
            .routes
            .iter()
            .map(|r| format!("{} {} {:?} -> {}", r.listen, r.component, r.state, versions(r)))
            .collect()
    }

    fn behaviour(&self, id: &InstanceId) -> Behaviour {
        self.behaviour.get(&(id.serial.ordinal(), id.component.as_str().to_owned())).cloned().unwrap_or_default()
    }

    fn is_faulty(&self, id: &InstanceId) -> bool {
        let b = self.behaviour(id);
        b.healthy_after_ms.is_none() || b.crash_after_ms.is_some() || b.error_bp > 0 || b.ignores_stop
    }

    fn is_healthy(&self, container: &Container) -> bool {
        let after = self.behaviour(&container.spec.id).healthy_after_ms;
        container.ended.is_none() && after.is_some_and(|ms| self.now_ms >= container.started_ms + ms)
    }

    /// What an observer sees.
    pub fn observe(&self) -> Observed {
        let seen = |c: &Container| {
            let started = Timestamp::from_unix(c.started_ms / 1_000);
            let deadline_ms = u64::from(c.spec.component.health.deadline_ms);
            let state = match c.ended {
                Some((at, code)) => {
                    InstanceState::Exited { at: Timestamp::from_unix(at / 1_000), code, out_of_memory: false }
                }
                None if self.drifted.contains(&c.spec.id) => {
                    InstanceState::Drifted { what: "its root was changed".to_owned() }
                }
                None if self.blind => InstanceState::Starting { since: started },
                None if self.is_healthy(c) => InstanceState::Healthy { since: started },
                None if self.now_ms > c.started_ms + deadline_ms => {
                    InstanceState::Unhealthy { since: started, why: "not well within its deadline".to_owned() }
                }
                None => InstanceState::Starting { since: started },
            };
            ObservedInstance {
                id: c.spec.id.clone(),
                release: c.spec.release,
                image: c.spec.component.image,
                address: c.address,
                state,
            }
        };
        Observed {
            instances: self.containers.values().map(seen).collect(),
            restore_points: self.saved.values().map(|(point, _)| point.clone()).collect(),
        }
    }

    /// What the edge counts.
    pub fn counts(&self) -> EdgeCounts {
        let held = self.requests.iter().filter(|r| matches!(r.stage, Travel::Held { .. })).count();
        EdgeCounts {
            generation: self.table.generation,
            revision: self.table.revision,
            versions: self.counts.values().cloned().collect(),
            held: u64::try_from(held).unwrap_or(u64::MAX),
            components: Vec::new(),
            cut: Vec::new(),
            surges: Vec::new(),
        }
    }

    /// What the edge counted of comparisons, from a tick on.
    pub fn ticks(&mut self, from: u64) -> Ticks {
        self.division.ask(from, self.now_ms)
    }

    pub(crate) fn start(&mut self, spec: &InstanceSpec) -> Result<(), String> {
        let (id, now_ms) = (&spec.id, self.now_ms);
        match self.containers.get(id) {
            None => {}
            Some(c) if c.spec == *spec => return Ok(()),
            Some(_) => return Err(format!("{id} was started otherwise")),
        }
        self.check_peers(spec);
        if spec.component.is_exclusive() {
            let other = self.containers.values().find(|c| {
                c.ended.is_none()
                    && c.spec.id.component == id.component
                    && c.spec.id.serial.system() == id.serial.system()
            });
            if let Some(other) = other {
                self.violations.insert(Violation::TwoWriters(other.spec.id.clone(), id.clone()));
            }
            self.migrate(spec);
        }
        // Never one that somebody just had, so that old connections die with the old owner.
        self.next_address = self.next_address.wrapping_add(1);
        let address = SocketAddr::from((Ipv4Addr::new(10, 9, 1, self.next_address), spec.component.port));
        let container = Container { spec: spec.clone(), address, started_ms: now_ms, ended: None };
        self.containers.insert(id.clone(), container);
        Ok(())
    }

    fn check_peers(&mut self, spec: &InstanceSpec) {
        for (variable, addresses) in &spec.peers {
            for address in addresses {
                let edge = address.ip() == Ipv4Addr::new(10, 9, 255, 1);
                let known =
                    self.containers.values().any(|c| c.address == *address && c.spec.id.serial == spec.id.serial);
                if !edge && !known {
                    let why = format!("{variable}={address} is nobody of its version");
                    self.violations.insert(Violation::WrongPeer(spec.id.clone(), why));
                }
            }
        }
    }

    fn migrate(&mut self, spec: &InstanceSpec) {
        let volume = self.volumes.entry(spec.id.component.clone()).or_default();
        let known = |id: &str| spec.component.migrations.iter().any(|m| m.id == id);
        if let Some((too_new, _)) = volume.migrations.iter().find(|(id, reversible)| !**reversible && !known(id)) {
            self.violations.insert(Violation::StateTooNew(spec.id.clone(), too_new.clone()));
        }
        volume.migrations.extend(spec.component.migrations.iter().map(|m| (m.id.clone(), m.reversible)));
    }

    pub(crate) fn tell_drain(&mut self, id: &InstanceId) -> Result<(), String> {
        let takes = |r: &Route| r.backends.iter().any(|b| b.serial == id.serial && b.weight > 0);
        if self.table.routes.iter().any(takes) {
            self.violations.insert(Violation::ToldTooEarly(id.clone()));
        }
        if self.deaf {
            return Err(format!("{id} does not hear"));
        }
        if self.containers.get(id).is_some_and(|c| c.ended.is_none()) {
            self.told_drain.push(id.clone());
        }
        Ok(())
    }

    pub(crate) fn stop(&mut self, id: &InstanceId) {
        let now_ms = self.now_ms;
        let Some(c) = self.containers.get(id) else { return };
        if c.ended.is_some() {
            return;
        }
        self.check_early(id);
        let on_it = self.requests.iter().any(|r| r.on.iter().any(|(i, _)| i == id));
        if on_it && !self.is_faulty(id) && !self.excused {
            self.violations.insert(Violation::Dropped(format!("{id} was stopped with requests in flight")));
        }
        let code = if self.behaviour(id).ignores_stop { 137 } else { 0 };
        if let Some(c) = self.containers.get_mut(id) {
            c.ended = Some((now_ms, code));
        }
    }

    /// While a new version is in front and within its watch, the one before must stand by; what is in front itself is
    /// never stopped unless something is wrong with it. Exclusive components hand over instead.
    fn check_early(&mut self, id: &InstanceId) {
        let Some(c) = self.containers.get(id) else { return };
        let Some((front, since_ms)) = &self.front else { return };
        if c.spec.component.is_exclusive() || !self.is_healthy(c) || self.drifted.contains(id) || self.excused {
            return;
        }
        let older = id.serial.ordinal() < front.ordinal() && self.now_ms < since_ms + self.watch_ms;
        if older || id.serial == *front {
            self.violations.insert(Violation::StoppedTooEarly(id.clone()));
        }
    }

    pub(crate) fn delete(&mut self, id: &InstanceId) -> Result<(), String> {
        if self.containers.get(id).is_some_and(|c| c.ended.is_none()) {
            return Err(format!("{id} still runs"));
        }
        self.containers.remove(id);
        self.drifted.remove(id);
        Ok(())
    }

    fn is_used(&self, component: &ComponentName) -> bool {
        self.containers.values().any(|c| c.ended.is_none() && c.spec.id.component == *component)
    }

    pub(crate) fn save(&mut self, point: RestorePoint) {
        if self.is_used(&point.component) {
            self.violations.insert(Violation::VolumeInUse(point.component.clone()));
        }
        let volume = self.volumes.entry(point.component.clone()).or_default().clone();
        if self.keeps_points && self.saved.contains_key(&(point.component.clone(), point.before.clone())) {
            return;
        }
        self.saved.insert((point.component.clone(), point.before.clone()), (point, volume));
    }

    pub(crate) fn restore(&mut self, component: &ComponentName, before: &Serial) -> Result<(), String> {
        if self.is_used(component) {
            self.violations.insert(Violation::VolumeInUse(component.clone()));
        }
        let Some((_, volume)) = self.saved.get(&(component.clone(), before.clone())) else {
            return Err(format!("there is no restore point of {component} before {before}"));
        };
        self.volumes.insert(component.clone(), volume.clone());
        self.check_writes();
        Ok(())
    }

    pub(crate) fn route(&mut self, table: &RouteTable) -> Result<(), String> {
        let (has, given) = ((self.table.generation, self.table.revision), (table.generation, table.revision));
        if given == has && *table == self.table {
            return Ok(());
        }
        if given <= has {
            let why = format!("{}.{} after {}.{}", given.0, given.1, has.0, has.1);
            self.violations.insert(Violation::WrongTable(why.clone()));
            return Err(why);
        }
        self.table = table.clone();
        self.division.apply(table, self.now_ms);
        let front = table.routes.iter().filter(|r| !r.listen.ip().eq(&Ipv4Addr::new(10, 9, 255, 1)));
        let serial = front.flat_map(|r| &r.backends).find(|b| b.weight > 0).map(|b| b.serial.clone());
        if self.front.as_ref().map(|(s, _)| s) != serial.as_ref() {
            self.front = serial.map(|s| (s, self.now_ms));
        }
        Ok(())
    }

    fn check_writes(&mut self) {
        for (component, acknowledged) in &self.acknowledged {
            let there = self.volumes.get(component);
            let lost = acknowledged.iter().filter(|n| there.is_none_or(|v| !v.writes.contains(n))).count();
            if lost > 0 {
                self.violations.insert(Violation::Lost(component.clone(), u64::try_from(lost).unwrap_or(u64::MAX)));
            }
        }
    }

    /// Lets one moment pass: instances crash, requests arrive, travel and are answered.
    pub fn tick(&mut self) {
        self.now_ms += TICK_MS;
        let crashed: Vec<InstanceId> = self
            .containers
            .values()
            .filter(|c| c.ended.is_none())
            .filter(|c| self.behaviour(&c.spec.id).crash_after_ms.is_some_and(|ms| self.now_ms >= c.started_ms + ms))
            .map(|c| c.spec.id.clone())
            .collect();
        crashed.iter().for_each(|id| self.kill(id));
        self.arrive();
        for request in std::mem::take(&mut self.requests) {
            self.travel(request);
        }
        self.division.tick(self.now_ms);
        self.check_served();
        self.check_writes();
    }

    fn public(&self) -> Vec<SocketAddr> {
        let edge = Ipv4Addr::new(10, 9, 255, 1);
        self.table.routes.iter().map(|r| r.listen).filter(|l| l.ip() != edge).collect()
    }

    fn check_served(&mut self) {
        for listen in self.public() {
            let Some(route) = self.table.routes.iter().find(|r| r.listen == listen) else { continue };
            let alive = |a: &SocketAddr| self.containers.values().any(|c| c.address == *a && self.is_healthy(c));
            let served = route.state == RouteState::Open
                && route.backends.iter().any(|b| b.weight > 0 && b.instances.iter().any(alive));
            self.up |= served;
            if self.up && !served && !self.excused {
                self.violations.insert(Violation::NobodyServes(listen));
            }
        }
        if self.up && self.public().is_empty() && !self.excused {
            self.violations.insert(Violation::NobodyServes(SocketAddr::from(([0, 0, 0, 0], 0))));
        }
    }
}
