//! The local driver: components as OCI containers, run by `runc` on one Linux host.
//!
//! It runs as root inside an executor, a process of its own that does nothing else. It executes steps and says
//! what is there; it chooses nothing, knows no verdicts and reads no log. Everything that it makes is named by a
//! record on disk that was written before: kill it at any point, open it again, and it converges.

mod bundle;
mod cgroup;
mod check;
mod command;
mod drain;
mod fabric;
mod filter;
mod health;
mod image;
mod layer;
mod memory;
mod namespace;
mod observe;
mod process;
mod record;
mod root;
mod scope;
mod seccomp;
mod secrets;
mod shim;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod unpacked;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
};

use model::{Clock, Digest};
use nix::fcntl::{Flock, FlockArg};
use rollout::{
    instance::{InstanceId, Observed, edge_address},
    step::Step,
};

use self::{
    cgroup::Hierarchy,
    fabric::{CLIENT_ZONE, Fabric, Slot},
    filter::Rule,
    health::{Question, Watch},
    image::Blobs,
    observe::{Hashed, Told},
    record::{Given, Phase, Record, Records},
    root::Roots,
    volumes::Volumes,
};
use crate::{
    driver::{Doing as _, Driver, DriverError, failed},
    durable,
};

pub use self::{
    command::Tools,
    fabric::health_address,
    filter::{Denied, DeniedFlow},
    scope::Keep,
};

/// Where things are and what this driver may give out.
#[derive(Clone)]
pub struct LocalConfig {
    /// Its own folder; one driver at a time.
    pub state_dir: PathBuf,
    /// An OCI blob store: `<images_dir>/blobs/sha256/<hex>`.
    pub images_dir: PathBuf,
    /// Volumes.
    pub volumes_dir: PathBuf,
    /// Restore points.
    pub restore_dir: PathBuf,
    /// The file provider of secrets: one file a secret, mode 0600.
    pub secrets_dir: PathBuf,
    /// The first two bytes of all addresses.
    pub fabric: [u8; 2],
    /// What this driver calls its own on the host: namespaces, links, cgroups. 1 to 32 of `a-z`, `0-9`, `-`.
    pub scope: String,
    /// The first of 65,536 user numbers that nobody else uses.
    pub first_uid: u32,
    /// The host's programs.
    pub tools: Tools,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The driver.
pub struct Local {
    config: LocalConfig,
    files: Records,
    roots: Roots,
    blobs: Blobs,
    volumes: Volumes,
    fabric: Fabric,
    hierarchy: Hierarchy,
    given: Given,
    records: BTreeMap<InstanceId, Record>,
    watches: BTreeMap<InstanceId, Watch>,
    hashed: BTreeMap<Digest, Hashed>,
    told: Told,
    /// Shims started by this process, to be waited for; those of an earlier one are init's.
    children: Vec<Child>,
    _lock: Flock<std::fs::File>,
}

/// Long enough for system and purpose, short enough for a path.
const SCOPE_LIMIT: usize = 32;

impl Local {
    /// Opens the driver's folder and takes away what was not started or deleted to the end.
    pub fn open(config: LocalConfig) -> Result<Self, DriverError> {
        refuse_unsound(&config)?;
        let what = || format!("`{}` can not be opened", config.state_dir.display());
        for folder in [&config.state_dir, &config.volumes_dir, &config.restore_dir] {
            durable::make_dir(folder).doing(what)?;
        }
        let lock = lock(&config.state_dir)?;
        let files = Records::open(&config.state_dir).doing(what)?;
        let mut local = Self {
            roots: Roots::open(&config.state_dir).doing(what)?,
            blobs: Blobs::new(&config.images_dir),
            volumes: Volumes { folder: config.volumes_dir.clone(), restore: config.restore_dir.clone() },
            fabric: Fabric { scope: config.scope.clone(), prefix: config.fabric, tools: config.tools.clone() },
            hierarchy: Hierarchy::find()?,
            given: files.read_given()?,
            records: files.read_all()?,
            watches: BTreeMap::new(),
            hashed: BTreeMap::new(),
            told: Told::default(),
            children: Vec::new(),
            files,
            config,
            _lock: lock,
        };
        let ids: Vec<InstanceId> = local.records.keys().cloned().collect();
        for id in ids {
            match local.records.get(&id).map(|record| &record.phase) {
                Some(Phase::Running(_)) => local.watch(&id)?,
                Some(Phase::Ended { .. }) | None => {}
                Some(Phase::Preparing | Phase::Launching { .. } | Phase::Deleting) => {
                    if let Err(error) = local.take_away(&id) {
                        tracing::warn!(instance = %id, error = %error.chain(), "what is left of it is taken away later");
                    }
                }
            }
        }
        Ok(local)
    }

    /// Makes the fabric, so that the edge can listen on its address there before anything runs, and says what
    /// the host lacks before anything is needed.
    pub fn prepare(&mut self) -> Result<(), DriverError> {
        self.config.tools.look()?;
        self.fabric.ensure(&self.given.zones())?;
        self.apply_flows()
    }

    /// What the filter has denied since the fabric was made.
    pub fn denied(&mut self) -> Result<Denied, DriverError> {
        if self.fabric.exists() {
            filter::denied(&self.config.tools, &self.fabric.name())
        } else {
            Ok(Denied::default())
        }
    }

    /// Writes a record, and remembers it.
    fn put(&mut self, record: Record) -> Result<(), DriverError> {
        self.files.write(&record)?;
        self.records.insert(record.spec.id.clone(), record);
        Ok(())
    }

    fn cgroup(&self, id: &InstanceId) -> String {
        format!("/countersign/{}/{id}", self.config.scope)
    }

