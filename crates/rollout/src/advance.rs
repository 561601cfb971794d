//! The transitions of a rollout: one `match`. Each reads what is seen and says what state follows, or none.
//!
//! The way forward is: start the new set but for exclusive components, hand those over one by one, switch the public
//! routes, watch, drain, retire. New stateless components start first, because starting them takes longest and harms
//! nobody; exclusive ones hand over next, while all public requests still go to the old set, which works on the
//! expanded state; the public switch is last. The last exclusive component is opened to requests by the very table that
//! switches the public routes, and one with an irreversible migration is always last: until the switch nothing
//! irreversible was given a request, so until the switch going back loses nothing.

mod setback;

use model::{ComponentName, release::Component};

use crate::{
    beside,
    comparison::{self, Comparison, Next, Phase},
    drain::untold,
    instance::RestorePoint,
    intent::Version,
    milestone::Milestone,
    order::start_order,
    progress::{Back, Before, Ended, Forward, HandBack, HandOver, Left, Progress, Return, State, Transition},
    refuse::{irreversible, refusal},
    routes::{in_force, is_handed_over},
    scene::Scene,
    step::Step,
    watch::{Judgement, baseline},
};

pub(crate) use setback::{count_failures, tally};
use setback::{judgement, setback, turn_back};

/// A step of the new version that failed this often in a row will not succeed; five outlast a passing fault.
const STEP_ATTEMPTS: u32 = 5;
/// What an executor may take on top of a component's stop timeout before it counts as not stopped: it kills and reaps.
const STOP_ALLOWANCE_MS: u64 = 10_000;

