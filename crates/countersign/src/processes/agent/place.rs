//! One system in one environment: what should run, the plan, its steps, and leave for each step forward.

use std::path::{Path, PathBuf};

use gate::{Current, CurrentError};
use ledger::{durable, statement::v1::Ruling};
use model::{
    Clock as _, Digest, EnvironmentName, SystemName,
    release::Release,
    route::{Clients, EdgeCounts, Ticks, TlsFiles},
};
use rollout::{
    Grounds, Intent, Leave, Outcome, Place, Plan, Planned, Progress, Report, Seen, Trouble, Version,
    instance::Observed, plan, progress::State, step::Step,
};
use runtime::{Driver as _, DriverError, local::health_address};
use serde_json::{Value, json};

use super::{Agent, given, reader::Reader, report, values::Values, versions};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    processes::Start,
};

/// One system in one environment on this host.
pub(crate) struct Placement {
    system: SystemName,
    environment: EnvironmentName,
    place: Place,
    images: PathBuf,
    path: PathBuf,
    progress: Progress,
    /// Whether no progress was stored here: either nothing was ever released, or it was lost.
    is_lost: bool,
    reports: Vec<Report>,
    last: Option<Plan>,
    observed: Observed,
    /// Why nothing newer is rolled out, in people's words.
    refused: Vec<String>,
    /// Guarded values that were fetched and checked in this run.
    values: Values,
    /// Asks components while two versions are compared.
    reader: Reader,
    /// What the edge said last: of each version what it counted, and its clients.
    counts: EdgeCounts,
    clients: Option<Clients>,
}

/// On what grounds the target is the target.
enum Claimed {
    /// A proposal, whose verdict is recomputed for every step.
    Proposal(u64),
    /// An order to go back to the release before.
    Rollback,
    /// It runs, and what runs goes on.
    Runs,
}

