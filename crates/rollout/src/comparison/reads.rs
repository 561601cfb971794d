//! What components say of themselves while two versions are compared: counters, sampled so that instances of both versions
//! are asked about equally many things, and figures that may never be another.
//!
//! It refuses to know how they are asked. What is read are totals since an instance started, so reading one twice adds
//! nothing, and what a crash leaves out is in the next difference. What can not be read is never good: nothing goes
//! forward meanwhile, and after a stated time it goes back.

use std::{collections::BTreeMap, net::SocketAddr};

use model::{
    ComponentName, Digest, Series, Timestamp,
    release::{Analysis, COUNTERS_PERCENT, Counter, Invariant, Worse},
    route::{ReadAnswer, ReadTarget, SeriesAnswer},
};
use serde::{Deserialize, Serialize};
use stats::{Margin, Measure, Plan, Question};

use super::{Metric, Part, sample};
use crate::{
    instance::{InstanceId, ObservedInstance},
    intent::Version,
    progress::Transition,
    reason::BackReason,
    scene::{Look, Scene},
};

/// Ticks without any reading that say nothing yet: a round of the agent may take so long.
const MISSED_TICKS: u64 = 3;
/// And milliseconds on top: the executor starts an instance in less.
const MISSED_MS: u64 = 5_000;
/// A history of a counter may be of other days, so it counts for no more than 100 s of ten instances.
const HISTORY_UNIT_TICKS: u32 = 1_000;
const HISTORY_LEAST: u32 = 100;
/// A percent, in millionths.
const PERCENT_PPM: u32 = 10_000;
/// Beyond, the numbers of an exposition are no longer exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// One look at all instances, as the caller had it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// A row an instance and path.
    pub rows: Vec<(Asked, ReadAnswer)>,
}

/// An instance and what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub instance: InstanceId,
    /// Where, and what of.
    pub target: ReadTarget,
}

/// One counter, or the invariants of one component behind one path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    component: ComponentName,
    path: String,
    asks: Asks,
    /// The chance of a false alarm that is its own, in millionths.
    alpha_ppm: u32,
    /// Its analysis, once there is something to plan by.
    pub(super) part: Option<Part>,
    /// Where counters stood.
    last: Vec<Stood>,
    /// Sweeps taken; it names a tick when instances are sampled.
    sweeps: u64,
    /// When the last was.
    read_at: Timestamp,
    /// Since when it can not be read; none if it can.
    unreadable: Option<Unreadable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Asks {
    Counter(Counter),
    Invariants(Vec<Invariant>),
}

/// Where a counter of an instance stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stood {
    instance: InstanceId,
    /// A start gives an instance another one, and its counters begin anew.
    address: SocketAddr,
    name: u64,
    of: u64,
    /// Whether it has gone down without a start: then it is no counter, and nothing of it can be believed.
    fell: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreadable {
    since: Timestamp,
    why: String,
}

/// What an instance did since the last sweep: of so many things, so many were bad.
struct Change {
    instance: String,
    of: u64,
    bad: u64,
}

/// The comparison that this belongs to.
pub(super) struct Frame<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) transition: &'a Transition,
    pub(super) salt: Digest,
    /// Percent of clients that have the new version; none while only a cohort has it, which was not chosen at random.
    pub(super) share: Option<u8>,
}

