//! The edge as a whole: the table in force, the listeners that follow from it, and their end.
//!
//! It writes nothing itself; a crash loses the counts and the requests in flight. The keeper is told of a table before it
//! takes effect, so a crash in between restores a table that was accepted but not answered for.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use model::route::{Clients, EdgeCounts, Route, RouteTable, Ticks};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::Mutex,
    task::{AbortHandle, JoinHandle, spawn_blocking},
    time::{Instant, interval, timeout, timeout_at},
};

use crate::{
    control::{self, ControlConfig, Health},
    counts::Counts,
    identity::Identities,
    limits::{CLIENT_FORGETTING_INTERVAL, HANDSHAKE_TIMEOUT, HOUSEKEEPING_INTERVAL, Limits, RETIRED_LIMIT},
    listener::{Listener, accept, bind},
    metrics,
    table::{InForce, SplitInForce, TableError, check},
    ticks::{self, TickLog},
    tls::{self, TlsError},
    token::TokenKeysError,
};

/// What a table that was accepted is kept by, durably, before it takes effect. It may block.
pub type Keeper = Arc<dyn Fn(&RouteTable) -> io::Result<()> + Send + Sync>;

/// How an edge is to start.
#[derive(Clone, Default)]
pub struct EdgeConfig {
    /// Its limits.
    pub limits: Limits,
    /// Keeps tables; without one, a restarted edge knows none.
    pub keeper: Option<Keeper>,
    /// The last table that the keeper was given. The edge starts with it and refuses older ones. If it can not be
    /// carried out yet (an address that is not there yet), it is tried again every second.
    pub restored: Option<RouteTable>,
    /// The control socket; without one, only [`Edge::apply`] steers.
    pub control: Option<ControlConfig>,
}

/// A running edge. Clones are the same edge; when the last is dropped, its connections are cut.
#[derive(Clone)]
pub struct Edge {
    inner: Arc<Inner>,
}

/// What became of a table that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applied {
    /// It is in force now.
    Switched,
    /// It was in force already.
    Unchanged,
}

/// How an edge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Connections cut because they did not finish within the limit.
    pub cut: usize,
}

/// Why an edge can not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control socket can not be made.
    #[error("the control socket `{}` can not be made", path.display())]
    Control {
        /// Where.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another edge serves the socket.
    #[error("another edge serves the control socket `{}`", path.display())]
    AlreadyServed {
        /// Where.
        path: std::path::PathBuf,
    },
}

/// Why a table was refused. Nothing changed (invariant `all-or-nothing`).
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Invariant `generation-grows`.
    #[error("the table has generation {given}, and {in_force} is in force")]
    LowerGeneration {
        /// Of the table that was refused.
        given: u64,
        /// In force.
        in_force: u64,
    },
    /// Invariant `generation-grows`, within one generation.
    #[error("the table has revision {given} of generation {generation}, and {in_force} is in force")]
    LowerRevision {
        /// Of both tables.
        generation: u64,
        /// Of the table that was refused.
        given: u64,
        /// In force.
        in_force: u64,
    },
    /// Two tables claim to be the same.
    #[error("another table with generation {generation} and revision {revision} is in force")]
    OtherTable {
        /// Of both tables.
        generation: u64,
        /// Of both tables.
        revision: u64,
    },
    /// The table contradicts itself or is too large.
    #[error("the table can not be carried out")]
    Table(#[from] TableError),
    /// A certificate or key can not be used.
    #[error("the listener `{listen}` can not have TLS")]
    Tls {
        /// Of which listener.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
    /// The keys of tokens can not be used.
    #[error("the listener `{listen}` can not know clients by their tokens")]
    Identity {
        /// Which listener.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: Box<TokenKeysError>,
    },
    /// An address can not be listened on.
    #[error("the address `{listen}` can not be listened on")]
    Bind {
        /// Which.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The keeper could not keep it.
    #[error("the table could not be kept")]
    Keep(#[source] io::Error),
    /// The edge takes no more tables.
    #[error("the edge is ending")]
    Ending,
}

impl ApplyError {
    /// What would help.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::LowerGeneration { .. } | Self::LowerRevision { .. } => {
                "read the table in force and plan from it; whoever sent this one is behind the log"
            }
            Self::OtherTable { .. } => "a changed table needs a higher revision",
            Self::Table(_) => "correct the table; the one in force goes on",
            Self::Tls { .. } => {
                "give PEM files that the edge can read: the chain with the leaf first, and the leaf's key"
            }
            Self::Identity { .. } => "give a JWK Set of public keys in a file that the edge can read",
            Self::Bind { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another address",
                io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address",
                io::ErrorKind::PermissionDenied => "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
                _ => "see the cause",
            },
            Self::Keep(_) => "see whether the disk is full or read-only",
            Self::Ending => "send the table to the edge that follows",
        }
    }
}