/// The state that follows, with what that means for the log; nothing if this one stays.
pub(crate) fn advance(scene: &Scene<'_>, progress: &Progress) -> Option<(State, Vec<Milestone>)> {
    let routed = || in_force(scene, progress);
    let now = scene.now;
    match &progress.state {
        State::Idle { current, predecessor, last } => {
            may_begin(scene, progress, current.as_deref(), predecessor.as_deref(), last.as_ref())
                .then(|| begin(scene, current.as_deref(), predecessor.as_deref()))
        }
        State::Stuck { transition, .. } => {
            may_begin(scene, progress, Some(&transition.to), transition.from.as_ref(), None)
                .then(|| begin(scene, Some(&transition.to), transition.from.as_ref()))
        }
        State::Forward { transition, stage } => {
            if let Some(why) = setback(scene, progress, transition, stage) {
                return Some(turn_back(scene, transition, stage, why));
            }
            let forward =
                |stage, milestones| Some((State::Forward { transition: transition.clone(), stage }, milestones));
            match stage {
                Forward::StartingNew => {
                    let ready = beside(transition).all(|c| scene.is_healthy(&transition.to, c));
                    if !(ready && scene.intent.leave.is_granted()) {
                        return None;
                    }
                    let instances = beside(transition).map(|c| u64::from(c.replicas)).sum();
                    let healthy = Milestone::Healthy { serial: transition.to.serial().clone(), instances };
                    Some((after_hand_over(scene, transition, Vec::new()), vec![healthy]))
                }
                Forward::HandingOver { handed, component, held_since, stage } => {
                    let stay = |stage| Forward::HandingOver {
                        handed: handed.clone(),
                        component: component.clone(),
                        held_since: *held_since,
                        stage,
                    };
                    match stage {
                        HandOver::Holding if routed() => {
                            let held = Milestone::Held { component: component.clone() };
                            let stage = Forward::HandingOver {
                                handed: handed.clone(),
                                component: component.clone(),
                                held_since: now,
                                stage: HandOver::Draining { since: now },
                            };
                            forward(stage, vec![held])
                        }
                        HandOver::Draining { since } => {
                            let from = transition.from.as_ref()?;
                            let cut = scene.in_flight(from.serial(), Some(component));
                            if cut > 0 && !scene.passed(*since, hand_over_drain_ms(scene, &transition.to)) {
                                return None;
                            }
                            let drained = Milestone::Drained {
                                serial: from.serial().clone(),
                                component: Some(component.clone()),
                                cut,
                            };
                            forward(stay(HandOver::Stopping { since: now }), vec![drained])
                        }
                        HandOver::Stopping { .. } if scene.writers(&progress.system, component).next().is_none() => {
                            forward(stay(HandOver::Saving { since: now }), Vec::new())
                        }
                        HandOver::Saving { since } => {
                            let before = transition.to.serial();
                            // An older one is of an earlier attempt: going back to it would lose what was written since.
                            restore_point(scene, component, transition).filter(|p| p.at >= *since)?;
                            let saved = Milestone::Saved { component: component.clone(), before: before.clone() };
                            forward(stay(HandOver::Starting), vec![saved])
                        }
                        HandOver::Starting => {
                            let new = transition.to.release.component(component)?;
                            if !(scene.is_healthy(&transition.to, new) && scene.intent.leave.is_granted()) {
                                return None;
                            }
                            let over = Milestone::HandedOver { component: component.clone(), held: scene.edge.held };
                            let mut handed = handed.clone();
                            handed.push(component.clone());
                            Some((after_hand_over(scene, transition, handed), vec![over]))
                        }
                        HandOver::Holding | HandOver::Stopping { .. } => None,
                    }
                }
                Forward::Switching { .. } if routed() && transition.comparison.is_some() => {
                    let phase = first_phase(transition)?;
                    forward(
                        Forward::Comparing { phase, since: now, begun: now },
                        vec![stepped(scene, transition, phase)],
                    )
                }
                Forward::Comparing { phase, since, begun } if routed() => {
                    let watch_s = transition.to.environment(&scene.place().environment)?.watch_s;
                    let comparison = transition.comparison.as_ref()?;
                    if comparison.is_held(scene, transition) {
                        return None;
                    }
                    let next = comparison.next(scene, *phase, *since, watch_s)?;
                    let healthy = transition.to.release.components.iter().all(|c| scene.is_healthy(&transition.to, c));
                    if !(healthy && scene.intent.leave.is_granted()) {
                        return None;
                    }
                    match next {
                        Next::Phase(phase) => {
                            let stage = Forward::Comparing { phase, since: now, begun: *begun };
                            forward(stage, vec![stepped(scene, transition, phase)])
                        }
                        Next::Over => {
                            let serial = transition.to.serial().clone();
                            let watched = Milestone::Watched { serial, tally: tally(scene, transition), judged: true };
                            forward(Forward::Draining { since: now, judged: true }, vec![watched])
                        }
                    }
                }
                Forward::Switching { .. } if routed() => {
                    let switched = Milestone::Switched {
                        serial: transition.to.serial().clone(),
                        generation: progress.issued.generation,
                        revision: progress.issued.revision,
                    };
                    forward(Forward::Watching { since: now }, vec![switched])
                }
                Forward::Watching { since } => {
                    let watch_ms = u64::from(transition.to.environment(&scene.place().environment)?.watch_s) * 1_000;
                    let healthy = transition.to.release.components.iter().all(|c| scene.is_healthy(&transition.to, c));
                    if !(scene.passed(*since, watch_ms) && healthy && scene.intent.leave.is_granted()) {
                        return None;
                    }
                    let (judged, tally) = match judgement(scene, transition)? {
                        Judgement::Good(tally) => (true, tally),
                        Judgement::TooFew(tally) | Judgement::Bad { tally, .. } => (false, tally),
                    };
                    let watched = Milestone::Watched { serial: transition.to.serial().clone(), tally, judged };
                    forward(Forward::Draining { since: now, judged }, vec![watched])
                }
                Forward::Draining { since, judged } => {
                    let Some(from) = &transition.from else {
                        return forward(Forward::Retiring { judged: *judged }, Vec::new());
                    };
                    // What stays has nothing to finish.
                    if beside::stays(&progress.environment, transition) {
                        return forward(Forward::Retiring { judged: *judged }, Vec::new());
                    }
                    let cut = drained(scene, progress, from, &transition.to, *since)?;
                    if !scene.intent.leave.is_granted() {
                        return None;
                    }
                    let drained = Milestone::Drained { serial: from.serial().clone(), component: None, cut };
                    forward(Forward::Retiring { judged: *judged }, vec![drained])
                }
                Forward::Retiring { judged } if routed() && is_alone(scene, progress, transition) => {
                    let retired = Milestone::Retired {
                        serial: transition.from.as_ref().map(|v| v.serial().clone()),
                        runs: transition.to.serial().clone(),
                    };
                    let state = State::Idle {
                        current: Some(Box::new(transition.to.clone())),
                        predecessor: transition.from.clone().map(Box::new),
                        last: Some(Ended::Done { judged: *judged }),
                    };
                    Some((state, vec![retired]))
                }
                Forward::Switching { .. } | Forward::Comparing { .. } | Forward::Retiring { .. } => None,
            }
        }
        State::Back { transition, why, stage } => {
            let back = |stage, milestones| {
                Some((State::Back { transition: transition.clone(), why: why.clone(), stage }, milestones))
            };
            match stage {
                Back::Routing { returns } if routed() => back(after_hand_back(scene, returns), Vec::new()),
                Back::HandingBack { current, rest, stage } => {
                    let stay = |stage| Back::HandingBack { current: current.clone(), rest: rest.clone(), stage };
                    match stage {
                        HandBack::Holding if routed() => back(stay(HandBack::Draining { since: now }), Vec::new()),
                        HandBack::Draining { since } => {
                            let serial = transition.to.serial();
                            let cut = scene.in_flight(serial, Some(&current.component));
                            if cut > 0 && !scene.passed(*since, hand_over_drain_ms(scene, &transition.to)) {
                                return None;
                            }
                            let drained = Milestone::Drained {
                                serial: serial.clone(),
                                component: Some(current.component.clone()),
                                cut,
                            };
                            let opened = current.left == Left::Opened;
                            back(stay(HandBack::Stopping), opened.then_some(drained).into_iter().collect())
                        }
                        HandBack::Stopping => {
                            let new = transition.to.serial();
                            if scene.writers(&progress.system, &current.component).any(|i| i.id.serial == *new) {
                                return None;
                            }
                            let next =
                                if current.left == Left::Unopened { HandBack::Restoring } else { HandBack::Starting };
                            back(stay(next), Vec::new())
                        }
                        HandBack::Restoring => {
                            if !is_reported(
                                scene,
                                |s| matches!(s, Step::Restore { component, .. } if *component == current.component),
                            ) {
                                return None;
                            }
                            let milestone = Milestone::Restored {
                                component: current.component.clone(),
                                before: transition.to.serial().clone(),
                            };
                            back(stay(HandBack::Starting), vec![milestone])
                        }
                        HandBack::Starting => {
                            let from = transition.from.as_ref()?;
                            let old = from.release.component(&current.component)?;
                            if !scene.is_healthy(from, old) {
                                return None;
                            }
                            back(after_hand_back(scene, rest), Vec::new())
                        }
                        HandBack::Holding => None,
                    }
                }
                Back::Draining { since } if routed() => {
                    let cut = drained(scene, progress, &transition.to, &transition.to, *since)?;
                    let drained = Milestone::Drained { serial: transition.to.serial().clone(), component: None, cut };
                    back(Back::Removing, vec![drained])
                }
                Back::Removing if routed() && is_gone(scene, progress, transition) => {
                    let serial = transition.to.serial().clone();
                    let went = Milestone::WentBack {
                        serial: serial.clone(),
                        runs: transition.from.as_ref().map(|v| v.serial().clone()),
                        reason: why.clone(),
                    };
                    let ended = Ended::WentBack {
                        serial,
                        digest: transition.to.digest,
                        generation: transition.to.generation,
                        why: why.clone(),
                    };
                    let state = State::Idle {
                        current: transition.from.clone().map(Box::new),
                        predecessor: transition.predecessor.clone().map(Box::new),
                        last: Some(ended),
                    };
                    Some((state, vec![went]))
                }
                Back::Routing { .. } | Back::Draining { .. } | Back::Removing => None,
            }
        }
    }
}

