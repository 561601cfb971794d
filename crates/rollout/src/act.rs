//! The steps that belong to a state, and what it waits for.
//!
//! Invariant `steps-stand-alone`: each step of one plan may be done now, in any order with the others, twice, or not at
//! all. What must come after something else is not in the plan until that is seen.

use model::{ComponentName, Digest, Timestamp, release::Component};

use crate::{
    advance::{beside, hand_over_drain_ms, remains, tally},
    beside::{self as others, Standing},
    drain::untold,
    instance::{InstanceId, ObservedInstance},
    intent::Version,
    milestone::Milestone,
    order::{start_order, targets},
    plan::{Grounds, Planned, describe},
    progress::{Back, Ended, Forward, HandBack, HandOver, Progress, Restarts, State},
    reason::Wait,
    refuse::is_irreversible,
    routes::{in_force, is_handed_over, table},
    scene::{Look, Scene, deadline, has_ended},
    step::Step,
};

/// An instance that ran this long is well again; its ends before no longer count.
const RESTARTS_FORGOTTEN_S: u64 = 600;
/// The longest pause before an instance that keeps ending is started again.
const RESTART_PAUSE_LIMIT_S: u64 = 60;
/// Health checks fail for moments under load; an instance is replaced only if it stays unwell for longer.
const RECOVER_MS: u64 = 10_000;

/// The version that is kept running in a state, whatever else happens, but for some components.
struct Kept<'a> {
    version: &'a Version,
    but: Vec<&'a ComponentName>,
    grounds: Grounds,
}

fn kept(state: &State) -> Option<Kept<'_>> {
    let keep = |version, but, grounds| Some(Kept { version, but, grounds });
    match state {
        State::Idle { current, .. } => keep(current.as_deref()?, Vec::new(), Grounds::Keeping),
        State::Stuck { transition, .. } => keep(&transition.to, Vec::new(), Grounds::Keeping),
        State::Forward { transition, stage } => match stage {
            Forward::StartingNew => keep(transition.from.as_ref()?, Vec::new(), Grounds::Keeping),
            Forward::HandingOver { handed, component, .. } => {
                keep(transition.from.as_ref()?, handed.iter().chain([component]).collect(), Grounds::Keeping)
            }
            Forward::Switching { .. } | Forward::Comparing { .. } | Forward::Watching { .. } => {
                let handed = transition.to.release.components.iter().filter(|c| is_handed_over(transition, c));
                keep(transition.from.as_ref()?, handed.map(|c| &c.name).collect(), Grounds::Keeping)
            }
            Forward::Draining { .. } | Forward::Retiring { .. } => keep(&transition.to, Vec::new(), Grounds::Keeping),
        },
        State::Back { transition, stage, .. } => {
            let but = match stage {
                Back::Routing { returns } => returns.iter().map(|r| &r.component).collect(),
                Back::HandingBack { rest, stage: HandBack::Starting, .. } => {
                    rest.iter().map(|r| &r.component).collect()
                }
                Back::HandingBack { current, rest, .. } => rest.iter().chain([current]).map(|r| &r.component).collect(),
                Back::Draining { .. } | Back::Removing => Vec::new(),
            };
            keep(transition.from.as_ref()?, but, Grounds::Back)
        }
    }
}

/// The same with the versions beside the latest one.
fn all_kept(progress: &Progress) -> Vec<Kept<'_>> {
    let runs = progress.beside.iter().filter(|b| matches!(b.standing, Standing::Runs | Standing::Closing { .. }));
    let beside = runs.map(|b| Kept { version: &b.version, but: Vec::new(), grounds: Grounds::Keeping });
    kept(&progress.state).into_iter().chain(beside).collect()
}

