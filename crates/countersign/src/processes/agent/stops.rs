//! Stops delivered straight to the agent, before the log has them: stopping must work when the log does not.
//!
//! A halt, a rejection or the withdrawal of a key is in force here from the moment that it was taken. Each is kept as a file
//! until the log has it, and the agent writes it there itself. A crash between keeping and logging writes it into the log
//! twice at most, which is the same statement.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State as Shared,
    routing::{get, post},
};
use gate::{Facts, Stop};
use ledger::{dsse::Envelope, durable, reader::Reader, statement::Members};
use model::{Clock as _, Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::State;
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    log_client::LogClient,
    serve::{PublicLimits, blocking, bounded, serve_public, serve_unix},
    submission,
};

/// The most stops of one person that wait for the log at once. Stopping needs one; and a person, or a thief of a key, who
/// fills this keeps nobody else from stopping.
const WAITING_LIMIT_PER_PERSON: usize = 100;

/// A log and its witnesses take a second or two. One that does not have a stop after a minute withholds it, or can not be
/// reached, and somebody has to know.
const LOGGED_WITHIN_S: u64 = 60;

/// A stop is a statement of at most 64 KiB, in base64 and in JSON.
const STOP_BYTES: usize = 256 << 10;

/// A stop is small; who takes longer to send one is slow on purpose.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// As many as this hand over stops from other hosts at once. Who holds all of them holds each for five seconds at most; and
/// stops come over this host's own socket, and by the log, as well.
const FAR_LIMITS: PublicLimits = PublicLimits { connections: 256, head_timeout: Duration::from_secs(5) };

/// The stops that the log does not have yet.
pub(crate) struct Stops {
    folder: PathBuf,
    /// Who may stop, by the charter in force in the log as far as it was read.
    members: Mutex<Members>,
    waiting: Mutex<Waiting>,
    /// Kept from before the start, by somebody whom only a charter may know that was not read yet.
    unknown: Mutex<Vec<Kept>>,
}

/// A stop as it was found in the folder.
struct Kept {
    path: PathBuf,
    bytes: Vec<u8>,
    since: Timestamp,
}

#[derive(Default)]
struct Waiting {
    stops: BTreeMap<Digest, Taken>,
    /// Counts every change, so that nobody weighs the same stops twice.
    version: u64,
}

/// One stop, and since when it is in force.
#[derive(Clone)]
struct Taken {
    envelope: Envelope,
    stop: Stop,
    since: Timestamp,
    /// Whether its being late was told.
    told_late: bool,
    /// Whether its signer had seen another history of the log than the one that is read here.
    other_history: bool,
}

/// A stop that the log does not have, as `GET /stops` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waits {
    /// The digest of its name, by which it is the same stop on every agent.
    pub(crate) stop: Digest,
    /// A halt, a rejection or a withdrawal of a key.
    pub(crate) kind: String,
    /// Since when it is in force here.
    pub(crate) since: Timestamp,
    /// Whether the log should have it by now.
    pub(crate) late: bool,
    /// Whether its signer had seen another history of the log than the agent reads: one of the two was shown a false one.
    pub(crate) other_history: bool,
}