/// Whether the intent's target may begin to replace what runs.
fn may_begin(
    scene: &Scene<'_>,
    progress: &Progress,
    current: Option<&Version>,
    predecessor: Option<&Version>,
    last: Option<&Ended>,
) -> bool {
    let target = &scene.intent.target;
    let explained = current.is_some() || scene.instances(&target.release.system).next().is_none();
    current.is_none_or(|c| c.digest != target.digest)
        && !was_tried(target, last)
        && !scene.intent.withdrawn
        && scene.intent.leave.is_granted()
        && is_said(progress)
        && explained
        && progress.system == target.release.system
        && (beside::is_beside(progress, target.serial())
            || scene.instances(&target.release.system).all(|i| i.id.serial != *target.serial()))
        && beside::refusal(progress, current, target).is_none()
        && refusal(current, predecessor, scene.intent, scene.observed).is_none()
}

/// Whether the log has all that happened so far. How one rollout ended is said before another begins: the progress names
/// the versions of one rollout only, and who reads the log sees each end before the next beginning.
fn is_said(progress: &Progress) -> bool {
    progress.outbox.waiting().is_empty()
}

/// Whether this very attempt was made before and went back.
pub(crate) fn was_tried(target: &Version, last: Option<&Ended>) -> bool {
    matches!(last, Some(Ended::WentBack { digest, generation, .. }) if *digest == target.digest && *generation >= target.generation)
}