pub(crate) struct Inner {
    limits: Arc<Limits>,
    counts: Arc<Counts>,
    ticks: Arc<TickLog>,
    keeper: Option<Keeper>,
    table: ArcSwapOption<RouteTable>,
    steering: Mutex<Steering>,
    tasks: std::sync::Mutex<Vec<AbortHandle>>,
}

/// What one change of table at a time may touch.
#[derive(Default)]
struct Steering {
    listeners: HashMap<SocketAddr, Bound>,
    retired: Vec<Retired>,
    /// A restored table that could not be carried out yet, and why.
    pending: Option<(Arc<RouteTable>, String)>,
    ending: bool,
}

struct Bound {
    listener: Arc<Listener>,
    accepting: JoinHandle<()>,
}

struct Retired {
    bound: Bound,
    since: Instant,
}

/// What is new in a table, ready to be put in force.
struct Prepared {
    routes: Vec<Loaded>,
    sockets: HashMap<SocketAddr, TcpListener>,
}

/// What the files that a route names hold.
type Loaded = (Option<Arc<ServerConfig>>, Arc<Identities>);

impl Edge {
    /// Starts an edge on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// If the control socket can not be made. A restored table that can not be carried out yet is no error.
    pub async fn start(config: EdgeConfig) -> Result<Self, StartError> {
        let inner = Arc::new(Inner {
            limits: Arc::new(config.limits),
            counts: Arc::default(),
            ticks: Arc::default(),
            keeper: config.keeper,
            table: ArcSwapOption::empty(),
            steering: Mutex::default(),
            tasks: std::sync::Mutex::default(),
        });
        let edge = Self { inner };
        if let Some(table) = config.restored {
            let table = Arc::new(table);
            edge.inner.steering.lock().await.pending = Some((Arc::clone(&table), "not tried yet".to_owned()));
            edge.inner.restore(table).await;
        }
        edge.inner.own(tokio::spawn(keep_house(Arc::downgrade(&edge.inner))).abort_handle());
        if let Some(control) = config.control {
            let serving = control::start(control, Arc::downgrade(&edge.inner)).await?;
            edge.inner.own(serving);
        }
        Ok(edge)
    }

    /// Puts a table in force, whole or not at all. Requests that have started stay on the version that they are on.
    ///
    /// # Errors
    /// See [`ApplyError`]; nothing has changed then.
    pub async fn apply(&self, table: RouteTable) -> Result<Applied, ApplyError> {
        Inner::apply(&self.inner, table).await
    }

    /// The table in force.
    pub fn table(&self) -> Option<Arc<RouteTable>> {
        self.inner.table.load_full()
    }

    /// What was counted since the start.
    pub fn counts(&self) -> EdgeCounts {
        self.inner.counts()
    }

    /// The ticks from a number on that are still remembered. Only to ask over the control socket keeps comparisons from
    /// silence.
    pub fn ticks(&self, from: u64) -> Ticks {
        self.inner.ticks(from, false)
    }

    /// The clients of each version.
    pub fn clients(&self) -> Clients {
        self.inner.clients()
    }

    /// The counts as OpenMetrics text, version 1.0.
    pub fn metrics(&self) -> String {
        metrics::render(&self.counts())
    }

    /// How it is.
    pub async fn health(&self) -> Health {
        self.inner.health().await
    }

    /// Accepts no more, lets requests finish for `limit`, and cuts what is left then. The control socket goes last.
    pub async fn shutdown(&self, limit: Duration) -> Finished {
        let until = Instant::now() + limit;
        let listeners: Vec<Arc<Listener>> = {
            let mut steering = self.inner.steering.lock().await;
            steering.ending = true;
            steering.pending = None;
            steering.all().map(Arc::clone).collect()
        };
        for listener in &listeners {
            listener.finish();
        }
        let mut cut = 0;
        for listener in &listeners {
            if timeout_at(until, listener.ended()).await.is_err() {
                cut += listener.connections();
                listener.cut();
            }
        }
        for listener in &listeners {
            // Cut connections end at once; the limit is for a machine that stands still.
            let _late = timeout(HANDSHAKE_TIMEOUT, listener.ended()).await;
        }
        self.inner.end_tasks();
        Finished { cut }
    }
}

