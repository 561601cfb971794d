//! What the planner looks at: the intent, what is seen, and the time. Questions about it are answered here, so that
//! the planner reads like a list.

use std::net::{SocketAddr, SocketAddrV4};

use model::{
    ComponentName, Serial, SystemName, Timestamp,
    release::Component,
    route::{Clients, EdgeCounts, Route, Ticks},
};

use crate::{
    comparison::Sweep,
    instance::{InstanceId, InstanceSpec, InstanceState, Observed, ObservedInstance, edge_address, peer_variable},
    intent::{Intent, Place, Version},
    order::{is_behind_edge, targets},
    plan::Report,
    progress::Told,
    reason::BackReason,
};

/// Everything that one plan is made from, but for the progress.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) intent: &'a Intent,
    pub(crate) observed: &'a Observed,
    pub(crate) edge: &'a EdgeCounts,
    pub(crate) ticks: Option<&'a Ticks>,
    pub(crate) sweeps: &'a [Sweep],
    pub(crate) clients: Option<&'a Clients>,
    pub(crate) reports: &'a [Report],
    pub(crate) told: &'a [Told],
    /// The routes that the edge was last given.
    pub(crate) issued: &'a [Route],
    pub(crate) now: Timestamp,
}

/// How one wanted instance is seen.
pub(crate) enum Look<'a> {
    Absent,
    Starting { since: Timestamp },
    Healthy { since: Timestamp },
    Unhealthy { since: Timestamp, why: &'a str },
    Exited { at: Timestamp, code: i32, out_of_memory: bool },
    Drifted { what: &'a str },
}

impl Look<'_> {
    /// What is wrong with an instance that should be on its way or well.
    pub(crate) fn trouble(&self, instance: &InstanceId) -> Option<BackReason> {
        let instance = instance.clone();
        match *self {
            Self::Absent | Self::Starting { .. } | Self::Healthy { .. } => None,
            Self::Unhealthy { why, .. } => Some(BackReason::Unhealthy { instance, why: why.to_owned() }),
            Self::Exited { code, out_of_memory, .. } => Some(BackReason::Exited { instance, code, out_of_memory }),
            Self::Drifted { what } => Some(BackReason::Drifted { instance, what: what.to_owned() }),
        }
    }
}

