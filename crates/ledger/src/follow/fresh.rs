//! A checkpoint that is fresh enough to act on.

use model::{Digest, Timestamp};

use super::Accepted;

/// Five minutes: clocks that are set by anybody at all differ by less. Never more than the age that is allowed, for
/// whatever this clock is behind, a checkpoint may be older than it seems.
pub const SKEW_LIMIT_S: u64 = 300;

/// A checkpoint that was the log's latest a short time ago, as far as its witnesses say.
///
/// *Invariant fresh:* made only by [`super::Follower::fresh`], which compared its time with the time then. The fields are
/// private and it is not cloneable, so it can not be kept and used later as if it were new:
///
/// ```compile_fail,E0599
/// fn keep(fresh: ledger::follow::FreshCheckpoint) -> ledger::follow::FreshCheckpoint {
///     fresh.clone()
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct FreshCheckpoint {
    size: u64,
    root: Digest,
    time: Timestamp,
    witnessed: bool,
}

/// Why nobody may act on the last checkpoint. What runs goes on; no new step is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaleError {
    /// There is none.
    #[error("no checkpoint of the log has been accepted yet")]
    None,
    /// Too old.
    #[error("the last checkpoint is {age_s} s old, more than {max_age_s} s")]
    Old {
        /// Its age.
        age_s: u64,
        /// The limit.
        max_age_s: u64,
    },
    /// From the future: this clock or the witnesses' is wrong.
    #[error("the last checkpoint is of {time}, ahead of this clock: set the clock")]
    Future {
        /// What the witnesses say.
        time: Timestamp,
    },
}

impl FreshCheckpoint {
    pub(super) fn new(last: &Accepted, witnessed: bool, now: Timestamp, max_age_s: u64) -> Result<Self, StaleError> {
        let time = last.time;
        if time.since_s(now) > SKEW_LIMIT_S.min(max_age_s) {
            return Err(StaleError::Future { time });
        }
        let age_s = now.since_s(time);
        if age_s > max_age_s {
            return Err(StaleError::Old { age_s, max_age_s });
        }
        Ok(Self { size: last.checkpoint.size(), root: last.checkpoint.root(), time, witnessed })
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root hash.
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Since when: the witnesses' time, or when it was received if there are none.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Whether the time is the witnesses'.
    pub const fn is_witnessed(&self) -> bool {
        self.witnessed
    }
}
