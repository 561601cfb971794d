//! Versions that go on beside the latest one: which stay, who holds them, and how one goes.
//!
//! A version goes in two looks. At the first nobody held it for as long as its release says; then the edge turns its clients
//! away, and only if at the second look nobody has come meanwhile is it stopped. What is not known holds it: an edge that
//! started again knows nothing of the time before, so nothing goes until it has looked for long enough. It refuses to know
//! who orders a retirement; that is in the intent.

use std::fmt;

use model::{
    EnvironmentName, Serial, Timestamp,
    release::Versions,
    route::{Clients, EdgeCounts, VersionClients},
};
use serde::{Deserialize, Serialize};

use crate::{
    intent::Version,
    milestone::Milestone,
    progress::{Forward, Progress, State, Transition},
    reason::{Refusal, Wait},
    refuse::{both, irreversible},
    routes::in_force,
    scene::Scene,
};

/// How long a return waits without a verdict: longer than a log, its witnesses or a network need to be there again, and short
/// beside the time for which a place of `most` would be taken from others.
const RETURN_PATIENCE_MS: u64 = 120_000;

/// A version beside the latest one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Which.
    pub version: Version,
    /// Since when it is beside.
    pub since: Timestamp,
    /// How it is.
    pub standing: Standing,
}

/// How a version beside the latest one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Standing {
    /// It was retired and is started again.
    Returning,
    /// It runs and is reached by its names.
    Runs,
    /// Nobody held it; the edge turns clients away, so that one who comes meanwhile is seen.
    Closing {
        /// When nobody held it, by the edge's clock.
        looked: Timestamp,
        /// The edge that said so.
        edge: u64,
    },
    /// It is stopped and removed.
    Leaving {
        /// Whether it ran before; one that did not come back leaves without a word of its end.
        ran: bool,
    },
}

/// Who or what holds a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by", deny_unknown_fields)]
pub enum Hold {
    /// The edge was not asked.
    NotAsked,
    /// The edge has not looked for long enough to know all clients.
    Unknown {
        /// When it started.
        since: Timestamp,
        /// When it will have.
        until: Timestamp,
    },
    /// Requests are in flight.
    InFlight {
        /// How many.
        requests: u64,
    },
    /// Connections are open.
    Open {
        /// Connections, sessions among them.
        connections: u64,
        /// Long sessions.
        sessions: u64,
    },
    /// Somebody was seen lately.
    Client {
        /// Who, as the edge knows it.
        identity: String,
        /// Open connections.
        connections: u64,
        /// When last.
        last_seen: Timestamp,
        /// How long that counts.
        until: Timestamp,
    },
    /// Somebody was seen lately whom the edge could not remember.
    Somebody {
        /// When last.
        last_seen: Timestamp,
        /// How long that counts.
        until: Timestamp,
    },
    /// Somebody holds a lease.
    Lease {
        /// What the lease is called.
        name: String,
        /// Whose.
        identity: String,
        /// Until when.
        until: Timestamp,
    },
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("the edge did not say who its clients are"),
            Self::Unknown { since, until } => {
                write!(f, "the edge started at {since}; who was a client before is known from {until} on")
            }
            Self::InFlight { requests } => write!(f, "{requests} requests in flight"),
            Self::Open { connections, sessions } => {
                write!(f, "{connections} open connections, {sessions} of them sessions")
            }
            Self::Client { identity, connections, last_seen, until } => {
                write!(f, "client `{identity}`, {connections} connections, last seen {last_seen}, counts until {until}")
            }
            Self::Somebody { last_seen, until } => {
                write!(f, "a client that is not remembered, last seen {last_seen}, counts until {until}")
            }
            Self::Lease { name, identity, until } => write!(f, "lease `{name}` of `{identity}` until {until}"),
        }
    }
}

