//! Requests of clients on a simulated host: from a public listener of the edge through the components and back.
//!
//! Each goes from an instance to its first peer, and so on; the last one writes. The edge passes an instance over that
//! does not take the connection, holds what a table says to hold, and counts what goes through it.

use std::net::{Ipv4Addr, SocketAddr};

use model::{
    Serial,
    route::{RouteState, VersionCounts},
};
use rollout::instance::InstanceId;

use super::{TICK_MS, Violation, World};

/// How long an instance takes to answer.
const SERVICE_MS: u64 = 2 * TICK_MS;

/// One request of a client, on its way.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    /// Instances that it is in flight on, outermost first, each with the component and version that the edge counts
    /// it for, if it came there through the edge.
    pub(super) on: Vec<(InstanceId, bool)>,
    pub(super) stage: Travel,
}

#[derive(Clone, Debug)]
pub(super) enum Travel {
    /// Waits at the edge, for an instance of this component, since then.
    Held { at: SocketAddr, since_ms: u64 },
    /// Being served until then.
    Served { until_ms: u64 },
}

impl World {
    pub(super) fn arrive(&mut self) {
        for listen in self.public() {
            for _ in 0..self.traffic {
                let number = self.next_request;
                self.next_request += 1;
                self.enter(Request {
                    number,
                    on: Vec::new(),
                    stage: Travel::Held { at: listen, since_ms: self.now_ms },
                });
            }
        }
    }

    /// A request at a listener of the edge: waits, fails, or goes to an instance and from there to its peer.
    fn enter(&mut self, mut request: Request) {
        let Travel::Held { at, since_ms } = request.stage else { return };
        let Some(route) = self.table.routes.iter().find(|r| r.listen == at).cloned() else {
            return self.fail(&request, &format!("nobody listens at {at}"));
        };
        match route.state {
            RouteState::Closed => self.fail(&request, &format!("{at} is closed")),
            RouteState::Hold { limit_ms } if self.now_ms > since_ms + u64::from(limit_ms) => {
                self.fail(&request, &format!("held at {at} for too long"));
            }
            RouteState::Hold { .. } => self.requests.push(request),
            RouteState::Open => {
                let turn = usize::try_from(request.number).unwrap_or(0);
                let chosen = route.split.as_ref().map(|split| self.division.version(split, request.number));
                // An instance that does not take the connection is passed over, as a real edge does; and the other version
                // takes what the chosen one can not.
                let alive = |of: &dyn Fn(&Serial) -> bool| -> Vec<InstanceId> {
                    let open = route.backends.iter().filter(|b| b.weight > 0 && of(&b.serial));
                    open.flat_map(|b| &b.instances)
                        .filter_map(|a| self.containers.values().find(|c| c.address == *a && c.ended.is_none()))
                        .map(|c| c.spec.id.clone())
                        .collect()
                };
                let mut alive_ones = alive(&|serial| chosen.as_ref().is_none_or(|chosen| chosen == serial));
                if alive_ones.is_empty() {
                    alive_ones = alive(&|_| true);
                }
                let alive = alive_ones;
                let Some(id) = alive.get(turn % alive.len().max(1)).cloned() else {
                    return self.fail(&request, &format!("nobody behind {at}"));
                };
                self.count(&id, |c| c.in_flight += 1);
                request.on.push((id.clone(), true));
                self.visit(request, &id);
            }
        }
    }

    /// A request on an instance: goes on to its first peer, or is served here.
    fn visit(&mut self, mut request: Request, id: &InstanceId) {
        let peer = self.containers.get(id).and_then(|c| c.spec.peers.values().next().and_then(|a| a.first()).copied());
        let Some(peer) = peer else {
            request.stage = Travel::Served { until_ms: self.now_ms + SERVICE_MS };
            return self.requests.push(request);
        };
        if peer.ip() == Ipv4Addr::new(10, 9, 255, 1) {
            request.stage = Travel::Held { at: peer, since_ms: self.now_ms };
            return self.enter(request);
        }
        let next = self.containers.values().find(|c| c.address == peer && c.ended.is_none()).map(|c| c.spec.id.clone());
        match next {
            Some(next) => {
                request.on.push((next.clone(), false));
                self.visit(request, &next);
            }
            None => self.fail(&request, &format!("{peer} does not answer {id}")),
        }
    }

    pub(super) fn travel(&mut self, request: Request) {
        let dead = request.on.iter().find(|(id, _)| self.containers.get(id).is_none_or(|c| c.ended.is_some()));
        if let Some((id, _)) = dead {
            let why = format!("{id} ended under it");
            return self.fail(&request, &why);
        }
        match request.stage {
            Travel::Held { .. } => self.enter(request),
            Travel::Served { until_ms } if self.now_ms < until_ms => self.requests.push(request),
            Travel::Served { .. } => self.answer(&request),
        }
    }

    fn answer(&mut self, request: &Request) {
        let errs = request.on.iter().rposition(|(id, _)| {
            let bp = self.behaviour(id).error_bp;
            bp > 0 && request.number.wrapping_mul(7_919) % 10_000 < bp
        });
        if let Some(innermost) = errs {
            return self.finish(request, Some(innermost));
        }
        if let Some((id, _)) = request.on.last()
            && self.containers.get(id).is_some_and(|c| c.spec.component.is_exclusive())
        {
            let component = id.component.clone();
            self.volumes.entry(component.clone()).or_default().writes.insert(request.number);
            self.acknowledged.entry(component).or_default().insert(request.number);
        }
        self.finish(request, None);
    }

    fn fail(&mut self, request: &Request, why: &str) {
        let faulty = request.on.iter().any(|(id, _)| self.is_faulty(id));
        if !faulty && !self.excused {
            self.violations.insert(Violation::Dropped(why.to_owned()));
        }
        self.finish(request, Some(usize::MAX));
    }

    /// `error` is the innermost instance that answers with one; all those outside of it pass it on.
    fn finish(&mut self, request: &Request, error: Option<usize>) {
        if let Some((id, true)) = request.on.first() {
            self.division.finish(&id.component, &id.serial, request.number, error.is_some());
        }
        for (n, (id, by_edge)) in request.on.iter().enumerate() {
            if *by_edge {
                self.count(id, |c| {
                    c.in_flight = c.in_flight.saturating_sub(1);
                    c.requests += 1;
                    c.errors += u64::from(error.is_some_and(|innermost| n <= innermost));
                });
            }
        }
    }

    fn count(&mut self, id: &InstanceId, change: impl FnOnce(&mut VersionCounts)) {
        let row = self.counts.entry((id.component.clone(), id.serial.clone())).or_insert_with(|| VersionCounts {
            component: id.component.clone(),
            serial: id.serial.clone(),
            requests: 0,
            errors: 0,
            in_flight: 0,
            clients: 0,
            held: 0,
            latency_us: Vec::new(),
            quantiles_us: Vec::new(),
        });
        change(row);
    }
}