fn begin(scene: &Scene<'_>, current: Option<&Version>, predecessor: Option<&Version>) -> (State, Vec<Milestone>) {
    let to = scene.intent.target.clone();
    let started = Milestone::Started {
        serial: to.serial().clone(),
        replaces: current.map(|v| v.serial().clone()),
        instances: to.release.components.iter().map(|c| u64::from(c.replicas)).sum(),
    };
    let mut transition = Transition {
        from: current.cloned(),
        predecessor: predecessor.cloned(),
        baseline: baseline(scene.edge, to.serial()),
        before: None,
        comparison: None,
        was_beside: None,
        to,
    };
    if let Some(from) = current.filter(|_| comparison::settings(scene, &transition).is_some()) {
        transition.before = Some(Before { at: scene.now, counts: baseline(scene.edge, from.serial()) });
    }
    (State::Forward { transition: Box::new(transition), stage: Forward::StartingNew }, vec![started])
}

/// The components of the new version that start beside the old set: all but those that hand over.
pub(crate) fn beside(transition: &Transition) -> impl Iterator<Item = &Component> {
    transition.to.release.components.iter().filter(|c| !is_handed_over(transition, c))
}

/// The state after these exclusive components have handed over: the next one's turn, or the switch.
fn after_hand_over(scene: &Scene<'_>, transition: &Transition, handed: Vec<ComponentName>) -> State {
    let mut transition = Box::new(transition.clone());
    // Only releases whose components have an order get here, but a circle must not hide a component either.
    let order = start_order(&transition.to.release).unwrap_or_else(|circle| circle);
    let migrates = |c: &Component| {
        let old = transition.from.as_ref().and_then(|v| v.release.component(&c.name));
        old.is_some_and(|old| irreversible(old, c).is_some())
    };
    let (last, first): (Vec<&Component>, Vec<&Component>) =
        order.into_iter().filter(|c| is_handed_over(&transition, c)).partition(|c| migrates(c));
    let next = first.into_iter().chain(last).find(|c| !handed.contains(&c.name)).map(|c| c.name.clone());
    let stage = match next {
        None => {
            transition.comparison = Comparison::begin(scene, &transition).map(Box::new);
            Forward::Switching { since: scene.now }
        }
        Some(component) => Forward::HandingOver { component, handed, held_since: scene.now, stage: HandOver::Holding },
    };
    State::Forward { transition, stage }
}