/// Who holds a version, if a client counts for `quiet_s` seconds after it was seen; nobody if it may go.
pub fn holds(
    serial: &Serial,
    rules: &Versions,
    quiet_s: u64,
    clients: Option<&Clients>,
    edge: &EdgeCounts,
) -> Vec<Hold> {
    let Some(clients) = clients else { return vec![Hold::NotAsked] };
    let mut holds = Vec::new();
    // A lease that an earlier edge gave may be as long.
    let known_from = clients.since.plus_s(quiet_s.max(u64::from(rules.lease_s)));
    if clients.now < known_from {
        holds.push(Hold::Unknown { since: clients.since, until: known_from });
    }
    let in_flight =
        edge.versions.iter().filter(|v| v.serial == *serial).fold(0, |sum: u64, v| sum.saturating_add(v.in_flight));
    if in_flight > 0 {
        holds.push(Hold::InFlight { requests: in_flight });
    }
    let counts = |seen: Timestamp| clients.now <= seen.plus_s(quiet_s);
    for row in rows(clients, serial) {
        if row.connections > 0 || row.sessions > 0 {
            holds.push(Hold::Open { connections: row.connections, sessions: row.sessions });
        }
        let named = row.seen.iter().filter(|c| c.connections > 0 || counts(c.last_seen));
        let before = holds.len();
        holds.extend(named.map(|c| Hold::Client {
            identity: c.identity.clone(),
            connections: c.connections,
            last_seen: c.last_seen,
            until: c.last_seen.plus_s(quiet_s),
        }));
        if let Some(last_seen) = row.last_seen.filter(|seen| counts(*seen) && holds.len() == before) {
            holds.push(Hold::Somebody { last_seen, until: last_seen.plus_s(quiet_s) });
        }
        holds.extend(row.leases.iter().filter(|l| l.until > clients.now).map(|l| Hold::Lease {
            name: l.name.clone(),
            identity: l.identity.clone(),
            until: l.until,
        }));
    }
    holds
}

fn rows<'a>(clients: &'a Clients, serial: &'a Serial) -> impl Iterator<Item = &'a VersionClients> {
    clients.versions.iter().filter(move |row| row.serial == *serial)
}

/// How versions live side by side by the release of this one.
pub fn rules<'a>(version: &'a Version, environment: &EnvironmentName) -> Option<&'a Versions> {
    version.environment(environment)?.versions.as_ref()
}

/// Whether what ran before goes on when the transition is done: its release promised that, and nobody orders it away. What
/// is gone back from does not go on.
pub(crate) fn stays(environment: &EnvironmentName, transition: &Transition) -> bool {
    transition.from.as_ref().is_some_and(|from| {
        rules(from, environment).is_some() && transition.to.serial().ordinal() > from.serial().ordinal()
    })
}

/// Whether an instance of a version is wanted beside what the state has.
pub(crate) fn is_beside(progress: &Progress, serial: &Serial) -> bool {
    let stays = |b: &Beside| !matches!(b.standing, Standing::Leaving { .. });
    progress.beside.iter().any(|b| b.version.serial() == serial && stays(b))
}

/// Why this target can not begin beside the versions that run; nothing if it can.
pub(crate) fn refusal(progress: &Progress, current: Option<&Version>, target: &Version) -> Option<Refusal> {
    let environment = &progress.environment;
    let from = current
        .filter(|from| rules(from, environment).is_some() && target.serial().ordinal() > from.serial().ordinal());
    let others = || progress.beside.iter().map(|b| &b.version).chain(from).filter(|v| v.digest != target.digest);
    let wanted = target.environment(environment)?;
    let most = rules(target, environment).or_else(|| rules(from?, environment)).map(|v| v.most);
    let count = others().count().saturating_add(1);
    if let Some(most) = most.filter(|most| count > usize::try_from(*most).unwrap_or(usize::MAX)) {
        let running = others().map(|v| v.serial().clone()).collect();
        return Some(Refusal::TooManyVersions { target: target.serial().clone(), most, running });
    }
    for other in others() {
        let taken = other.environment(environment).into_iter().flat_map(|e| &e.expose);
        for (component, listen) in taken {
            if let Some((other_component, _)) =
                wanted.expose.iter().find(|(name, at)| *at == listen && *name != component)
            {
                return Some(Refusal::ListenerTaken {
                    listen: *listen,
                    component: other_component.clone(),
                    other: component.clone(),
                    running: other.serial().clone(),
                });
            }
        }
        if let Some((old, _)) = both(other, target).find(|(old, new)| irreversible(old, new).is_some()) {
            return Some(Refusal::BreaksBeside { component: old.name.clone(), running: other.serial().clone() });
        }
    }
    None
}

