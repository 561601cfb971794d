//! Stopping and deleting an instance, and taking away what a crash left of one.
//!
//! Deleting writes `deleting` first and removes the record last, so that a crash in between is finished by the
//! next opening. Nothing that is gone already is an error.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use rollout::instance::InstanceId;

use super::{
    Local,
    command::{self, COMMAND_TIMEOUT},
    memory,
    process::{ProcessId, is_gone},
    record::{Phase, Record, Running},
    root::unmount,
    shim,
};
use crate::{
    driver::{Doing as _, DriverError},
    durable,
};

/// From the end of the container to the exit code on disk: one write of the shim, on a busy host.
const EXIT_CODE_TIMEOUT: Duration = Duration::from_secs(3);
/// What is told of an end that nobody saw: as a shell says of a status that it can not tell.
const UNKNOWN_CODE: i32 = 255;
const POLL: Duration = Duration::from_millis(2);
/// Logs of deleted instances that are kept: of the last versions of a system of some components.
const LOGS_LIMIT: usize = 64;

impl Local {
    /// Asks it to end, and ends it after its time.
    pub(super) fn stop(&mut self, id: &InstanceId) -> Result<(), DriverError> {
        let Some(record) = self.records.get(id).cloned() else { return Ok(()) };
        let running = match &record.phase {
            Phase::Running(running) => running.clone(),
            Phase::Ended { .. } => return Ok(()),
            Phase::Preparing | Phase::Launching { .. } | Phase::Deleting => return self.take_away(id),
        };
        let what = || format!("`{id}` can not be stopped");
        self.watches.remove(id);
        if let Some(init) = &running.init {
            let limit = Duration::from_millis(record.spec.component.limits.stop_timeout_ms.into());
            let asked = Instant::now();
            // The first process of a pid namespace is not ended by a signal that it has no handler for, where any
            // other would be: there is nothing to wait for then.
            if mind_it(init).doing(what)? {
                init.signal(Signal::SIGTERM).doing(what)?;
                while init.runs().doing(what)? && asked.elapsed() < limit {
                    thread::sleep(POLL);
                }
            }
            if init.runs().doing(what)? {
                tracing::info!(instance = %id, "does not end when asked; ending it");
                // The first process takes all others of its pid namespace with it.
                init.signal(Signal::SIGKILL).doing(what)?;
            }
        }
        self.hierarchy.kill(&self.cgroup(id)).doing(what)?;
        self.ended(&record, &running)
    }

    /// Writes down how it ended.
    pub(super) fn ended(&mut self, record: &Record, running: &Running) -> Result<(), DriverError> {
        let id = &record.spec.id;
        let what = || format!("the end of `{id}` can not be read");
        let folder = self.files.folder(id);
        let waited = Instant::now();
        while shim::exit_code(&folder).is_none()
            && running.shim.runs().doing(what)?
            && waited.elapsed() < EXIT_CODE_TIMEOUT
        {
            thread::sleep(POLL);
        }
        let code = shim::exit_code(&folder).unwrap_or(UNKNOWN_CODE);
        let out_of_memory = code != 0 && self.hierarchy.out_of_memory(&self.cgroup(id)).doing(what)?;
        self.watches.remove(id);
        let mut record = record.clone();
        record.phase =
            Phase::Ended { seal: Box::new(running.seal.clone()), at: self.config.clock.now(), code, out_of_memory };
        self.put(record)
    }

    /// Removes an instance that has ended.
    pub(super) fn delete(&mut self, id: &InstanceId) -> Result<(), DriverError> {
        let Some(record) = self.records.get(id).cloned() else { return Ok(()) };
        if let Phase::Running(running) = &record.phase {
            if let Some(init) = &running.init
                && init.runs().doing(|| format!("`{id}` can not be deleted"))?
            {
                return Err(DriverError::Refused(format!("`{id}` runs: stop it before it is deleted")));
            }
            self.ended(&record, running)?;
        }
        self.take_away(id)?;
        self.tidy();
        Ok(())
    }

    /// Ends and removes everything that may be there of an instance, in whatever state.
    pub(super) fn take_away(&mut self, id: &InstanceId) -> Result<(), DriverError> {
        let Some(mut record) = self.records.get(id).cloned() else { return Ok(()) };
        let what = || format!("`{id}` can not be removed");
        self.watches.remove(id);
        match &record.phase {
            // Its group first: after that nobody can start anything more.
            Phase::Launching { shim } => shim.kill_group().doing(what)?,
            Phase::Running(running) => {
                if let Some(init) = &running.init {
                    init.signal(Signal::SIGKILL).doing(what)?;
                }
                self.hierarchy.kill(&self.cgroup(id)).doing(what)?;
                running.shim.kill_group().doing(what)?;
            }
            Phase::Preparing | Phase::Ended { .. } | Phase::Deleting => {}
        }
        if record.phase != Phase::Deleting {
            record.phase = Phase::Deleting;
            // A full disk must not keep what fills it; without this mark a crash leaves an instance that has
            // ended, which is deleted the same way.
            if let Err(error) = self.put(record.clone()) {
                tracing::warn!(instance = %id, error = %error.chain(), "its deletion is not written down");
                self.records.insert(id.clone(), record.clone());
            }
        }
        let cgroup = self.cgroup(id);
        self.hierarchy.kill(&cgroup).doing(what)?;
        let engine = self.engine();
        if engine.join(id.to_string()).exists() {
            let name = id.to_string();
            let arguments =
                ["--root".as_ref(), engine.as_os_str(), "delete".as_ref(), "--force".as_ref(), name.as_ref()];
            command::run(&self.config.tools.runc, &arguments, b"", COMMAND_TIMEOUT)?;
        }
        self.hierarchy.remove(&cgroup).doing(what)?;
        let folder = self.files.folder(id);
        for files in ["secrets", "values"] {
            memory::withdraw(&folder.join(files))?;
        }
        unmount(&folder.join("root")).doing(what)?;
        self.fabric.detach(record.slot)?;
        self.keep_log(id).doing(what)?;
        self.files.remove(id).doing(what)?;
        self.records.remove(id);
        self.apply_flows()
    }

    /// The log outlives the instance for some time: it tells why a version was rolled back.
    fn keep_log(&self, id: &InstanceId) -> io::Result<()> {
        let log = self.files.folder(id).join("log");
        if !log.exists() {
            return Ok(());
        }
        let kept = self.config.state_dir.join("logs");
        durable::make_dir(&kept)?;
        durable::replace(&log, &kept.join(format!("{id}.log")))?;
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&kept)? {
            let entry = entry?;
            all.push((entry.metadata()?.modified()?, entry.path()));
        }
        all.sort_unstable();
        let surplus = all.len().saturating_sub(LOGS_LIMIT);
        all.into_iter().take(surplus).try_for_each(|(_, path)| durable::remove(&path))
    }

    fn tidy(&self) {
        let used = |key| {
            self.records.values().any(|record| match &record.phase {
                Phase::Running(running) => running.seal.key == key,
                Phase::Ended { seal, .. } => seal.key == key,
                _ => false,
            })
        };
        if let Err(error) = self.roots.tidy(used) {
            tracing::warn!(%error, "old roots are removed later");
        }
    }
}

/// Whether it will do something of its own when it is asked to end.
fn mind_it(init: &ProcessId) -> io::Result<bool> {
    match init.minds(Signal::SIGTERM) {
        Err(error) if is_gone(&error) => Ok(false),
        found => found,
    }
}
