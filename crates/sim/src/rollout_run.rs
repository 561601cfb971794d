//! Runs rollouts on a simulated host, with the planner killed and steps failing where a test wants it.
//!
//! It does what an agent does: store the progress, then do the steps, then look and plan again.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use model::{
    ComponentName, Digest, Serial,
    release::{
        Component, Environment, Flow, Health, Limits, Migration, MigrationPhase, Origin, Release, Strategy, Volume,
    },
    route::Clients,
};
use rollout::{
    Intent, Leave, Outcome, Place, Plan, Progress, Report, Seen, Version,
    milestone::{Milestone, Numbered},
    plan,
    plan::describe,
    progress::{Ended, State},
};
use runtime::driver::Driver;

use crate::{
    driver::FakeDriver,
    speaking::Speakers,
    world::{TICK_MS, World},
};

/// Seconds that fixture releases are watched.
pub const WATCH_S: u32 = 3;

/// Where fixtures run: `production`, in the fabric 10.9.
pub fn place() -> Place {
    Place {
        environment: parsed("production"),
        fabric: [10, 9],
        certificates: "/certificates".to_owned(),
        tls: BTreeMap::new(),
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    #[expect(clippy::expect_used, reason = "only fixtures' own literals come here")]
    text.parse().expect("a fixture's literal")
}

/// A version of `paydesk`: a web front with two replicas, payments, and a ledger with an exclusive volume.
pub fn paydesk(ordinal: u64, migrations: &[(&str, bool)]) -> Version {
    let component = |name: &str, port: u16, replicas: u32| Component {
        name: parsed(name),
        image: Digest::of(format!("{name} {ordinal}").as_bytes()),
        command: vec![format!("/bin/{name}")],
        port,
        health: Health { path: Some("/health".to_owned()), interval_ms: 200, timeout_ms: 1_000, deadline_ms: 4_000 },
        zone: parsed(if name == "web" { "front" } else { "money" }),
        replicas,
        limits: Limits { memory_mib: 64, cpu_percent: 50, pids: 32, tmp_mib: 16, stop_timeout_ms: 2_000 },
        volumes: Vec::new(),
        migrations: Vec::new(),
        environment: BTreeMap::new(),
        secrets: BTreeMap::new(),
        values: Vec::new(),
        drain: None,
    };
    let mut ledger = component("ledger", 8082, 1);
    ledger.volumes = vec![Volume { name: parsed("data"), path: "/data".to_owned(), exclusive: true }];
    let migration = |(id, reversible): &(&str, bool)| Migration {
        id: (*id).to_owned(),
        phase: if *reversible { MigrationPhase::Expand } else { MigrationPhase::Contract },
        reversible: *reversible,
    };
    ledger.migrations = migrations.iter().map(migration).collect();
    let flow = |from: Origin, to: &str| Flow { from, to: parsed(to) };
    let release = Release {
        system: parsed("paydesk"),
        serial: Serial::new(parsed("paydesk"), ordinal),
        commit: parsed(&format!("{ordinal:040x}")),
        components: vec![ledger, component("payments", 8081, 1), component("web", 8080, 2)],
        flows: vec![
            flow(Origin::Edge, "web"),
            flow(Origin::Component(parsed("web")), "payments"),
            flow(Origin::Component(parsed("payments")), "ledger"),
        ],
        environments: vec![Environment {
            name: parsed("production"),
            strategy: Strategy::BlueGreen,
            expose: BTreeMap::from([(parsed::<ComponentName>("web"), ([127, 0, 0, 1], 8088).into())]),
            watch_s: WATCH_S,
            error_limit_bp: 100,
            error_min_requests: 10,
            drain_s: 3,
            hold_ms: 10_000,
            approvals: None,
            analysis: None,
            versions: None,
            tcp: std::collections::BTreeSet::new(),
            surge: std::collections::BTreeMap::new(),
            newer: model::release::Newer::Usual,
        }],
    };
    version(release, ordinal * 10)
}

/// A release with its digest.
pub fn version(release: Release, generation: u64) -> Version {
    #[expect(clippy::expect_used, reason = "fixtures have no maps with keys that JSON can not have")]
    Version::new(release, generation).expect("a fixture's digest")
}

/// The wish that `target` replaces `from`.
pub fn intent(target: &Version, from: Option<&Version>) -> Intent {
    Intent {
        place: place(),
        target: target.clone(),
        replaces: from.map(|v| v.digest),
        leave: Leave::Granted,
        trouble: None,
        back: None,
        retire: Vec::new(),
        withdrawn: false,
    }
}

/// Where the planner is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// After planning, before its progress is stored.
    BeforeStored,
    /// After its progress is stored, before any step.
    AfterStored,
    /// After the first step, before its report is used.
    AfterStep,
}

/// All of them.
pub const KILLS: [Kill; 3] = [Kill::BeforeStored, Kill::AfterStored, Kill::AfterStep];