/// Counts the ends of instances that are kept running, so that one that keeps ending is started less and less often.
pub(crate) fn count_ends(scene: &Scene<'_>, progress: &mut Progress) {
    let (mut counted, mut notes) = (Vec::new(), Vec::new());
    let noted = matches!(progress.state, State::Idle { .. } | State::Stuck { .. });
    for Kept { version, but, .. } in all_kept(progress) {
        for component in version.release.components.iter().filter(|c| !but.contains(&&c.name)) {
            for id in scene.ids(version, component) {
                let before = progress.restarts.iter().find(|r| r.instance == id).cloned();
                let after = match scene.look(version, component, &id) {
                    Look::Exited { at, .. } if before.as_ref().is_none_or(|r| r.ended != at) => {
                        let times = before.map_or(1, |r| r.times.saturating_add(1));
                        if noted {
                            notes.push(Milestone::Restarted { instance: id.clone(), times });
                        }
                        Some(Restarts { instance: id, times, ended: at, again: scene.now.plus_s(pause_s(times)) })
                    }
                    Look::Healthy { since } if scene.now.since_s(since) > RESTARTS_FORGOTTEN_S => None,
                    _ => before,
                };
                counted.extend(after);
            }
        }
    }
    progress.restarts = counted;
    notes.into_iter().for_each(|note| progress.outbox.note(note));
}

/// The first time at once, then 1, 2, 4 … seconds.
fn pause_s(times: u32) -> u64 {
    match times {
        0 | 1 => 0,
        n => 1_u64.checked_shl(n - 2).unwrap_or(RESTART_PAUSE_LIMIT_S).min(RESTART_PAUSE_LIMIT_S),
    }
}

/// The steps of a state and what it waits for.
pub(crate) fn act(scene: &Scene<'_>, progress: &Progress) -> (Vec<Planned>, Vec<Wait>) {
    let mut to_do = ToDo { scene, progress, steps: Vec::new(), waits: Vec::new() };
    to_do.routes();
    for kept in all_kept(progress) {
        to_do.keep(&kept);
    }
    to_do.beside();
    match &progress.state {
        State::Idle { current: Some(current), .. } => {
            let serial = current.serial();
            to_do.sweep(Grounds::Stopping, current, |id| {
                id.serial != *serial && !others::is_beside(progress, &id.serial)
            });
        }
        State::Idle { current: None, last, .. } => to_do.unreleased(last.as_ref()),
        State::Stuck { why, way_out, .. } => {
            to_do.waits.push(Wait::Person { why: why.clone(), way_out: way_out.clone() });
        }
        State::Forward { transition, stage } => match stage {
            Forward::StartingNew => to_do.grow(&transition.to, &beside(transition).collect::<Vec<_>>()),
            Forward::HandingOver { component, stage, .. } => {
                let (Some(from), Some(new)) = (&transition.from, transition.to.release.component(component)) else {
                    return to_do.done();
                };
                match stage {
                    HandOver::Holding => {}
                    HandOver::Draining { since } => {
                        to_do.in_flight(from, Some(component), *since, hand_over_drain_ms(scene, &transition.to));
                    }
                    HandOver::Stopping { .. } => to_do.stop_writers(component, Grounds::Forward, &transition.to),
                    HandOver::Saving { .. } => {
                        let before = transition.to.serial().clone();
                        let environment = scene.place().environment.clone();
                        let step = Step::SaveRestorePoint { environment, component: component.clone(), before };
                        to_do.wait_for(
                            step,
                            Wait::RestorePoint { component: component.clone() },
                            Grounds::Forward,
                            &transition.to,
                        );
                    }
                    HandOver::Starting => to_do.grow(&transition.to, &[new]),
                }
            }
            Forward::Switching { .. } => {}
            Forward::Comparing { phase, .. } => {
                if let Some(comparison) = &transition.comparison {
                    let serial = transition.to.serial().clone();
                    let share = comparison.share(*phase);
                    to_do.waits.extend(comparison.hold_wait(scene, transition));
                    to_do.waits.push(Wait::Comparing { serial, share, words: comparison.waits() });
                }
            }
            Forward::Watching { since } => {
                let watch_s = transition.to.environment(&scene.place().environment).map_or(0, |e| e.watch_s);
                let until = deadline(*since, u64::from(watch_s) * 1_000);
                let serial = transition.to.serial().clone();
                to_do.waits.push(Wait::Watching { serial, until, tally: tally(scene, transition) });
            }
            Forward::Draining { since, .. } => {
                if let Some(from) = &transition.from {
                    to_do.in_flight(from, None, *since, drain_ms(scene, &transition.to));
                    to_do.tell(from.digest);
                }
            }
            Forward::Retiring { .. } => {
                to_do.sweep(Grounds::Forward, &transition.to, |id| !remains(progress, transition, &id.serial));
            }
        },
        State::Back { transition, stage, .. } => match stage {
            Back::Routing { .. } => {}
            Back::HandingBack { current, stage, .. } => match stage {
                HandBack::Holding | HandBack::Starting => {}
                HandBack::Draining { since } => {
                    let limit_ms = hand_over_drain_ms(scene, &transition.to);
                    to_do.in_flight(&transition.to, Some(&current.component), *since, limit_ms);
                }
                HandBack::Stopping => to_do.stop_version(&current.component, &transition.to),
                HandBack::Restoring => {
                    let (component, before) = (current.component.clone(), transition.to.serial().clone());
                    let wait = Wait::Restore { component: component.clone(), before: before.clone() };
                    let environment = scene.place().environment.clone();
                    to_do.wait_for(
                        Step::Restore { environment, component, before },
                        wait,
                        Grounds::Back,
                        &transition.to,
                    );
                }
            },
            Back::Draining { since } => {
                to_do.in_flight(&transition.to, None, *since, drain_ms(scene, &transition.to));
                to_do.tell(transition.to.digest);
            }
            Back::Removing => {
                let serial = transition.to.serial();
                let goes = transition.was_beside.is_none();
                to_do.sweep(Grounds::Stopping, &transition.to, |id| goes && id.serial == *serial);
            }
        },
    }
    to_do.done()
}