/// What a change of state means for the versions beside.
pub(crate) fn follow(scene: &Scene<'_>, progress: &mut Progress, before: &State) {
    let environment = progress.environment.clone();
    match (before, &mut progress.state) {
        (State::Forward { transition, stage: Forward::Retiring { .. } }, State::Idle { .. }) => {
            if let Some(from) = transition.from.as_ref().filter(|_| stays(&environment, transition)) {
                let since = scene.now;
                progress.beside.push(Beside { version: from.clone(), since, standing: Standing::Runs });
            }
            for channel in rules(&transition.to, &environment).into_iter().flat_map(|v| &v.channels) {
                progress.channels.insert(channel.clone(), transition.to.digest);
            }
            progress.live_since = rules(&transition.to, &environment).map(|_| scene.now);
        }
        (State::Idle { .. } | State::Stuck { .. }, State::Forward { transition, .. }) => {
            let is_it = |b: &Beside| b.version.digest == transition.to.digest;
            if let Some(at) = progress.beside.iter().position(is_it) {
                transition.was_beside = Some(Box::new(progress.beside.remove(at)));
            }
        }
        (State::Back { transition, .. }, State::Idle { .. }) => {
            progress.beside.extend(transition.was_beside.as_deref().cloned());
        }
        _ => {}
    }
    let runs: Vec<_> = [progress.current().map(|v| v.digest)]
        .into_iter()
        .flatten()
        .chain(progress.beside.iter().map(|b| b.version.digest))
        .collect();
    if matches!(progress.state, State::Idle { .. }) {
        // A channel whose version is gone leads nowhere until a release takes it.
        progress.channels.retain(|_, owner| runs.contains(owner));
    }
}

/// The next state of each version beside. Nothing goes or comes while a rollout is on its way.
pub(crate) fn advance(scene: &Scene<'_>, progress: &mut Progress) {
    if !matches!(progress.state, State::Idle { .. }) {
        return;
    }
    bring_back(scene, progress);
    let routed = in_force(scene, progress);
    let environment = progress.environment.clone();
    let issued = (progress.issued.generation, progress.issued.revision);
    let mut notes = Vec::new();
    for beside in &mut progress.beside {
        let Beside { version, standing, since } = beside;
        let Some(rules) = rules(version, &environment) else { continue };
        let serial = version.serial().clone();
        let next = match standing {
            Standing::Returning if may_not_return(scene, version, *since) => {
                notes.push(Milestone::NotBroughtBack { serial });
                Some(Standing::Leaving { ran: false })
            }
            Standing::Returning => {
                let looks =
                    || version.release.components.iter().flat_map(|c| scene.ids(version, c).map(move |id| (c, id)));
                if version.release.components.iter().all(|c| scene.is_healthy(version, c)) {
                    *since = scene.now;
                    notes.push(Milestone::BroughtBack { serial });
                    Some(Standing::Runs)
                } else if looks().any(|(c, id)| scene.look(version, c, &id).trouble(&id).is_some()) {
                    notes.push(Milestone::NotBroughtBack { serial });
                    Some(Standing::Leaving { ran: false })
                } else {
                    None
                }
            }
            Standing::Runs => {
                let quiet_s = quiet_s(scene, version, rules);
                let free = quiet_s.filter(|s| holds(&serial, rules, *s, scene.clients, scene.edge).is_empty());
                // With nothing that holds it, the edge was asked.
                free.and(scene.clients).map(|c| Standing::Closing { looked: c.now, edge: c.start })
            }
            Standing::Closing { looked, edge } => match scene.clients {
                Some(clients) if (clients.generation, clients.revision) == issued && routed => {
                    let came = clients.start != *edge || is_held(clients, scene.edge, &serial, *looked);
                    Some(if came { Standing::Runs } else { Standing::Leaving { ran: true } })
                }
                _ => None,
            },
            Standing::Leaving { .. } => None,
        };
        if let Some(next) = next {
            *standing = next;
        }
    }
    let gone = |b: &Beside| {
        let instances = scene.instances(b.version.serial().system()).any(|i| i.id.serial == *b.version.serial());
        matches!(b.standing, Standing::Leaving { .. }) && routed && !instances
    };
    let left: Vec<Beside> = progress.beside.iter().filter(|b| gone(b)).cloned().collect();
    progress.beside.retain(|b| !left.contains(b));
    for beside in left {
        progress.channels.retain(|_, owner| *owner != beside.version.digest);
        if beside.standing == (Standing::Leaving { ran: true }) {
            notes.push(Milestone::Gone { serial: beside.version.serial().clone() });
        }
    }
    notes.into_iter().for_each(|note| progress.outbox.note(note));
}

