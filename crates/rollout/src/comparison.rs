//! Comparing the new version with the one that it replaces, while clients are divided between them: what the edge is to
//! count, what was counted, and what the analysis in `stats` says of it.
//!
//! It refuses to know how clients are told apart and how an answer is computed. A comparison is part of the stored
//! progress. Invariant `each-tick-once`: a tick is taken together with the number of the next, so that a crash neither loses nor doubles one.

mod measures;
mod reads;
mod sample;
mod trouble;
mod words;

use model::{
    ComponentName, Digest, Serial, Timestamp,
    release::{Analysis, QUIET_TICKS},
    route::{EdgeCounts, Flag, Split, TickRow, Ticks},
};
use serde::{Deserialize, Serialize};
use stats::Answer;

use crate::{
    intent::Version,
    milestone::{Compared, CountedTick, Milestone, Times},
    progress::{Forward, Progress, State, Transition},
    reason::BackReason,
    scene::Scene,
    watch::Baseline,
};

pub use measures::{CounterMetric, EdgeMetric, InvariantMetric, Metric};
pub use reads::{Asked, Sweep};

/// Ticks that go into one statement: a minute of seconds. A statement of so many is some 15 KiB at most.
const STATEMENT_TICKS: usize = 60;

/// One version compared with another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Names it, for the edge and in the log.
    pub salt: Digest,
    /// How it is done: the new version's way, no looser than the old one's.
    pub settings: Analysis,
    /// The edge's ticks that were taken.
    taken: Taken,
    /// A component that clients reach each, analysed by itself.
    parts: Vec<Part>,
    /// Whether people were told that the new version gets no requests.
    told_quiet: bool,
    /// Reports of trouble that hold it, as people were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<trouble::Hold>,
    /// What is read of components themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reads: Vec<reads::Read>,
}

/// Which of the edge's ticks were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    /// The edge's run that they are of; an edge that starts again counts from 0.
    start: Option<u64>,
    /// The next one.
    next: u64,
}

/// One component compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    component: ComponentName,
    metrics: Vec<Metric>,
    analysis: stats::Analysis,
    /// Ticks that the log does not have yet; the others came before.
    unlogged: Vec<CountedTick>,
    /// The answer that the log has.
    logged: Saying,
    /// Why a tick could not be taken; then nothing can be decided.
    unreadable: Option<String>,
}

/// An answer without its reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Saying {
    /// Neither is shown.
    NotYet,
    /// It is worse.
    GoBack,
    /// It is no worse than it may be.
    Promote,
}

/// How many clients have the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Phase {
    /// Those of the cohort alone.
    Cohort,
    /// Those of one of the steps, counted from 0, and the cohort.
    Step(usize),
    /// All but those who are kept on the old version to compare with.
    Kept,
}

/// What becomes of a phase.
pub(crate) enum Next {
    /// Another one.
    Phase(Phase),
    /// The comparison is over, and nothing speaks against the new version.
    Over,
}

/// How the new version is to be compared, if it is: not a first release, and not a way back, which must be quick.
pub(crate) fn settings(scene: &Scene<'_>, transition: &Transition) -> Option<Analysis> {
    let from = transition.from.as_ref()?;
    if transition.predecessor.as_ref().is_some_and(|p| p.digest == transition.to.digest) {
        return None;
    }
    let of = |version: &Version| version.environment(&scene.place().environment)?.analysis.clone();
    match (of(&transition.to), of(from)) {
        (Some(new), Some(old)) => Some(new.no_looser_than(&old)),
        (Some(new), None) => Some(new.alone(true)),
        (None, old) => old.map(|old| old.alone(false)),
    }
}

/// Components that clients reach in both versions and that can be divided between them.
fn compared(scene: &Scene<'_>, transition: &Transition) -> Vec<ComponentName> {
    let Some(from) = &transition.from else { return Vec::new() };
    let expose = transition.to.environment(&scene.place().environment).map(|e| &e.expose);
    let is_divided = |name: &&ComponentName| {
        let divisible = |v: &Version| v.release.component(name).is_some_and(|c| !c.is_exclusive());
        divisible(from) && divisible(&transition.to)
    };
    expose.into_iter().flat_map(|e| e.keys()).filter(is_divided).cloned().collect()
}