    /// Where the processes beside the instances are; no name of an instance is without a dot.
    fn cgroup_of_shims(&self) -> String {
        format!("/countersign/{}/shims", self.config.scope)
    }

    /// runc's own state folder.
    fn engine(&self) -> PathBuf {
        self.config.state_dir.join("runc")
    }

    /// Puts the flows of all instances and clients in force.
    fn apply_flows(&self) -> Result<(), DriverError> {
        if !self.fabric.exists() {
            return Ok(());
        }
        let mut rules = BTreeSet::new();
        for record in self.records.values().filter(|record| record.phase != Phase::Deleting) {
            let (own, port) = (self.fabric.address(record.slot), record.spec.component.port);
            rules.insert(Rule { from: self.fabric.health_address(), to: own, port });
            if record.spec.from_edge {
                rules.insert(Rule { from: edge_address(self.config.fabric), to: own, port });
            }
            rules.extend(record.spec.peers.values().flatten().filter_map(|peer| rule(own, peer)));
        }
        for client in self.given.clients.values() {
            let own = self.fabric.address(Slot { zone: CLIENT_ZONE, host: client.host });
            rules.extend(client.targets.iter().filter_map(|target| rule(own, target)));
        }
        filter::apply(&self.config.tools, &self.fabric.name(), &rules)
    }

    /// Starts asking a running instance whether it is well.
    fn watch(&mut self, id: &InstanceId) -> Result<(), DriverError> {
        let Some(record) = self.records.get(id) else { return Ok(()) };
        let Phase::Running(running) = &record.phase else { return Ok(()) };
        let question = Question {
            source: self.fabric.health_address(),
            target: self.address(record),
            health: record.spec.component.health.clone(),
        };
        let watch = Watch::start(question, Arc::clone(&self.config.clock), running.since, running.well_since)
            .doing(|| format!("`{id}` can not be watched"))?;
        self.watches.insert(id.clone(), watch);
        Ok(())
    }

    /// Waits for shims that have ended, so that they do not stay as zombies.
    fn reap(&mut self) {
        self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// Refuses while an instance of the component may write to its volumes.
    fn refuse_while_used(
        &self,
        step: &Step,
        environment: &model::EnvironmentName,
        system: &model::SystemName,
        component: &model::ComponentName,
    ) -> Result<(), DriverError> {
        let user = self.records.values().find(|record| {
            let id = &record.spec.id;
            record.holds_volumes()
                && id.environment == *environment
                && id.serial.system() == system
                && id.component == *component
        });
        let deed = if matches!(step, Step::Restore { .. }) { "put back" } else { "copied" };
        match user {
            None => Ok(()),
            Some(user) => Err(DriverError::Refused(format!(
                "the volumes of `{component}` can not be {deed} while `{}` may write to them: stop it first",
                user.spec.id
            ))),
        }
    }
}

impl Driver for Local {
    fn observe(&mut self) -> Result<Observed, DriverError> {
        self.look()
    }

    fn execute(&mut self, step: &Step) -> Result<(), DriverError> {
        self.reap();
        match step {
            Step::Start(spec) => self.start(spec),
            Step::Drain(id) => self.drain(id),
            Step::Stop(id) => self.stop(id),
            Step::Delete(id) => self.delete(id),
            Step::SaveRestorePoint { environment, component, before } => {
                self.note_ends();
                self.refuse_while_used(step, environment, before.system(), component)?;
                self.volumes.save(&self.config.tools, environment, component, before, self.config.clock.now())
            }
            Step::Restore { environment, component, before } => {
                self.note_ends();
                self.refuse_while_used(step, environment, before.system(), component)?;
                self.volumes.restore(&self.config.tools, environment, component, before)
            }
            Step::Route(_) => {
                Err(DriverError::Refused("the edge takes route tables; this driver runs components".to_owned()))
            }
        }
    }
}

/// A flow to a peer; other families than IPv4 have no way through the fabric.
fn rule(from: Ipv4Addr, to: &SocketAddr) -> Option<Rule> {
    match to {
        SocketAddr::V4(to) => Some(Rule { from, to: *to.ip(), port: to.port() }),
        SocketAddr::V6(_) => None,
    }
}

fn refuse_unsound(config: &LocalConfig) -> Result<(), DriverError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if config.scope.is_empty() || config.scope.len() > SCOPE_LIMIT || !config.scope.bytes().all(fits) {
        return Err(DriverError::Refused(format!(
            "`{}` is not a scope: use 1 to {SCOPE_LIMIT} of a-z, 0-9 and `-`",
            config.scope
        )));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(DriverError::Host {
            what: "only root can run components on this host".to_owned(),
            hint: "start the executor as root".to_owned(),
        });
    }
    /// Below are people and services of the host.
    const FIRST_UID_MIN: u32 = 65_536;
    if config.first_uid < FIRST_UID_MIN || config.first_uid > u32::MAX - 2 * FIRST_UID_MIN {
        return Err(DriverError::Refused(format!(
            "user numbers from {} may belong to others: start at {FIRST_UID_MIN} or above",
            config.first_uid
        )));
    }
    Ok(())
}

/// One driver a folder; the lock goes with the process, however it ends.
fn lock(state: &Path) -> Result<Flock<std::fs::File>, DriverError> {
    let path = state.join("lock");
    let what = || format!("`{}` can not be locked", path.display());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).doing(what)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EWOULDBLOCK => {
            DriverError::Refused(format!("another executor uses `{}`: stop it, or use another folder", state.display()))
        }
        other => failed(what(), other.desc()),
    })
}
