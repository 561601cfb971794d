//! The plan: from what should run, what is seen and how far it is, to the next steps and what is waited for.
//!
//! A pure function; it reads no clock, does no IO and draws no lots. The caller stores [`Plan::progress`] durably, then
//! does the steps, observes again, and calls again with what the steps reported. From any progress and any observation
//! that leads to the end, so there is no recovery: starting again is calling again.

use std::fmt;

use model::{
    Digest, Serial, Timestamp,
    route::{Clients, EdgeCounts, Ticks},
};

use crate::{
    act::{act, count_ends},
    advance::{advance, count_failures, was_tried},
    beside,
    comparison::{self, Sweep},
    drain,
    instance::{InstanceId, Observed},
    intent::{Intent, Leave},
    progress::{Ended, Progress, State, Told},
    reason::{BackReason, PastIrreversible, Refusal, Wait},
    refuse::refusal,
    routes::issue,
    scene::Scene,
    step::Step,
};

/// What is seen: the caller looks after it has done the steps of the last plan.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Instances and restore points.
    pub observed: &'a Observed,
    /// What the edge counts and which route table it has.
    pub edge: &'a EdgeCounts,
    /// What the edge counted of two versions that are compared, from [`Progress::next_tick`] on; none if it was not asked.
    pub ticks: Option<&'a Ticks>,
    /// What components said since the last plan to what [`Progress::to_read`] asks, oldest first. Taking one twice adds
    /// nothing.
    pub sweeps: &'a [Sweep],
    /// The clients of each version; none if the edge was not asked, and then nothing retires.
    pub clients: Option<&'a Clients>,
    /// How the steps of the last plan went, those that were tried. None after a crash.
    pub reports: &'a [Report],
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The step.
    pub step: Step,
    /// What the executor said, if it failed.
    pub error: Option<String>,
}

/// What to do now and what is waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// To be stored before any step is done.
    pub progress: Progress,
    /// To be done, each on its own; see invariant `steps-stand-alone` in the source of `act`.
    pub steps: Vec<Planned>,
    /// What it waits for.
    pub waits: Vec<Wait>,
    /// How it stands with the intent, when nothing is on its way.
    pub outcome: Option<Outcome>,
}

/// A step and on what grounds it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The step.
    pub step: Step,
    /// On what grounds.
    pub grounds: Grounds,
    /// The release whose verdict permits it, where one is needed.
    pub release: Digest,
}

impl Planned {
    /// Whether the step uses up a current verdict for its release.
    pub const fn needs_permission(&self) -> bool {
        matches!(self.grounds, Grounds::Forward | Grounds::Keeping)
    }
}

/// On what grounds a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// It moves a rollout forward.
    Forward,
    /// It starts again an instance of what runs.
    Keeping,
    /// It goes back to the version before, which may run again by rule.
    Back,
    /// It stops or removes what should not run. Stopping is quick.
    Stopping,
    /// It starts nothing and moves nobody to a new version: routes around an instance that is down, or takes one down
    /// that drifted.
    Upkeep,
}

/// How it stands when nothing is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target runs alone.
    Runs {
        /// Which.
        serial: Serial,
        /// Whether requests or only health checks spoke for it; `None` if it was not rolled out by this progress.
        judged: Option<bool>,
    },
    /// The target failed and what ran before runs again.
    WentBack {
        /// Which failed.
        serial: Serial,
        /// Why.
        why: BackReason,
        /// What runs.
        runs: Option<Serial>,
    },
    /// The target does not begin.
    Refused(Refusal),
    /// The target failed where going back is not safe.
    Stuck {
        /// Which.
        serial: Serial,
        /// Why.
        why: BackReason,
        /// What can be done.
        way_out: PastIrreversible,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs { serial, judged: Some(false) } => {
                write!(f, "{serial} runs; there were too few requests to judge it by, only health checks spoke for it")
            }
            Self::Runs { serial, .. } => write!(f, "{serial} runs"),
            Self::WentBack { serial, why, runs: Some(runs) } => write!(f, "{serial} went back to {runs}: {why}"),
            Self::WentBack { serial, why, runs: None } => write!(f, "{serial} was removed again: {why}"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Stuck { serial, why, way_out } => write!(f, "{serial} is stuck: {why}; {way_out}"),
        }
    }
}

/// More transitions than any rollout has states, so a circle of them ends in a test and not in a hang.
const TRANSITIONS_LIMIT: u32 = 64;

