//! Observing: what each instance does now, whether it is still what was started, and all restore points.

use std::time::{Duration, Instant};

use rollout::instance::{InstanceId, InstanceState, Observed, ObservedInstance};

use super::{
    Local,
    check::{self, Finding},
    namespace,
    record::{Phase, Record, Running},
    root::{Seal, Stamp},
};
use crate::driver::{Doing as _, DriverError};

/// Roots are hashed again this often even if nothing seems to have touched them.
const HASH_INTERVAL: Duration = Duration::from_secs(600);

/// When a root was last hashed here, and its stamp then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashed {
    at: Instant,
    stamp: Stamp,
}

impl Local {
    pub(super) fn look(&mut self) -> Result<Observed, DriverError> {
        self.reap();
        let ids: Vec<InstanceId> = self.records.keys().cloned().collect();
        let mut instances = Vec::new();
        for id in ids {
            if let Some(seen) = self.look_at(&id)? {
                instances.push(seen);
            }
        }
        Ok(Observed { instances, restore_points: self.volumes.restore_points()? })
    }

    fn look_at(&mut self, id: &InstanceId) -> Result<Option<ObservedInstance>, DriverError> {
        let Some(record) = self.records.get(id).cloned() else { return Ok(None) };
        let state = match &record.phase {
            Phase::Running(running) => self.running_state(&record, running)?,
            Phase::Ended { at, code, out_of_memory, .. } => {
                InstanceState::Exited { at: *at, code: *code, out_of_memory: *out_of_memory }
            }
            // It could not be taken away when it was tried; the next step or opening tries again.
            Phase::Preparing | Phase::Launching { .. } | Phase::Deleting => {
                InstanceState::Drifted { what: "it was not started or deleted to the end".to_owned() }
            }
        };
        Ok(Some(ObservedInstance {
            id: id.clone(),
            release: record.spec.release,
            image: record.spec.component.image,
            address: self.address(&record),
            state,
        }))
    }

    fn running_state(&mut self, record: &Record, running: &Running) -> Result<InstanceState, DriverError> {
        let id = &record.spec.id;
        let what = || format!("`{id}` can not be looked at");
        let network = namespace::path(&self.fabric.instance_name(record.slot));
        match check::check(&self.hierarchy, &self.cgroup(id), record, running, &network).doing(what)? {
            Finding::Gone => {
                self.ended(record, running)?;
                let Some(Record { phase: Phase::Ended { at, code, out_of_memory, .. }, .. }) = self.records.get(id)
                else {
                    return Ok(InstanceState::Drifted { what: "its record is gone".to_owned() });
                };
                return Ok(InstanceState::Exited { at: *at, code: *code, out_of_memory: *out_of_memory });
            }
            Finding::Differs(what) => return Ok(InstanceState::Drifted { what }),
            Finding::Sound => {}
        }
        if let Err(error) = self.root_is_sound(&running.seal) {
            return Ok(InstanceState::Drifted { what: error.chain() });
        }
        let Some(watch) = self.watches.get(id) else {
            self.watch(id)?;
            return Ok(InstanceState::Starting { since: running.since });
        };
        let seen = watch.seen();
        if running.well_since.is_none() && seen.well_since.is_some() {
            let well = Running { well_since: seen.well_since, ..running.clone() };
            self.put(Record { phase: Phase::Running(Box::new(well)), ..record.clone() })?;
        }
        Ok(seen.state(running.since))
    }

    /// Hashes the root's file if anything touched it or some time has passed.
    fn root_is_sound(&mut self, seal: &Seal) -> Result<(), DriverError> {
        let last = self.hashed.get(&seal.key).copied();
        let due = last.is_none_or(|last| last.at.elapsed() > HASH_INTERVAL);
        let known = Seal { stamp: last.map_or(seal.stamp, |last| last.stamp), ..seal.clone() };
        let stamp = self.roots.check(&known, due)?;
        if due || stamp != known.stamp {
            self.hashed.insert(seal.key, Hashed { at: Instant::now(), stamp });
        }
        Ok(())
    }
}
