//! What has to be told of alarms, and to whom it was told: one file.
//!
//! It refuses to know how somebody is told. The file is written before anybody is told of what it holds, and after
//! somebody acknowledged it: a crash between the two tells it again, and none is lost. Where it can not be written, on a disk
//! that is full or went read-only, people are told all the same, and the trouble is said: a crash then tells again what
//! still fires, and loses the ends that were not told yet.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use gate::alarms::Condition;
use ledger::{durable, statement::v1::AlarmKind};
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::{message::Message, receiver::Receiver};
use crate::fault::{Because as _, Fault, Kind};

/// How many alarms of one kind are kept at once: every component of a large installation, and half as many again. What comes
/// beyond that is in the log, is counted, and waits here until there is room. Each kind has room of its own: whoever can make
/// alarms of one kind without end, with proposals say, keeps no other from being told.
const KIND_LIMIT: usize = 1_500;
/// How many are told in one message: one that is refused as too large would never come through.
pub const BATCH_LIMIT: usize = 256;
/// Words of an alarm that are sent.
const WORDS_LIMIT: usize = 500;

/// An alarm as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Why, in words.
    pub words: String,
    /// The log index of its statement, once the log has it.
    pub index: Option<u64>,
    /// Whether a person has seen it.
    pub acknowledged: bool,
    /// Whether a silence is in force over it.
    pub silenced: bool,
}

/// One alarm and who was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    number: u64,
    message: Message,
    acknowledged: bool,
    silenced: bool,
    told: BTreeMap<String, Told>,
}

/// What a receiver has acknowledged last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    firing: bool,
    at: Timestamp,
}

/// What is in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    next: u64,
    entries: Vec<Entry>,
}

/// The outbox.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    receivers: Vec<(String, bool)>,
    kept: Kept,
    /// Why the file is behind what is kept in memory, if it is.
    unwritten: Option<String>,
    /// How many alarms of a kind there are beside those that are kept.
    beyond: BTreeMap<AlarmKind, usize>,
}

/// Something that is due: its number, and the message as it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The number of the alarm in the outbox.
    pub number: u64,
    /// What is sent.
    pub message: Message,
}

