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
        let (earliest, latest) = checkpoint.within(index, tick.at, charter)?;
        Some(Self { index, covers: checkpoint.size, earliest, latest, witnessed: !checkpoint.times.is_empty() })
    }
}

/// The time that must pass between the approval that completes a quorum and the first step.
///
/// It counts from the latest time in the first tick that covers that approval to the earliest time in a later one
/// (design, section 4): whatever the signers' clocks say, and whoever holds ticks back, it is not shorter, but for the part
/// of a second that is cut off: cosignature times are whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoolOff {
    /// The charter asks for none.
    None,
    /// So many seconds are asked for, and nothing has begun: the quorum is not there, or no tick covers it.
    NotBegun {
        /// The seconds asked for.
        asked_s: u64,
    },
    /// It has begun.
    Begun {
        /// The seconds asked for.
        asked_s: u64,
        /// From when on the log's time must be.
        until: Timestamp,
        /// Whether it is.
        over: bool,
    },
}

impl CoolOff {
    /// How far it has passed, from the first tick that covers what began it to the last tick there is.
    pub(crate) fn of(asked_s: u64, began: Option<LogTime>, last: Option<LogTime>) -> Self {
        if asked_s == 0 {
            return Self::None;
        }
        match (began, last) {
            (Some(began), Some(last)) => {
                let until = began.latest.plus_s(asked_s);
                Self::Begun { asked_s, until, over: last.index > began.index && last.earliest >= until }
            }
            _ => Self::NotBegun { asked_s },
        }
    }

    /// The seconds asked for.
    pub const fn asked_s(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::NotBegun { asked_s } | Self::Begun { asked_s, .. } => *asked_s,
        }
    }

    /// Whether nothing is left of it.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::None | Self::Begun { over: true, .. })
    }

    /// What is left of it, in words.
    pub fn left(&self) -> Option<String> {
        match self {
            Self::None | Self::Begun { over: true, .. } => None,
            Self::NotBegun { .. } => Some("it begins with a tick after the last approval needed".to_owned()),
            Self::Begun { until, .. } => Some(format!("until {until}")),
        }
    }
}

#[cfg(test)]
mod tests;
