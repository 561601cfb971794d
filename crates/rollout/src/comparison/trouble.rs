//! Trouble that people report with the new version: enough of them hold it where it is.
//!
//! It refuses to know what they say. A hold keeps from a larger share, from the promotion and from the end of the watch;
//! what is counted goes on, and can send the version back meanwhile. A hold that nobody looks at for `undecided_s` ends in
//! going back, in every phase.

use model::{Serial, Timestamp};
use serde::{Deserialize, Serialize};

use super::Comparison;
use crate::{
    intent::Trouble,
    milestone::Milestone,
    progress::Transition,
    reason::{BackReason, Wait},
    scene::Scene,
};

/// A hold as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    since: Timestamp,
    /// Up to where reports were seen when it began.
    seen: u64,
}

impl Comparison {
    /// What holds it, with how many are needed; none if too few report trouble.
    fn holding<'a>(&self, scene: &Scene<'a>, release: model::Digest) -> Option<(&'a Trouble, u32)> {
        let hold = self.settings.reports_hold?;
        let trouble = scene.intent.trouble.as_ref().filter(|t| t.release == release)?;
        (trouble.reporters >= hold).then_some((trouble, hold))
    }

    /// Whether it may go no further.
    pub(crate) fn is_held(&self, scene: &Scene<'_>, transition: &Transition) -> bool {
        self.holding(scene, transition.to.digest).is_some()
    }

    /// Begins a hold, or ends it. Reports that came after somebody looked are a hold of their own, and are told again.
    pub(super) fn hold(&mut self, scene: &Scene<'_>, release: model::Digest, serial: &Serial) -> Option<Milestone> {
        let Some((trouble, _)) = self.holding(scene, release) else {
            self.held = None;
            return None;
        };
        if self.held.is_some_and(|held| held.seen == trouble.seen) {
            return None;
        }
        self.held = Some(Hold { since: scene.now, seen: trouble.seen });
        Some(Milestone::Reported { serial: serial.clone() })
    }

    /// Held for as long as it may be undecided.
    pub(crate) fn setback_by_hold(&self, scene: &Scene<'_>) -> Option<BackReason> {
        let limit_s = self.settings.undecided_s;
        let held = self.held.filter(|held| scene.passed(held.since, u64::from(limit_s) * 1_000))?;
        let reporters = scene.intent.trouble.as_ref().map_or(0, |t| t.reporters);
        let waited_for = format!("{reporters} people report trouble, and since {} nobody looked", held.since);
        Some(BackReason::Undecided { limit_s, waited_for })
    }

    /// What it waits for while it is held.
    pub(crate) fn hold_wait(&self, scene: &Scene<'_>, transition: &Transition) -> Option<Wait> {
        let (trouble, hold) = self.holding(scene, transition.to.digest)?;
        let (serial, limit_s) = (transition.to.serial().clone(), self.settings.undecided_s);
        Some(Wait::Reported { serial, reporters: trouble.reporters, hold, limit_s })
    }
}
