//! Telling instances that they drain: by a signal and a request, as their release says, once they take nothing new and will
//! not be needed again, and before they are stopped.
//!
//! Who was told is kept with the progress; after a crash one may be told twice. One that can not be told keeps nobody: after
//! some tries, and at the end of the time to drain at the latest, it goes on without.

use crate::{
    instance::{InstanceId, ObservedInstance},
    intent::Version,
    plan::describe,
    progress::{Back, Forward, Progress, State},
    scene::{Scene, has_ended},
    step::Step,
};

/// One try could meet an instance that is busy; the third is no accident.
const ATTEMPTS: u32 = 3;

/// The version that drains in a state, if one does.
fn draining(state: &State) -> Option<&Version> {
    match state {
        State::Forward { transition, stage: Forward::Draining { .. } } => transition.from.as_ref(),
        State::Back { transition, stage: Back::Draining { .. }, .. } => Some(&transition.to),
        _ => None,
    }
}

/// Takes what the steps of the last plan said, and forgets those who need not be told any more.
pub(crate) fn remember(scene: &Scene<'_>, progress: &mut Progress) {
    let Some(version) = draining(&progress.state) else { return progress.warned.clear() };
    let serial = version.serial().clone();
    for report in scene.reports {
        let Step::Drain(id) = &report.step else { continue };
        let tried = progress.failing.get(&describe(&report.step)).map_or(0, |failing| failing.times);
        let is_over = report.error.is_none() || tried >= ATTEMPTS;
        if is_over && id.serial == serial && !progress.warned.contains(id) {
            progress.warned.push(id.clone());
        }
    }
}

/// The instances of the version that drains which are still to be told.
pub(crate) fn untold(scene: &Scene<'_>, progress: &Progress) -> Vec<InstanceId> {
    let Some(version) = draining(&progress.state) else { return Vec::new() };
    let wants = |i: &&ObservedInstance| {
        i.id.serial == *version.serial()
            && !has_ended(i)
            && version.release.component(&i.id.component).is_some_and(|c| c.drain.is_some())
            && !progress.warned.contains(&i.id)
    };
    scene.instances(&progress.system).filter(wants).map(|i| i.id.clone()).collect()
}