impl Outbox {
    /// Opens the file, or begins one.
    ///
    /// # Errors
    /// A file that can not be read: what it holds may not have been told to anybody, so nothing goes on without it.
    pub fn open(path: &Path, receivers: &[Receiver]) -> Result<Self, Fault> {
        let kept = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Fault::from_error(Kind::Untrue, e)
                    .context(format!("`{}` does not hold up", path.display()))
                    .hint("alarms in it may not have been told: look at `countersign alarms`, then remove the file")
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(e) => {
                return Err(Fault::from_error(Kind::Unavailable, e).context("the outbox of alarms can not be read"));
            }
        };
        let receivers = receivers.iter().map(|r| (r.name.clone(), r.keeps_alerts())).collect();
        Ok(Self { path: path.to_owned(), receivers, kept, unwritten: None, beyond: BTreeMap::new() })
    }

    /// Takes the alarms that there are now: new ones are to be told, and those that are not among them are over. Returns
    /// whether anything changed.
    pub fn set(&mut self, now: Timestamp, alarms: &BTreeMap<Condition, Current>) -> Result<bool, Fault> {
        let mut next = self.kept.clone();
        let mut known: BTreeMap<Condition, usize> = BTreeMap::new();
        for (at, entry) in next.entries.iter_mut().enumerate().filter(|(_, e)| e.message.over.is_none()) {
            match alarms.get(&entry.message.condition()) {
                Some(current) => {
                    entry.acknowledged = current.acknowledged;
                    entry.silenced = current.silenced;
                    entry.message.index = current.index.or(entry.message.index);
                    known.insert(entry.message.condition(), at);
                }
                None => entry.message.over = Some(now),
            }
        }
        let mut sums: BTreeMap<AlarmKind, usize> = BTreeMap::new();
        next.entries.iter().for_each(|entry| *sums.entry(entry.message.what).or_default() += 1);
        self.beyond.clear();
        for (condition, current) in alarms {
            if known.contains_key(condition) {
                continue;
            }
            let sum = sums.entry(condition.what).or_default();
            if *sum >= KIND_LIMIT {
                *self.beyond.entry(condition.what).or_default() += 1;
                continue;
            }
            *sum += 1;
            next.entries.push(Entry {
                number: next.next,
                message: Message {
                    what: condition.what,
                    system: condition.system.clone(),
                    environment: condition.environment.clone(),
                    about: condition.about.clone(),
                    words: current.words.chars().take(WORDS_LIMIT).collect(),
                    since: now,
                    over: None,
                    index: current.index,
                },
                acknowledged: current.acknowledged,
                silenced: current.silenced,
                told: BTreeMap::new(),
            });
            next.next += 1;
        }
        next.entries.retain(|entry| !self.is_done(entry));
        self.keep(next)
    }

    /// What a receiver is to be told now, what it was never told first; at most `limit`.
    pub fn due(&self, receiver: &Receiver, now: Timestamp, limit: usize) -> Vec<Due> {
        let mut due: Vec<(Option<Timestamp>, Due)> = self
            .kept
            .entries
            .iter()
            .filter_map(|entry| {
                let told = entry.told.get(&receiver.name);
                let message = wanted(entry, &receiver.name, receiver.keeps_alerts(), now)?;
                let is_due = match told {
                    None => true,
                    Some(told) if told.firing != message.over.is_none() => true,
                    // The end is told once.
                    Some(_) if message.over.is_some() => false,
                    Some(told) => {
                        (receiver.keeps_alerts() || !entry.acknowledged) && now.since_s(told.at) >= receiver.repeat_s
                    }
                };
                is_due.then(|| (told.map(|t| t.at), Due { number: entry.number, message }))
            })
            .collect();
        due.sort_by_key(|(at, due)| (*at, due.number));
        let mut due: Vec<Due> = due.into_iter().take(limit).map(|(_, due)| due).collect();
        for (kind, more) in &self.beyond {
            if let Some(last) = due.iter_mut().rfind(|due| due.message.what == *kind) {
                last.message.words.push_str(&format!(" … and {more} more of this kind; `countersign alarms` has them"));
            }
        }
        due
    }

    /// Takes down that a receiver has acknowledged these.
    pub fn told(&mut self, receiver: &Receiver, sent: &[Due], now: Timestamp) -> Result<(), Fault> {
        let mut next = self.kept.clone();
        for entry in &mut next.entries {
            if let Some(due) = sent.iter().find(|due| due.number == entry.number) {
                entry.told.insert(receiver.name.clone(), Told { firing: due.message.over.is_none(), at: now });
            }
        }
        next.entries.retain(|entry| !self.is_done(entry));
        self.keep(next).map(drop)
    }

    /// Conditions that were raised and are not over, with the words that were found for them.
    pub fn open_conditions(&self) -> impl Iterator<Item = (Condition, &str)> {
        let open = self.kept.entries.iter().filter(|e| e.message.over.is_none());
        open.map(|e| (e.message.condition(), e.message.words.as_str()))
    }

    /// How many alarms somebody has not been told of yet.
    pub fn untold(&self) -> usize {
        let waits = |entry: &&Entry| {
            self.receivers.iter().any(|(name, keeps)| {
                let told = entry.told.get(name);
                wanted(entry, name, *keeps, entry.message.since)
                    .is_some_and(|m| told.is_none_or(|told| told.firing != m.over.is_none()))
            })
        };
        self.kept.entries.iter().filter(waits).count()
    }

    /// Whether nobody has to be told of it any more.
    fn is_done(&self, entry: &Entry) -> bool {
        entry.message.over.is_some()
            && self.receivers.iter().all(|(name, keeps)| {
                let told = entry.told.get(name);
                wanted(entry, name, *keeps, entry.message.since).is_none() || told.is_some_and(|told| !told.firing)
            })
    }

    /// Why the file could not be written last, though what it should hold is told all the same; and what is not told by
    /// itself because there is too much of it.
    pub fn troubles(&self) -> impl Iterator<Item = String> {
        let beyond =
            self.beyond.iter().map(|(kind, more)| format!("{more} more alarms {kind} are not told one by one"));
        self.unwritten.iter().cloned().chain(beyond)
    }

    /// Written before anybody acts on it. A file that can not be written silences nobody: it is tried again each time.
    fn keep(&mut self, next: Kept) -> Result<bool, Fault> {
        let is_news = next != self.kept;
        if !is_news && self.unwritten.is_none() {
            return Ok(false);
        }
        let bytes = serde_json::to_vec(&next).because(Kind::Internal, "the outbox is not JSON")?;
        self.kept = next;
        let written = durable::write(&self.path, &bytes, 0o600);
        self.unwritten = written.err().map(|error| format!("the outbox of alarms can not be written: {error}"));
        Ok(is_news)
    }
}

/// What a receiver should have been told last of an alarm; nothing while it is silenced, but for one that keeps alerts and
/// has it: there it ends.
fn wanted(entry: &Entry, receiver: &str, keeps_alerts: bool, now: Timestamp) -> Option<Message> {
    let message = entry.message.clone();
    let told = entry.told.get(receiver).is_some_and(|told| told.firing);
    match (entry.silenced, message.over) {
        (false, _) => Some(message),
        (true, Some(_)) => told.then_some(message),
        (true, None) => (keeps_alerts && told).then_some(Message { over: Some(now), ..message }),
    }
}

#[cfg(test)]
mod tests;
