//! Probes: whether each component answers at its addresses, asked from outside as its clients would.
//!
//! One thread asks all of them. It refuses to know what follows from an answer. Nothing is written: after a crash
//! everything is asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gate::{Facts, alarms::Condition};
use ledger::statement::v1::{AlarmAbout, AlarmKind, MilestoneKind};
use model::{ComponentName, Digest, EnvironmentName, SystemName, release::Release};
use runtime::local::health_address;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    runtime::Handle,
    sync::Semaphore,
    task::JoinHandle,
};

use super::{board::Observed, neighbours::Placement};
use crate::fault::{Because as _, Fault, Kind};

/// Between two probes of one address that is well. With what follows below, a fault is known within 4.3 seconds.
const INTERVAL: Duration = Duration::from_secs(2);
/// After a failure it is asked again at once.
const AGAIN: Duration = Duration::from_millis(250);
/// Failures in a row before it is one: a lost answer on a busy host is none.
const FAILURES_LIMIT: u32 = 2;
/// The longest that one probe may take, whatever the release says: who takes longer is of no use to a client either.
const TIMEOUT_MAX: Duration = Duration::from_secs(1);
/// Probes at once, so that a thousand do not use up the sockets of the process.
const AT_ONCE: usize = 64;
/// Of an answer the first line counts; no status line is longer.
const HEAD_LIMIT: usize = 4 << 10;
/// How many addresses are probed: what a large fabric has, and not so many that an agent that lies could fill the memory.
const TARGETS_LIMIT: usize = 4_096;

/// One address of a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    system: SystemName,
    environment: EnvironmentName,
    component: ComponentName,
    address: SocketAddr,
    /// An HTTP path that answers 2xx; a connection is enough without one.
    path: Option<String>,
    timeout_ms: u32,
}

/// What the probes of one address have said.
#[derive(Clone, Debug, Default)]
struct Answered {
    asked: bool,
    failures: u32,
    why: String,
}

type Answers = Arc<Mutex<BTreeMap<Target, Answered>>>;

/// Asks all targets, from a thread of its own.
pub(super) struct Prober {
    handle: Handle,
    tasks: BTreeMap<Target, JoinHandle<()>>,
    answers: Answers,
    places: Arc<Semaphore>,
    fabric: [u8; 2],
}

impl Prober {
    /// Begins with no targets. Addresses of this fabric are asked from where its health checks come from.
    pub(super) fn start(fabric: [u8; 2]) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .because(Kind::Unavailable, "no runtime for probes")?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .because(Kind::Unavailable, "no thread for probes")?;
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { handle, tasks: BTreeMap::new(), answers: Answers::default(), places, fabric })
    }

    /// Probes these from now on, and no others.
    pub(super) fn set(&mut self, targets: Vec<Target>) {
        let targets: std::collections::BTreeSet<Target> = targets.into_iter().take(TARGETS_LIMIT).collect();
        let mut answers = lock(&self.answers);
        self.tasks.retain(|target, task| {
            let stays = targets.contains(target);
            if !stays {
                task.abort();
                answers.remove(target);
            }
            stays
        });
        let count = targets.len().max(1);
        for (at, target) in targets.into_iter().enumerate() {
            if self.tasks.contains_key(&target) {
                continue;
            }
            answers.insert(target.clone(), Answered::default());
            // Spread over the interval, so that they do not all come at once for ever.
            let first = INTERVAL.mul_f64((at % count) as f64 / count as f64);
            let source = health_address(self.fabric);
            let task = probe_for_ever(target.clone(), source, first, self.answers.clone(), self.places.clone());
            self.tasks.insert(target, self.handle.spawn(task));
        }
    }

    /// How many addresses are probed.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// The components that do not answer, each with the words.
    pub(super) fn failing(&self) -> BTreeMap<(String, String, String), bool> {
        let mut all = BTreeMap::new();
        for (target, answered) in lock(&self.answers).iter() {
            let name = (target.system.to_string(), target.environment.to_string(), target.component.to_string());
            *all.entry(name).or_default() |= answered.failures >= FAILURES_LIMIT;
        }
        all
    }

    /// Calls for an alarm for each component that does not answer.
    pub(super) fn look(&self, observed: &mut Observed) {
        let answers = lock(&self.answers);
        let mut failing: BTreeMap<Condition, Vec<String>> = BTreeMap::new();
        for (target, answered) in answers.iter() {
            if !answered.asked {
                observed.unsure(AlarmKind::ProbeFailed);
            }
            if answered.failures >= FAILURES_LIMIT {
                let about = AlarmAbout { component: Some(target.component.clone()), ..AlarmAbout::default() };
                let condition =
                    Condition::of(AlarmKind::ProbeFailed, about).within(&target.system, &target.environment);
                failing.entry(condition).or_default().push(format!("{} ({})", target.address, answered.why));
            }
        }
        for (condition, places) in failing {
            let component = condition.about.component.as_ref().map(ToString::to_string).unwrap_or_default();
            observed.call(condition, format!("{component} does not answer at {}", places.join(", ")));
        }
    }
}

