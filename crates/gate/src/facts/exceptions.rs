//! Exceptions: which cases of a suite may fail, by whose word, and until when.

use std::collections::{BTreeMap, BTreeSet};

use ledger::statement::v1::Exception;
use model::{Digest, PersonId, SuiteName, SystemName, Timestamp};

use super::{Facts, said::Said};

impl Facts {
    /// The persons who made exceptions for a case of a suite that count at a time, without those who contributed.
    pub fn excepted(
        &self,
        system: &SystemName,
        suite: &SuiteName,
        case: Digest,
        contributors: &BTreeSet<PersonId>,
        now: Timestamp,
    ) -> BTreeSet<PersonId> {
        let by_terms = self.exceptions_by_terms(system, suite, case, contributors, now);
        by_terms.into_values().map(|who| who.into_keys().collect()).max_by_key(BTreeSet::len).unwrap_or_default()
    }

    /// Until when a case of a suite is excepted by so many persons who did not contribute, and the log indices of
    /// their exceptions. `None` if it is not.
    pub(crate) fn excepted_until(
        &self,
        (system, suite, case): (&SystemName, &SuiteName, Digest),
        contributors: &BTreeSet<PersonId>,
        now: Timestamp,
        persons: usize,
    ) -> Option<(Timestamp, BTreeSet<u64>)> {
        let by_terms = self.exceptions_by_terms(system, suite, case, contributors, now);
        let each = by_terms.into_values().filter_map(|who| {
            let mut said: Vec<(Timestamp, u64)> = who.into_values().collect();
            said.sort_unstable_by(|a, b| b.cmp(a));
            said.truncate(persons);
            let until = said.get(persons.checked_sub(1)?)?.0;
            Some((until, said.into_iter().map(|(_, index)| index).collect()))
        });
        each.max_by_key(|(until, _): &(Timestamp, BTreeSet<u64>)| *until)
    }

    /// By owner and end, who made an exception, until when each one's counts, and where it stands.
    fn exceptions_by_terms(
        &self,
        system: &SystemName,
        suite: &SuiteName,
        case: Digest,
        contributors: &BTreeSet<PersonId>,
        now: Timestamp,
    ) -> BTreeMap<(PersonId, Timestamp), BTreeMap<PersonId, (Timestamp, u64)>> {
        let mut by_terms: BTreeMap<_, BTreeMap<PersonId, (Timestamp, u64)>> = BTreeMap::new();
        for said in self.standing(self.exceptions.by(&self.exceptions_of, &(suite.clone(), case))) {
            let claim = &said.claim;
            let until = claim.ends.min(said.header.expires);
            if !self.still_holds(said) {
                continue;
            }
            if said.header.system.as_ref() == Some(system) && &claim.suite == suite && claim.case == case && now < until
            {
                let who = by_terms.entry((claim.owner.clone(), claim.ends)).or_default();
                for person in said.by.persons().iter().filter(|p| !contributors.contains(*p)) {
                    let best = who.entry(person.clone()).or_insert((until, said.index));
                    *best = (*best).max((until, said.index));
                }
            }
        }
        by_terms
    }

    /// The exceptions that stand, for the tester: those that two persons who did not contribute have signed.
    pub fn exceptions(&self) -> impl Iterator<Item = &Said<Exception>> {
        self.standing(self.exceptions.iter())
    }
}