impl Stops {
    pub(super) fn open(folder: PathBuf, members: Members) -> Result<Self, Fault> {
        let unreadable = "the stops that were delivered can not be read";
        durable::create_folder(&folder, 0o700).because(Kind::Unavailable, "the folder of stops can not be made")?;
        let (mut waiting, mut unknown) = (Waiting::default(), Vec::new());
        for entry in std::fs::read_dir(&folder).because(Kind::Unavailable, unreadable)? {
            let entry = entry.because(Kind::Unavailable, unreadable)?;
            let path = entry.path();
            // What a write that was cut off leaves. Whoever handed it over was not told that it was taken.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                put_away(&path)?;
                continue;
            }
            let bytes = std::fs::read(&path).because(Kind::Unavailable, unreadable)?;
            let written = std::fs::metadata(&path).and_then(|m| m.modified()).because(Kind::Unavailable, unreadable)?;
            let since = written.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
            let since = Timestamp::from_unix(since);
            match open(&bytes, &members) {
                Ok((envelope, stop)) => {
                    let taken = Taken { envelope, stop, since, told_late: false, other_history: false };
                    waiting.stops.insert(taken.stop.identity().digest(), taken);
                }
                // By whom an amendment brought, as far as can be told before the log is read.
                Err(_) if Envelope::parse(&bytes).is_ok() => unknown.push(Kept { path, bytes, since }),
                // A stop is never forgotten silently: what can not be read keeps the agent from starting.
                Err(fault) => return Err(fault.context(format!("`{}` is kept as a stop", path.display()))),
            }
        }
        Ok(Self { folder, members: Mutex::new(members), waiting: Mutex::new(waiting), unknown: Mutex::new(unknown) })
    }

    fn members(&self) -> Members {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by the charter that is in force in the log as it was read. Where all of it was read, up to what was accepted
    /// before at least, a stop whose signer may not say it is over: the log takes it no more either.
    pub(super) fn follow(&self, members: &Members, is_read: bool) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_same(members) && unknown.is_empty() {
            return;
        }
        *known = members.clone();
        drop(known);
        unknown.retain(|kept| {
            let Ok((envelope, stop)) = open(&kept.bytes, members) else {
                if !is_read {
                    return true;
                }
                tracing::error!("a stop is put away: its signer may not say it any more: `{}`", kept.path.display());
                let gone = put_away(&kept.path);
                return gone.inspect_err(|fault| tracing::error!("{}", fault.message())).is_err();
            };
            let taken = Taken { envelope, stop, since: kept.since, told_late: false, other_history: false };
            let mut waiting = self.waiting();
            waiting.stops.insert(taken.stop.identity().digest(), taken);
            waiting.version += 1;
            false
        });
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stop: it is in force when this returns.
    pub(super) fn take(&self, bytes: &[u8]) -> Result<(), Fault> {
        let members = self.members();
        let (envelope, stop) = open(bytes, &members)?;
        let now = SystemClock.now();
        Members::check_expiry(stop.statement(), now).because(Kind::Refused, "the stop is not acceptable")?;
        let identity = stop.identity().digest();
        let mut waiting = self.waiting();
        if waiting.stops.contains_key(&identity) {
            return Ok(());
        }
        let whose = |envelope: &Envelope| members.holder(envelope.signer()).ok();
        let who = whose(&envelope);
        if waiting.stops.values().filter(|t| whose(&t.envelope) == who).count() >= WAITING_LIMIT_PER_PERSON {
            return Err(Fault::new(Kind::Refused, "too many stops of this person wait for the log already"));
        }
        durable::write(&self.folder.join(identity.hex()), &envelope.canonical_bytes(), 0o600)
            .because(Kind::Unavailable, "the stop can not be kept")?;
        tracing::warn!("stopped by direct delivery of a {}", stop.statement().claim.kind());
        waiting.stops.insert(identity, Taken { envelope, stop, since: now, told_late: false, other_history: false });
        waiting.version += 1;
        Ok(())
    }

    /// Changes with every stop that comes and goes.
    pub(super) fn version(&self) -> u64 {
        self.waiting().version
    }

    /// The facts as if the stops came next in the log, with the version that they are of. `None` if there are none.
    pub(super) fn weigh(&self, facts: &Facts) -> (u64, Option<Result<Facts, gate::FactsError>>) {
        let (version, stops) = {
            let waiting = self.waiting();
            // Whoever is not in the charter any more stops nothing more; the log refuses it too.
            let counts = |taken: &&Taken| facts.members().holder(taken.envelope.signer()).is_ok();
            let stops: Vec<Stop> = waiting.stops.values().filter(counts).map(|t| t.stop.clone()).collect();
            (waiting.version, stops)
        };
        (version, (!stops.is_empty()).then(|| facts.stopped(&stops)))
    }

    /// Writes into the log what it does not have, and forgets what it has: from then on the log's own word counts. That it
    /// is there is read from the log, and not taken from its answer.
    pub(super) fn write_into_log(&self, log: &LogClient, facts: &Facts) -> Result<(), Fault> {
        let waiting: Vec<Taken> = self.waiting().stops.values().cloned().collect();
        // One that the log does not take must not keep the others out of it.
        let mut trouble = Ok(());
        let mut away = false;
        for taken in waiting {
            let identity = taken.stop.identity();
            let kind = taken.stop.statement().claim.kind();
            if facts.has_heard(identity) {
                trouble = self.forget(identity.digest()).and(trouble);
            } else if let Err(fault) = Members::check_expiry(taken.stop.statement(), SystemClock.now()) {
                // The log takes it never: what it says is over by its own word.
                tracing::error!("a {kind} that was delivered here ended before the log had it: {fault}");
                trouble = self.forget(identity.digest()).and(trouble);
            } else if facts.size() > 0 && facts.members().holder(taken.envelope.signer()).is_err() {
                tracing::error!("a {kind} that was delivered here is by somebody who is not in the charter any more");
                trouble = self.forget(identity.digest()).and(trouble);
            } else if away {
                // Each would wait for the log anew, and going back must not wait.
            } else if let Err(fault) = log.append(&taken.envelope, &[]) {
                away = fault.kind() == Kind::Unavailable;
                trouble = Err(fault.context(format!("a {kind} that was delivered here is not in the log yet")));
            }
        }
        trouble
    }

    fn forget(&self, stop: Digest) -> Result<(), Fault> {
        put_away(&self.folder.join(stop.hex()))?;
        let mut waiting = self.waiting();
        waiting.stops.remove(&stop);
        waiting.version += 1;
        Ok(())
    }

    /// Compares what the signers of stops had seen of the log with what is read here, where it is long enough. A stop on
    /// another history holds here all the same: the log refuses it, and people must find out who was shown a false one.
    pub(super) fn compare(&self, reader: &Reader) {
        let mut waiting = self.waiting();
        for taken in waiting.stops.values_mut().filter(|taken| !taken.other_history) {
            let Some(seen) = taken.stop.statement().header.seen else { continue };
            if reader.root_at(seen.size).is_some_and(|root| root != seen.root) {
                taken.other_history = true;
                tracing::error!(
                    "a {} was delivered here whose signer had seen another history of the log, of {} entries",
                    taken.stop.statement().claim.kind(),
                    seen.size
                );
            }
        }
    }

    /// The stops that the log does not have, as others are told of them.
    pub(super) fn tell(&self, now: Timestamp) -> Vec<Waits> {
        let waiting = self.waiting();
        let told = waiting.stops.iter().map(|(stop, taken)| Waits {
            stop: *stop,
            kind: taken.stop.statement().claim.kind().to_string(),
            since: taken.since,
            late: now.since_s(taken.since) > LOGGED_WITHIN_S,
            other_history: taken.other_history,
        });
        told.collect()
    }

    /// What the log should have by now and does not, and what stands on another history: each is an alarm.
    pub(super) fn overdue(&self, now: Timestamp) -> Vec<String> {
        let mut waiting = self.waiting();
        let is_late = |taken: &Taken| now.since_s(taken.since) > LOGGED_WITHIN_S;
        let late = waiting.stops.values_mut().filter(|taken| is_late(taken) || taken.other_history);
        late.map(|taken| {
            let kind = taken.stop.statement().claim.kind();
            let alarm = if taken.other_history {
                format!(
                    "ALARM: the signer of a {kind} delivered here at {} had seen another history of the log: there are two, or the signer lies",
                    taken.since
                )
            } else {
                format!(
                    "ALARM: a {kind} was delivered here at {} and is not in the log after {} s: the log withholds it or can not be reached",
                    taken.since,
                    now.since_s(taken.since)
                )
            };
            if !std::mem::replace(&mut taken.told_late, true) {
                tracing::error!("{alarm}");
            }
            alarm
        })
        .collect()
    }
}

