//! Telling: a thread for each receiver, so that one that is slow or gone keeps nobody else from being told.
//!
//! What is due is read from the outbox, and what was acknowledged is taken down there. Retries are kept in memory alone:
//! after a restart everything that is due is tried at once.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gate::alarms::Condition;
use model::Clock as _;
use serde_json::Value;

use super::{
    message::{Message, alerts, document},
    outbox::{BATCH_LIMIT, Current, Due, Outbox},
    post::post,
    receiver::{Receiver, Way},
};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
};

/// How often a thread looks by itself: repeats are due by the second.
const LOOK: Duration = Duration::from_secs(1);
/// After a failure; the last pause is repeated for as long as it takes.
const PAUSES_S: [u64; 6] = [1, 2, 4, 8, 16, 30];
/// A program that takes longer to be told is ended.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a program is looked at.
const COMMAND_LOOK: Duration = Duration::from_millis(20);

/// Tells receivers, from threads of their own that end with the process.
pub struct Sender {
    shared: Arc<Shared>,
}

struct Shared {
    outbox: Mutex<Outbox>,
    changed: Condvar,
    origin: String,
    host: String,
    /// Why a receiver could not be told last, and how many messages each has acknowledged.
    troubles: Mutex<BTreeMap<String, String>>,
    sent: Mutex<BTreeMap<String, u64>>,
}

impl Sender {
    /// Begins to tell receivers what is in the outbox.
    ///
    /// # Errors
    /// No threads.
    pub fn start(outbox: Outbox, receivers: Vec<Receiver>, origin: String, host: String) -> Result<Self, Fault> {
        let shared = Arc::new(Shared {
            outbox: Mutex::new(outbox),
            changed: Condvar::new(),
            origin,
            host,
            troubles: Mutex::default(),
            sent: Mutex::default(),
        });
        for receiver in receivers {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("tell".to_owned())
                .spawn(move || tell(&shared, &receiver))
                .because(Kind::Unavailable, "no thread to tell alarms from")?;
        }
        Ok(Self { shared })
    }

    /// Takes the alarms that there are now.
    pub fn set(&self, alarms: &BTreeMap<Condition, Current>) -> Result<(), Fault> {
        if self.shared.outbox().set(SystemClock.now(), alarms)? {
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Conditions that were raised and are not over, with their words.
    pub fn open_conditions(&self) -> Vec<(Condition, String)> {
        self.shared.outbox().open_conditions().map(|(c, words)| (c, words.to_owned())).collect()
    }

    /// How many alarms somebody has not been told of yet.
    pub fn untold(&self) -> usize {
        self.shared.outbox().untold()
    }

    /// Why receivers could not be told last, and why what they are to be told could not be kept.
    pub fn troubles(&self) -> Vec<String> {
        let kept: Vec<String> = self.shared.outbox().troubles().collect();
        let troubles = lock(&self.shared.troubles);
        kept.into_iter().chain(troubles.iter().map(|(name, why)| format!("{name} is not told: {why}"))).collect()
    }

    /// How many messages each receiver has acknowledged since this process began.
    pub fn sent(&self) -> BTreeMap<String, u64> {
        lock(&self.shared.sent).clone()
    }
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells one receiver for as long as the process lives.
fn tell(shared: &Shared, receiver: &Receiver) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        lock(&shared.troubles).insert(receiver.name.clone(), "no runtime".to_owned());
        return;
    };
    let mut failures = 0_usize;
    // A message that is refused must not keep others back: after a refusal each goes alone, the least tried first.
    let mut limit = BATCH_LIMIT;
    let mut tries: BTreeMap<u64, u32> = BTreeMap::new();
    loop {
        let mut due = shared.outbox().due(receiver, SystemClock.now(), BATCH_LIMIT);
        if due.is_empty() {
            tries.clear();
            let outbox = shared.outbox();
            // Whether there is news is read again in any case.
            drop(shared.changed.wait_timeout(outbox, LOOK));
            continue;
        }
        due.sort_by_key(|d| tries.get(&d.number).copied().unwrap_or_default());
        due.truncate(limit);
        let told = deliver(shared, receiver, &due, &runtime)
            .and_then(|()| shared.outbox().told(receiver, &due, SystemClock.now()));
        match told {
            Ok(()) => {
                failures = 0;
                limit = limit.saturating_mul(2).min(BATCH_LIMIT);
                tries.retain(|number, _| !due.iter().any(|d| d.number == *number));
                lock(&shared.troubles).remove(&receiver.name);
                *lock(&shared.sent).entry(receiver.name.clone()).or_default() += due.len() as u64;
            }
            Err(fault) => {
                tracing::warn!("{} is not told of {} alarms: {}", receiver.name, due.len(), fault.message());
                lock(&shared.troubles).insert(receiver.name.clone(), fault.message());
                due.iter().for_each(|d| *tries.entry(d.number).or_default() += 1);
                limit = 1;
                let pause = PAUSES_S.get(failures).or(PAUSES_S.last()).copied().unwrap_or(1);
                failures = failures.saturating_add(1);
                std::thread::sleep(Duration::from_secs(pause));
            }
        }
    }
}

fn deliver(shared: &Shared, receiver: &Receiver, due: &[Due], runtime: &tokio::runtime::Runtime) -> Result<(), Fault> {
    let messages: Vec<Message> = due.iter().map(|d| d.message.clone()).collect();
    let written = |value: &Value| serde_json::to_vec(value).because(Kind::Internal, "the message is not JSON");
    match &receiver.way {
        Way::Webhook(place) => {
            runtime.block_on(post(place, written(&document(&shared.origin, &shared.host, &messages))?))
        }
        Way::Alertmanager(place) => {
            runtime.block_on(post(place, written(&alerts(&shared.origin, &messages, SystemClock.now()))?))
        }
        Way::Command(argv) => run(argv, &written(&document(&shared.origin, &shared.host, &messages))?),
    }
}

/// Runs a program with the document on its standard input.
fn run(argv: &[String], document: &[u8]) -> Result<(), Fault> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Fault::new(Kind::Usage, "no program to tell"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .because(Kind::Unavailable, format!("`{program}` can not be started"))?;
    let stdin = child.stdin.take();
    let fed = std::thread::scope(|scope| {
        // A program that does not read must not keep this thread: its end closes the pipe.
        let document = document.to_owned();
        let feeding = scope.spawn(move || stdin.map_or(Ok(()), |mut pipe| pipe.write_all(&document)));
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(COMMAND_LOOK),
                Ok(None) => {
                    let limit = COMMAND_TIMEOUT.as_secs();
                    break Err(Fault::new(Kind::Unavailable, format!("`{program}` did not end within {limit} s")));
                }
                Err(e) => {
                    break Err(
                        Fault::from_error(Kind::Unavailable, e).context(format!("`{program}` is not waited for"))
                    );
                }
            }
        };
        if ended.is_err() {
            // It may be gone by now, which is as good.
            drop(child.kill());
            drop(child.wait());
        }
        // A program that ends well without reading all has heard enough.
        drop(feeding.join());
        ended
    });
    let status = fed?;
    if status.success() { Ok(()) } else { Err(Fault::new(Kind::Unavailable, format!("`{program}` ended: {status}"))) }
}

#[cfg(test)]
mod tests;