impl<'a> Scene<'a> {
    pub(crate) const fn place(&self) -> &'a Place {
        &self.intent.place
    }

    /// All instances of a system here.
    pub(crate) fn instances(&self, system: &SystemName) -> impl Iterator<Item = &'a ObservedInstance> {
        let environment = &self.intent.place.environment;
        self.observed
            .instances
            .iter()
            .filter(move |i| i.id.environment == *environment && i.id.serial.system() == system)
    }

    /// Those of one component that have not ended, whatever the version.
    pub(crate) fn writers(
        &self,
        system: &SystemName,
        component: &ComponentName,
    ) -> impl Iterator<Item = &'a ObservedInstance> {
        self.instances(system).filter(move |i| i.id.component == *component && !has_ended(i))
    }

    /// The wanted instances of a component.
    pub(crate) fn ids(&self, version: &Version, component: &Component) -> impl Iterator<Item = InstanceId> {
        let id = |number| InstanceId {
            environment: self.intent.place.environment.clone(),
            serial: version.serial().clone(),
            component: component.name.clone(),
            number,
        };
        (1..=component.replicas).map(id)
    }

    fn find(&self, id: &InstanceId) -> Option<&'a ObservedInstance> {
        self.observed.instances.iter().find(|i| i.id == *id)
    }

    /// How a wanted instance is seen. One that was started for another release or from another image is drifted.
    pub(crate) fn look(&self, version: &Version, component: &Component, id: &InstanceId) -> Look<'a> {
        let Some(seen) = self.find(id) else { return Look::Absent };
        match &seen.state {
            InstanceState::Exited { at, code, out_of_memory } => {
                Look::Exited { at: *at, code: *code, out_of_memory: *out_of_memory }
            }
            InstanceState::Drifted { what } => Look::Drifted { what },
            _ if seen.release != version.digest => Look::Drifted { what: "it was started for another release" },
            _ if seen.image != component.image => Look::Drifted { what: "its root is another image" },
            InstanceState::Starting { since } => Look::Starting { since: *since },
            InstanceState::Healthy { since } => Look::Healthy { since: *since },
            InstanceState::Unhealthy { since, why } => Look::Unhealthy { since: *since, why },
        }
    }

    /// Whether all instances of a component are well.
    pub(crate) fn is_healthy(&self, version: &Version, component: &Component) -> bool {
        self.ids(version, component).all(|id| matches!(self.look(version, component, &id), Look::Healthy { .. }))
    }

    /// Whether a peer is no longer where the instance was told.
    pub(crate) fn is_misled(&self, version: &Version, component: &Component, id: &InstanceId) -> bool {
        let told = self.told.iter().find(|t| t.instance == *id);
        told.is_some_and(|told| self.spec(version, component, id).is_ok_and(|spec| spec.peers != told.peers))
    }

    /// Whether the edge already sends requests to an instance. One that is starting again in the eyes of an observer that
    /// itself started again is still well; a start gives every instance a new address.
    fn is_known_well(&self, id: &InstanceId) -> bool {
        let backends = || self.issued.iter().flat_map(|r| &r.backends).filter(|b| b.serial == id.serial);
        self.find(id).is_some_and(|i| backends().any(|b| b.instances.contains(&i.address)))
    }

    /// Where the edge can send requests for a component: to those that are well; if none is, to those that at least run
    /// and once were (a poor answer is better than none). Never to a drifted one, nor to one whose peers have moved.
    pub(crate) fn usable(&self, version: &Version, component: &Component) -> Vec<SocketAddr> {
        let of = |wanted: &dyn Fn(&InstanceId, &Look<'_>) -> bool| {
            let mut addresses: Vec<SocketAddr> = self
                .ids(version, component)
                .filter(|id| wanted(id, &self.look(version, component, id)) && !self.is_misled(version, component, id))
                .filter_map(|id| self.find(&id).map(|i| i.address))
                .collect();
            addresses.sort_unstable();
            addresses
        };
        let healthy = of(&|id, look| match look {
            Look::Healthy { .. } => true,
            Look::Starting { .. } => self.is_known_well(id),
            _ => false,
        });
        if healthy.is_empty() { of(&|_, look| matches!(look, Look::Unhealthy { .. })) } else { healthy }
    }

    /// What starting this instance needs, or the peer whose address is not known yet.
    pub(crate) fn spec(
        &self,
        version: &Version,
        component: &Component,
        id: &InstanceId,
    ) -> Result<InstanceSpec, ComponentName> {
        let mut peers = std::collections::BTreeMap::new();
        for target in targets(&version.release, component) {
            let addresses = if target.is_exclusive() {
                vec![self.edge_listener(target)]
            } else {
                // One that has ended is started again elsewhere.
                let running = |id| self.find(&id).filter(|i| !has_ended(i));
                let known: Vec<SocketAddr> = self.ids(version, target).filter_map(running).map(|i| i.address).collect();
                if known.len() < usize::try_from(target.replicas).unwrap_or(usize::MAX) {
                    return Err(target.name.clone());
                }
                known
            };
            peers.insert(peer_variable(&target.name), addresses);
        }
        Ok(InstanceSpec {
            id: id.clone(),
            release: version.digest,
            component: component.clone(),
            peers,
            from_edge: is_behind_edge(&version.release, component),
            // One that is missing is left out, and the executor refuses the start.
            values: version.values.iter().filter(|v| component.values.contains(&v.name)).cloned().collect(),
        })
    }

    /// Where the edge stands in for an exclusive component.
    pub(crate) fn edge_listener(&self, component: &Component) -> SocketAddr {
        SocketAddrV4::new(edge_address(self.intent.place.fabric), component.port).into()
    }

    /// Requests in flight on a version, or on one component of it.
    pub(crate) fn in_flight(&self, serial: &Serial, component: Option<&ComponentName>) -> u64 {
        let rows =
            self.edge.versions.iter().filter(|v| v.serial == *serial && component.is_none_or(|c| v.component == *c));
        rows.fold(0, |sum, v| sum.saturating_add(v.in_flight))
    }

    /// Whether at least this long has certainly passed. Timestamps are whole seconds, so the difference of two may be a
    /// second more than the truth; a limit that is not quite reached must not count as reached.
    pub(crate) const fn passed(&self, since: Timestamp, limit_ms: u64) -> bool {
        self.now.since_s(since).saturating_mul(1_000) > limit_ms
    }
}

/// Whether an instance has ended.
pub(crate) const fn has_ended(instance: &ObservedInstance) -> bool {
    matches!(instance.state, InstanceState::Exited { .. })
}

/// The moment by which [`Scene::passed`] will say so.
pub(crate) const fn deadline(since: Timestamp, limit_ms: u64) -> Timestamp {
    since.plus_s(limit_ms / 1_000 + 1)
}
