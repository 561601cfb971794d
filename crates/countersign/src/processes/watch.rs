//! The `watch` process: probes components and processes, raises alarms, and tells people. It can not silence itself, and
//! deploys nothing.
//!
//! It follows the log with a reader of its own. Each round it puts together what calls for an alarm now, hands that to
//! those who are told, and says in the log what the log does not have yet: so people are told also while the log is away.
//! After a crash the same is found again, and what was not told is in the outbox.

mod board;
mod metrics;
mod neighbours;
mod probes;
mod refused;
mod surges;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use gate::alarms::{Condition, called_for};
use ledger::{
    keys::Signer,
    statement::v1::{Alarm, AlarmAbout, AlarmKind, Claim},
};
use model::{Clock as _, RoleName};

use self::{
    board::Observed,
    metrics::Scrape,
    neighbours::Neighbours,
    probes::{Documents, Prober},
    refused::Attempts,
    surges::Surges,
};
use super::{Start, gate::sentinel::silent};
use crate::{
    alarms::{
        outbox::{Current, Outbox},
        receiver::Receiver,
        sender::Sender,
    },
    clock::SystemClock,
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    log_client::LogClient,
    say::{About, Speaker},
    status::StatusFile,
    supervise::STARTED,
    view::View,
};

/// Between two rounds: a quarter of a second of the five in which people are told.
const ROUND: Duration = Duration::from_millis(250);
/// Telling people must not wait for a log that hangs; it syncs a batch of statements in well under this.
const LOG_PATIENCE: Duration = Duration::from_secs(1);
/// After the log did not answer, this long is spent without it.
const LOG_PAUSE: Duration = Duration::from_secs(2);
/// How often it is looked whether something is over by time alone; whether a silence is, is looked at in each round.
const BY_TIME_S: u64 = 5;
/// How often the log is asked what it refused.
const REFUSED_INTERVAL: Duration = Duration::from_secs(1);
/// How many statements are said in one round, so that a thousand alarms at once do not keep the next one waiting.
const SAY_LIMIT: usize = 16;
/// A log that has said nothing yet may still be starting.
const LOG_START: Duration = Duration::from_secs(30);
/// Sockets of 64 probes at once, of receivers, and of who reads the metrics.
const OPEN_FILES: u64 = 1024;
/// When the stand-in is asked to end, it has this long to tell that `watch` lives again.
const FAREWELL: Duration = Duration::from_secs(8);

/// Runs the process until it is ended.
pub fn run(start: Start) -> Result<(), Fault> {
    let signer: Arc<dyn Signer> = Arc::new(start.key()?);
    let members = start.charter.members.clone();
    let role: RoleName = start.role.name().parse().because(Kind::Internal, "the role's name does not parse")?;
    let speaker = Speaker::new(signer, members.hash(), role);
    let receivers = Receiver::open_all(&start.settings.alarms)?;
    let mut troubles = Vec::new();
    let listener = start.settings.metrics.and_then(|address| match metrics::listen(address) {
        Ok(listener) => Some(listener),
        // Alarms are more than metrics: without an address they go on.
        Err(fault) => {
            troubles.push(fault.message());
            None
        }
    });
    let mut confinement = confinement(&receivers);
    // A component may listen anywhere.
    confinement.connect_tcp = None;
    confinement.bind_tcp = None;
    confinement.sockets = if confinement.sockets == Sockets::Unix { Sockets::Tcp } else { confinement.sockets };
    confinement.read.push(start.layout.images());
    confinement.read.push(start.layout.root().join("status"));
    let status = start.confine(confinement)?;

    let home = start.layout.home(start.role);
    let charter = members.charter();
    let (origin, host) = (charter.log.origin.clone(), start.settings.host.to_string());
    let sender = Sender::start(Outbox::open(&home.join("outbox.json"), &receivers)?, receivers, origin, host)?;
    let log = LogClient::direct(Target::Unix(start.layout.socket(RoleUser::Log))).waiting(LOG_PATIENCE);
    let scrape = Arc::new(Scrape::new(start.layout.clone()));
    if let Some(listener) = listener {
        metrics::serve(listener, scrape.clone())?;
    }
    let watch = Watch {
        prober: Prober::start(start.settings.fabric)?,
        neighbours: Neighbours::start(&start)?,
        surges: Surges::start(&start.layout)?,
        view: View::with_memory(log, members, &home)?,
        speaker,
        sender,
        scrape,
        documents: Documents::new(start.layout.images()),
        began: Instant::now(),
        log_away: None,
        untrue: None,
        from_log: (None, BTreeMap::new()),
        attempts: Attempts::default(),
        asked_refused: None,
        said: BTreeMap::new(),
        missed: BTreeSet::new(),
        troubles,
    };
    watch.run(status)
}

