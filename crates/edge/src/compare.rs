//! Two versions compared: where a client goes, and what is counted of both in each tick. Exact under concurrency: a request
//! is counted under a lock, once, in the tick in which it ended.
//!
//! It refuses to know what the counts mean, and whether the trial is the better or the worse.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use model::{
    ComponentName, Digest,
    route::{Arm, Flag, FlagCounts, Split, TickRow, TickTotals, UNITS, unit},
};

use crate::{
    identity::Known,
    limits::{MAX_COHORT_RULES, MAX_TICK_MS, MIN_TICK_MS},
};

/// Where the requests of a client go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) arm: Arm,
    /// Whose requests are compared; nothing for those who were not chosen at random.
    pub(crate) unit: Option<u8>,
}

/// A comparison of two versions behind one route. It outlives the tables that only change its share.
pub(crate) struct Comparison {
    component: ComponentName,
    /// All go to the control, because nobody is there to go back.
    silenced: AtomicBool,
    current: Mutex<Current>,
}

struct Current {
    split: Arc<Split>,
    generation: u64,
    revision: u64,
    /// Whether a table says so; requests of earlier may still end.
    in_force: bool,
    began: Instant,
    trial: TickTotals,
    control: TickTotals,
    flags: Vec<Tally>,
}

/// One flag of each unit in one tick.
#[derive(Clone)]
struct Tally {
    /// A bit a unit.
    flagged: u128,
    /// Requests a unit that were too slow.
    slow: [u32; UNITS as usize],
}

/// A request that is compared. It counts when this is told how it ended.
pub(crate) struct Compared {
    comparison: Arc<Comparison>,
    arm: Arm,
    unit: u8,
}

/// What is wrong with a comparison, in words that end "the comparison on the route of …".
pub(crate) fn fault(split: &Split) -> Option<String> {
    let Split { trial, control, share, cohort, silence_ms, tick_ms, flags, .. } = split;
    if trial == control {
        return Some(format!("`{trial}` is compared with itself"));
    }
    if *share > UNITS {
        return Some(format!("{share} units of {UNITS} go to the trial"));
    }
    if !(MIN_TICK_MS..=MAX_TICK_MS).contains(tick_ms) {
        return Some(format!("a tick is {tick_ms} ms, not {MIN_TICK_MS} to {MAX_TICK_MS}"));
    }
    if silence_ms < tick_ms {
        return Some(format!("silence begins after {silence_ms} ms, before the end of a tick"));
    }
    if flags.len() > model::route::MAX_FLAGS {
        return Some(format!("{} flags, more than {}", flags.len(), model::route::MAX_FLAGS));
    }
    if flags.iter().any(|flag| matches!(flag, Flag::Slower { count: 0, .. })) {
        return Some("no slow request at all would flag a unit".to_owned());
    }
    (cohort.len() > MAX_COHORT_RULES)
        .then(|| format!("{} rules of its cohort, more than {MAX_COHORT_RULES}", cohort.len()))
}

impl Comparison {
    pub(crate) fn new(component: &ComponentName, split: &Arc<Split>, generation: u64, revision: u64) -> Self {
        Self {
            component: component.clone(),
            silenced: AtomicBool::new(false),
            current: Mutex::new(Current::new(split, generation, revision)),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Numbers are added one by one, so a panic leaves nothing half changed.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a split goes on with this comparison: what was in flight before still counts.
    pub(crate) fn continues(&self, component: &ComponentName, split: &Split) -> bool {
        let current = self.current();
        let now = &*current.split;
        self.component == *component
            && (now.salt, &now.trial, &now.control, now.tick_ms, &now.flags)
                == (split.salt, &split.trial, &split.control, split.tick_ms, &split.flags)
    }

    /// Another table: the tick begins anew, what it had is not reported, and whoever sent the table is there.
    pub(crate) fn restart(&self, split: &Arc<Split>, generation: u64, revision: u64) {
        *self.current() = Current::new(split, generation, revision);
        self.silenced.store(false, Ordering::Relaxed);
    }

    /// No table says so any more. Nothing is reported from now on.
    pub(crate) fn end(&self) {
        self.current().in_force = false;
    }

    /// Where a client goes.
    pub(crate) fn place(&self, split: &Split, route: u64, known: &Known) -> Place {
        if self.silenced.load(Ordering::Relaxed) {
            return Place { arm: Arm::Control, unit: None };
        }
        known.place(route, || {
            if !split.cohort.is_empty() && known.is_in(&split.cohort) {
                return Place { arm: Arm::Trial, unit: None };
            }
            let unit = unit(&split.salt, &known.text);
            Place { arm: split.arm(unit), unit: Some(unit) }
        })
    }

    /// When the tick ends, while a table says so.
    pub(crate) fn tick_ends(&self) -> Option<Instant> {
        let current = self.current();
        current.in_force.then(|| current.began + Duration::from_millis(u64::from(current.split.tick_ms)))
    }

    /// Sends all to the control if nobody has asked for as long as that may be. Gives the salt if so.
    pub(crate) fn listen(&self, silence: Duration) -> Option<Digest> {
        let current = self.current();
        if !current.in_force {
            return None;
        }
        if silence > Duration::from_millis(u64::from(current.split.silence_ms))
            && !self.silenced.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(component = %self.component, "nobody compares, and all go to the old version");
        }
        self.silenced.load(Ordering::Relaxed).then_some(current.split.salt)
    }

    /// Ends the tick if it is over, and gives what was counted. The number is the caller's to give. While all go to the
    /// control, nothing is compared.
    pub(crate) fn finish(&self, now: Instant) -> Option<TickRow> {
        let mut current = self.current();
        let length = Duration::from_millis(u64::from(current.split.tick_ms));
        if !current.in_force || now.saturating_duration_since(current.began) < length {
            return None;
        }
        let next = Current { began: now, ..Current::new(&current.split, current.generation, current.revision) };
        let ended = std::mem::replace(&mut *current, next);
        drop(current);
        (!self.silenced.load(Ordering::Relaxed)).then(|| ended.row(&self.component))
    }

    fn count(&self, unit: u8, arm: Arm, failed: bool, took: Duration) {
        self.current().count(unit, arm, failed, took);
    }
}

impl Current {
    fn new(split: &Arc<Split>, generation: u64, revision: u64) -> Self {
        let tally = Tally { flagged: 0, slow: [0; UNITS as usize] };
        Self {
            split: Arc::clone(split),
            generation,
            revision,
            in_force: true,
            began: Instant::now(),
            trial: TickTotals::default(),
            control: TickTotals::default(),
            flags: vec![tally; split.flags.len()],
        }
    }

