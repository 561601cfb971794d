//! Trouble that people report with a version: how many of them, and up to where somebody has seen it.

use std::collections::BTreeSet;

use ledger::statement::v1::{AlarmAbout, AlarmKind, MilestoneKind, Report};
use model::{Digest, EnvironmentName, PersonId, SystemName};

use super::{Condition, Facts, said::Said};

/// What is reported of a version and not seen yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Different people with a report since. Whoever reports often counts once.
    pub reporters: u32,
    /// The log index up to which reports were seen: the milestone whose alarm somebody acknowledged; 0 if none was.
    pub seen: u64,
}

impl Facts {
    /// Reports of a release in an environment, oldest first, also by keys withdrawn since: bad news stands.
    pub fn reports<'a>(
        &'a self,
        system: &'a SystemName,
        environment: &'a EnvironmentName,
        release: Digest,
    ) -> impl DoubleEndedIterator<Item = &'a Said<Report>> {
        let all = self.reports.by(&self.reports_of, &release);
        all.filter(move |r| r.claim.serial.system() == system && r.claim.environment == *environment)
    }

    /// What of that nobody has seen yet. An acknowledgement covers what stood before the milestone that it is about, and
    /// nothing that came after it.
    pub fn trouble(&self, system: &SystemName, environment: &EnvironmentName, release: Digest) -> Trouble {
        let held = self
            .any_milestones(system, environment)
            .filter(|m| m.claim.what == MilestoneKind::Reported && m.claim.release == release);
        let is_seen = |index: u64| {
            let about = AlarmAbout { statement: Some(index), ..AlarmAbout::default() };
            let condition = Condition::of(AlarmKind::TroubleReported, about).within(system, environment);
            crate::alarms::seen(self, &condition)
        };
        let seen = held.map(|m| m.index).filter(|index| is_seen(*index)).max().unwrap_or(0);
        let since = self.reports(system, environment, release).filter(|r| r.index > seen);
        let people: BTreeSet<&PersonId> = since.flat_map(|r| r.by.persons()).collect();
        Trouble { reporters: u32::try_from(people.len()).unwrap_or(u32::MAX), seen }
    }
}

#[cfg(test)]
mod tests;