/// What is read in this comparison, with alpha divided between the counters.
pub(super) fn begin(settings: &Analysis, from: &Version, to: &Version, alpha_ppm: u32, now: Timestamp) -> Vec<Read> {
    let Some(readings) = &settings.readings else { return Vec::new() };
    let shared = |c: &&Counter| {
        let is_shared = |v: &Version| v.release.component(&c.component).is_some_and(|c| !c.is_exclusive());
        is_shared(from) && is_shared(to)
    };
    let counters: Vec<&Counter> = readings.counters.iter().filter(shared).collect();
    let each = counters_ppm(alpha_ppm).checked_div(u32::try_from(counters.len()).unwrap_or(u32::MAX)).unwrap_or(0);
    let read = |component: &ComponentName, path: &str, asks| Read {
        component: component.clone(),
        path: path.to_owned(),
        asks,
        alpha_ppm: each.max(1),
        part: None,
        last: Vec::new(),
        sweeps: 0,
        read_at: now,
        unreadable: None,
    };
    let mut invariants: BTreeMap<(&ComponentName, &str), Vec<Invariant>> = BTreeMap::new();
    for invariant in readings.invariants.iter().filter(|i| to.release.component(&i.component).is_some()) {
        invariants.entry((&invariant.component, &invariant.path)).or_default().push(invariant.clone());
    }
    let invariants =
        invariants.into_iter().map(|((component, path), all)| read(component, path, Asks::Invariants(all)));
    counters.into_iter().map(|c| read(&c.component, &c.path, Asks::Counter(c.clone()))).chain(invariants).collect()
}

/// What all counters together have of alpha.
pub(super) fn counters_ppm(alpha_ppm: u32) -> u32 {
    alpha_ppm.saturating_mul(COUNTERS_PERCENT) / 100
}

impl Read {
    /// Whether it has a part of alpha.
    pub(super) const fn is_counter(&self) -> bool {
        matches!(self.asks, Asks::Counter(_))
    }

    fn series(&self) -> Vec<Series> {
        match &self.asks {
            Asks::Counter(counter) => vec![counter.name.clone(), counter.of.clone()],
            Asks::Invariants(all) => all.iter().map(|i| i.name.clone()).collect(),
        }
    }

    /// What it reads, in people's words.
    fn what(&self) -> String {
        let names: Vec<String> = match &self.asks {
            Asks::Counter(counter) => vec![format!("`{}`", counter.name)],
            Asks::Invariants(all) => all.iter().map(|i| format!("`{}`", i.name)).collect(),
        };
        names.join(", ")
    }

    /// The instances that it is read from, of all that are there: of a counter those of both versions, else of the new one.
    pub(super) fn targets(&self, transition: &Transition, seen: &[&ObservedInstance]) -> Vec<Asked> {
        let old = transition.from.as_ref().filter(|_| self.is_counter()).map(Version::serial);
        let is_meant = |i: &&&ObservedInstance| {
            i.id.component == self.component && (i.id.serial == *transition.to.serial() || Some(&i.id.serial) == old)
        };
        let asked = |i: &&ObservedInstance| Asked {
            instance: i.id.clone(),
            target: ReadTarget { address: i.address, path: self.path.clone(), series: self.series() },
        };
        seen.iter().filter(is_meant).map(asked).collect()
    }

    /// The instances of a version that are well, which must be readable.
    fn well(&self, scene: &Scene<'_>, version: &Version) -> Vec<InstanceId> {
        let component = version.release.component(&self.component);
        let of = |c| {
            let is_well = |id: &InstanceId| matches!(scene.look(version, c, id), Look::Healthy { .. });
            scene.ids(version, c).filter(is_well).collect()
        };
        component.map(of).unwrap_or_default()
    }

    /// Takes what was read since the last plan, and notices when nothing was.
    pub(super) fn take(&mut self, frame: &Frame<'_>, sweeps: &[Sweep], tick_ms: u32) {
        let now = frame.scene.now;
        for sweep in sweeps {
            self.read_at = now;
            let taken = match self.asks.clone() {
                Asks::Counter(counter) => self.count(frame, &counter, sweep),
                Asks::Invariants(all) => self.look(frame, &all, sweep),
            };
            self.sweeps = self.sweeps.saturating_add(1);
            match taken {
                Ok(()) => self.unreadable = None,
                Err(why) => self.trouble(now, why),
            }
        }
        let missed = MISSED_TICKS.saturating_mul(tick_ms.into()).saturating_add(MISSED_MS);
        if sweeps.is_empty() && frame.scene.passed(self.read_at, missed) {
            self.trouble(now, format!("nothing was read since {}", self.read_at));
        }
    }