fn first_phase(transition: &Transition) -> Option<Phase> {
    transition.comparison.as_ref().map(|c| c.first())
}

fn stepped(scene: &Scene<'_>, transition: &Transition, phase: Phase) -> Milestone {
    let share = transition.comparison.as_ref().map_or(0, |c| c.share(phase));
    Milestone::Stepped { serial: transition.to.serial().clone(), share, tally: tally(scene, transition) }
}

fn after_hand_back(scene: &Scene<'_>, returns: &[Return]) -> Back {
    match returns.split_first() {
        None => Back::Draining { since: scene.now },
        Some((first, rest)) => {
            Back::HandingBack { current: first.clone(), rest: rest.to_vec(), stage: HandBack::Holding }
        }
    }
}

/// Half of what requests may wait goes to the old instance to finish, at most what a set has to drain; the other half is
/// for the new one to start. An instance that is stopped still has its stop timeout to finish.
pub(crate) fn hand_over_drain_ms(scene: &Scene<'_>, to: &Version) -> u64 {
    to.environment(&scene.place().environment)
        .map_or(0, |e| (u64::from(e.hold_ms) / 2).min(u64::from(e.drain_s) * 1_000))
}

/// How many requests are cut off if draining ends now; nothing if it must go on. `by` says how long it may last.
fn drained(
    scene: &Scene<'_>,
    progress: &Progress,
    old: &Version,
    by: &Version,
    since: model::Timestamp,
) -> Option<u64> {
    let cut = scene.in_flight(old.serial(), None);
    let limit_ms = u64::from(by.environment(&scene.place().environment).map_or(0, |e| e.drain_s)) * 1_000;
    // Nobody is stopped before it was told.
    ((cut == 0 && untold(scene, progress).is_empty()) || scene.passed(since, limit_ms)).then_some(cut)
}

/// Whether no version of the system is left but the new one and those that stay.
fn is_alone(scene: &Scene<'_>, progress: &Progress, transition: &Transition) -> bool {
    scene.instances(&progress.system).all(|i| remains(progress, transition, &i.id.serial))
}

/// Whether a version goes on once a rollout is done.
pub(crate) fn remains(progress: &Progress, transition: &Transition, serial: &model::Serial) -> bool {
    let stays = || transition.from.as_ref().is_some_and(|from| from.serial() == serial);
    serial == transition.to.serial()
        || beside::is_beside(progress, serial)
        || stays() && beside::stays(&progress.environment, transition)
}

/// Whether the new version is gone, or goes on as before.
fn is_gone(scene: &Scene<'_>, progress: &Progress, transition: &Transition) -> bool {
    let serial = transition.to.serial();
    transition.was_beside.is_some() || scene.instances(&progress.system).all(|i| i.id.serial != *serial)
}

/// The restore point of a component from before the new version.
fn restore_point<'a>(
    scene: &Scene<'a>,
    component: &ComponentName,
    transition: &Transition,
) -> Option<&'a RestorePoint> {
    scene.observed.restore_points.iter().find(|p| {
        p.environment == scene.intent.place.environment
            && p.component == *component
            && p.before == *transition.to.serial()
    })
}

/// Whether such a step was reported as done since the last plan.
fn is_reported(scene: &Scene<'_>, step: impl Fn(&Step) -> bool) -> bool {
    scene.reports.iter().any(|r| r.error.is_none() && step(&r.step))
}