impl Comparison {
    /// The comparison that begins now; none if this version is not compared.
    pub(crate) fn begin(scene: &Scene<'_>, transition: &Transition) -> Option<Self> {
        let settings = settings(scene, transition)?;
        let (from, before) = (transition.from.as_ref()?, transition.before.as_ref()?);
        let components = compared(scene, transition);
        let whole_ppm = settings.margins.false_rollback_ppm;
        let reads = reads::begin(&settings, from, &transition.to, whole_ppm, scene.now);
        let for_counters = if reads.iter().any(reads::Read::is_counter) { reads::counters_ppm(whole_ppm) } else { 0 };
        let alpha_ppm = whole_ppm.saturating_sub(for_counters).checked_div(u32::try_from(components.len()).ok()?)?;
        let parts = components.into_iter().filter_map(|component| {
            let seen = measures::Seen::of(scene, transition, before, &component, settings.tick_ms);
            let (metrics, plan) = measures::plan(&settings, &seen, alpha_ppm);
            let analysis = stats::Analysis::new(plan).ok()?;
            let unlogged = Vec::new();
            Some(Part { component, metrics, analysis, unlogged, logged: Saying::NotYet, unreadable: None })
        });
        let parts: Vec<Part> = parts.collect();
        let taken = Taken { start: None, next: 0 };
        let salt = Split::salt_of(&from.digest, &transition.to.digest, transition.to.generation);
        (!parts.is_empty()).then_some(Self { salt, settings, taken, parts, told_quiet: false, held: None, reads })
    }

    /// Where to ask the edge for ticks from.
    pub const fn next_tick(&self) -> u64 {
        self.taken.next
    }

    /// The first phase.
    pub(crate) const fn first(&self) -> Phase {
        if self.settings.cohort.is_some() { Phase::Cohort } else { Phase::Step(0) }
    }

    /// The share of clients in percent that has the new version in a phase, but for the cohort.
    pub fn share(&self, phase: Phase) -> u8 {
        match phase {
            Phase::Cohort => 0,
            Phase::Step(step) => self.settings.steps.get(step).copied().unwrap_or(0),
            Phase::Kept => 100_u8.saturating_sub(self.settings.keep_percent),
        }
    }

    /// What the edge is told of a component; none if it is not compared.
    pub(crate) fn split(&self, transition: &Transition, phase: Phase, component: &ComponentName) -> Option<Split> {
        let part = self.parts.iter().find(|p| p.component == *component)?;
        Some(Split {
            salt: self.salt,
            trial: transition.to.serial().clone(),
            control: transition.from.as_ref()?.serial().clone(),
            share: self.share(phase),
            cohort: self.settings.cohort.iter().flat_map(model::release::Cohort::rules).collect(),
            silence_ms: self.settings.silence_s.saturating_mul(1_000),
            tick_ms: self.settings.tick_ms,
            flags: part
                .metrics
                .iter()
                .filter_map(|m| match m {
                    Metric::Edge(edge) => Some(edge.flag),
                    Metric::Counter(_) | Metric::Invariant(_) => None,
                })
                .collect(),
        })
    }

    /// Whether a component is compared.
    pub(crate) fn has(&self, component: &ComponentName) -> bool {
        self.parts.iter().any(|p| p.component == *component)
    }

    /// Takes what the edge counted, each tick once.
    fn take(&mut self, ticks: &Ticks) {
        if self.taken.start != Some(ticks.start) {
            self.taken = Taken { start: Some(ticks.start), next: 0 };
        }
        let next = self.taken.next;
        for row in ticks.rows.iter().filter(|row| row.salt == self.salt && row.tick >= next) {
            if let Some(part) = self.parts.iter_mut().find(|p| p.component == row.component) {
                part.take(row);
            }
        }
        self.taken.next = next.max(ticks.next);
    }

    /// Takes what components said since the last plan.
    fn read(&mut self, scene: &Scene<'_>, transition: &Transition, phase: Phase) {
        let share = (phase != Phase::Cohort).then(|| self.share(phase));
        let frame = reads::Frame { scene, transition, salt: self.salt, share };
        for read in &mut self.reads {
            read.take(&frame, scene.sweeps, self.settings.tick_ms);
        }
    }

    /// Why it must go back; none if it need not.
    pub(crate) fn setback(&self, scene: &Scene<'_>, phase: Phase, begun: Timestamp) -> Option<BackReason> {
        if let Some((part, why)) = self.all().find_map(|p| Some((p, p.unreadable.clone()?))) {
            return Some(BackReason::Unreadable { component: part.component.clone(), why });
        }
        let worse = self.parts.iter().find_map(worse);
        worse.or_else(|| self.setback_by_reading(scene)).or_else(|| self.setback_by_hold(scene)).or_else(|| {
            let limit_s = self.settings.undecided_s;
            let late = phase != Phase::Kept && scene.passed(begun, u64::from(limit_s) * 1_000);
            late.then(|| BackReason::Undecided { limit_s, waited_for: self.waits().join("; ") })
        })
    }