    /// The time of the first trouble counts, and the words of the last.
    fn trouble(&mut self, now: Timestamp, why: String) {
        let since = self.unreadable.as_ref().map_or(now, |u| u.since);
        self.unreadable = Some(Unreadable { since, why });
    }

    /// The samples of each series of one instance.
    fn samples<'s>(
        &self,
        scene: &Scene<'_>,
        id: &InstanceId,
        sweep: &'s Sweep,
    ) -> Result<(SocketAddr, Vec<&'s [f64]>), String> {
        let at = scene.observed.instances.iter().find(|i| i.id == *id).map(|i| i.address);
        let series = self.series();
        let row = sweep.rows.iter().find(|(asked, _)| {
            asked.instance == *id
                && Some(asked.target.address) == at
                && asked.target.path == self.path
                && asked.target.series == series
        });
        let Some((asked, answer)) = row else { return Err(format!("{id} was not asked")) };
        let answers = match answer {
            ReadAnswer::Read(answers) if answers.len() == series.len() => answers,
            ReadAnswer::Read(_) => return Err(format!("{id} was asked something else")),
            ReadAnswer::Unreadable(why) => return Err(format!("{id}: {why}")),
        };
        let each = series.iter().zip(answers).map(|(series, answer)| match answer {
            SeriesAnswer::Samples(samples) if !samples.is_empty() => Ok(samples.as_slice()),
            SeriesAnswer::Samples(_) => Err(format!("{id} has no `{series}`")),
            SeriesAnswer::Unreadable(why) => Err(format!("`{series}` of {id} {why}")),
        });
        Ok((asked.target.address, each.collect::<Result<_, _>>()?))
    }

    /// A figure of each instance of the new version.
    fn look(&mut self, frame: &Frame<'_>, all: &[Invariant], sweep: &Sweep) -> Result<(), String> {
        let ids = self.well(frame.scene, &frame.transition.to);
        let mut counts = vec![stats::Counts::default(); all.len()];
        let (mut unreadable, mut broken) = (None, false);
        for id in &ids {
            match self.samples(frame.scene, id, sweep) {
                Ok((_, samples)) => {
                    for ((invariant, samples), count) in all.iter().zip(samples).zip(&mut counts) {
                        let is_broken = samples.iter().any(|sample| !equals(*sample, invariant.equals));
                        count.trial_units += 1;
                        count.trial_flagged += u32::from(is_broken);
                        broken |= is_broken;
                    }
                }
                Err(why) => unreadable = Some(why),
            }
        }
        if ids.is_empty() {
            unreadable = Some("no instance of it is well".to_owned());
        }
        // One that is broken is broken, whatever another does not say.
        if broken || unreadable.is_none() {
            if self.part.is_none() {
                self.part = invariants(&self.component, all);
            }
            let tick = stats::Tick { trial_requests: 0, control_requests: 0, counts };
            match &mut self.part {
                Some(part) => part.step(&tick, frame.share.unwrap_or(0)),
                None => unreadable = Some("more is asked than can be judged at once".to_owned()),
            }
        }
        unreadable.map_or(Ok(()), Err)
    }

    /// A counter of each instance of both versions.
    fn count(&mut self, frame: &Frame<'_>, counter: &Counter, sweep: &Sweep) -> Result<(), String> {
        let Frame { scene, transition, .. } = *frame;
        let Some(from) = &transition.from else { return Ok(()) };
        let (mut changes, mut unreadable) = ((Vec::new(), Vec::new()), None);
        let (trial, control) = (self.well(scene, &transition.to), self.well(scene, from));
        for (ids, changes) in [(&trial, &mut changes.0), (&control, &mut changes.1)] {
            for id in ids {
                match self.change(scene, counter, id, sweep) {
                    Ok(change) => changes.extend(change),
                    Err(why) => unreadable = Some(why),
                }
            }
        }
        if trial.is_empty() {
            unreadable = Some("no instance of it is well".to_owned());
        }
        if let Some(why) = unreadable {
            return Err(why);
        }
        let Some(share) = frame.share else { return Ok(()) };
        let exposed = |changes: &[Change]| changes.iter().map(|c| c.of).filter(|of| *of > 0).collect::<Vec<_>>();
        let (of_trial, of_control) = (exposed(&changes.0), exposed(&changes.1));
        if self.part.is_none() {
            self.part = self.plan(counter, from, &of_trial, &of_control);
        }
        let seed =
            sample::Seed { salt: frame.salt, name: counter.name.digest(), of: counter.of.digest(), tick: self.sweeps };
        let Some(part) = &mut self.part else { return Ok(()) };
        let Some(Metric::Counter(metric)) = part.metrics.first() else { return Ok(()) };
        let tick = sampled(metric.sample, &seed, &changes.0, &changes.1);
        part.step(&tick, share);
        Ok(())
    }

    /// What an instance did since the last sweep; none at its first.
    fn change(
        &mut self,
        scene: &Scene<'_>,
        counter: &Counter,
        id: &InstanceId,
        sweep: &Sweep,
    ) -> Result<Option<Change>, String> {
        let (address, samples) = self.samples(scene, id, sweep)?;
        let [name, of] = samples.as_slice() else { return Err(format!("{id} was asked something else")) };
        let name = total(name).ok_or_else(|| format!("`{}` of {id} is not a whole number from 0 on", counter.name))?;
        let of = total(of).ok_or_else(|| format!("`{}` of {id} is not a whole number from 0 on", counter.of))?;
        let place = self.last.iter().position(|stood| stood.instance == *id).map(|at| self.last.swap_remove(at));
        let before = place.filter(|stood| stood.address == address);
        let fell = before.as_ref().is_some_and(|b| b.fell || name < b.name || of < b.of);
        self.last.push(Stood { instance: id.clone(), address, name, of, fell });
        if fell {
            return Err(format!(
                "`{}` or `{}` of {id} went down, which a counter never does",
                counter.name, counter.of
            ));
        }
        let Some(before) = before else { return Ok(None) };
        let (name, of) = (name - before.name, of - before.of);
        // What began in one tick may be counted in the next, so that more are bad than there were.
        let bad = match counter.worse {
            Worse::More => name.min(of),
            Worse::Fewer => of.saturating_sub(name),
        };
        Ok(Some(Change { instance: id.to_string(), of, bad }))
    }

    /// How a counter is judged, by what it was for the old version before; none while nothing happens that it counts.
    fn plan(&self, counter: &Counter, from: &Version, trial: &[u64], control: &[u64]) -> Option<Part> {
        let old = self.last.iter().filter(|stood| stood.instance.serial == *from.serial());
        let (name, of) =
            old.fold((0_u64, 0_u64), |(name, of), s| (name.saturating_add(s.name), of.saturating_add(s.of)));
        let bad = match counter.worse {
            Worse::More => name.min(of),
            Worse::Fewer => of.saturating_sub(name),
        };
        let sample = sample::best(bad, of);
        let size = sample::size(sample, trial, control);
        if size == 0 {
            return None;
        }
        let history_ppm = u64::try_from(u128::from(bad) * 1_000_000 / u128::from(of.max(1))).unwrap_or(0);
        let ratio = |percent: u32| percent.saturating_mul(PERCENT_PPM);
        let question = Question::Events {
            requests_per_million_unit_ticks: size.saturating_mul(1_000_000),
            history_ppm: u32::try_from(history_ppm).unwrap_or(u32::MAX).min(500_000),
            history_unit_ticks: u32::try_from(of / size).unwrap_or(u32::MAX).clamp(HISTORY_LEAST, HISTORY_UNIT_TICKS),
            margin: Margin { ratio_ppm: ratio(counter.ratio_percent), plus_ppm: counter.added_ppm },
            promote: Margin { ratio_ppm: ratio(counter.promote_ratio_percent), plus_ppm: counter.promote_added_ppm },
            limit_ppm: None,
        };
        let metric =
            super::CounterMetric { name: counter.name.clone(), of: counter.of.clone(), worse: counter.worse, sample };
        part(
            counter.component.clone(),
            vec![Metric::Counter(metric)],
            vec![Measure { weight_ppm: 1_000_000, question }],
            self.alpha_ppm,
        )
    }

    /// Why it must go back: for what was read, or because nothing was for too long.
    pub(super) fn setback(&self, scene: &Scene<'_>, limit_s: u32) -> Option<BackReason> {
        let unreadable = self.unreadable.as_ref()?;
        scene.passed(unreadable.since, u64::from(limit_s) * 1_000).then(|| BackReason::NotRead {
            component: self.component.clone(),
            what: self.what(),
            limit_s,
            why: unreadable.why.clone(),
        })
    }

    /// Whether it was read in the last sweep.
    pub(super) const fn is_readable(&self) -> bool {
        self.sweeps > 0 && self.unreadable.is_none()
    }

    /// What it waits for, as long as there is no analysis to say so or nothing can be read.
    pub(super) fn waits(&self) -> Option<String> {
        let name = &self.component;
        let what = self.what();
        match (&self.unreadable, &self.part) {
            (Some(unreadable), _) => Some(format!("{what} of {name} can not be read: {}", unreadable.why)),
            (None, _) if self.sweeps == 0 => Some(format!("{what} of {name} to be read for the first time")),
            (None, None) => Some(format!("{name} needs something to happen that {what} is counted of")),
            (None, Some(_)) => None,
        }
    }
}

