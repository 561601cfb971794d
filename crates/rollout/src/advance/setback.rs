//! Why a rollout goes back, and how it turns: people want something else, an instance is in trouble, requests say that the
//! new version is worse, a step fails again and again, or requests are held for too long.

use model::release::{Component, Newer};

use super::{STEP_ATTEMPTS, STOP_ALLOWANCE_MS};
use crate::{
    comparison::Phase,
    intent::Leave,
    milestone::Milestone,
    order::start_order,
    plan::describe,
    progress::{Back, Forward, HandOver, Left, Progress, Return, State, Transition},
    reason::BackReason,
    refuse::{is_irreversible, past_irreversible},
    routes::is_handed_over,
    scene::{Look, Scene},
    step::Step,
    watch::{Judgement, Rule, Tally, judge},
};

pub(super) fn judgement(scene: &Scene<'_>, transition: &Transition) -> Option<Judgement> {
    let environment = transition.to.environment(&scene.place().environment)?;
    Some(judge(Rule::of(environment), &transition.baseline, scene.edge, transition.to.serial()))
}

/// What was counted of the new version so far.
pub(crate) fn tally(scene: &Scene<'_>, transition: &Transition) -> Tally {
    match judgement(scene, transition) {
        Some(Judgement::Good(tally) | Judgement::TooFew(tally) | Judgement::Bad { tally, .. }) => tally,
        None => Tally::default(),
    }
}

/// Whether clients may have reached the new version.
const fn opens(stage: &Forward) -> bool {
    matches!(stage, Forward::Switching { .. } | Forward::Comparing { .. } | Forward::Watching { .. })
}

/// Why a rollout on its way forward must go back; nothing if it need not. After the watch nothing is a reason any more:
/// the new version is then kept running like any other.
pub(super) fn setback(
    scene: &Scene<'_>,
    progress: &Progress,
    transition: &Transition,
    stage: &Forward,
) -> Option<BackReason> {
    if matches!(stage, Forward::Draining { .. } | Forward::Retiring { .. }) {
        return None;
    }
    recall(scene, transition, stage)
        .or_else(|| trouble(scene, transition, stage))
        .or_else(|| worse(scene, transition, stage))
        .or_else(|| failing(progress))
        .or_else(|| stalled(scene, transition, stage))
}

/// People want something else.
fn recall(scene: &Scene<'_>, transition: &Transition, stage: &Forward) -> Option<BackReason> {
    let (intent, serial) = (scene.intent, transition.to.serial());
    // Its own verdict counts for it also while something newer waits.
    if intent.withdrawn {
        return Some(BackReason::Withdrawn { serial: serial.clone() });
    }
    if intent.target.digest == transition.to.digest {
        return None;
    }
    let before = transition.from.as_ref();
    let opened = opens(stage);
    if before.is_some_and(|v| v.digest == intent.target.digest) && !(opened && is_irreversible(transition)) {
        return Some(BackReason::Ordered { to: intent.target.serial().clone() });
    }
    // What was approved in place of this version, on the same base, takes its turn by the rule that this version was approved
    // with; what was approved on top of it waits. Where going back would lose state, nothing newer is a reason to.
    let rule = transition.to.environment(&scene.place().environment).map_or(Newer::Usual, |e| e.newer);
    let makes_way = match rule {
        Newer::Usual => !opened,
        Newer::Waits => false,
        Newer::Replaces => !(opened && is_irreversible(transition)),
    };
    let instead = intent.replaces == before.map(|v| v.digest) && makes_way;
    instead.then(|| BackReason::Superseded { by: intent.target.serial().clone() })
}

/// Something is wrong with an instance of the new set.
fn trouble(scene: &Scene<'_>, transition: &Transition, stage: &Forward) -> Option<BackReason> {
    let to = &transition.to;
    // Components all of whose instances were well, so that one that is missing now has gone.
    let settled = |c: &Component| match stage {
        Forward::StartingNew => false,
        Forward::HandingOver { handed, .. } => !is_handed_over(transition, c) || handed.contains(&c.name),
        _ => true,
    };
    to.release.components.iter().flat_map(|c| scene.ids(to, c).map(move |id| (c, id))).find_map(|(c, id)| {
        match scene.look(to, c, &id) {
            Look::Absent if settled(c) => Some(BackReason::Gone { instance: id }),
            look => look.trouble(&id),
        }
    })
}

/// What its requests say of it. Where clients are divided, what happens to both versions is no fault of the new one; for
/// the cohort alone there is nothing to compare with, and only the share of failures counts.
fn worse(scene: &Scene<'_>, transition: &Transition, stage: &Forward) -> Option<BackReason> {
    let Some(comparison) = &transition.comparison else { return errors(scene, transition) };
    let (phase, begun) = match stage {
        Forward::Comparing { phase, begun, .. } => (*phase, *begun),
        _ => (comparison.first(), scene.now),
    };
    match phase {
        Phase::Cohort => errors(scene, transition)
            .or_else(|| comparison.setback_by_reading(scene))
            .or_else(|| comparison.setback_by_hold(scene)),
        _ => comparison.setback(scene, phase, begun),
    }
}

