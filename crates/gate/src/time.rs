//! The log's time: what its ticks say, and nothing else.

use ledger::{
    statement::v1::{Charter, Tick},
    tick::OpenTick,
};
use model::Timestamp;

/// What one tick says about the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTime {
    /// The log index of the tick.
    pub index: u64,
    /// The number of entries that the checkpoint covers: those were there by then.
    pub covers: u64,
    /// The earliest of the quorum's cosignature times: it was at least this late.
    pub earliest: Timestamp,
    /// The latest of them: it was at most this late when the last of them signed.
    pub latest: Timestamp,
    /// Whether witnesses said so, or only the robot that made the tick.
    pub witnessed: bool,
}

impl LogTime {
    /// Reads a tick under a charter. `None` if its checkpoint is not this log's, or lacks the quorum of witnesses:
    /// then it says nothing about the time.
    pub fn of(tick: &Tick, index: u64, charter: &Charter) -> Option<Self> {
        Self::of_open(tick, &ledger::tick::open(&tick.checkpoint, charter)?, index, charter)
    }

    /// The same for a tick whose checkpoint was opened under that charter before.
    pub fn of_open(tick: &Tick, checkpoint: &OpenTick, index: u64, charter: &Charter) -> Option<Self> {
        if checkpoint.size > index {
            return None;
        }
        let covers = checkpoint.size;
        match (checkpoint.times.iter().min(), checkpoint.times.iter().max()) {
            (Some(earliest), Some(latest)) => {
                Some(Self { index, covers, earliest: *earliest, latest: *latest, witnessed: true })
            }
            _ if charter.witness_quorum == 0 => {
                Some(Self { index, covers, earliest: tick.at, latest: tick.at, witnessed: false })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
