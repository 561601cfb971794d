//! The ticks that the edge remembers, numbered, and the task that ends them.
//!
//! In memory only: a crash loses them, and the edge that follows says that it is another (`start`), so that nobody counts
//! twice.

use std::{
    collections::{VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use model::route::{TickRow, Ticks};

use crate::{
    compare::Comparison,
    limits::{MAX_TICK_ROWS, MAX_TICKS_ANSWERED, TICK_MEMORY},
};

/// The ticks of all comparisons.
pub(crate) struct TickLog {
    start: u64,
    born: Instant,
    /// When somebody who may steer last asked, in milliseconds since `born`.
    heard_ms: AtomicU64,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    next: u64,
    rows: VecDeque<(Instant, TickRow)>,
    comparisons: Vec<Weak<Comparison>>,
}

impl Default for TickLog {
    fn default() -> Self {
        // Two states are alike only by chance.
        let start = RandomState::new().hash_one(std::process::id());
        Self { start, born: Instant::now(), heard_ms: AtomicU64::new(0), rows: Mutex::default() }
    }
}

impl TickLog {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        // Rows are added and removed whole.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Differs each time an edge starts.
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    /// Somebody who may steer is there.
    pub(crate) fn hear(&self) {
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.heard_ms.load(Ordering::Relaxed)))
    }

    fn add(&self, mut row: TickRow, now: Instant) {
        let mut rows = self.rows();
        row.tick = rows.next;
        rows.next += 1;
        rows.rows.push_back((now, row));
        while rows.rows.len() > MAX_TICK_ROWS
            || rows.rows.front().is_some_and(|(ended, _)| now.saturating_duration_since(*ended) > TICK_MEMORY)
        {
            rows.rows.pop_front();
        }
    }

    /// Ticks from this number on. A number that no tick has yet is from an edge before this one, and means all.
    pub(crate) fn from(&self, from: u64) -> Ticks {
        let mut log = self.rows();
        let from = if from > log.next { 0 } else { from };
        let rows: Vec<TickRow> = log
            .rows
            .iter()
            .map(|(_, row)| row)
            .skip_while(|row| row.tick < from)
            .take(MAX_TICKS_ANSWERED)
            .cloned()
            .collect();
        let next = rows.last().map_or(log.next, |last| last.tick + 1);
        log.comparisons.retain(|comparison| comparison.strong_count() > 0);
        let comparisons: Vec<_> = log.comparisons.iter().filter_map(Weak::upgrade).collect();
        drop(log);
        let silence = self.silence();
        let silenced = comparisons.iter().filter_map(|comparison| comparison.listen(silence)).collect();
        Ticks { start: self.start, next, rows, silenced }
    }
}

/// Ends the ticks of a comparison until no table says so. They are late on a machine that stands still, for both versions
/// alike.
pub(crate) fn run(comparison: &Arc<Comparison>, log: &Arc<TickLog>) {
    log.rows().comparisons.push(Arc::downgrade(comparison));
    let (comparison, log) = (Arc::downgrade(comparison), Arc::clone(log));
    tokio::spawn(async move {
        loop {
            let Some(ends) = comparison.upgrade().and_then(|comparison| comparison.tick_ends()) else { return };
            tokio::time::sleep_until(ends.into()).await;
            let Some(comparison) = comparison.upgrade() else { return };
            let now = Instant::now();
            comparison.listen(log.silence());
            if let Some(row) = comparison.finish(now) {
                log.add(row, now);
            }
        }
    });
}

#[cfg(test)]
mod tests;