fn drain_ms(scene: &Scene<'_>, version: &Version) -> u64 {
    version.environment(&scene.place().environment).map_or(0, |e| u64::from(e.drain_s) * 1_000)
}

/// The list as it grows.
struct ToDo<'a> {
    scene: &'a Scene<'a>,
    progress: &'a Progress,
    steps: Vec<Planned>,
    waits: Vec<Wait>,
}

impl ToDo<'_> {
    fn done(self) -> (Vec<Planned>, Vec<Wait>) {
        (self.steps, self.waits)
    }

    fn add(&mut self, step: Step, wait: Wait, grounds: Grounds, release: Digest) {
        let name = describe(&step);
        if self.steps.iter().all(|p| describe(&p.step) != name) {
            self.steps.push(Planned { step, grounds, release });
            self.waits.push(wait);
        }
    }

    fn wait_for(&mut self, step: Step, wait: Wait, grounds: Grounds, version: &Version) {
        self.add(step, wait, grounds, version.digest);
    }

    fn is_routed(&self) -> bool {
        in_force(self.scene, self.progress)
    }

    /// The edge's table, if it does not have it.
    fn routes(&mut self) {
        let (issued, edge) = (&self.progress.issued, self.scene.edge);
        if (edge.generation, edge.revision) == (issued.generation, issued.revision) {
            return;
        }
        let Some(release) = route_release(&self.progress.state) else { return };
        let wait = Wait::Routes {
            generation: issued.generation,
            revision: issued.revision,
            has_generation: edge.generation,
            has_revision: edge.revision,
        };
        self.add(Step::Route(table(issued)), wait, self.route_grounds(), release);
    }

    /// Whether the table moves requests to the new version: holding them for it, opening to it, switching to it.
    fn route_grounds(&self) -> Grounds {
        match &self.progress.state {
            // Past an irreversible hand-over there is no way back, and requests wait: the switch that was begun is ended.
            State::Forward { stage: Forward::Switching { .. }, transition }
                if !self.scene.intent.leave.is_granted() && is_irreversible(transition) =>
            {
                Grounds::Upkeep
            }
            State::Forward { stage: Forward::HandingOver { .. } | Forward::Switching { .. }, .. } => Grounds::Forward,
            State::Back { .. } => Grounds::Back,
            _ => Grounds::Upkeep,
        }
    }

    /// Versions beside the latest one that come back, and what the others wait for.
    fn beside(&mut self) {
        for beside in &self.progress.beside {
            // Each start takes the verdict that it comes back by.
            if beside.standing == Standing::Returning && others::comes_back_by(self.scene, beside) {
                let all: Vec<&Component> = beside.version.release.components.iter().collect();
                self.grow(&beside.version, &all);
            }
        }
        self.waits.extend(others::waits(self.scene, self.progress));
    }

    fn start(&mut self, version: &Version, component: &Component, id: &InstanceId, grounds: Grounds) {
        // Invariant `one-writer`: this is the only place that starts anything.
        if component.is_exclusive() {
            let system = &self.progress.system;
            if let Some(other) = self.scene.writers(system, &component.name).find(|i| i.id != *id) {
                self.waits.push(Wait::OneWriter { instance: id.clone(), other: other.id.clone() });
                return;
            }
        }
        match self.scene.spec(version, component, id) {
            Ok(spec) => {
                self.wait_for(Step::Start(Box::new(spec)), Wait::Start { instance: id.clone() }, grounds, version)
            }
            Err(peer) => self.waits.push(Wait::Peer { component: component.name.clone(), peer }),
        }
    }

    /// Starts what is not there of these components, each when its targets are well.
    fn grow(&mut self, version: &Version, components: &[&Component]) {
        let order = start_order(&version.release).unwrap_or_else(|circle| circle);
        let place = |c: &Component| order.iter().position(|o| o.name == c.name);
        for component in order.iter().filter(|c| components.iter().any(|w| w.name == c.name)) {
            // Of targets that are started in the same go; the others run already.
            let missing = targets(&version.release, component).find(|t| {
                components.iter().any(|w| w.name == t.name)
                    && place(t) < place(component)
                    && !self.scene.is_healthy(version, t)
            });
            if let Some(peer) = missing {
                self.waits.push(Wait::Peer { component: component.name.clone(), peer: peer.name.clone() });
                continue;
            }
            for id in self.scene.ids(version, component) {
                match self.scene.look(version, component, &id) {
                    Look::Absent => self.start(version, component, &id, Grounds::Forward),
                    look => self.wait_healthy(component, id, &look),
                }
            }
        }
    }

    fn wait_healthy(&mut self, component: &Component, instance: InstanceId, look: &Look<'_>) {
        if let Look::Starting { since } = look {
            self.waits.push(Wait::Healthy { instance, since: *since, deadline_ms: component.health.deadline_ms });
        }
    }

    /// Keeps a version running: starts what is not there, replaces what ended, drifted, stays unwell or was told of
    /// peers that have moved. What it stops it also starts again, so all of it is on the same grounds.
    fn keep(&mut self, kept: &Kept<'_>) {
        let (version, grounds) = (kept.version, kept.grounds);
        let order = start_order(&version.release).unwrap_or_else(|circle| circle);
        for component in order.into_iter().filter(|c| !kept.but.contains(&&c.name)) {
            let mut replacing = self.scene.ids(version, component).any(|id| {
                matches!(
                    self.scene.look(version, component, &id),
                    Look::Absent | Look::Exited { .. } | Look::Starting { .. }
                )
            });
            for id in self.scene.ids(version, component) {
                match self.scene.look(version, component, &id) {
                    Look::Absent => self.start(version, component, &id, grounds),
                    Look::Exited { .. } => match self.progress.restarts.iter().find(|r| r.instance == id) {
                        Some(r) if self.scene.now < r.again => {
                            self.waits.push(Wait::Backoff { instance: id, times: r.times, at: r.again });
                        }
                        _ => self.add(Step::Delete(id.clone()), Wait::Delete { instance: id }, grounds, version.digest),
                    },
                    Look::Drifted { .. } if self.is_routed() => self.stop(&id, grounds, version),
                    // One at a time, and only if it does not recover: all at once are unwell when they are overloaded.
                    Look::Unhealthy { since, .. } if !replacing && self.scene.passed(since, RECOVER_MS) => {
                        replacing = true;
                        self.stop(&id, grounds, version);
                    }
                    Look::Healthy { .. } | Look::Unhealthy { .. }
                        if !replacing && self.is_routed() && self.scene.is_misled(version, component, &id) =>
                    {
                        replacing = true;
                        self.stop(&id, grounds, version);
                    }
                    Look::Unhealthy { why, .. } => {
                        let why = why.to_owned();
                        self.waits.push(Wait::Recover { instance: id, why });
                    }
                    look => self.wait_healthy(component, id, &look),
                }
            }
        }
    }

    fn stop(&mut self, id: &InstanceId, grounds: Grounds, version: &Version) {
        self.wait_for(Step::Stop(id.clone()), Wait::Stop { instance: id.clone() }, grounds, version);
    }

    fn stop_writers(&mut self, component: &ComponentName, grounds: Grounds, version: &Version) {
        for instance in self.scene.writers(&self.progress.system, component) {
            self.stop(&instance.id, grounds, version);
        }
    }

    fn stop_version(&mut self, component: &ComponentName, version: &Version) {
        for instance in
            self.scene.writers(&self.progress.system, component).filter(|i| i.id.serial == *version.serial())
        {
            self.stop(&instance.id, Grounds::Stopping, version);
        }
    }

    /// Stops and removes instances that nothing needs, once the edge sends them nothing.
    fn sweep(&mut self, grounds: Grounds, version: &Version, needless: impl Fn(&InstanceId) -> bool) {
        if !self.is_routed() {
            return;
        }
        for instance in self.scene.instances(&self.progress.system).filter(|i| needless(&i.id)) {
            self.clear(instance, grounds, version.digest);
        }
    }

    /// Nothing is released: what a failed first release left goes; anything else is left for a person to explain.
    fn unreleased(&mut self, last: Option<&Ended>) {
        for instance in self.scene.instances(&self.progress.system) {
            match last {
                Some(Ended::WentBack { serial, digest, .. }) if *serial == instance.id.serial => {
                    self.clear(instance, Grounds::Stopping, *digest);
                }
                _ => self.waits.push(Wait::Unexplained { instance: instance.id.clone() }),
            }
        }
    }

    fn clear(&mut self, instance: &ObservedInstance, grounds: Grounds, release: Digest) {
        let id = instance.id.clone();
        let (step, wait) = if has_ended(instance) {
            (Step::Delete(id.clone()), Wait::Delete { instance: id })
        } else {
            (Step::Stop(id.clone()), Wait::Stop { instance: id })
        };
        self.add(step, wait, grounds, release);
    }

    /// Tells those that drain, once the edge sends them nothing new.
    fn tell(&mut self, release: Digest) {
        if self.is_routed() {
            for instance in untold(self.scene, self.progress) {
                self.add(Step::Drain(instance.clone()), Wait::Drain { instance }, Grounds::Upkeep, release);
            }
        }
    }

    fn in_flight(&mut self, version: &Version, component: Option<&ComponentName>, since: Timestamp, limit_ms: u64) {
        let requests = self.scene.in_flight(version.serial(), component);
        if requests > 0 {
            let until = deadline(since, limit_ms);
            self.waits.push(Wait::InFlight { serial: version.serial().clone(), requests, until });
        }
    }
}

/// The release by whose leave the edge's table is.
fn route_release(state: &State) -> Option<Digest> {
    match state {
        State::Idle { current, .. } => current.as_deref().map(|v| v.digest),
        State::Forward { transition, .. } | State::Back { transition, .. } | State::Stuck { transition, .. } => {
            Some(transition.to.digest)
        }
    }
}