/// How long nobody must have been there: by hand, by itself, or never.
fn quiet_s(scene: &Scene<'_>, version: &Version, rules: &Versions) -> Option<u64> {
    let is_ordered = scene.intent.retire.contains(&version.digest);
    if is_ordered { Some(u64::from(rules.client_s)) } else { rules.retire_after_s.map(u64::from) }
}

/// Whether anybody came since a look, or is there.
fn is_held(clients: &Clients, edge: &EdgeCounts, serial: &Serial, looked: Timestamp) -> bool {
    let came = |row: &VersionClients| {
        row.connections > 0
            || row.sessions > 0
            || row.leases.iter().any(|l| l.until > clients.now)
            // Times are whole seconds: one that is equal may be later.
            || row.last_seen.is_some_and(|seen| seen >= looked)
    };
    rows(clients, serial).any(came) || edge.versions.iter().any(|v| v.serial == *serial && v.in_flight > 0)
}

/// Whether there is a verdict now by which a version comes back.
pub(crate) fn comes_back_by(scene: &Scene<'_>, beside: &Beside) -> bool {
    scene.intent.back.as_ref().is_some_and(|back| back.digest == beside.version.digest)
}

/// Whether what comes back has to go again: it was ordered away, or its verdict is gone for longer than a log is away that is
/// started again.
fn may_not_return(scene: &Scene<'_>, version: &Version, since: Timestamp) -> bool {
    let is_ordered = scene.intent.retire.contains(&version.digest);
    let is_granted = scene.intent.back.as_ref().is_some_and(|back| back.digest == version.digest);
    is_ordered || (!is_granted && scene.passed(since, RETURN_PATIENCE_MS))
}

fn bring_back(scene: &Scene<'_>, progress: &mut Progress) {
    let Some(back) = scene.intent.back.as_ref().filter(|back| back.generation > progress.returned) else { return };
    let is_there = progress.beside.iter().any(|b| b.version.serial() == back.serial())
        || progress.current().is_some_and(|v| v.serial() == back.serial());
    if is_there || return_refusal(progress, back).is_some() {
        return;
    }
    progress.returned = back.generation;
    progress.beside.push(Beside { version: back.clone(), since: scene.now, standing: Standing::Returning });
}

/// Why a version can not come back just now.
fn return_refusal(progress: &Progress, back: &Version) -> Option<Refusal> {
    let current = progress.current()?;
    // What the latest version made of the state, the one that comes back must live with.
    if let Some((old, _)) = both(back, current).find(|(old, new)| irreversible(old, new).is_some()) {
        return Some(Refusal::BreaksBeside { component: old.name.clone(), running: back.serial().clone() });
    }
    let most = rules(current, &progress.environment)?.most;
    let running: Vec<Serial> = progress.beside.iter().map(|b| b.version.serial().clone()).collect();
    let full = running.len().saturating_add(2) > usize::try_from(most).unwrap_or(usize::MAX);
    full.then(|| Refusal::TooManyVersions { target: back.serial().clone(), most, running })
}

/// What versions beside wait for.
pub(crate) fn waits(scene: &Scene<'_>, progress: &Progress) -> Vec<Wait> {
    let mut waits = Vec::new();
    for beside in &progress.beside {
        let serial = beside.version.serial().clone();
        let Some(rules) = rules(&beside.version, &progress.environment) else { continue };
        if scene.intent.retire.contains(&beside.version.digest) && beside.standing == Standing::Runs {
            let holds = holds(&serial, rules, u64::from(rules.client_s), scene.clients, scene.edge);
            let words = holds.iter().map(Hold::to_string).collect();
            waits.push(Wait::Held { serial, words });
        }
    }
    if let Some(back) = scene.intent.back.as_ref().filter(|back| back.generation > progress.returned)
        && let Some(refusal) = return_refusal(progress, back)
    {
        waits.push(Wait::Return { serial: back.serial().clone(), why: refusal.to_string() });
    }
    waits
}
