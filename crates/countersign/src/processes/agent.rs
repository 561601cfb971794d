//! The `agent` process: runs what a current verdict names, and reports what runs. It chooses nothing.
//!
//! It follows the whole log and recomputes `decide` itself; the gate's verdicts tell it nothing. Each step forward
//! uses up one permission. It keeps its progress before each step, so after a crash at any moment it converges.

mod given;
mod leave;
mod place;
mod reader;
mod report;
mod stops;
mod values;
mod versions;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use edge::BlockingEdgeClient;
use ledger::{keys::Signer, statement::Members};
use model::{Clock as _, KeyId, RoleName};
use runtime::protocol::{Executor as _, ExecutorClient};
use serde_json::Value;

use self::{leave::Known, place::Placement, stops::Stops};
use super::Start;
use crate::{
    clock::SystemClock,
    confine::{Confinement, Sockets},
    executor,
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    say::Speaker,
    serve::listen_unix,
    status::StatusFile,
    view::View,
};

/// Between two looks at everything: quick enough that a halt and a failed health check act within a second.
pub(crate) const ROUND: Duration = Duration::from_millis(250);

/// Following health, going back and being halted must not wait for a log that hangs. It syncs a batch of statements
/// in well under this.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

/// After the log did not answer, this long is spent without it.
const LOG_PAUSE: Duration = Duration::from_secs(2);

/// Asking what was denied starts a program.
const DENIED_INTERVAL: Duration = Duration::from_secs(5);

/// What `GET /state` answers.
pub(crate) type State = Arc<Mutex<BTreeMap<String, Value>>>;

/// Runs the process until it is ended.
pub fn run(start: Start) -> Result<(), Fault> {
    let signer: Arc<dyn Signer> = Arc::new(start.key()?);
    let key = signer.key().id();
    let members = start.charter.members.clone();
    let role: RoleName = start.role.name().parse().because(Kind::Internal, "the role's name does not parse")?;
    let speaker = Speaker::new(signer, members.hash(), role);
    // Opened before the confinement, which allows no other.
    let far = start.settings.stops.map(listen).transpose()?;
    let mut confinement = Confinement::nothing();
    confinement.read.push(start.layout.images());
    let certificates = start.layout.root().join("certificates");
    if certificates.exists() {
        confinement.read.push(certificates);
    }
    if let Some(Target::Tcp(front)) = start.settings.joined()? {
        confinement.sockets = Sockets::Tcp;
        confinement.connect_tcp = Some(vec![front.port()]);
    }
    let mut status = start.confine(confinement)?;

    let home = start.layout.home(start.role);
    let log = start.settings.log_client(&start.layout)?.waiting(LOG_PATIENCE);
    let stops = Arc::new(Stops::open(home.join("stops"), members.clone())?);
    let state: State = Arc::default();
    let listener = listen_unix(&start.layout.socket(start.role))?;
    stops::serve(listener, far, stops.clone(), state.clone())?;

    // What runs is looked after also while the log is away; what an amendment gave comes with the log.
    let mut placements = Vec::new();
    take_up(&mut placements, &members, key, &start)?;
    let mut agent = Agent {
        key,
        known: Known::new(View::with_memory(log, members, &home)?, stops),
        speaker,
        edge: BlockingEdgeClient::new(start.layout.socket(RoleUser::Edge)),
        executor_socket: executor::socket(&start.layout, RoleUser::Agent, executor::COMPONENTS),
        executor: None,
        log_away: None,
        state,
        denied_at: None,
    };
    loop {
        let in_force = agent.known.view().facts().members();
        let taken = take_up(&mut placements, in_force, key, &start);
        agent.round(&mut placements, taken.err(), &mut status);
        std::thread::sleep(ROUND);
    }
}

/// Takes up what a charter gives this agent and is not looked after yet. What was given once is looked after until the
/// agent ends: what runs goes on, and each step forward asks the charter in force again.
///
/// # Errors
/// More than one: the edge has one route table, and two rollouts would take each other's listeners away.
fn take_up(placements: &mut Vec<Placement>, members: &Members, key: KeyId, start: &Start) -> Result<(), Fault> {
    let mut new = given::given(members, key);
    new.retain(|(system, rule)| !placements.iter().any(|placement| placement.is_of(&system.name, &rule.name)));
    let sum = placements.len() + new.len();
    if !new.is_empty() && sum > 1 {
        return Err(Fault::new(
            Kind::Refused,
            format!("this version runs one system in one environment on a host, and the charter gives it {sum}"),
        )
        .hint("make a charter and a folder for each, on hosts of their own"));
    }
    for (system, rule) in new {
        let home = start.layout.home(start.role);
        placements.push(Placement::open(start, system.name.clone(), rule.name.clone(), &home)?);
    }
    Ok(())
}