/// An agent on a simulated host.
#[derive(Debug)]
pub struct Run {
    /// The host.
    pub world: Rc<RefCell<World>>,
    /// What does the steps.
    pub driver: FakeDriver,
    /// What the agent has in memory.
    progress: Progress,
    /// What is on its disk.
    stored: Vec<u8>,
    reports: Vec<Report>,
    rounds: u64,
    /// Rounds in which there was something to do or to store; the points at which a kill matters.
    pub busy: u64,
    /// The busy round in which it is killed, and where.
    pub kill: Option<(u64, Kill)>,
    /// What components say of themselves.
    pub speakers: Speakers,
    /// What the edge says of clients; none if it does not answer.
    pub clients: Option<Clients>,
    /// What the log has, each once.
    said: Vec<Numbered>,
    /// Ends of rollouts that could not be said, because the progress does not name their version any more.
    unsaid: Vec<Milestone>,
    /// What happened, for people.
    pub story: Vec<String>,
    /// Whether to write the story; thousands of runs that go well need none.
    pub telling: bool,
}

impl Run {
    /// An agent on an empty host.
    pub fn new() -> Self {
        let place = place();
        Self::with(Progress::nothing(place.environment, parsed("paydesk")))
    }

    fn with(progress: Progress) -> Self {
        let world = Rc::new(RefCell::new(World::new(WATCH_S)));
        let driver = FakeDriver::new(Rc::clone(&world));
        Self {
            world,
            driver,
            stored: bytes(&progress),
            progress,
            reports: Vec::new(),
            rounds: 0,
            busy: 0,
            kill: None,
            speakers: Speakers::default(),
            clients: None,
            said: Vec::new(),
            unsaid: Vec::new(),
            story: Vec::new(),
            telling: true,
        }
    }

    /// Another agent on another host in the same state, with nothing that goes wrong.
    #[must_use]
    pub fn fork(&self) -> Self {
        let world = Rc::new(RefCell::new(self.world.borrow().clone()));
        Self {
            driver: FakeDriver::new(Rc::clone(&world)),
            world,
            progress: self.progress.clone(),
            stored: self.stored.clone(),
            reports: self.reports.clone(),
            rounds: self.rounds,
            busy: 0,
            kill: None,
            speakers: self.speakers.clone(),
            clients: self.clients.clone(),
            said: self.said.clone(),
            unsaid: self.unsaid.clone(),
            story: self.story.clone(),
            telling: self.telling,
        }
    }