/// The next steps. See the module for how to use it.
pub fn plan(intent: &Intent, seen: Seen<'_>, progress: &Progress, now: Timestamp) -> Plan {
    let Seen { observed, edge, ticks, sweeps, clients, reports } = seen;
    let scene = Scene {
        intent,
        observed,
        edge,
        ticks,
        sweeps,
        clients,
        reports,
        told: &progress.told,
        issued: &progress.issued.routes,
        now,
    };
    let mut progress = progress.clone();
    count_failures(&scene, &mut progress);
    comparison::count(&scene, &mut progress);
    drain::remember(&scene, &mut progress);
    issue(&scene, &mut progress);
    for _ in 0..TRANSITIONS_LIMIT {
        let Some((state, milestones)) = advance(&scene, &progress) else { break };
        let before = std::mem::replace(&mut progress.state, state);
        beside::follow(&scene, &mut progress, &before);
        progress.failing.clear();
        milestones.into_iter().for_each(|m| progress.outbox.note(m));
        issue(&scene, &mut progress);
    }
    // What was taken above is not taken again, and what is due by now is noted.
    comparison::count(&Scene { sweeps: &[], ..scene }, &mut progress);
    beside::advance(&scene, &mut progress);
    issue(&scene, &mut progress);
    count_ends(&scene, &mut progress);
    let (steps, mut waits) = act(&scene, &progress);
    let steps = permitted(intent, &progress, steps, &mut waits);
    remember_told(&scene, &mut progress, &steps);
    // A step that is no longer wanted no longer fails.
    progress.failing.retain(|name, _| steps.iter().any(|s| describe(&s.step) == *name));
    for (step, failing) in &progress.failing {
        waits.push(Wait::Failing { step: step.clone(), times: failing.times, error: failing.error.clone() });
    }
    let outcome = outcome(&scene, &progress, &mut waits);
    Plan { progress, steps, waits, outcome }
}

/// Notes where the instances that are to start are told that their peers are, and forgets those that are gone.
fn remember_told(scene: &Scene<'_>, progress: &mut Progress, steps: &[Planned]) {
    let starting = |id: &InstanceId| steps.iter().any(|s| matches!(&s.step, Step::Start(spec) if spec.id == *id));
    progress.told.retain(|t| scene.observed.instances.iter().any(|i| i.id == t.instance) && !starting(&t.instance));
    for planned in steps {
        if let Step::Start(spec) = &planned.step {
            progress.told.push(Told { instance: spec.id.clone(), peers: spec.peers.clone() });
        }
    }
}

/// Leaves out what there is no leave for, and says so.
fn permitted(intent: &Intent, progress: &Progress, mut steps: Vec<Planned>, waits: &mut Vec<Wait>) -> Vec<Planned> {
    let moving = matches!(progress.state, State::Forward { .. })
        || progress.current().is_none_or(|v| v.digest != intent.target.digest);
    match &intent.leave {
        Leave::Granted => {}
        Leave::Halted => {
            steps.retain(|s| !s.needs_permission());
            waits.insert(0, Wait::Halted);
        }
        Leave::Missing(why) => {
            let before = steps.len();
            steps.retain(|s| !(s.needs_permission() && s.release == intent.target.digest));
            if moving || steps.len() < before {
                waits.insert(0, Wait::NoVerdict { why: why.clone() });
            }
        }
    }
    steps
}

fn outcome(scene: &Scene<'_>, progress: &Progress, waits: &mut Vec<Wait>) -> Option<Outcome> {
    let target = &scene.intent.target;
    let refused = |current, predecessor| {
        let refused = refusal(current, predecessor, scene.intent, scene.observed);
        refused.or_else(|| beside::refusal(progress, current, target)).map(Outcome::Refused)
    };
    match &progress.state {
        State::Idle { current, predecessor, last } => {
            if scene.intent.withdrawn {
                waits.push(Wait::Withdrawn { serial: target.serial().clone() });
            }
            if let Some(c) = current.as_deref().filter(|c| c.digest == target.digest) {
                let judged = match last {
                    Some(Ended::Done { judged }) => Some(*judged),
                    _ => None,
                };
                return Some(Outcome::Runs { serial: c.serial().clone(), judged });
            }
            if let Some(Ended::WentBack { serial, why, .. }) = last.as_ref().filter(|l| was_tried(target, Some(l))) {
                let runs = current.as_deref().map(|v| v.serial().clone());
                return Some(Outcome::WentBack { serial: serial.clone(), why: why.clone(), runs });
            }
            refused(current.as_deref(), predecessor.as_deref())
        }
        State::Stuck { transition, why, way_out } => {
            if transition.to.digest == target.digest {
                let serial = transition.to.serial().clone();
                return Some(Outcome::Stuck { serial, why: why.clone(), way_out: way_out.clone() });
            }
            refused(Some(&transition.to), transition.from.as_ref())
        }
        State::Forward { transition, .. } | State::Back { transition, .. } => {
            if transition.to.digest != target.digest {
                let running = transition.to.serial().clone();
                waits.push(Wait::Queued { serial: target.serial().clone(), running });
            }
            None
        }
    }
}

/// A step in words, for people and as its name.
pub fn describe(step: &Step) -> String {
    match step {
        Step::Start(spec) => format!("starting {}", spec.id),
        Step::Drain(id) => format!("telling {id} that it drains"),
        Step::Stop(id) => format!("stopping {id}"),
        Step::Delete(id) => format!("removing {id}"),
        Step::SaveRestorePoint { component, before, .. } => format!("saving {component} before {before}"),
        Step::Restore { component, before, .. } => format!("restoring {component} from before {before}"),
        Step::Route(table) => format!("routing by table {}.{}", table.generation, table.revision),
    }
}