/// Where other hosts hand over stops.
fn listen(address: std::net::SocketAddr) -> Result<std::net::TcpListener, Fault> {
    std::net::TcpListener::bind(address).map_err(|e| {
        Fault::from_error(Kind::Unavailable, e)
            .context(format!("{address} can not be listened on"))
            .hint("another program has the port; change `stops` in settings.json")
    })
}

/// What all placements share.
pub(crate) struct Agent {
    /// Its own key, by which charters name it.
    key: KeyId,
    known: Known,
    speaker: Speaker,
    edge: BlockingEdgeClient,
    executor_socket: std::path::PathBuf,
    executor: Option<ExecutorClient>,
    /// When the log last did not answer.
    log_away: Option<Instant>,
    state: State,
    /// When the executor was last asked what was denied.
    denied_at: Option<Instant>,
}

impl Agent {
    fn round(&mut self, placements: &mut [Placement], not_taken: Option<Fault>, status: &mut StatusFile) {
        let mut troubles: Vec<String> = not_taken.iter().map(Fault::message).collect();
        if self.asks_log()
            && let Err(fault) = self.known.refresh()
        {
            self.note(&fault);
            troubles.push(fault.message());
        }
        self.known.weigh();
        troubles.extend(self.known.distrust().map(str::to_owned));
        if self.asks_log()
            && let Err(fault) = self.known.write_stops()
        {
            self.note(&fault);
            troubles.push(fault.message());
        }
        let overdue = self.known.stops().overdue(SystemClock.now());
        self.tell_watch(&overdue);
        troubles.extend(overdue);
        let mut waits = Vec::new();
        let mut doing = Vec::new();
        if placements.is_empty() {
            waits.push("a charter in force that gives this agent something to run".to_owned());
        }
        status.measure("placements", placements.len() as u64);
        for placement in placements {
            match placement.round(self) {
                Ok(()) => {}
                Err(fault) => troubles.push(format!("{}: {}", placement.name(), fault.message())),
            }
            doing.push(placement.doing());
            waits.extend(placement.waits());
            self.state.lock().unwrap_or_else(PoisonError::into_inner).insert(placement.name(), placement.state());
        }
        status.measure("statements", self.known.view().facts().size());
        status.say(doing.join("; "), waits);
        if !troubles.is_empty() {
            status.trouble(troubles.join("; "));
        }
    }

    /// What `watch` raises alarms of: stops that the log does not have, a log that is not believed, flows that were denied.
    fn tell_watch(&mut self, overdue: &[String]) {
        if self.denied_at.is_none_or(|at| at.elapsed() >= DENIED_INTERVAL) {
            self.denied_at = Some(Instant::now());
            let denied = self.executor().ok().and_then(|executor| executor.denied().ok());
            let denied = denied.and_then(|denied| serde_json::to_value(denied).ok()).unwrap_or(Value::Null);
            self.state.lock().unwrap_or_else(PoisonError::into_inner).insert("denied".to_owned(), denied);
        }
        let executor = self.executor().err().map(|fault| fault.message());
        let told = serde_json::json!({ "overdue": overdue, "distrust": self.known.distrust(), "executor": executor });
        self.state.lock().unwrap_or_else(PoisonError::into_inner).insert("stops".to_owned(), told);
    }

    /// Whether the log may be asked: it has answered, or its pause is over.
    pub(crate) fn asks_log(&self) -> bool {
        self.log_away.is_none_or(|since| since.elapsed() >= LOG_PAUSE)
    }

    /// Remembers that the log did not answer.
    pub(crate) fn note(&mut self, fault: &Fault) {
        if fault.kind() == Kind::Unavailable {
            self.log_away = Some(Instant::now());
        }
    }

    /// The executor, connected anew if it was lost.
    fn executor(&mut self) -> Result<&mut ExecutorClient, Fault> {
        if self.executor.is_none() {
            let stream = std::os::unix::net::UnixStream::connect(&self.executor_socket)
                .because(Kind::Unavailable, "the agent's executor does not answer")?;
            let client =
                ExecutorClient::new(stream).because(Kind::Unavailable, "the agent's executor does not answer")?;
            self.executor = Some(client);
        }
        self.executor.as_mut().ok_or_else(|| Fault::new(Kind::Unavailable, "the agent's executor does not answer"))
    }
}
