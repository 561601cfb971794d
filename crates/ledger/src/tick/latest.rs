//! How late it is by all ticks of a log so far: the latest time that any of them proves, whatever stands last.
//!
//! Whoever holds a robot's or the log's key can say an old tick again, so the last one is no clock. Opening a tick takes
//! three signatures, so only what could be later than what is known is opened, and only when it is asked for or when many
//! wait. It writes nothing.

use model::Timestamp;

use super::OpenTick;
use crate::{
    note::Note,
    statement::{Members, v1::Tick},
};

/// How many ticks wait to be opened before they are: one opening for so many of an honest log, and a few milliseconds at
/// most when it is asked for the time of another.
const WAITING_LIMIT: usize = 64;

/// The latest time of a log by its ticks.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatestTime {
    any: bool,
    /// The latest that a tick proves, and the log index of the first one that does.
    known: Option<(Timestamp, u64)>,
    waiting: Vec<Waiting>,
}

/// A tick that was not opened.
#[derive(Clone, Debug)]
struct Waiting {
    index: u64,
    tick: Tick,
    members: Members,
    /// It proves no later time than this.
    at_most: Timestamp,
}

impl LatestTime {
    /// Takes the tick at a log index, opened under the members in force there or not yet.
    pub(crate) fn hear(&mut self, index: u64, tick: &Tick, members: &Members, opened: Option<&OpenTick>) {
        self.any = true;
        if let Some(open) = opened {
            let latest = open.within(index, tick.at, members.charter()).map(|(_, latest)| latest);
            self.learn(latest, index);
            return;
        }
        let Ok(note) = Note::parse(tick.checkpoint.as_bytes()) else { return };
        let robot = (members.charter().witness_quorum == 0).then_some(tick.at);
        let Some(at_most) = note.claimed_at().max(robot) else { return };
        self.waiting.push(Waiting { index, tick: tick.clone(), members: members.clone(), at_most });
        if self.waiting.len() >= WAITING_LIMIT {
            self.known = self.latest();
            self.waiting.clear();
        }
    }

    /// Whether there was a tick at all.
    pub(crate) const fn is_told(&self) -> bool {
        self.any
    }

    /// The latest time, and the log index of the first tick that proves it. `None` if none proves any.
    pub(crate) fn latest(&self) -> Option<(Timestamp, u64)> {
        let mut found = Self { any: self.any, known: self.known, waiting: Vec::new() };
        let mut waiting: Vec<&Waiting> = self.waiting.iter().collect();
        waiting.sort_unstable_by_key(|w| (std::cmp::Reverse(w.at_most), w.index));
        for tick in waiting {
            if found.known.is_some_and(|(known, _)| known > tick.at_most) {
                break;
            }
            found.learn(tick.proves(), tick.index);
        }
        found.known
    }

    fn learn(&mut self, latest: Option<Timestamp>, index: u64) {
        let Some(latest) = latest else { return };
        let is_later = |(known, first): (Timestamp, u64)| latest > known || (latest == known && index < first);
        if self.known.is_none_or(is_later) {
            self.known = Some((latest, index));
        }
    }
}

impl Waiting {
    fn proves(&self) -> Option<Timestamp> {
        let open = self.members.open_tick(&self.tick.checkpoint)?;
        open.within(self.index, self.tick.at, self.members.charter()).map(|(_, latest)| latest)
    }
}
