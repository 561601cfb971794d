//! Starting an instance: from the plan to a process that has been looked at.
//!
//! The record is written before anything is made, and again before the shim is told to start; an instance counts
//! as started when the record says `running`, which is written last. Whatever a crash leaves before that is
//! taken away by the next opening.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr},
    os::linux::fs::MetadataExt as _,
    path::PathBuf,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit};
use rollout::instance::{InstanceSpec, edge_address, peer_variable};

use super::{
    Local, bundle,
    check::{self, Finding},
    image, memory, namespace,
    process::ProcessId,
    record::{Phase, Record, Running},
    root::{Seal, VALUES_PATH},
    secrets, shim,
};
use crate::{
    driver::{Doing as _, DriverError, failed},
    durable,
};

/// runc takes 0.1 s here; a host that swaps takes a hundred times that.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);
/// From runc's word to the component's own program: one `execve`.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);
/// The least that runc and a small program fit into.
const MEMORY_MIN_MIB: u32 = 8;

impl Local {
    /// Starts it, or does nothing if it was started.
    pub(super) fn start(&mut self, spec: &InstanceSpec) -> Result<(), DriverError> {
        if let Some(record) = self.records.get(&spec.id) {
            match record.phase {
                Phase::Running(_) | Phase::Ended { .. } if record.spec == *spec => return Ok(()),
                Phase::Running(_) | Phase::Ended { .. } => {
                    return Err(DriverError::Refused(format!(
                        "`{}` was started otherwise: stop and delete it first",
                        spec.id
                    )));
                }
                Phase::Preparing | Phase::Launching { .. } | Phase::Deleting => self.take_away(&spec.id.clone())?,
            }
        }
        // Who has ended by itself holds no volume any more.
        self.note_ends();
        self.refuse_unsound(spec)?;
        let record = self.reserve(spec)?;
        let started = self.bring_up(record);
        if started.is_err()
            && let Err(error) = self.take_away(&spec.id)
        {
            tracing::warn!(instance = %spec.id, error = %error.chain(), "what a failed start left is taken away later");
        }
        started
    }

    /// What no start may do, whatever the plan says.
    fn refuse_unsound(&self, spec: &InstanceSpec) -> Result<(), DriverError> {
        let (component, limits) = (&spec.component, &spec.component.limits);
        if spec.id.component != component.name {
            return Err(DriverError::Refused(format!(
                "`{}` names another component than `{}`",
                spec.id, component.name
            )));
        }
        if limits.memory_mib < MEMORY_MIN_MIB || limits.pids == 0 || limits.cpu_percent == 0 {
            return Err(DriverError::Refused(format!(
                "the limits of `{}` are too low: at least {MEMORY_MIN_MIB} MiB of memory, one process and 1 percent of a core",
                component.name
            )));
        }
        for (variable, addresses) in &spec.peers {
            if let Some(address) = addresses.iter().find(|address| !self.is_of_peer(spec, variable, address)) {
                return Err(DriverError::Refused(format!(
                    "`{address}` in `{variable}` is the address of no such instance here: observe again and plan anew"
                )));
            }
        }
        let rival = self.records.values().find(|other| {
            other.spec.id != spec.id
                && other.holds_volumes()
                && other.spec.id.environment == spec.id.environment
                && other.spec.system() == spec.system()
                && other.spec.id.component == spec.id.component
                && (component.is_exclusive() || other.spec.component.is_exclusive())
        });
        match rival {
            None => Ok(()),
            Some(rival) => Err(DriverError::Refused(format!(
                "`{}` has a volume that only one instance may have, and `{}` has it: stop that one first",
                spec.id, rival.spec.id
            ))),
        }
    }

