//! Halts: which are in force where.
//!
//! Stopping takes one person and starting again two, so a resume counts only while its signer's key does, and a halt
//! also when its signer's key was withdrawn since.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    quorum::tally,
    statement::v1::{Halt, Resume},
};
use model::{EnvironmentName, PersonId, RoleName, SystemName};

use super::{
    Facts,
    said::{Heading, Said},
};

impl Facts {
    /// The halt in force for an environment of a system, if there is one; also by a key withdrawn since.
    pub fn halted(&self, system: &SystemName, environment: &EnvironmentName) -> Option<&Said<Halt>> {
        match self.place(system, environment) {
            Some(place) => place.halts.first().and_then(|index| self.halts.get(*index)),
            // Nobody can resume what the charter does not name.
            None => self.halts.iter().find(|halt| is_here(halt, system, environment)),
        }
    }

    /// Whether the halt at a log index is in force for an environment of a system.
    pub(crate) fn is_halted_by(&self, halt: u64, system: &SystemName, environment: &EnvironmentName) -> bool {
        self.place(system, environment).is_some_and(|place| place.halts.contains(&halt))
    }

    /// Takes the halt at a log index as in force wherever it is about.
    pub(super) fn begin_halt(&mut self, index: u64) {
        let Some(halt) = self.halts.get(index) else { return };
        for (system, environments) in &mut self.places {
            for (environment, place) in environments {
                if is_here(halt, system, environment) {
                    place.halts.insert(index);
                }
            }
        }
    }

    /// The same in some places alone, unless people have resumed there.
    pub(super) fn begin_halt_in(&mut self, index: u64, places: &[(SystemName, EnvironmentName)]) {
        for (system, environment) in places {
            let holds = self.halts.get(index).is_some_and(|halt| is_here(halt, system, environment))
                && !self.is_resumed(index, system, environment);
            if let Some(place) = self.place_mut(system, environment).filter(|_| holds) {
                place.halts.insert(index);
            }
        }
    }

    /// Looks again whether a halt is in force where it is about: somebody resumed, or a key was withdrawn.
    pub(super) fn weigh_halt(&mut self, index: u64) {
        let Some(halt) = self.halts.get(index) else { return };
        let mut over = Vec::new();
        for (system, environments) in &self.places {
            for environment in environments.keys().filter(|environment| is_here(halt, system, environment)) {
                let is_over = self.is_resumed(index, system, environment);
                over.push((system.clone(), environment.clone(), is_over));
            }
        }
        for (system, environment, is_over) in over {
            let Some(place) = self.places.get_mut(&system).and_then(|of| of.get_mut(&environment)) else { continue };
            if is_over {
                place.halts.remove(&index);
            } else {
                place.halts.insert(index);
            }
        }
    }

    /// Whether enough people said that a halt is over here: a resume that names a system or an environment is about
    /// that one alone.
    pub(crate) fn is_resumed(&self, halt: u64, system: &SystemName, environment: &EnvironmentName) -> bool {
        let Some(rule) = self.members().charter().environment(environment) else { return false };
        let here = |h: &Heading| {
            h.environment.as_ref().is_none_or(|e| e == environment) && h.system.as_ref().is_none_or(|s| s == system)
        };
        let stands = |r: &&Said<Resume>| {
            !self.is_void(r.key, r.index) && r.index > halt && here(&r.header) && self.still_holds(r)
        };
        let said: Vec<&Said<Resume>> = self.resumes.by(&self.resumes_of, &halt).filter(stands).collect();
        // A word counts until it expires, when the one that completes the quorum is said; what was resumed then stays so.
        said.iter().any(|last| {
            let then = self.time_before(last.index).map(|time| time.latest).unwrap_or_default();
            let mut spoke: BTreeMap<PersonId, BTreeSet<RoleName>> = BTreeMap::new();
            for resume in said.iter().filter(|r| r.index <= last.index && r.header.expires > then) {
                for person in resume.by.persons() {
                    spoke.entry(person.clone()).or_default().insert(resume.header.role.clone());
                }
            }
            tally(&rule.resume, &spoke).is_met()
        })
    }
}

fn is_here(halt: &Said<Halt>, system: &SystemName, environment: &EnvironmentName) -> bool {
    halt.claim.environment.as_ref().is_none_or(|e| e == environment)
        && halt.header.system.as_ref().is_none_or(|s| s == system)
}