    fn count(&mut self, unit: u8, arm: Arm, failed: bool, took: Duration) {
        // A unit that has changed sides since the request began says nothing of the side that it is on now.
        if self.split.arm(unit) != arm {
            return;
        }
        let totals = match arm {
            Arm::Trial => &mut self.trial,
            Arm::Control => &mut self.control,
        };
        totals.requests += 1;
        totals.failed += u64::from(failed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for (flag, tally) in self.split.flags.iter().zip(&mut self.flags) {
            let flagged = match flag {
                Flag::Failed => failed,
                Flag::Slower { control_us, trial_us, count } => {
                    let bound = if arm == Arm::Trial { trial_us } else { control_us };
                    tally.slow.get_mut(usize::from(unit)).is_some_and(|slow| {
                        *slow = slow.saturating_add(u32::from(took_us > *bound));
                        *slow >= *count
                    })
                }
            };
            if flagged {
                tally.flagged |= 1 << unit;
            }
        }
    }

    fn row(self, component: &ComponentName) -> TickRow {
        let share = u32::from(self.split.share.min(UNITS));
        let of_trial = (1_u128 << share) - 1;
        let counts = |tally: &Tally| FlagCounts {
            trial_units: share,
            trial_flagged: (tally.flagged & of_trial).count_ones(),
            control_units: u32::from(UNITS) - share,
            control_flagged: (tally.flagged & !of_trial).count_ones(),
        };
        TickRow {
            tick: 0,
            component: component.clone(),
            salt: self.split.salt,
            generation: self.generation,
            revision: self.revision,
            trial: self.trial,
            control: self.control,
            flags: self.flags.iter().map(counts).collect(),
        }
    }
}

impl Compared {
    pub(crate) const fn new(comparison: Arc<Comparison>, arm: Arm, unit: u8) -> Self {
        Self { comparison, arm, unit }
    }

    /// The request has ended.
    pub(crate) fn ended(self, failed: bool, took: Duration) {
        self.comparison.count(self.unit, self.arm, failed, took);
    }
}

impl Place {
    /// What a packed place takes.
    pub(crate) const BITS: u32 = 16;
    const IS_PACKED: u64 = 1 << 8;
    const IS_TRIAL: u64 = 1 << 9;
    const IS_COMPARED: u64 = 1 << 10;

    pub(crate) fn pack(self) -> u64 {
        let unit = self.unit.map_or(0, |unit| u64::from(unit) | Self::IS_COMPARED);
        Self::IS_PACKED | unit | if self.arm == Arm::Trial { Self::IS_TRIAL } else { 0 }
    }

    pub(crate) fn unpack(packed: u64) -> Option<Self> {
        let [unit, ..] = packed.to_le_bytes();
        let arm = if packed & Self::IS_TRIAL == 0 { Arm::Control } else { Arm::Trial };
        (packed & Self::IS_PACKED != 0).then(|| Self { arm, unit: (packed & Self::IS_COMPARED != 0).then_some(unit) })
    }
}

#[cfg(test)]
mod tests;