impl Placement {
    pub(super) fn open(
        start: &Start,
        system: SystemName,
        environment: EnvironmentName,
        home: &Path,
    ) -> Result<Self, Fault> {
        let path = home.join(format!("{environment}.{system}.progress"));
        let mut is_lost = false;
        let progress =
            match std::fs::read(&path) {
                Ok(bytes) => Progress::from_bytes(&bytes)
                    .because(Kind::Untrue, format!("`{}` can not be read", path.display()))?,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    is_lost = true;
                    Progress::nothing(environment.clone(), system.clone())
                }
                Err(e) => {
                    return Err(Fault::from_error(Kind::Unavailable, e)
                        .context(format!("`{}` can not be read", path.display())));
                }
            };
        let place = Place {
            environment: environment.clone(),
            fabric: start.settings.fabric,
            certificates: certificates_folder(start),
            tls: certificates(start)?,
        };
        Ok(Self {
            system,
            environment,
            place,
            images: start.layout.images(),
            path,
            progress,
            is_lost,
            reports: Vec::new(),
            last: None,
            observed: Observed::default(),
            refused: Vec::new(),
            values: Values::default(),
            reader: Reader::start(start.layout.socket(RoleUser::Edge), health_address(start.settings.fabric))?,
            counts: EdgeCounts::default(),
            clients: None,
        })
    }

    /// Whether it is this system in this environment.
    pub(super) fn is_of(&self, system: &SystemName, environment: &EnvironmentName) -> bool {
        &self.system == system && &self.environment == environment
    }

    pub(super) fn name(&self) -> String {
        format!("{} in {}", self.system, self.environment)
    }

    /// Looks, plans, keeps the progress, does the steps that may be done, and reports.
    pub(super) fn round(&mut self, agent: &mut Agent) -> Result<(), Fault> {
        // Looking, planning and above all going back must work while the log does not take statements.
        let reported = report::send(&mut self.progress, agent);
        self.recall(agent)?;
        let Some((target, claimed, replaces)) = self.target(agent)? else {
            self.last = None;
            return reported;
        };
        let observed = driver(agent, |executor| executor.observe())?;
        self.observed = observed;
        let edge = agent.edge.counts().because(Kind::Unavailable, "the edge does not answer")?;
        // Asking is what tells the edge that somebody compares.
        let ticks = self.progress.next_tick().map(|from| agent.edge.ticks(from)).transpose();
        let ticks = ticks.because(Kind::Unavailable, "the edge does not say what it counted")?;
        // An edge that does not say holds every version.
        self.clients = if self.is_side_by_side() { agent.edge.clients().ok() } else { None };
        self.counts = edge.clone();
        // What is on its way goes on or back by its own verdict, also while something newer waits for its turn.
        let moving = self.on_its_way(agent);
        let (leave, withdrawn) = self.leave(agent, moving.as_ref().unwrap_or(&claimed));
        let (back, retire) = (self.back(agent)?, self.to_retire(agent));
        let trouble = Some(self.trouble(agent, target.digest));
        let intent = Intent { place: self.place.clone(), target, replaces, back, retire, trouble, leave, withdrawn };
        let planned = self.plan(&intent, &edge, ticks.as_ref())?;
        let tick_ms = self.progress.comparing().map_or(0, |(comparison, _)| comparison.settings.tick_ms);
        self.reader.ask(self.progress.to_read(&self.observed), tick_ms);
        self.reports.clear();
        for step in &planned.steps {
            // Each step asks for leave for the version that it is a step of, never for that of another.
            let of_target = step.release == intent.target.digest;
            let claimed = moving.as_ref().filter(|_| !of_target).unwrap_or(&claimed);
            let done = self.step(agent, step, claimed, intent.back.as_ref());
            let error = done.as_ref().err().map(Fault::message);
            if let Some(error) = &error {
                tracing::warn!("{}: {:?}: {error}", self.name(), step.step);
            }
            let failed = error.is_some();
            self.reports.push(Report { step: step.step.clone(), error });
            if failed {
                break;
            }
        }
        self.last = Some(planned);
        if !self.progress.outbox.waiting().is_empty() {
            report::send(&mut self.progress, agent)?;
            self.keep(&self.progress)?;
        }
        reported
    }

    /// A host whose stored progress was lost takes what runs from the log.
    fn recall(&mut self, agent: &Agent) -> Result<(), Fault> {
        if !self.is_lost {
            return Ok(());
        }
        let live = agent.known.facts().live(&self.system, &self.environment);
        if let Some(live) = live.first() {
            let values = self.values.of_proposal(agent.known.view(), live.proposal)?;
            let version = self.version(live.release, live.proposal)?.given(values);
            let progress = Progress::running(self.environment.clone(), version);
            self.keep(&progress)?;
            self.progress = progress;
        }
        // Only once the log has been read: before, nothing runs by its word.
        self.is_lost = agent.known.facts().size() == 0;
        Ok(())
    }

    /// Plans, and keeps the progress before any step is done.
    fn plan(&mut self, intent: &Intent, edge: &EdgeCounts, ticks: Option<&Ticks>) -> Result<Plan, Fault> {
        let mine = Observed {
            instances: self
                .observed
                .instances
                .iter()
                .filter(|i| i.id.environment == self.environment && i.id.serial.system() == &self.system)
                .cloned()
                .collect(),
            restore_points: self.observed.restore_points.clone(),
        };
        let sweeps = self.reader.take();
        let seen = Seen {
            observed: &mine,
            edge,
            ticks,
            sweeps: &sweeps,
            clients: self.clients.as_ref(),
            reports: &self.reports,
        };
        let planned = plan(intent, seen, &self.progress, SystemClock.now());
        if planned.progress != self.progress {
            self.keep(&planned.progress)?;
            self.progress = planned.progress.clone();
        }
        Ok(planned)
    }

    fn keep(&self, progress: &Progress) -> Result<(), Fault> {
        let bytes = progress.to_bytes().because(Kind::Internal, "the progress can not be written")?;
        durable::write(&self.path, &bytes, 0o600)
            .because(Kind::Unavailable, format!("`{}` can not be written", self.path.display()))
    }

    /// What should run: a rollback that was ordered, else the newest proposal with a granted verdict, else what is
    /// on its way, else what runs.
    fn target(&mut self, agent: &Agent) -> Result<Option<(Version, Claimed, Option<Digest>)>, Fault> {
        self.refused.clear();
        let facts = agent.known.facts();
        let running = self.progress.current().cloned();
        let moving = match &self.progress.state {
            State::Forward { transition, .. } | State::Back { transition, .. } | State::Stuck { transition, .. } => {
                Some(transition.to.clone())
            }
            State::Idle { .. } => None,
        };
        let newest_generation = moving.as_ref().or(running.as_ref()).map_or(0, |v| v.generation);
        let here = |digest: Digest| running.iter().chain(moving.iter()).any(|v| v.digest == digest);

        let order = facts.rollbacks(&self.system, &self.environment).rfind(|r| here(r.claim.from) || here(r.claim.to));
        if let Some(order) = order {
            let done = running.as_ref().is_some_and(|v| v.digest == order.claim.to && v.generation >= order.index)
                || newest_generation > order.index;
            if !done {
                match agent.known.may_return(&self.system, &self.environment, order.claim.to) {
                    Ok(leave) => {
                        if leave.alarm() {
                            tracing::error!(
                                "{}: going back to {}, whose verdict would be refused today",
                                self.name(),
                                leave.release()
                            );
                        }
                        match self.returning(agent, order.claim.to, order.index) {
                            Ok(version) => return Ok(Some((version, Claimed::Rollback, Some(order.claim.from)))),
                            Err(fault) => self.refused.push(format!(
                                "the rollback ordered at log index {}: {}",
                                order.index,
                                fault.message()
                            )),
                        }
                    }
                    Err(error) => {
                        self.refused.push(format!("the rollback ordered at log index {}: {error}", order.index))
                    }
                }
            }
        }
        for proposal in facts.proposals().rev() {
            let claim = &proposal.claim;
            if claim.environment != self.environment || claim.serial.system() != &self.system {
                continue;
            }
            if proposal.index <= newest_generation {
                break;
            }
            if running.as_ref().is_some_and(|v| self.comes_back(v, &claim.serial)) {
                continue;
            }
            let decision = agent.known.decide(proposal.index).because(Kind::Internal, "no decision")?;
            match &decision.verdict.ruling {
                Ruling::Granted { .. } => match self.values.of_proposal(agent.known.view(), proposal.index) {
                    Ok(values) => {
                        let version = self.version(claim.release, proposal.index)?.given(values);
                        return Ok(Some((version, Claimed::Proposal(proposal.index), claim.replaces)));
                    }
                    // Nothing of it starts without its values; what runs goes on.
                    Err(fault) => {
                        self.refused.push(format!("{} waits for its values: {}", claim.serial, fault.message()))
                    }
                },
                Ruling::Refused { reasons } => {
                    let rules: Vec<&str> = reasons.iter().map(|r| r.rule.as_str()).collect();
                    self.refused.push(format!("{} waits for: {}", claim.serial, rules.join(", ")));
                }
            }
        }
        if let Some(version) = moving {
            let claimed = self.claimed_by(agent, &version);
            return Ok(Some((version, claimed, running.map(|v| v.digest))));
        }
        Ok(running.map(|version| {
            let replaces = None;
            (version, Claimed::Runs, replaces)
        }))
    }

    /// Whether versions live side by side here.
    fn is_side_by_side(&self) -> bool {
        let is_it = |version: &Version| rollout::beside::rules(version, &self.environment).is_some();
        !self.progress.beside.is_empty() || self.progress.current().is_some_and(is_it)
    }

    /// Whether a release is older than the one that runs where versions live side by side: it comes back beside it, and the
    /// latest stays what it is.
    fn comes_back(&self, runs: &Version, serial: &model::Serial) -> bool {
        rollout::beside::rules(runs, &self.environment).is_some() && serial.ordinal() < runs.serial().ordinal()
    }

    /// The retired version that shall run again: the newest proposal of an older release with a granted verdict that was not
    /// acted on yet, or that is being acted on.
    fn back(&mut self, agent: &Agent) -> Result<Option<Version>, Fault> {
        let Some(runs) = self.progress.current().cloned() else { return Ok(None) };
        let returning = |index: u64| {
            let is_it = |b: &rollout::beside::Beside| b.version.generation == index;
            self.progress.beside.iter().any(|b| is_it(b) && b.standing == rollout::beside::Standing::Returning)
        };
        let facts = agent.known.facts();
        for proposal in facts.proposals().rev() {
            let claim = &proposal.claim;
            let here = claim.environment == self.environment && claim.serial.system() == &self.system;
            if !here || !self.comes_back(&runs, &claim.serial) {
                continue;
            }
            if proposal.index <= self.progress.returned && !returning(proposal.index) {
                break;
            }
            let decision = agent.known.decide(proposal.index).because(Kind::Internal, "no decision")?;
            match &decision.verdict.ruling {
                Ruling::Granted { .. } => {
                    let values = self.values.of_proposal(agent.known.view(), proposal.index)?;
                    return Ok(Some(self.version(claim.release, proposal.index)?.given(values)));
                }
                Ruling::Refused { reasons } => {
                    let rules: Vec<&str> = reasons.iter().map(|r| r.rule.as_str()).collect();
                    self.refused.push(format!("{} comes back after: {}", claim.serial, rules.join(", ")));
                }
            }
        }
        Ok(None)
    }

    /// Trouble that people report with the version on its way, or with the one that is to come.
    fn trouble(&self, agent: &Agent, target: Digest) -> Trouble {
        let release = match &self.progress.state {
            State::Forward { transition, .. } => transition.to.digest,
            _ => target,
        };
        let found = agent.known.facts().trouble(&self.system, &self.environment, release);
        Trouble { release, reporters: found.reporters, seen: found.seen }
    }

    /// Versions beside the latest one that people ordered to be retired since they came. An order counts until it expires,
    /// so that a version does not go long after somebody looked.
    fn to_retire(&self, agent: &Agent) -> Vec<Digest> {
        let now = SystemClock.now();
        let orders = agent.known.facts().retirements(&self.system, &self.environment);
        let in_time = orders.filter(|said| said.header.expires > now);
        let is_of = |said: &gate::Said<ledger::statement::v1::Retirement>| {
            self.progress
                .beside
                .iter()
                .find(|b| b.version.digest == said.claim.release && b.version.generation < said.index)
        };
        in_time.filter_map(is_of).map(|b| b.version.digest).collect()
    }

    /// The version that an order goes back to, with the guarded values that it ran with.
    fn returning(&mut self, agent: &Agent, to: Digest, generation: u64) -> Result<Version, Fault> {
        let version = self.version(to, generation)?;
        let values = match self.progress.version(to) {
            Some(known) => known.values.clone(),
            None => {
                let live = agent.known.facts().live(&self.system, &self.environment);
                match live.iter().find(|live| live.release == to) {
                    Some(live) => self.values.of_proposal(agent.known.view(), live.proposal)?,
                    None => Vec::new(),
                }
            }
        };
        Ok(version.given(values))
    }

    /// The release document of this digest, checked.
    fn version(&self, digest: Digest, generation: u64) -> Result<Version, Fault> {
        let path = self.images.join("blobs/sha256").join(digest.hex());
        let bytes = std::fs::read(&path)
            .because(Kind::Unavailable, format!("the release document {digest} can not be read"))?;
        if Digest::of(&bytes) != digest {
            return Err(Fault::new(Kind::Untrue, format!("the document kept for {digest} is another one")));
        }
        let release = Release::from_bytes(&bytes).because(Kind::Untrue, "the release document does not hold up")?;
        if release.system != self.system {
            return Err(Fault::new(Kind::Untrue, format!("{digest} is a release of another system")));
        }
        Version::new(release, generation).because(Kind::Internal, "the release has no digest")
    }

    /// On what grounds a version is on its way. A rollback's generation is its order's index; everything else is a proposal's.
    fn claimed_by(&self, agent: &Agent, version: &Version) -> Claimed {
        let mut orders = agent.known.facts().rollbacks(&self.system, &self.environment);
        let ordered = orders.any(|r| r.index == version.generation);
        if ordered { Claimed::Rollback } else { Claimed::Proposal(version.generation) }
    }

    /// On what grounds the version is that a rollout brings forward now, whatever waits for its turn.
    fn on_its_way(&self, agent: &Agent) -> Option<Claimed> {
        match &self.progress.state {
            State::Forward { transition, .. } => Some(self.claimed_by(agent, &transition.to)),
            State::Idle { .. } | State::Back { .. } | State::Stuck { .. } => None,
        }
    }

    /// Whether steps forward may be taken, and whether the verdict was withdrawn.
    fn leave(&self, agent: &Agent, claimed: &Claimed) -> (Leave, bool) {
        let facts = agent.known.facts();
        let halted = facts.halted(&self.system, &self.environment).is_some();
        // What runs goes on, and going back is possible, also under a halt.
        match claimed {
            Claimed::Runs | Claimed::Rollback => (Leave::Granted, false),
            Claimed::Proposal(_) if halted => (Leave::Halted, false),
            Claimed::Proposal(proposal) => match self.permission(agent, *proposal) {
                Ok(permission) => {
                    // Only looked at: each step gets one of its own.
                    drop(permission);
                    (Leave::Granted, false)
                }
                Err(CurrentError::Refused(verdict)) => {
                    let Ruling::Refused { reasons } = &verdict.ruling else { return (Leave::Granted, false) };
                    let withdrawn = reasons.iter().any(|r| !gate::only_waits(&r.rule));
                    let rules: Vec<&str> = reasons.iter().map(|r| r.rule.as_str()).collect();
                    (Leave::Missing(rules.join(", ")), withdrawn)
                }
                Err(error) => (Leave::Missing(error.to_string()), false),
            },
        }
    }

    /// Permission for one step.
    fn permission(&self, agent: &Agent, proposal: u64) -> Result<Current, CurrentError> {
        // By the charter in force: it may have been amended since this process began.
        let members = agent.known.facts().members();
        let rule = given::rule(members, agent.key, &self.system, &self.environment);
        let max_age_s = rule.ok_or_else(|| CurrentError::NotGiven(self.name()))?.max_age_s;
        agent.known.permission(max_age_s, proposal, SystemClock.now())
    }

    fn step(
        &self,
        agent: &mut Agent,
        planned: &Planned,
        claimed: &Claimed,
        back: Option<&Version>,
    ) -> Result<(), Fault> {
        let is_back = |version: &&Version| planned.grounds == Grounds::Forward && version.digest == planned.release;
        if let Some(version) = back.filter(is_back) {
            agent.known.weigh();
            let permission = self.permission(agent, version.generation);
            return forward(agent, planned, permission.because(Kind::Refused, "no current verdict for this step")?);
        }
        if planned.grounds == Grounds::Forward
            && let Claimed::Proposal(proposal) = claimed
        {
            // A stop may have come since the plan was made.
            agent.known.weigh();
            let permission =
                self.permission(agent, *proposal).because(Kind::Refused, "no current verdict for this step")?;
            return forward(agent, planned, permission);
        }
        execute(agent, &planned.step)
    }

    pub(super) fn doing(&self) -> String {
        let runs = self.progress.current().map_or("nothing".to_owned(), |v| v.serial().to_string());
        let what = match &self.progress.state {
            State::Idle { .. } => format!("{runs} runs"),
            State::Forward { transition, .. } => format!("{runs} runs, {} is rolled out", transition.to.serial()),
            State::Back { transition, why, .. } => format!("going back from {}: {why}", transition.to.serial()),
            State::Stuck { transition, why, way_out } => {
                format!("{} is stuck: {why}; {way_out}", transition.to.serial())
            }
        };
        format!("{}: {what}", self.name())
    }

    pub(super) fn waits(&self) -> Vec<String> {
        let planned = self.last.iter().flat_map(|p| p.waits.iter().map(ToString::to_string));
        let refused = self.last.iter().filter_map(|p| match &p.outcome {
            Some(Outcome::Refused(refusal)) => Some(refusal.to_string()),
            _ => None,
        });
        planned.chain(refused).chain(self.refused.iter().cloned()).map(|w| format!("{}: {w}", self.name())).collect()
    }

    pub(super) fn state(&self) -> Value {
        let version = |v: &Version| json!({ "serial": v.serial(), "release": v.digest, "generation": v.generation });
        let instances: Vec<Value> = self
            .observed
            .instances
            .iter()
            .filter(|i| i.id.environment == self.environment && i.id.serial.system() == &self.system)
            .map(|i| json!({ "instance": i.id.to_string(), "component": i.id.component, "serial": i.id.serial, "image": i.image, "address": i.address, "state": i.state }))
            .collect();
        json!({
            "system": self.system, "environment": self.environment,
            "runs": self.progress.current().map(version), "moves": !matches!(self.progress.state, State::Idle { .. }),
            "expose": self.progress.current().and_then(|v| v.release.environment(&self.environment)).map(|e| &e.expose),
            "doing": self.doing(), "waits": self.waits(), "instances": instances,
            "versions": versions::rows(&self.progress, self.clients.as_ref(), &self.counts, self.last.as_ref()),
            "cut": self.counts.cut,
        })
    }
}