fn confinement(receivers: &[Receiver]) -> Confinement {
    let mut confinement = Confinement::nothing();
    confinement.open_files = OPEN_FILES;
    for receiver in receivers {
        receiver.allow(&mut confinement);
    }
    confinement
}

struct Watch {
    view: View,
    speaker: Speaker,
    sender: Sender,
    scrape: Arc<Scrape>,
    prober: Prober,
    neighbours: Neighbours,
    surges: Surges,
    documents: Documents,
    began: Instant,
    /// When the log last did not answer.
    log_away: Option<Instant>,
    /// Why the log is not believed, as long as it is not.
    untrue: Option<String>,
    /// What the log calls for, and the size and the time that it was asked at.
    from_log: (Option<(u64, u64)>, BTreeMap<Condition, String>),
    attempts: Attempts,
    /// When the log was last asked what it refused.
    asked_refused: Option<Instant>,
    /// What was said and is not read back yet: whether it fires, and the log index.
    said: BTreeMap<Condition, (bool, u64)>,
    /// What was over before the log had it.
    missed: BTreeSet<Condition>,
    /// What went wrong at the start.
    troubles: Vec<String>,
}

impl Watch {
    fn run(mut self, mut status: StatusFile) -> Result<(), Fault> {
        loop {
            let mut troubles = self.troubles.clone();
            let done = self.round(&mut status, &mut troubles);
            // Whoever can not look raises no alarm: the gate and the stand-in are to see that.
            status.beat(done.is_ok());
            troubles.extend(done.err().map(|fault| fault.message()));
            if !troubles.is_empty() {
                status.trouble(troubles.join("; "));
            }
            std::thread::sleep(ROUND);
        }
    }

    fn round(&mut self, status: &mut StatusFile, troubles: &mut Vec<String>) -> Result<(), Fault> {
        if self.asks_log() {
            let refreshed = self.view.refresh();
            self.note(refreshed.map(drop), troubles);
        }
        if self.asks_log() && self.asked_refused.is_none_or(|at| at.elapsed() >= REFUSED_INTERVAL) {
            self.asked_refused = Some(Instant::now());
            match self.view.log().refusals(0) {
                Ok(refused) => self.attempts.set(refused),
                Err(fault) => self.note(Err(fault), troubles),
            }
        }
        let now = SystemClock.now();
        let open = self.sender.open_conditions();
        let observed = self.observe(&open, troubles)?;
        let current = board::current(&observed, &open, self.view.facts(), now);
        // Who is told by other ways does not keep the log from hearing of it.
        if let Err(fault) = self.sender.set(&current) {
            troubles.push(fault.message());
        }
        let facts = self.view.facts();
        let over = open.into_iter().map(|(condition, _)| condition).filter(|c| !current.contains_key(c));
        self.missed.extend(over.filter(|c| facts.fires(c).is_none()));
        self.forget_read_back();
        self.say(&observed, troubles);
        troubles.extend(self.sender.troubles());
        self.tell(status, &current);
        Ok(())
    }

    fn asks_log(&self) -> bool {
        self.log_away.is_none_or(|since| since.elapsed() >= LOG_PAUSE)
    }

    /// Takes down how asking the log went.
    fn note(&mut self, asked: Result<(), Fault>, troubles: &mut Vec<String>) {
        match asked {
            Ok(()) => (self.log_away, self.untrue) = (None, None),
            Err(fault) => {
                match fault.kind() {
                    Kind::Untrue => self.untrue = Some(fault.message()),
                    Kind::Unavailable => self.log_away = Some(Instant::now()),
                    _ => {}
                }
                troubles.push(fault.message());
            }
        }
    }

    /// Everything that calls for an alarm now.
    fn observe(&mut self, open: &[(Condition, String)], troubles: &mut Vec<String>) -> Result<Observed, Fault> {
        let mut observed = Observed::default();
        self.read_log(&mut observed)?;
        self.attempts.look(self.view.facts(), SystemClock.now(), &mut observed);
        let neighbours = self.neighbours.look(&mut observed);
        self.surges.look(&neighbours, &mut observed);
        let targets = probes::targets(&neighbours, self.view.facts(), &mut self.documents, troubles);
        self.prober.set(targets);
        self.prober.look(&mut observed);
        let fork = Condition::of(AlarmKind::Fork, AlarmAbout::default());
        if let Some(words) = board::fork(self.untrue.as_deref(), &fork, open, self.view.facts()) {
            observed.call(fork, words);
        }
        // By the charter in force, which may have been amended since this process began.
        let charter = self.view.facts().members().charter();
        let max_age_s = charter.environments.iter().map(|e| e.max_age_s).min().unwrap_or(u64::MAX);
        let fresh = self.view.reader().fresh(SystemClock.now(), max_age_s);
        if self.view.facts().size() == 0 && self.began.elapsed() < LOG_START {
            observed.unsure(AlarmKind::LogStale);
        } else if let Err(stale) = fresh {
            observed.call(
                Condition::of(AlarmKind::LogStale, AlarmAbout::default()),
                format!("no step can be taken: {stale}"),
            );
        }
        Ok(observed)
    }