/// Removes a file; one that is gone already is as good.
fn put_away(path: &Path) -> Result<(), Fault> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).because(Kind::Unavailable, format!("`{}` can not be put away", path.display()))
        }
        _ => Ok(()),
    }
}

/// A stop signed by somebody who may say it.
fn open(bytes: &[u8], members: &Members) -> Result<(Envelope, Stop), Fault> {
    let envelope = Envelope::parse(bytes).because(Kind::Input, "this is not an envelope")?;
    let stop = Stop::open(&envelope, members).because(Kind::Refused, "the stop is not acceptable")?;
    Ok((envelope, stop))
}

/// Serves `POST /stop`, `GET /stops` and `GET /state` in a thread of its own, so that a long step does not delay a stop; and
/// `POST /stop` alone to other hosts, if there is a listener for them.
pub(super) fn serve(
    listener: UnixListener,
    far: Option<TcpListener>,
    stops: Arc<Stops>,
    state: State,
) -> Result<(), Fault> {
    let far = far.map(|listener| (listener, door(stops.clone())));
    let router = router(stops, state);
    std::thread::Builder::new()
        .name("stops".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = runtime.because(Kind::Unavailable, "no runtime for stops").and_then(|runtime| {
                runtime.block_on(async {
                    match far {
                        None => serve_unix(listener, router).await,
                        Some((far, door)) => {
                            tokio::try_join!(serve_unix(listener, router), serve_public(far, door, FAR_LIMITS))
                                .map(drop)
                        }
                    }
                })
            });
            // Without a way to be stopped nothing may go on: the supervisor starts the agent again.
            if let Err(fault) = served {
                tracing::error!("stops can not be taken any more: {}", fault.message());
            }
            std::process::exit(0);
        })
        .because(Kind::Unavailable, "no thread for stops")?;
    Ok(())
}

/// What other hosts may do.
fn door(stops: Arc<Stops>) -> Router {
    bounded(Router::new().route("/stop", post(take_stop)).with_state(stops), STOP_TIMEOUT, STOP_BYTES)
}

fn router(stops: Arc<Stops>, state: State) -> Router {
    Router::new()
        .route("/stop", post(take_stop))
        .route("/stops", get(show_stops))
        .with_state(stops)
        .merge(Router::new().route("/state", get(show_state)).with_state(state))
}

async fn take_stop(Shared(stops): Shared<Arc<Stops>>, body: Bytes) -> Result<(), Fault> {
    blocking(move || {
        let envelope = submission::statement_of(&body).map_err(|e| Fault::from_error(Kind::Input, e))?;
        stops.take(&envelope.canonical_bytes())
    })
    .await
}

async fn show_stops(Shared(stops): Shared<Arc<Stops>>) -> Json<Vec<Waits>> {
    Json(stops.tell(SystemClock.now()))
}

async fn show_state(Shared(state): Shared<State>) -> Json<serde_json::Value> {
    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
    Json(serde_json::json!(*state))
}

#[cfg(test)]
mod tests;
