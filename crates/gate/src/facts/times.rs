//! What the log's ticks say of the time, as facts: which of them count, and which covers what.

use ledger::{statement::v1::Tick, tick::OpenTick};
use model::Timestamp;

use super::Facts;
use crate::time::LogTime;

impl Facts {
    /// Time never runs backwards: a tick with older cosignatures than the last adds nothing, and one with a smaller
    /// checkpoint takes nothing back of what was there by an earlier time.
    pub(super) fn keep_time(&mut self, tick: &Tick, opened: Option<&OpenTick>, index: u64) {
        let charter = self.charters.members().charter();
        let time = match opened {
            Some(open) => LogTime::of_open(tick, open, index, charter),
            None => LogTime::of(tick, index, charter),
        };
        let Some(time) = time else { return };
        match self.times.last() {
            None => self.times.push(time),
            Some(last) if last.earliest <= time.earliest => self.times.push(LogTime {
                covers: time.covers.max(last.covers),
                latest: time.latest.max(last.latest),
                ..time
            }),
            Some(_) => {}
        }
    }

    /// The log's time now: what its last tick says.
    pub fn time(&self) -> Option<LogTime> {
        self.times.last().copied()
    }

    /// The first tick that covers an entry.
    pub fn covered(&self, index: u64) -> Option<LogTime> {
        let at = self.times.partition_point(|t| t.covers <= index);
        self.times.get(at).copied()
    }

    /// The first tick after an entry by which it was at least this late.
    pub(crate) fn first_time(&self, after: u64, at_least: Timestamp) -> Option<LogTime> {
        let from = self.times.partition_point(|t| t.index <= after);
        let later = self.times.get(from..)?;
        // Time never runs backwards; see `keep_time`.
        later.get(later.partition_point(|t| t.earliest < at_least)).copied()
    }

    /// The last tick before an entry: it was said then or later.
    pub fn time_before(&self, index: u64) -> Option<LogTime> {
        let at = self.times.partition_point(|t| t.index < index);
        at.checked_sub(1).and_then(|at| self.times.get(at)).copied()
    }

    /// The log indices of the first ticks that said what this time has of theirs: no later tick takes it back.
    pub(crate) fn sources(&self, time: LogTime) -> [Option<u64>; 2] {
        let covers = self.times.partition_point(|t| t.covers < time.covers);
        let latest = self.times.partition_point(|t| t.latest < time.latest);
        [covers, latest].map(|at| self.times.get(at).map(|t| t.index))
    }
}