    /// The same by what is read of components alone, which speaks also while only a cohort has the new version.
    pub(crate) fn setback_by_reading(&self, scene: &Scene<'_>) -> Option<BackReason> {
        let found = self.reads.iter().filter_map(|r| r.part.as_ref()).find_map(worse);
        found.or_else(|| {
            let limit_s = self.settings.readings.as_ref().map_or(0, |r| r.unreadable_s);
            self.reads.iter().find_map(|r| r.setback(scene, limit_s))
        })
    }

    /// All analyses.
    fn all(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().chain(self.reads.iter().filter_map(|r| r.part.as_ref()))
    }

    /// What is to be read, and of which of these instances.
    pub fn targets(&self, transition: &Transition, seen: &[&crate::instance::ObservedInstance]) -> Vec<Asked> {
        self.reads.iter().flat_map(|r| r.targets(transition, seen)).collect()
    }

    /// What follows a phase; none if it goes on.
    pub(crate) fn next(&self, scene: &Scene<'_>, phase: Phase, since: Timestamp, watch_s: u32) -> Option<Next> {
        let passed = |limit_s: u32| scene.passed(since, u64::from(limit_s) * 1_000);
        let judged = || self.reads.iter().all(|r| r.part.is_some());
        let ready = || judged() && self.all().all(|p| p.analysis.answer() == Answer::Promote);
        // A larger share is given only to a version that was seen at work with the smaller one.
        let may_raise =
            || self.all().all(|p| p.analysis.may_raise()) && self.parts.iter().all(|p| p.analysis.quiet_ticks() == 0);
        // What can not be read is never good.
        if !self.reads.iter().all(reads::Read::is_readable) {
            return None;
        }
        match phase {
            Phase::Cohort => {
                let alone_s = self.settings.cohort.as_ref().map_or(0, |c| c.alone_s);
                passed(alone_s).then_some(Next::Phase(Phase::Step(0)))
            }
            Phase::Step(step)
                if !passed(self.settings.step_s) || self.parts.iter().any(|p| p.analysis.ticks() == 0) =>
            {
                let _ = step;
                None
            }
            Phase::Step(step) if step + 1 < self.settings.steps.len() => {
                may_raise().then_some(Next::Phase(Phase::Step(step + 1)))
            }
            Phase::Step(_) => ready().then_some(Next::Phase(Phase::Kept)),
            Phase::Kept => passed(watch_s).then_some(Next::Over),
        }
    }

    /// What it waits for, in people's words, one a component.
    pub fn waits(&self) -> Vec<String> {
        let tick_ms = self.settings.tick_ms;
        let said = |read: &reads::Read| read.waits().or_else(|| Some(words::waits(read.part.as_ref()?, tick_ms)));
        self.parts.iter().map(|part| words::waits(part, tick_ms)).chain(self.reads.iter().filter_map(said)).collect()
    }

    /// Ticks taken, of the component of which the most were.
    pub fn ticks(&self) -> u64 {
        self.parts.iter().map(|p| p.analysis.ticks()).max().unwrap_or(0)
    }

    /// For how many ticks the new version had no requests, where it had the fewest.
    fn quiet_ticks(&self) -> u64 {
        self.parts.iter().map(|p| p.analysis.quiet_ticks()).max().unwrap_or(0)
    }
}

impl Part {
    fn take(&mut self, row: &TickRow) {
        let counts: Vec<stats::Counts> = row
            .flags
            .iter()
            .map(|c| stats::Counts {
                trial_units: c.trial_units,
                trial_flagged: c.trial_flagged,
                control_units: c.control_units,
                control_flagged: c.control_flagged,
            })
            .collect();
        let tick = stats::Tick { trial_requests: row.trial.requests, control_requests: row.control.requests, counts };
        let share = row.flags.first().map_or(0, |c| u8::try_from(c.trial_units).unwrap_or(u8::MAX));
        self.step(&tick, share);
    }

    /// Takes one tick, and keeps it for the log.
    fn step(&mut self, tick: &stats::Tick, share: u8) {
        if let Err(error) = self.analysis.step(tick) {
            self.unreadable = Some(error.to_string());
            return;
        }
        self.unlogged.push(CountedTick {
            share,
            requests: tick.trial_requests,
            other_requests: tick.control_requests,
            counts: tick
                .counts
                .iter()
                .map(|c| [c.trial_units, c.trial_flagged, c.control_units, c.control_flagged])
                .collect(),
        });
    }

