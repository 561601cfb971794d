//! From what is seen to what is told and said: which alarms there are now, and which statements the log lacks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use gate::{Facts, alarms::Condition};
use ledger::statement::v1::AlarmKind;
use model::Timestamp;

use crate::alarms::outbox::Current;

/// What calls for an alarm now, and what nobody can tell just now.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    called: BTreeMap<Condition, String>,
    unsure: BTreeSet<AlarmKind>,
}

impl Observed {
    /// Something calls for an alarm, for this reason.
    pub(super) fn call(&mut self, condition: Condition, words: String) {
        self.called.insert(condition, words);
    }

    /// Whether something of this kind is over can not be told now: what fires goes on.
    pub(super) fn unsure(&mut self, kind: AlarmKind) {
        self.unsure.insert(kind);
    }

    fn is_over(&self, condition: &Condition) -> bool {
        !self.called.contains_key(condition) && !self.unsure.contains(&condition.what)
    }
}

/// The alarms that there are now, whether the log has them or not. `open` are those that somebody was or is to be told of.
pub(super) fn current(
    observed: &Observed,
    open: &[(Condition, String)],
    facts: &Facts,
    now: Timestamp,
) -> BTreeMap<Condition, Current> {
    let words = |condition: &Condition| {
        let known = || open.iter().find(|(c, _)| c == condition).map(|(_, words)| words.clone());
        observed.called.get(condition).cloned().or_else(known).unwrap_or_else(|| condition.what.to_string())
    };
    let mut all = BTreeMap::new();
    for firing in facts.firing(now).into_iter().filter(|f| !observed.is_over(&f.condition)) {
        let current = Current {
            words: words(&firing.condition),
            index: Some(firing.index),
            acknowledged: firing.acknowledged.is_some(),
            silenced: firing.silenced.is_some(),
        };
        all.insert(firing.condition, current);
    }
    let raised = open.iter().map(|(condition, _)| condition).filter(|c| !observed.is_over(c));
    for condition in observed.called.keys().chain(raised) {
        all.entry(condition.clone()).or_insert_with(|| Current {
            words: words(condition),
            index: None,
            acknowledged: false,
            silenced: facts.silenced(condition, now).is_some(),
        });
    }
    all
}

/// Why there is an alarm that the log is not believed, if there is one. A log that was caught once is not well because its
/// next answer fits: the alarm stands until a person has seen it, in the log, and also over a restart.
pub(super) fn fork(
    untrue: Option<&str>,
    fork: &Condition,
    open: &[(Condition, String)],
    facts: &Facts,
) -> Option<String> {
    if let Some(why) = untrue {
        return Some(format!("the log is not believed: {why}"));
    }
    let fires = facts.fires(fork);
    if fires.is_some_and(|index| facts.acknowledged(index).is_some()) {
        return None;
    }
    let told = open.iter().find(|(condition, _)| condition == fork).map(|(_, words)| words.clone());
    told.or_else(|| fires.map(|_| "the log was not believed, and nobody has acknowledged that".to_owned()))
}

/// What is to be said in the log: each condition, and whether it fires. `missed` were over before the log had them; it is
/// told that they fired, and with the next round that they are over.
pub(super) fn statements(observed: &Observed, missed: &BTreeSet<Condition>, facts: &Facts) -> Vec<(Condition, bool)> {
    let fires = |condition: &Condition| facts.fires(condition).is_some();
    let begin = observed.called.keys().chain(missed).filter(|c| !fires(c)).map(|c| (c.clone(), true));
    let end = facts.firing(Timestamp::default()).into_iter().map(|f| f.condition);
    let end = end.filter(|c| observed.is_over(c)).map(|c| (c, false));
    begin.chain(end).collect()
}

#[cfg(test)]
mod tests;