fn errors(scene: &Scene<'_>, transition: &Transition) -> Option<BackReason> {
    let limit_bp = transition.to.environment(&scene.place().environment)?.error_limit_bp;
    match judgement(scene, transition)? {
        Judgement::Bad { component, tally } => Some(BackReason::Errors { component, tally, limit_bp }),
        Judgement::Good(_) | Judgement::TooFew(_) => None,
    }
}

fn failing(progress: &Progress) -> Option<BackReason> {
    let (step, f) = progress.failing.iter().find(|(_, f)| f.blocks && f.times >= STEP_ATTEMPTS)?;
    Some(BackReason::StepFailed { step: step.clone(), times: f.times, error: f.error.clone() })
}

/// Requests are held and it does not go on.
fn stalled(scene: &Scene<'_>, transition: &Transition, stage: &Forward) -> Option<BackReason> {
    let hold_ms = u64::from(transition.to.environment(&scene.place().environment).map_or(0, |e| e.hold_ms));
    let leave = &scene.intent.leave;
    let (component, held_since) = match stage {
        Forward::HandingOver { component, held_since, .. } => (component, *held_since),
        Forward::Switching { since } => {
            (transition.to.release.components.iter().find(|c| is_handed_over(transition, c)).map(|c| &c.name)?, *since)
        }
        _ => return None,
    };
    if *leave == Leave::Halted {
        return Some(BackReason::Halted { component: component.clone() });
    }
    let too_long = scene.passed(held_since, hold_ms);
    let stalls = match stage {
        Forward::HandingOver { stage: HandOver::Stopping { since }, .. } => {
            let from = transition.from.as_ref()?;
            let limits = from.release.component(component).map(|c| u64::from(c.limits.stop_timeout_ms));
            let limit_ms = limits.unwrap_or(0).saturating_add(STOP_ALLOWANCE_MS);
            if scene.passed(*since, limit_ms) {
                let (component, serial) = (component.clone(), from.serial().clone());
                return Some(BackReason::NotStopped { component, serial, limit_ms });
            }
            false
        }
        Forward::HandingOver { stage: HandOver::Saving { .. }, .. } => true,
        Forward::HandingOver { stage: HandOver::Starting, .. } => {
            scene.writers(&transition.to.release.system, component).next().is_none()
        }
        _ => false,
    };
    (too_long && (stalls || !leave.is_granted()))
        .then(|| BackReason::HoldTooLong { component: component.clone(), limit_ms: hold_ms })
}

/// Back from here: or, past an irreversible migration that was given requests, nowhere without a person.
pub(super) fn turn_back(
    scene: &Scene<'_>,
    transition: &Transition,
    stage: &Forward,
    why: BackReason,
) -> (State, Vec<Milestone>) {
    let serial = transition.to.serial().clone();
    let opened = opens(stage);
    let way_out = transition
        .from
        .as_ref()
        .filter(|_| opened)
        .and_then(|from| past_irreversible(from, &transition.to, scene.intent, scene.observed));
    if let Some(way_out) = way_out {
        let stuck = Milestone::Stuck { serial, reason: why.clone(), way_out: way_out.clone() };
        return (State::Stuck { transition: Box::new(transition.clone()), why, way_out }, vec![stuck]);
    }
    let mut returns: Vec<Return> = match stage {
        Forward::HandingOver { handed, component, stage, .. } => {
            let left = if matches!(stage, HandOver::Starting) { Left::Unopened } else { Left::Untouched };
            let opened = handed.iter().map(|c| Return { component: c.clone(), left: Left::Opened });
            opened.chain([Return { component: component.clone(), left }]).collect()
        }
        Forward::Switching { .. } | Forward::Comparing { .. } | Forward::Watching { .. } => {
            let order = start_order(&transition.to.release).unwrap_or_else(|circle| circle);
            let handed = order.into_iter().filter(|c| is_handed_over(transition, c));
            handed.map(|c| Return { component: c.name.clone(), left: Left::Opened }).collect()
        }
        Forward::StartingNew | Forward::Draining { .. } | Forward::Retiring { .. } => Vec::new(),
    };
    // Last handed over, first handed back: that one is being held.
    returns.reverse();
    let going = Milestone::GoingBack { serial, reason: why.clone() };
    (State::Back { transition: Box::new(transition.clone()), why, stage: Back::Routing { returns } }, vec![going])
}

/// Counts the failures of steps, from the reports since the last plan.
pub(crate) fn count_failures(scene: &Scene<'_>, progress: &mut Progress) {
    for report in scene.reports {
        let key = describe(&report.step);
        let Some(error) = &report.error else {
            progress.failing.remove(&key);
            continue;
        };
        let blocks = match (&progress.state, &report.step) {
            // The edge starts again by itself and is then given the table; until it has it, nothing moves.
            (_, Step::Route(_)) => false,
            (State::Forward { transition, .. }, Step::Start(spec)) => spec.id.serial == *transition.to.serial(),
            _ => true,
        };
        let failing =
            progress.failing.entry(key).or_insert(crate::progress::Failing { times: 0, blocks, error: String::new() });
        failing.times = failing.times.saturating_add(1);
        failing.error.clone_from(error);
    }
}