/// One step forward uses up one permission.
fn forward(agent: &mut Agent, planned: &Planned, permission: Current) -> Result<(), Fault> {
    if planned.release != permission.release() {
        return Err(Fault::new(
            Kind::Refused,
            format!("the permission is for {}, the step for {}", permission.release(), planned.release),
        ));
    }
    let done = execute(agent, &planned.step);
    drop(permission);
    done
}

fn execute(agent: &mut Agent, step: &Step) -> Result<(), Fault> {
    match step {
        Step::Route(table) => {
            agent.edge.apply(table).map(drop).because(Kind::Unavailable, "the edge did not take the routes")
        }
        other => driver(agent, |executor| executor.execute(other)),
    }
}

/// Asks the executor; a torn connection is made anew next time.
fn driver<T>(
    agent: &mut Agent,
    ask: impl FnOnce(&mut runtime::protocol::ExecutorClient) -> Result<T, DriverError>,
) -> Result<T, Fault> {
    let answer = ask(agent.executor()?);
    answer.map_err(|error| {
        if matches!(error, DriverError::Lost { .. }) {
            agent.executor = None;
        }
        Fault::new(Kind::Unavailable, error.chain())
    })
}

/// Where certificates are, and the keys that sign clients' tokens.
fn certificates_folder(start: &Start) -> String {
    start.layout.root().join("certificates").to_string_lossy().into_owned()
}

/// Certificates of public listeners: `certificates/<component>.pem` and `.key` under the folder, and
/// `.clients` with the authorities of clients' certificates if they may show one.
fn certificates(start: &Start) -> Result<std::collections::BTreeMap<model::ComponentName, TlsFiles>, Fault> {
    let folder = start.layout.root().join("certificates");
    let mut found = std::collections::BTreeMap::new();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(Fault::from_error(Kind::Unavailable, e).context("the certificates can not be read")),
    };
    for entry in entries {
        let path = entry.because(Kind::Unavailable, "the certificates can not be read")?.path();
        if path.extension().is_none_or(|e| e != "pem") {
            continue;
        }
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let component =
            name.parse().because(Kind::Input, format!("`{}` is not named after a component", path.display()))?;
        let clients = path.with_extension("clients");
        let files = TlsFiles {
            certificates: path.to_string_lossy().into_owned(),
            key: path.with_extension("key").to_string_lossy().into_owned(),
            clients: clients.exists().then(|| clients.to_string_lossy().into_owned()),
        };
        found.insert(component, files);
    }
    Ok(found)
}