/// What samples of one size of each instance find; one that did less than that says nothing.
fn sampled(at_most: u64, seed: &sample::Seed, trial: &[Change], control: &[Change]) -> stats::Tick {
    let exposed = |side: &[Change]| side.iter().map(|c| c.of).filter(|of| *of > 0).collect::<Vec<_>>();
    let size = sample::size(at_most, &exposed(trial), &exposed(control));
    let found = |side: &[Change]| {
        let able = side.iter().filter(|c| size > 0 && c.of >= size);
        able.fold((0_u32, 0_u32), |(units, flagged), c| {
            (units + 1, flagged + u32::from(seed.of(&c.instance).finds(c.of, c.bad, size)))
        })
    };
    let ((trial_units, trial_flagged), (control_units, control_flagged)) = (found(trial), found(control));
    stats::Tick {
        trial_requests: u64::from(trial_units).saturating_mul(size),
        control_requests: u64::from(control_units).saturating_mul(size),
        counts: vec![stats::Counts { trial_units, trial_flagged, control_units, control_flagged }],
    }
}

/// The samples of one counter together, if each is a number of things.
fn total(samples: &[f64]) -> Option<u64> {
    let is_count = |sample: &f64| *sample >= 0.0 && *sample <= EXACT && sample.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and from 0 to 2^53")]
    let each = |sample: &f64| is_count(sample).then_some(*sample as u64);
    samples.iter().try_fold(0_u64, |sum, sample| sum.checked_add(each(sample)?))
}

/// Whether a sample is exactly this number, of which there are 2^53 at most in either direction.
fn equals(sample: f64, number: i64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a manifest names no number beyond 2^53")]
    #[expect(clippy::float_cmp, reason = "money is in balance or it is not")]
    {
        sample == number as f64
    }
}

fn part(component: ComponentName, metrics: Vec<Metric>, measures: Vec<Measure>, alpha_ppm: u32) -> Option<Part> {
    let plan = Plan { measures, alpha_ppm, beta_ppm: stats::BETA_PPM, horizon_ticks: stats::HORIZON_TICKS };
    let analysis = stats::Analysis::new(plan).ok()?;
    Some(Part { component, metrics, analysis, unlogged: Vec::new(), logged: super::Saying::NotYet, unreadable: None })
}

fn invariants(component: &ComponentName, all: &[Invariant]) -> Option<Part> {
    let metric = |i: &Invariant| Metric::Invariant(super::InvariantMetric { name: i.name.clone(), equals: i.equals });
    let measures = all.iter().map(|_| Measure { weight_ppm: 0, question: Question::Invariant }).collect();
    part(component.clone(), all.iter().map(metric).collect(), measures, stats::ALPHA_PPM)
}

#[cfg(test)]
mod tests;