    /// Whether a peer's address was given to an instance of that component, in the same environment and version (a
    /// release is approved as a whole), or is the edge's, which stands in for some.
    fn is_of_peer(&self, spec: &InstanceSpec, variable: &str, address: &SocketAddr) -> bool {
        let is_edge = address.ip() == IpAddr::V4(edge_address(self.config.fabric));
        is_edge
            || self.records.values().any(|other| {
                let id = &other.spec.id;
                self.address(other) == *address
                    && peer_variable(&id.component) == variable
                    && id.environment == spec.id.environment
                    && id.serial == spec.id.serial
            })
    }

    /// Gives it an address and a user, and writes both down.
    fn reserve(&mut self, spec: &InstanceSpec) -> Result<Record, DriverError> {
        let mut given = self.given.clone();
        let zone = given.zone(spec)?;
        let used: BTreeSet<u8> = self.records.values().filter(|r| r.slot.zone == zone).map(|r| r.slot.host).collect();
        let host = given.host(zone, &used)?;
        let uid = given.user(spec, self.config.first_uid)?;
        self.files.write_given(&given)?;
        self.given = given;
        let slot = super::fabric::Slot { zone, host };
        let record = Record { spec: spec.clone(), slot, uid, phase: Phase::Preparing };
        self.put(record.clone())?;
        Ok(record)
    }

    fn bring_up(&mut self, mut record: Record) -> Result<(), DriverError> {
        let id = record.spec.id.clone();
        let folder = self.files.folder(&id);
        let root = folder.join("root");
        let (seal, image) = self.root_of(&record)?;
        self.roots.mount(&self.config.tools, &seal, &root)?;
        let secrets = self.secrets_of(&record)?;
        let values = self.values_of(&record)?;
        let volumes = self.volumes.ensure(&record.spec, record.uid)?;
        self.fabric.ensure(&self.given.zones())?;
        let network = self.fabric.attach(record.slot)?;
        self.apply_flows()?;
        let cgroup = self.cgroup(&id);
        let places = bundle::Places {
            root: &root,
            network: &network,
            cgroup: &cgroup,
            uid: record.uid,
            secrets: secrets.as_deref(),
            values: values.as_deref(),
            volumes: volumes.iter().map(|(inside, outside)| (*inside, outside.as_path())).collect(),
            open_files: getrlimit(Resource::RLIMIT_NOFILE)
                .doing(|| "the limit of open files can not be read".to_owned())?
                .1,
            counts_swap: self.hierarchy.counts_swap(),
        };
        let text = serde_json::to_vec(&bundle::spec(&record.spec, &image, &places)?)
            .doing(|| "the bundle can not be written".to_owned())?;
        durable::write(&folder.join("config.json"), &text, 0o600)
            .doing(|| "the bundle can not be written".to_owned())?;

        let waiting = shim::prepare(&self.config.tools, &folder, &self.engine(), &id.to_string())?;
        let shim = waiting.process.clone();
        if let Err(error) = self.hierarchy.set_apart(&self.cgroup_of_shims(), shim.pid()) {
            tracing::warn!(instance = %id, %error, "it does not outlive the service that it is started from");
        }
        record.phase = Phase::Launching { shim: shim.clone() };
        self.put(record.clone())?;
        let mut child = waiting.go().doing(|| format!("`{id}` can not be started"))?;
        let init = self.launched(&record, &mut child);
        self.children.push(child);
        let init = init?;
        self.hierarchy.tighten(&cgroup).doing(|| format!("the limits of `{id}` can not be set"))?;
        let running = self.looked_at(&record, seal, shim, init)?;
        record.phase = Phase::Running(Box::new(running));
        self.put(record)?;
        self.watch(&id)
    }

    fn root_of(&self, record: &Record) -> Result<(Seal, image::Image), DriverError> {
        let manifest = record.spec.component.image;
        let image = image::read(&self.blobs, manifest)
            .doing(|| format!("the image of `{}` can not be used", record.spec.id))?;
        let mut points: Vec<&str> = record.spec.component.volumes.iter().map(|volume| volume.path.as_str()).collect();
        if !record.spec.values.is_empty() {
            points.push(VALUES_PATH);
        }
        points.sort_unstable();
        let seal = self.roots.ensure(&self.config.tools, &self.blobs, &image, manifest, &points)?;
        Ok((seal, image))
    }

