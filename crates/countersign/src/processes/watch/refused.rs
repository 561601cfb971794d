//! Attempts to change guarded values that the log's door turned away: they are in no log, and each is an alarm.
//!
//! Two attempts of the same kind at once are two alarms: the first one ends, and another begins. Nothing is written; what
//! the door keeps is asked for again.

use std::collections::BTreeMap;

use gate::{
    Facts,
    alarms::{Condition, last_seen},
};
use ledger::statement::v1::{AlarmAbout, AlarmKind};
use model::Timestamp;

use super::board::Observed;
use crate::log_client::Refused;

/// An attempt is told for a day: whoever is asleep learns of it.
const TOLD_FOR_S: u64 = 86_400;

/// The attempts that the door told of last.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    known: Vec<Refused>,
    /// The last number that an alarm which fires is about.
    announced: BTreeMap<Condition, u64>,
    /// The last number that somebody has seen.
    seen: BTreeMap<Condition, u64>,
}

impl Attempts {
    /// Takes what the door keeps.
    pub(super) fn set(&mut self, refused: Vec<Refused>) {
        self.known = refused;
    }

    /// Calls for an alarm for each attempt that nobody has seen.
    pub(super) fn look(&mut self, facts: &Facts, now: Timestamp, observed: &mut Observed) {
        let mut latest: BTreeMap<Condition, Vec<&Refused>> = BTreeMap::new();
        for refused in self.known.iter().filter(|refused| now.since_s(refused.at) < TOLD_FOR_S) {
            let about = AlarmAbout { value: refused.value.clone(), ..AlarmAbout::default() };
            let condition = Condition {
                what: AlarmKind::ValueRefused,
                system: refused.system.clone(),
                environment: refused.environment.clone(),
                about,
            };
            latest.entry(condition).or_default().push(refused);
        }
        self.announced.retain(|condition, _| latest.contains_key(condition));
        self.seen.retain(|condition, _| latest.contains_key(condition));
        for (condition, all) in latest {
            let Some(last) = all.last() else { continue };
            let announced = self.announced.get(&condition).copied();
            let is_acknowledged = facts.fires(&condition).and_then(|index| facts.acknowledged(index)).is_some();
            let is_this_seen = is_acknowledged && announced == Some(last.number)
                || announced.is_none() && last_seen(facts, &condition).is_some_and(|at| last.at <= at);
            if is_this_seen {
                self.seen.insert(condition.clone(), last.number);
            }
            if self.seen.get(&condition).is_some_and(|number| *number >= last.number) {
                self.announced.insert(condition, last.number);
                continue;
            }
            if announced.is_some_and(|number| number < last.number) {
                // What fires was about the attempt before: it is over in this round, and begins anew in the next.
                self.announced.insert(condition, last.number);
                continue;
            }
            self.announced.insert(condition.clone(), last.number);
            let who = last.signer.clone().unwrap_or_else(|| "somebody unknown".to_owned());
            let value = last.value.as_ref().map_or_else(|| "a guarded value".to_owned(), ToString::to_string);
            let attempts: u64 = all.iter().map(|refused| refused.times).sum();
            let words = format!("{who} tried to change {value} and was refused: {} ({attempts} attempts)", last.reason);
            observed.call(condition, words);
        }
    }
}

#[cfg(test)]
mod tests;