fn lock(answers: &Answers) -> MutexGuard<'_, BTreeMap<Target, Answered>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn probe_for_ever(target: Target, source: Ipv4Addr, first: Duration, answers: Answers, places: Arc<Semaphore>) {
    tokio::time::sleep(first).await;
    loop {
        let Ok(place) = places.acquire().await else { return };
        let limit = Duration::from_millis(target.timeout_ms.max(1).into()).min(TIMEOUT_MAX);
        let asked = match tokio::time::timeout(limit, ask(&target, source)).await {
            Ok(asked) => asked,
            Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
        };
        drop(place);
        let is_well = asked.is_ok();
        if let Some(answered) = lock(&answers).get_mut(&target) {
            match asked {
                Ok(()) => *answered = Answered { asked: true, ..Answered::default() },
                Err(why) => {
                    answered.failures = answered.failures.saturating_add(1);
                    answered.asked |= answered.failures >= FAILURES_LIMIT;
                    answered.why = why;
                }
            }
        }
        tokio::time::sleep(if is_well { INTERVAL } else { AGAIN }).await;
    }
}

async fn ask(target: &Target, source: Ipv4Addr) -> Result<(), String> {
    let mut stream = dial(target.address, source).await.map_err(|e| e.to_string())?;
    let Some(path) = &target.path else { return Ok(()) };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: countersign-watch\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        target.address
    );
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    let mut part = [0; 512];
    while !head.contains(&b'\n') {
        let length = stream.read(&mut part).await.map_err(|e| e.to_string())?;
        if length == 0 || head.len() > HEAD_LIMIT {
            return Err("the answer is not HTTP".to_owned());
        }
        head.extend_from_slice(part.get(..length).unwrap_or_default());
    }
    // HTTP/1.1 200 OK (RFC 9112 section 4)
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let status =
        line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|c| c.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(code) => Err(format!("`{path}` answered {code}")),
        None => Err("the answer is not HTTP".to_owned()),
    }
}

/// Connects; inside a fabric from the address that its filter lets checks come from.
async fn dial(address: SocketAddr, source: Ipv4Addr) -> std::io::Result<TcpStream> {
    if let SocketAddr::V4(v4) = address
        && v4.ip().octets().first_chunk::<2>() == source.octets().first_chunk::<2>()
    {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::V4(SocketAddrV4::new(source, 0)))?;
        return socket.connect(address).await;
    }
    TcpStream::connect(address).await
}

/// What is to be probed: the instances of what runs, as the agent sees them or, while it does not answer, as its last word
/// in the log has them; and where clients reach them. While a rollout is under way its agent judges the instances.
pub(super) fn targets(
    placements: &[Placement],
    facts: &Facts,
    documents: &mut Documents,
    troubles: &mut Vec<String>,
) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut used = BTreeSet::new();
    let charter = facts.members().charter();
    for system in &charter.systems {
        for environment in &charter.environments {
            let Some(live) = facts.running(&system.name, &environment.name).first() else { continue };
            used.insert(live.release);
            let document = documents.read(live.release);
            if let Err(fault) = &document {
                troubles.push(fault.message());
            }
            let release = document.ok();
            let release = release.as_deref();
            let mut add = |component: &ComponentName, address: SocketAddr, exposed: bool| {
                let health = release.and_then(|r| r.component(component)).map(|c| &c.health);
                targets.push(Target {
                    system: system.name.clone(),
                    environment: environment.name.clone(),
                    component: component.clone(),
                    address,
                    // Through the edge a probe would count as a client's request.
                    path: health.filter(|_| !exposed).and_then(|h| h.path.clone()),
                    timeout_ms: health.map_or(u32::MAX, |h| h.timeout_ms),
                });
            };
            let exposed = release.and_then(|r| r.environment(&environment.name)).map(|e| &e.expose);
            for (component, address) in exposed.into_iter().flatten() {
                add(component, *address, true);
            }
            let seen = placements.iter().find(|p| p.system == system.name && p.environment == environment.name);
            match seen {
                Some(placement) if placement.moves => {}
                Some(placement) => {
                    for instance in placement.instances.iter().filter(|i| i.serial == live.serial) {
                        add(&instance.component, instance.address, false);
                    }
                }
                None => {
                    let said = facts.milestones(&system.name, &environment.name);
                    let said =
                        said.rev().find(|m| m.claim.what == MilestoneKind::Live && m.claim.proposal == live.proposal);
                    let is_exposed = |address: &SocketAddr| exposed.is_some_and(|e| e.values().any(|a| a == address));
                    for placed in said.iter().flat_map(|m| &m.claim.placed).filter(|p| !is_exposed(&p.address)) {
                        add(&placed.component, placed.address, false);
                    }
                }
            }
        }
    }
    documents.known.retain(|digest, _| used.contains(digest));
    targets
}

/// The release documents of what runs, each read once: one of a thousand components is half a megabyte.
pub(super) struct Documents {
    images: PathBuf,
    known: BTreeMap<Digest, Arc<Release>>,
}

impl Documents {
    /// From this store of images.
    pub(super) const fn new(images: PathBuf) -> Self {
        Self { images, known: BTreeMap::new() }
    }

    fn read(&mut self, digest: Digest) -> Result<Arc<Release>, Fault> {
        if let Some(known) = self.known.get(&digest) {
            return Ok(known.clone());
        }
        let document = Arc::new(release(&self.images, digest)?);
        self.known.insert(digest, document.clone());
        Ok(document)
    }
}

/// A release document, checked against its digest.
fn release(images: &Path, digest: Digest) -> Result<Release, Fault> {
    let path = images.join("blobs/sha256").join(digest.hex());
    let bytes =
        std::fs::read(&path).because(Kind::Unavailable, format!("the release document {digest} can not be read"))?;
    if Digest::of(&bytes) != digest {
        return Err(Fault::new(Kind::Untrue, format!("the document kept for {digest} is another one")));
    }
    Release::from_bytes(&bytes).because(Kind::Untrue, "the release document does not hold up")
}

#[cfg(test)]
mod tests;