    fn saying(&self) -> Saying {
        match self.analysis.answer() {
            Answer::NotYet { .. } => Saying::NotYet,
            Answer::GoBack { .. } => Saying::GoBack,
            Answer::Promote => Saying::Promote,
        }
    }
}

/// Why it goes back by this analysis alone.
fn worse(part: &Part) -> Option<BackReason> {
    match part.analysis.answer() {
        Answer::GoBack { because, .. } => Some(words::worse(part, &because)),
        Answer::Promote | Answer::NotYet { .. } => None,
    }
}

/// Takes what the edge counted and what components said since the last plan, and notes for the log what is due.
pub(crate) fn count(scene: &Scene<'_>, progress: &mut Progress) {
    let (transition, moving, phase) = match &mut progress.state {
        State::Forward { transition, stage: Forward::Comparing { phase, .. } } => (transition, true, Some(*phase)),
        State::Forward { transition, stage } => (transition, matches!(stage, Forward::Switching { .. }), None),
        State::Back { transition, .. } | State::Stuck { transition, .. } => (transition, false, None),
        State::Idle { .. } => return,
    };
    if let Some(phase) = phase
        && let Some(mut comparison) = transition.comparison.take()
    {
        comparison.read(scene, transition, phase);
        transition.comparison = Some(comparison);
    }
    let (serial, other) = (transition.to.serial().clone(), transition.from.as_ref().map(|v| v.digest));
    let before = transition.from.as_ref().map_or_else(|| serial.clone(), |v| v.serial().clone());
    let new = transition.to.digest;
    let (Some(comparison), Some(other)) = (transition.comparison.as_mut(), other) else { return };
    if let Some(ticks) = scene.ticks.filter(|_| moving) {
        comparison.take(ticks);
    }
    let salt = comparison.salt;
    let read = comparison.reads.iter_mut().filter_map(|r| r.part.as_mut());
    for part in comparison.parts.iter_mut().chain(read) {
        let saying = part.saying();
        let due = part.unlogged.len() >= STATEMENT_TICKS || saying != part.logged || !moving;
        if !due || part.unlogged.is_empty() {
            continue;
        }
        let ticks = std::mem::take(&mut part.unlogged);
        let first = part.analysis.ticks().saturating_sub(ticks.len() as u64);
        part.logged = saying;
        progress.outbox.note(Milestone::Compared(Box::new(Compared {
            serial: serial.clone(),
            other,
            salt,
            component: part.component.clone(),
            metrics: part.metrics.clone(),
            plan: part.analysis.plan().clone(),
            first,
            ticks,
            answer: saying,
            times: times(scene.edge, (&serial, &before), &part.component),
        })));
    }
    if let Some(told) = phase.and_then(|_| comparison.hold(scene, new, &serial)) {
        progress.outbox.note(told);
    }
    if !comparison.told_quiet && comparison.quiet_ticks() >= QUIET_TICKS {
        comparison.told_quiet = true;
        progress.outbox.note(Milestone::Quiet { serial });
    } else if comparison.quiet_ticks() == 0 {
        comparison.told_quiet = false;
    }
}

/// How long answers of a component took in the new version and in the one before, at quantiles that are known of both.
fn times(edge: &EdgeCounts, (trial, control): (&Serial, &Serial), component: &ComponentName) -> Vec<Times> {
    let of = |serial: &Serial| {
        let row = edge.versions.iter().find(|v| v.serial == *serial && v.component == *component);
        row.map(|row| row.quantiles_us.as_slice()).unwrap_or_default()
    };
    let control_us = |at: u32| of(control).iter().find(|(ppm, _)| *ppm == at).map(|(_, us)| *us);
    let both = |(quantile_ppm, trial_us): &(u32, u64)| {
        let control_us = control_us(*quantile_ppm)?;
        Some(Times { quantile_ppm: *quantile_ppm, trial_us: *trial_us, control_us })
    };
    of(trial).iter().filter_map(both).collect()
}

/// Requests of a component of a version since a baseline.
fn since(counts: &EdgeCounts, baseline: &[Baseline], serial: &Serial, component: &ComponentName) -> u64 {
    let now =
        counts.versions.iter().find(|v| v.serial == *serial && v.component == *component).map_or(0, |v| v.requests);
    let before = baseline.iter().find(|b| b.component == *component).map_or(0, |b| b.requests);
    now.saturating_sub(before)
}

/// The flag that says whether a request failed.
const FAILED: Flag = Flag::Failed;