impl Inner {
    /// In a task of its own, because a caller that stops waiting must not leave a table half in force.
    pub(crate) async fn apply(this: &Arc<Self>, table: RouteTable) -> Result<Applied, ApplyError> {
        this.ticks.hear();
        let inner = Arc::clone(this);
        let applying = tokio::spawn(async move {
            let mut steering = inner.steering.lock().await;
            inner.put_in_force(&mut steering, Arc::new(table), inner.keeper.clone()).await
        });
        // A task fails to join only when the runtime ends.
        applying.await.unwrap_or(Err(ApplyError::Ending))
    }

    pub(crate) fn table(&self) -> Option<Arc<RouteTable>> {
        self.table.load_full()
    }

    pub(crate) fn counts(&self) -> EdgeCounts {
        let (generation, revision) =
            self.table.load().as_ref().map_or((0, 0), |table| (table.generation, table.revision));
        let (versions, components) = (self.counts.version_rows(), self.counts.component_rows());
        EdgeCounts {
            generation,
            revision,
            versions,
            held: self.counts.held_now(),
            components,
            cut: self.counts.cut_rows(),
            surges: self.counts.surge_rows(),
        }
    }

    /// Ticks for somebody who may steer, and is there then, or for others.
    pub(crate) fn ticks(&self, from: u64, may_steer: bool) -> Ticks {
        if may_steer {
            self.ticks.hear();
        }
        self.ticks.from(from)
    }

    pub(crate) fn clients(&self) -> Clients {
        // Read first: what is counted afterwards was counted with this table or a later one.
        let number = self.table.load().as_ref().map_or((0, 0), |table| (table.generation, table.revision));
        self.counts.clients(self.ticks.start(), number)
    }

    pub(crate) async fn health(&self) -> Health {
        let steering = self.steering.lock().await;
        if steering.ending {
            return Health::Ending;
        }
        if let Some((table, why)) = &steering.pending {
            return Health::Restoring { generation: table.generation, revision: table.revision, why: why.clone() };
        }
        match self.table.load().as_ref() {
            None => Health::Waiting,
            Some(table) => Health::Serving {
                generation: table.generation,
                revision: table.revision,
                listeners: steering.listeners.len(),
            },
        }
    }

    async fn restore(&self, table: Arc<RouteTable>) {
        let mut steering = self.steering.lock().await;
        if !steering.pending.as_ref().is_some_and(|(pending, _)| Arc::ptr_eq(pending, &table)) {
            return;
        }
        if let Err(error) = self.put_in_force(&mut steering, Arc::clone(&table), None).await {
            let why = control::chain(&error);
            tracing::warn!(%why, "the kept table can not be carried out yet");
            steering.pending = Some((table, why));
        }
    }

    async fn put_in_force(
        &self,
        steering: &mut Steering,
        table: Arc<RouteTable>,
        keeper: Option<Keeper>,
    ) -> Result<Applied, ApplyError> {
        if steering.ending {
            return Err(ApplyError::Ending);
        }
        let in_force = self.table.load_full();
        let newest = steering.pending.as_ref().map(|(pending, _)| Arc::clone(pending)).or_else(|| in_force.clone());
        if let Some(newest) = newest {
            check_order(&table, &newest)?;
            if in_force.as_ref() == Some(&table) {
                return Ok(Applied::Unchanged);
            }
        }
        check(&table)?;
        let prepared = self.prepare(steering, &table).await?;
        if let Some(keeper) = keeper {
            let kept = Arc::clone(&table);
            let keeping = spawn_blocking(move || keeper(&kept)).await;
            keeping.map_err(io::Error::other).and_then(|kept| kept).map_err(ApplyError::Keep)?;
        }
        self.switch(steering, table, prepared);
        Ok(Applied::Switched)
    }

    /// Everything that can fail, none of which requests notice.
    async fn prepare(&self, steering: &mut Steering, table: &Arc<RouteTable>) -> Result<Prepared, ApplyError> {
        let reading = Arc::clone(table);
        let load = |route: &Route| {
            let listen = route.listen;
            let no_tls = |source| ApplyError::Tls { listen, source: Box::new(source) };
            let tls = route.tls.as_ref().map(|files| tls::load(files, route.protocol)).transpose().map_err(no_tls)?;
            let no_keys = |source| ApplyError::Identity { listen, source: Box::new(source) };
            Ok((tls, Arc::new(Identities::load(&route.identity).map_err(no_keys)?)))
        };
        let routes = spawn_blocking(move || reading.routes.iter().map(load).collect::<Result<Vec<_>, _>>());
        let routes = routes.await.unwrap_or(Err(ApplyError::Ending))?;
        let mut sockets = HashMap::new();
        for route in &table.routes {
            let listen = route.listen;
            if steering.listeners.contains_key(&listen) {
                continue;
            }
            // A listener that has just vanished closes its socket within a turn of its task.
            for retired in steering.retired.iter_mut().filter(|retired| retired.bound.listener.address == listen) {
                if !retired.bound.accepting.is_finished() {
                    let _late = timeout(HANDSHAKE_TIMEOUT, &mut retired.bound.accepting).await;
                }
            }
            let socket = bind(listen).map_err(|source| ApplyError::Bind { listen, source })?;
            sockets.insert(listen, socket);
        }
        Ok(Prepared { routes, sockets })
    }

