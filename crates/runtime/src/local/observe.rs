//! Observing: what each instance does now, whether it is still what was started, and all restore points.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

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

/// Denied flows are read this often at most: it starts a program.
const DENIED_INTERVAL: Duration = Duration::from_secs(5);

/// When denied flows were last told, and which.
pub(crate) type Told = (Option<Instant>, BTreeSet<(Ipv4Addr, SocketAddr, String)>);

/// When a root was last hashed here, and its stamp then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashed {
    at: Instant,
    stamp: Stamp,
}

impl Local {
    pub(super) fn look(&mut self) -> Result<Observed, DriverError> {
        self.reap();
        self.tell_denied();
        Ok(Observed { instances: self.look_at_all(), restore_points: self.volumes.restore_points()? })
    }

    /// Writes down who has ended by itself.
    pub(super) fn note_ends(&mut self) {
        self.look_at_all();
    }

    fn look_at_all(&mut self) -> Vec<ObservedInstance> {
        let ids: Vec<InstanceId> = self.records.keys().cloned().collect();
        ids.iter().filter_map(|id| self.look_at(id)).collect()
    }

    fn look_at(&mut self, id: &InstanceId) -> Option<ObservedInstance> {
        let record = self.records.get(id).cloned()?;
        let state = match &record.phase {
            // What can not be seen is not as it should be; the others are looked at all the same.
            Phase::Running(running) => self
                .running_state(&record, running)
                .unwrap_or_else(|error| InstanceState::Drifted { what: error.chain() }),
            Phase::Ended { at, code, out_of_memory, .. } => {
                InstanceState::Exited { at: *at, code: *code, out_of_memory: *out_of_memory }
            }
            // It could not be taken away when it was tried; the next step or opening tries again.
            Phase::Preparing | Phase::Launching { .. } | Phase::Deleting => {
                InstanceState::Drifted { what: "it was not started or deleted to the end".to_owned() }
            }
        };
        Some(ObservedInstance {
            id: id.clone(),
            release: record.spec.release,
            image: record.spec.component.image,
            address: self.address(&record),
            state,
        })
    }

    /// Logs flows that were denied since it was last asked.
    fn tell_denied(&mut self) {
        if self.told.0.is_some_and(|at| at.elapsed() < DENIED_INTERVAL) {
            return;
        }
        let (denied, now) = (self.denied(), Some(Instant::now()));
        match denied {
            Ok(denied) => {
                let flows: BTreeSet<_> =
                    denied.flows.into_iter().map(|flow| (flow.from, flow.to, flow.protocol)).collect();
                for (from, to, protocol) in flows.difference(&self.told.1) {
                    tracing::warn!(scope = %self.config.scope, %from, %to, protocol, "denied");
                }
                self.told = (now, flows);
            }
            Err(error) => {
                tracing::warn!(error = %error.chain(), "denied flows can not be read");
                self.told.0 = now;
            }
        }
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