    /// What the log calls for; asked again when it has grown, and now and then for what ends by time.
    fn read_log(&mut self, observed: &mut Observed) -> Result<(), Fault> {
        let now = SystemClock.now();
        let facts = self.view.facts();
        let at = Some((facts.size(), now.unix() / BY_TIME_S));
        if self.from_log.0 != at {
            let called = called_for(self.view.policy(), facts, now);
            self.from_log = (at, called);
        }
        for (condition, words) in &self.from_log.1 {
            observed.call(condition.clone(), words.clone());
        }
        if facts.size() == 0 {
            // Nothing was read yet: what the log called for may still stand.
            AlarmKind::ALL.into_iter().for_each(|kind| observed.unsure(kind));
        }
        Ok(())
    }

    fn forget_read_back(&mut self) {
        let size = self.view.facts().size();
        self.said.retain(|_, (_, index)| *index >= size);
        let facts = self.view.facts();
        self.missed.retain(|condition| facts.fires(condition).is_none());
    }

    /// Says in the log what it does not have yet.
    fn say(&mut self, observed: &Observed, troubles: &mut Vec<String>) {
        if !self.asks_log() || self.view.facts().size() == 0 {
            return;
        }
        let news: Vec<(Condition, bool)> = board::statements(observed, &self.missed, self.view.facts())
            .into_iter()
            .filter(|(condition, _)| !self.said.contains_key(condition))
            .take(SAY_LIMIT)
            .collect();
        for (condition, firing) in news {
            let claim = Alarm { what: condition.what, about: condition.about.clone(), firing };
            let about = About {
                system: condition.system.clone(),
                environment: condition.environment.clone(),
                seen: self.view.seen(),
                nonce: None,
            };
            match self.speaker.say(self.view.log(), Claim::Alarm(claim), about, &[]) {
                Ok(said) => {
                    self.said.insert(condition, (firing, said.index));
                }
                Err(fault) => {
                    if fault.kind() == Kind::Unavailable {
                        self.log_away = Some(Instant::now());
                    }
                    troubles.push(fault.message());
                    return;
                }
            }
        }
    }

    fn tell(&self, status: &mut StatusFile, current: &BTreeMap<Condition, Current>) {
        let silenced = current.values().filter(|c| c.silenced).count();
        let acknowledged = current.values().filter(|c| c.acknowledged).count();
        let untold = self.sender.untold();
        status.measure("statements", self.view.facts().size());
        status.measure("alarms_firing", current.len() as u64);
        status.measure("alarms_silenced", silenced as u64);
        status.measure("alarms_acknowledged", acknowledged as u64);
        status.measure("alarms_untold", untold as u64);
        status.measure("probes", self.prober.len() as u64);
        self.scrape.set(current, &self.prober.failing(), self.sender.sent());
        let waits =
            if untold > 0 { vec![format!("{untold} alarms to be taken by those who are told")] } else { vec![] };
        status.say(
            format!(
                "{} alarms fire, {acknowledged} seen, {silenced} silenced; {} probes",
                current.len(),
                self.prober.len()
            ),
            waits,
        );
    }
}

/// Tells people that `watch` is silent, until it is asked to end: then it tells that `watch` lives again.
pub fn stand_in(start: &Start) -> Result<(), Fault> {
    let receivers = Receiver::open_all(&start.settings.alarms)?;
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])
        .because(Kind::Unavailable, "signals can not be waited for")?;
    let condition = silent(RoleUser::Watch, start)?;
    start.confine_quietly(confinement(&receivers))?;
    let charter = start.charter.members.charter();
    let (origin, host) = (charter.log.origin.clone(), start.settings.host.to_string());
    let path = start.layout.home(start.role).join("stand-in.json");
    let sender = Sender::start(Outbox::open(&path, &receivers)?, receivers, origin, host)?;
    let words = "watch is silent: no other alarm of this host is raised until it lives again".to_owned();
    let firing = Current { words, index: None, acknowledged: false, silenced: false };
    sender.set(&BTreeMap::from([(condition, firing)]))?;
    let asked_to_end = signals.forever().next().is_some();
    tracing::info!(asked_to_end, "watch lives again");
    sender.set(&BTreeMap::new())?;
    let deadline = Instant::now() + FAREWELL;
    while sender.untold() > 0 && Instant::now() < deadline {
        std::thread::sleep(ROUND);
    }
    Ok(())
}

/// The processes whose heartbeats are looked at: all of this host but this one.
pub(super) fn neighbours_of(start: &Start) -> impl Iterator<Item = RoleUser> + use<> {
    let own = start.role;
    STARTED.into_iter().filter(move |role| *role != own)
}