    /// What the agent remembers.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The agent is killed and started again: it has what is on its disk and no reports.
    pub fn crash(&mut self) {
        #[expect(
            clippy::expect_used,
            reason = "a progress that was written and can not be read is what the test is for"
        )]
        let stored = Progress::from_bytes(&self.stored).expect("the stored progress");
        self.progress = stored;
        self.reports.clear();
    }

    /// The agent's disk is lost.
    pub fn forget(&mut self) {
        self.set(Progress::nothing(place().environment, parsed("paydesk")));
    }

    /// The agent learns from the log that this version runs.
    pub fn remember(&mut self, version: &Version) {
        self.set(Progress::running(place().environment, version.clone()));
    }

    fn set(&mut self, progress: Progress) {
        self.stored = bytes(&progress);
        self.progress = progress;
        self.reports.clear();
    }

    /// Writes into the log what happened, each once, as an agent does before it looks.
    fn send(&mut self) {
        for numbered in self.progress.outbox.waiting().to_vec() {
            if !is_named(&self.progress, &numbered.milestone) {
                self.unsaid.push(numbered.milestone.clone());
            }
            self.progress.outbox.logged(numbered.number);
            if !self.said.contains(&numbered) {
                self.said.push(numbered);
            }
        }
    }

    /// What happened that belongs in the log, whether the log has it already or not.
    pub fn noted(&self) -> impl Iterator<Item = &Milestone> {
        let waiting = self.progress.outbox.waiting().iter().filter(|n| !self.said.contains(n));
        self.said.iter().chain(waiting).map(|n| &n.milestone)
    }

    /// One round: say, look, plan, store, do. Then a moment passes.
    pub fn round(&mut self, intent: &Intent) -> Plan {
        self.send();
        let (observed, edge, ticks, now) = {
            let mut world = self.world.borrow_mut();
            let ticks = self.progress.next_tick().map(|from| world.ticks(from));
            (world.observe(), world.counts(), ticks, world.now())
        };
        let clients =
            self.clients.clone().map(|c| Clients { now, generation: edge.generation, revision: edge.revision, ..c });
        // Once a second, as an agent does.
        let asked =
            if self.rounds.is_multiple_of(1_000 / TICK_MS) { self.progress.to_read(&observed) } else { Vec::new() };
        self.rounds += 1;
        let sweeps = self.speakers.ask(asked);
        let reports = std::mem::take(&mut self.reports);
        let seen = Seen {
            observed: &observed,
            edge: &edge,
            ticks: ticks.as_ref(),
            sweeps: &sweeps,
            clients: clients.as_ref(),
            reports: &reports,
        };
        let next = plan(intent, seen, &self.progress, now);
        let changed = next.progress != self.progress;
        let busy = changed || !next.steps.is_empty();
        let kill = self.kill.filter(|(round, _)| busy && *round == self.busy).map(|(_, kill)| kill);
        self.busy += u64::from(busy);
        if kill != Some(Kill::BeforeStored) {
            if self.telling {
                self.tell(&next);
            }
            if changed {
                self.stored = bytes(&next.progress);
                self.progress = next.progress.clone();
            }
            if kill != Some(Kill::AfterStored) {
                self.execute(&next, kill == Some(Kill::AfterStep));
            }
        }
        if kill.is_some() {
            self.crash();
        }
        self.world.borrow_mut().tick();
        next
    }

    fn execute(&mut self, plan: &Plan, only_one: bool) {
        for planned in plan.steps.iter().take(if only_one { 1 } else { usize::MAX }) {
            let error = self.driver.execute(&planned.step).err().map(|e| e.to_string());
            self.reports.push(Report { step: planned.step.clone(), error });
        }
    }

    /// Rounds until nothing is on its way and nothing is to do, at most `limit`. Gives the last plan.
    pub fn settle(&mut self, intent: &Intent, limit: u32) -> Option<Plan> {
        for _ in 0..limit {
            let last = self.round(intent);
            if last.outcome.is_some() && last.steps.is_empty() && last.waits.is_empty() {
                return Some(last);
            }
        }
        None
    }

    /// Rounds until the predicate holds, at most `limit`.
    pub fn until(&mut self, intent: &Intent, limit: u32, mut done: impl FnMut(&Plan) -> bool) -> Option<Plan> {
        (0..limit).find_map(|_| Some(self.round(intent)).filter(|p| done(p)))
    }

    fn tell(&mut self, next: &Plan) {
        let known = self.progress.outbox.waiting().len();
        for numbered in next.progress.outbox.waiting().iter().skip(known) {
            let json = model::to_json(&numbered.milestone).unwrap_or_default();
            self.story.push(format!("* {}", String::from_utf8_lossy(&json)));
        }
        let steps = next.steps.iter().map(|p| {
            let mark = if p.needs_permission() { "needs a verdict" } else { "free" };
            format!("  - {} ({:?}, {mark})", describe(&p.step), p.grounds)
        });
        let lines: Vec<String> = steps.chain(next.waits.iter().map(|w| format!("  . {w}"))).collect();
        for line in lines {
            // Waits are repeated each round; a story tells each once.
            if !self.story.contains(&line) {
                self.story.push(line);
            }
        }
    }

    /// Breaches of what must never happen, in words.
    pub fn breaches(&self) -> Vec<String> {
        let unsaid = self.unsaid.iter().map(|milestone| format!("the log does not get {milestone:?}"));
        self.world.borrow().violations().map(ToString::to_string).chain(unsaid).collect()
    }

    /// Whether exactly this version runs, whole, with nothing left of any other.
    pub fn runs_alone(&self, version: Option<&Version>) -> bool {
        let world = self.world.borrow();
        let wanted: u32 = version.map_or(0, |v| v.release.components.iter().map(|c| c.replicas).sum());
        let serials: Vec<Serial> = world.serials().into_iter().collect();
        let expected: Vec<Serial> = version.map(|v| v.serial().clone()).into_iter().collect();
        serials == expected && u64::try_from(world.healthy()).ok() == Some(u64::from(wanted))
    }
}

/// Whether the progress names the version of an end; who writes the log has its digest from there alone.
fn is_named(progress: &Progress, milestone: &Milestone) -> bool {
    let serial = match milestone {
        Milestone::WentBack { serial, .. } | Milestone::GoingBack { serial, .. } | Milestone::Stuck { serial, .. } => {
            serial
        }
        Milestone::Retired { runs, .. } => runs,
        _ => return true,
    };
    match &progress.state {
        State::Idle { current, last, .. } => {
            current.as_ref().is_some_and(|v| v.serial() == serial)
                || matches!(last, Some(Ended::WentBack { serial: back, .. }) if back == serial)
        }
        State::Forward { transition, .. } | State::Back { transition, .. } | State::Stuck { transition, .. } => {
            transition.to.serial() == serial || transition.from.as_ref().is_some_and(|v| v.serial() == serial)
        }
    }
}

impl Default for Run {
    fn default() -> Self {
        Self::new()
    }
}

/// The serial that an outcome says runs.
pub fn runs(outcome: Option<&Outcome>) -> Option<String> {
    match outcome? {
        Outcome::Runs { serial, .. } => Some(serial.to_string()),
        Outcome::WentBack { runs, .. } => Some(runs.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)),
        Outcome::Refused(_) | Outcome::Stuck { .. } => None,
    }
}

fn bytes(progress: &Progress) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "a progress that can not be written is what the test is for")]
    progress.to_bytes().expect("the progress as bytes")
}

#[cfg(test)]
mod tests;
