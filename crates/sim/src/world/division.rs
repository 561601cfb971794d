//! Clients divided between two versions by a simulated edge, and what it counts of both, tick by tick.
//!
//! A client is known by its number, so that it keeps its version. Like the real edge it reports only ticks in which the
//! split stayed as it was, and counts from 0 when it starts again.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ComponentName, Serial,
    route::{Arm, Flag, FlagCounts, RouteTable, Split, TickRow, TickTotals, Ticks, UNITS, unit},
};

/// Clients; each asks one after the other.
const CLIENTS: u64 = 2_000;

/// What the edge counts of the comparisons in its table.
#[derive(Clone, Debug, Default)]
pub(super) struct Division {
    start: u64,
    next: u64,
    rows: Vec<TickRow>,
    open: BTreeMap<ComponentName, Open>,
    /// When ticks were last asked for.
    asked_ms: u64,
    silenced: bool,
}

/// A tick that is not over.
#[derive(Clone, Debug)]
struct Open {
    split: Split,
    generation: u64,
    revision: u64,
    began_ms: u64,
    trial: TickTotals,
    control: TickTotals,
    failed: BTreeSet<u8>,
}

impl Division {
    /// The edge starts again.
    pub(super) fn restart(&mut self, now_ms: u64) {
        *self = Self { start: self.start + 1, asked_ms: now_ms, ..Self::default() };
    }

    /// A table came into force.
    pub(super) fn apply(&mut self, table: &RouteTable, now_ms: u64) {
        let mut open = BTreeMap::new();
        for route in &table.routes {
            let Some(split) = &route.split else { continue };
            let kept = self.open.remove(&route.component).filter(|o| o.split == *split);
            let fresh = Open {
                split: split.clone(),
                generation: table.generation,
                revision: table.revision,
                began_ms: now_ms,
                trial: TickTotals::default(),
                control: TickTotals::default(),
                failed: BTreeSet::new(),
            };
            open.insert(route.component.clone(), kept.unwrap_or(fresh));
        }
        self.open = open;
        self.asked_ms = now_ms;
        self.silenced = false;
    }

    /// Where the client of a request goes.
    pub(super) fn version(&self, split: &Split, request: u64) -> Serial {
        let arm = if self.silenced { Arm::Control } else { split.arm(unit_of(split, request)) };
        split.version(arm).clone()
    }

    /// A request of a compared component is over.
    pub(super) fn finish(&mut self, component: &ComponentName, serial: &Serial, request: u64, failed: bool) {
        let Some(open) = self.open.get_mut(component).filter(|_| !self.silenced) else { return };
        let totals = if *serial == open.split.trial { &mut open.trial } else { &mut open.control };
        totals.requests += 1;
        if failed {
            totals.failed += 1;
            open.failed.insert(unit_of(&open.split, request));
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now_ms: u64) {
        let silence_ms = self.open.values().map(|o| u64::from(o.split.silence_ms)).min();
        self.silenced |= silence_ms.is_some_and(|ms| now_ms > self.asked_ms + ms);
        for (component, open) in &mut self.open {
            if now_ms < open.began_ms + u64::from(open.split.tick_ms) {
                continue;
            }
            if !self.silenced {
                let share = open.split.share;
                let flagged = |arm: Arm| open.failed.iter().filter(|u| open.split.arm(**u) == arm).count();
                let count = |arm| u32::try_from(flagged(arm)).unwrap_or(u32::MAX);
                let row = |flag: &Flag| FlagCounts {
                    trial_units: share.into(),
                    trial_flagged: if *flag == Flag::Failed { count(Arm::Trial) } else { 0 },
                    control_units: (UNITS - share).into(),
                    control_flagged: if *flag == Flag::Failed { count(Arm::Control) } else { 0 },
                };
                self.rows.push(TickRow {
                    tick: self.next,
                    component: component.clone(),
                    salt: open.split.salt,
                    generation: open.generation,
                    revision: open.revision,
                    trial: open.trial,
                    control: open.control,
                    flags: open.split.flags.iter().map(row).collect(),
                });
            }
            open.began_ms = now_ms;
            (open.trial, open.control) = (TickTotals::default(), TickTotals::default());
            open.failed.clear();
            self.next += 1;
        }
    }

    /// What is answered to whoever asks from a tick on.
    pub(super) fn ask(&mut self, from: u64, now_ms: u64) -> Ticks {
        self.asked_ms = now_ms;
        let rows = self.rows.iter().filter(|r| r.tick >= from).cloned().collect();
        let silenced = self.open.values().filter(|_| self.silenced).map(|o| o.split.salt).collect();
        Ticks { start: self.start, next: self.next, rows, silenced }
    }
}

fn unit_of(split: &Split, request: u64) -> u8 {
    unit(&split.salt, &format!("address:{}", request % CLIENTS))
}