    /// Nothing here can fail or wait.
    fn switch(&self, steering: &mut Steering, table: Arc<RouteTable>, prepared: Prepared) {
        let Prepared { routes, mut sockets } = prepared;
        let number = (table.generation, table.revision);
        let mut before = std::mem::take(&mut steering.listeners);
        for (route, (tls, identities)) in table.routes.iter().zip(routes) {
            if let Some(bound) = before.remove(&route.listen) {
                let before = bound.listener.route.load_full();
                let in_force = InForce::new(route, number, identities, &self.counts, Some(&before));
                self.compare(&in_force, before.split.as_ref());
                bound.listener.switch(in_force, tls);
                steering.listeners.insert(route.listen, bound);
            } else if let Some(socket) = sockets.remove(&route.listen) {
                let in_force = InForce::new(route, number, identities, &self.counts, None);
                self.compare(&in_force, None);
                let listener = Arc::new(Listener::new(route.listen, in_force, tls, &self.counts, &self.limits));
                let accepting = tokio::spawn(accept(Arc::clone(&listener), socket));
                steering.listeners.insert(route.listen, Bound { listener, accepting });
            }
        }
        for (_, bound) in before {
            bound.listener.vanish();
            steering.retired.push(Retired { bound, since: Instant::now() });
        }
        tracing::info!(generation = table.generation, revision = table.revision, "a route table is in force");
        steering.pending = None;
        self.table.store(Some(table));
    }

    /// Begins to count the ticks of a comparison that is new.
    fn compare(&self, in_force: &InForce, before: Option<&SplitInForce>) {
        if let Some(SplitInForce { comparison, .. }) = &in_force.split
            && before.is_none_or(|before| !Arc::ptr_eq(&before.comparison, comparison))
        {
            ticks::run(comparison, &self.ticks);
        }
    }

    fn own(&self, task: AbortHandle) {
        self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(task);
    }

    fn end_tasks(&self) {
        for task in self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for listener in self.steering.get_mut().all() {
            listener.cut();
        }
        self.end_tasks();
    }
}

impl Steering {
    fn all(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.listeners.values().chain(self.retired.iter().map(|retired| &retired.bound)).map(|bound| &bound.listener)
    }
}

/// Invariant `generation-grows`.
fn check_order(table: &RouteTable, newest: &RouteTable) -> Result<(), ApplyError> {
    let (generation, revision) = (newest.generation, newest.revision);
    if table.generation < generation {
        return Err(ApplyError::LowerGeneration { given: table.generation, in_force: generation });
    }
    if table.generation > generation || table.revision > revision || table == newest {
        return Ok(());
    }
    if table.revision < revision {
        return Err(ApplyError::LowerRevision { generation, given: table.revision, in_force: revision });
    }
    Err(ApplyError::OtherTable { generation, revision })
}

/// Looks after what nothing else would: tables to restore, idle connections, listeners that do not finish, old counts.
async fn keep_house(inner: Weak<Inner>) {
    let mut ticks = interval(HOUSEKEEPING_INTERVAL);
    let mut forgot = Instant::now();
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let pending = inner.steering.lock().await.pending.as_ref().map(|(table, _)| Arc::clone(table));
        if let Some(table) = pending {
            inner.restore(table).await;
        }
        let mut steering = inner.steering.lock().await;
        steering.retired.retain(|retired| {
            if retired.since.elapsed() > RETIRED_LIMIT {
                retired.bound.listener.cut();
            }
            retired.bound.listener.connections() > 0
        });
        for listener in steering.all() {
            listener.route.load().instances().for_each(|instance| instance.close_stale());
        }
        inner.counts.forget_old();
        if forgot.elapsed() >= CLIENT_FORGETTING_INTERVAL {
            forgot = Instant::now();
            inner.counts.forget_clients();
        }
    }
}