    fn secrets_of(&self, record: &Record) -> Result<Option<PathBuf>, DriverError> {
        if record.spec.component.secrets.is_empty() {
            return Ok(None);
        }
        let target = self.files.folder(&record.spec.id).join("secrets");
        secrets::provide(&self.config.secrets_dir, record.spec.component.secrets.values(), &target, record.uid)?;
        Ok(Some(target))
    }

    /// Guarded values in memory, each a file. Whether they are those that were approved was checked before.
    fn values_of(&self, record: &Record) -> Result<Option<PathBuf>, DriverError> {
        if record.spec.values.is_empty() {
            return Ok(None);
        }
        let target = self.files.folder(&record.spec.id).join("values");
        let files = record.spec.values.iter().map(|v| Ok((v.name.as_str(), v.text.clone().into_bytes())));
        memory::provide("guarded values", files, &target, record.uid)?;
        Ok(Some(target))
    }

    /// Waits for runc; `None` if the component has ended already.
    fn launched(&self, record: &Record, child: &mut Child) -> Result<Option<ProcessId>, DriverError> {
        let id = &record.spec.id;
        let (folder, what) = (self.files.folder(id), || format!("`{id}` can not be started"));
        let begun = Instant::now();
        loop {
            if let Some(pid) = shim::pid(&folder) {
                return ProcessId::of(pid).doing(what);
            }
            let ended = child.try_wait().doing(what)?.is_some();
            // Looked at again after the end: the last thing that runc does before it may be to write the pid.
            if (ended || shim::exit_code(&folder).is_some()) && shim::pid(&folder).is_none() {
                return Err(failed(what(), format!("runc says: {}", shim::last_words(&folder))));
            }
            if begun.elapsed() > LAUNCH_TIMEOUT {
                return Err(failed(what(), format!("runc was not done after {} s", LAUNCH_TIMEOUT.as_secs())));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until the component's own program runs, and checks all that was asked of it.
    fn looked_at(
        &self,
        record: &Record,
        seal: Seal,
        shim: ProcessId,
        init: Option<ProcessId>,
    ) -> Result<Running, DriverError> {
        let id = &record.spec.id;
        let what = || format!("`{id}` could not be checked");
        let root = self.files.folder(id).join("root");
        let root_device = fs::metadata(&root).doing(what)?.st_dev();
        let mut running = Running {
            since: self.config.clock.now(),
            well_since: None,
            seal,
            shim,
            init,
            namespaces: Default::default(),
            root_device,
        };
        let Some(init) = running.init.clone() else { return Ok(running) };
        let begun = Instant::now();
        while !check::has_begun(&init, root_device).doing(what)? {
            if !init.runs().doing(what)? {
                return Ok(running);
            }
            if begun.elapsed() > BEGIN_TIMEOUT {
                return Err(failed(what(), format!("its program did not begin within {} s", BEGIN_TIMEOUT.as_secs())));
            }
            thread::sleep(POLL);
        }
        match check::namespaces(&init) {
            Ok(found) => running.namespaces = found,
            Err(_) if !init.runs().doing(what)? => return Ok(running),
            Err(error) => return Err(error).doing(what),
        }
        let network = namespace::path(&self.fabric.instance_name(record.slot));
        match check::check(&self.hierarchy, &self.cgroup(id), record, &running, &network).doing(what)? {
            Finding::Sound | Finding::Gone => Ok(running),
            Finding::Differs(why) => Err(failed(format!("`{id}` does not run as asked"), why)),
        }
    }

    /// The address of an instance.
    pub(super) fn address(&self, record: &Record) -> SocketAddr {
        SocketAddr::from((self.fabric.address(record.slot), record.spec.component.port))
    }
}
