//! Work that failed, and when it is tried again. It knows why only as far as the kind of fault tells.
//!
//! Kept in memory alone: after a restart everything is tried at once.

use model::Timestamp;

use crate::fault::{Fault, Kind};

/// A registry comes back, a mistake does not: after a minute, ten minutes and an hour it needs a new push.
const MISTAKE_S: [u64; 3] = [60, 600, 3_600];
/// A process that was ended is there again within seconds. The last pause is repeated for ever.
const AWAY_S: [u64; 6] = [1, 2, 5, 15, 60, 300];

/// How something failed, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Setback {
    at: Timestamp,
    times: usize,
    kind: Kind,
    words: String,
}

impl Setback {
    /// One more failure after those before.
    pub(crate) fn after(before: Option<&Self>, fault: &Fault, at: Timestamp) -> Self {
        let times = before.filter(|b| b.kind == fault.kind()).map_or(0, |b| b.times).saturating_add(1);
        Self { at, times, kind: fault.kind(), words: fault.message() }
    }

    /// Whether it is time to try again.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let number = self.times.saturating_sub(1);
        let pause_s =
            if self.kind == Kind::Unavailable { AWAY_S.get(number).or(AWAY_S.last()) } else { MISTAKE_S.get(number) };
        pause_s.is_some_and(|pause_s| self.at.plus_s(*pause_s) <= now)
    }

    /// The failure as a fault, to be shown until it is mended.
    pub(crate) fn fault(&self, what: &str) -> Fault {
        Fault::new(self.kind, format!("{what} failed at {}: {}", self.at, self.words))
    }
}

#[cfg(test)]
mod tests;
