//! Promotion: whether the same release has run where it must run before, for as long as is asked.
//!
//! Three ask: the charter, the manifest of what is proposed and that of what runs. All of them must be met, so that a change
//! loosens nothing for itself. What ran is read from milestones, and an agent's word counts only for what the people of that
//! environment had approved. It refuses to know why a release went back.

use std::collections::{BTreeMap, BTreeSet};

use ledger::statement::{
    Members,
    v1::{Change, Proposal},
};
use model::{Digest, EnvironmentName, SystemName, Timestamp};

use crate::{
    facts::{Facts, Said},
    lineage::{Base, approved_change},
    time::{CoolOff, LogTime},
};

/// How a release stands with one environment that it must have run in before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// The environment.
    pub after: EnvironmentName,
    /// For so many seconds, the most that anybody asks for.
    pub soak_s: u64,
    /// How it stands.
    pub state: PromotionState,
}

/// How a release stands with an environment that it must have run in before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromotionState {
    /// It has run there for as long as is asked.
    Passed,
    /// Something was found there, in words. It speaks against the release wherever it goes.
    Against(String),
    /// It has not run there as is asked, in words.
    Missing(String),
    /// It runs there, and will have for long enough by this time of the log.
    Soaking(Timestamp),
}

impl Promotion {
    /// What is missing, in words that stay the same while time passes; nothing if it has passed.
    pub fn missing(&self) -> Option<String> {
        let Self { after, state, .. } = self;
        match state {
            PromotionState::Passed => None,
            PromotionState::Against(words) | PromotionState::Missing(words) => Some(format!("{after}: {words}")),
            PromotionState::Soaking(until) => Some(format!("{after}: it must go on running there until {until}")),
        }
    }

    /// What speaks against the release, in words.
    pub fn against(&self) -> Option<String> {
        matches!(self.state, PromotionState::Against(_)).then(|| self.missing()).flatten()
    }

    /// Seconds of the soak that are left by a time of the log; none if it does not soak.
    pub fn left_s(&self, now: Timestamp) -> Option<u64> {
        match self.state {
            PromotionState::Soaking(until) => Some(until.since_s(now)),
            _ => None,
        }
    }
}

/// Every environment that a proposal's release must have run in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promotions {
    /// How it stands with each, by name.
    pub(crate) each: Vec<Promotion>,
    /// The statements that this rests on.
    pub(crate) rests_on: BTreeSet<u64>,
}

/// What is asked of one proposal.
pub(crate) struct Asking<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) claim: &'a Proposal,
    /// What it builds on, whose manifest binds it.
    pub(crate) base: Base<'a>,
    /// The proposed change.
    pub(crate) head: Option<&'a Said<Change>>,
    /// The charter that judges it.
    pub(crate) members: &'a Members,
    /// The log's time.
    pub(crate) time: Option<LogTime>,
}

impl Asking<'_> {
    pub(crate) fn answer(&self) -> Promotions {
        let mut found = Promotions::default();
        for (after, soak_s) in self.asked() {
            let state = self.state(&after, soak_s, &mut found.rests_on);
            found.each.push(Promotion { after, soak_s, state });
        }
        found
    }

    /// Everywhere that somebody asks for, with the longest time.
    fn asked(&self) -> BTreeMap<EnvironmentName, u64> {
        let into = &self.claim.environment;
        let rule = self.members.charter().environment(into).and_then(|rule| rule.after.as_ref());
        let base = match self.base {
            Base::Approved(change) => Some(change),
            Base::Nothing | Base::Unknown => None,
        };
        let manifests = [self.head, base].into_iter().flatten().flat_map(|change| &change.claim.promotions);
        let manifests = manifests.filter(|p| &p.environment == into).map(|p| (&p.after, p.soak_s));
        let mut asked: BTreeMap<EnvironmentName, u64> = BTreeMap::new();
        for (after, soak_s) in rule.map(|rule| (&rule.environment, rule.soak_s)).into_iter().chain(manifests) {
            let longest = asked.entry(after.clone()).or_default();
            *longest = soak_s.max(*longest);
        }
        asked
    }

    fn state(&self, after: &EnvironmentName, soak_s: u64, rests_on: &mut BTreeSet<u64>) -> PromotionState {
        let (facts, system, release) = (self.facts, self.claim.serial.system(), self.claim.release);
        if self.members.charter().environment(after).is_none() || after == &self.claim.environment {
            return PromotionState::Missing("the charter has no such environment before this one".to_owned());
        }
        if let Some((index, words)) = against(facts, system, after, release) {
            rests_on.insert(index);
            return PromotionState::Against(words);
        }
        let mut best = PromotionState::Missing("it has not run there".to_owned());
        for stretch in facts.stretches(system, after, release) {
            let live = stretch.live;
            let is_it = |said: &&Said<Proposal>| {
                said.claim.release == release
                    && &said.claim.environment == after
                    && said.claim.serial.system() == system
                    && said.index < live.index
            };
            if facts.any_proposal(live.proposal).filter(is_it).is_none() || approved_change(facts, live).is_none() {
                best = PromotionState::Missing("it ran there without approval".to_owned());
                continue;
            }
            if let Some(rejection) = facts.rejections(live.proposal).next() {
                rests_on.insert(rejection.index);
                best = PromotionState::Missing("what ran there was rejected".to_owned());
                continue;
            }
            // The last tick of the time in which it ran.
            let last = match stretch.end {
                Some(end) => earlier(facts.time_before(end), self.time),
                None => self.time,
            };
            let began = facts.covered(stretch.begin).filter(|began| self.time.is_some_and(|t| began.index <= t.index));
            let stood = CoolOff::of(soak_s, began, last);
            // It came after the time that is asked about.
            let is_later = self.time.is_some_and(|time| stretch.begin > time.index) && soak_s > 0;
            rests_on.extend([live.index, live.proposal, stretch.begin]);
            rests_on.extend(began.filter(|_| soak_s > 0).map(|t| t.index));
            if stood.is_over() && !is_later {
                rests_on.extend(last.filter(|_| soak_s > 0).map(|t| t.index));
                return PromotionState::Passed;
            }
            best = match (stood, stretch.end) {
                (CoolOff::Begun { until, .. }, None) => PromotionState::Soaking(until),
                (_, None) => PromotionState::Missing("its soak begins with the next tick".to_owned()),
                (_, Some(end)) => {
                    rests_on.insert(end);
                    PromotionState::Missing(format!("something else ran there before it had run for {soak_s} s"))
                }
            };
        }
        best
    }
}

/// Until when what runs must go on running where it is, before it may go where something asks for that: when the log's time
/// is wanted next. What has soaked is not in it.
pub fn soaks(facts: &Facts) -> Vec<Timestamp> {
    let charter = facts.members().charter();
    let mut found = Vec::new();
    for system in charter.systems.iter().map(|rule| &rule.name) {
        for here in charter.environments.iter().map(|rule| &rule.name) {
            let Some(live) = facts.running(system, here).first() else { continue };
            let rules = charter.environments.iter().filter_map(|rule| rule.after.as_ref());
            let rules = rules.filter(|after| &after.environment == here).map(|after| after.soak_s);
            let change = facts.any_proposal(live.proposal).and_then(|said| facts.any_change(said.claim.change));
            let manifest = change.into_iter().flat_map(|change| &change.claim.promotions);
            let manifest = manifest.filter(|asked| &asked.after == here).map(|asked| asked.soak_s);
            let begun = facts.stretches(system, here, live.release).last().and_then(|s| facts.covered(s.begin));
            if let CoolOff::Begun { until, over: false, .. } =
                CoolOff::of(rules.chain(manifest).max().unwrap_or(0), begun, facts.time())
            {
                found.push(until);
            }
        }
    }
    found
}

/// What was found against a release in an environment, with its log index: that it went back, or that it was ordered back.
/// Bad news stands, also by keys withdrawn since.
fn against(
    facts: &Facts,
    system: &SystemName,
    environment: &EnvironmentName,
    release: Digest,
) -> Option<(u64, String)> {
    let back = facts.gone_back(system, environment, release);
    let back = back.map(|index| (index, format!("it went back there, at log index {index}")));
    let mut orders = facts.rollbacks(system, environment).filter(|order| order.claim.from == release);
    let order = orders.next().map(|said| said.index);
    back.or(order.map(|index| (index, format!("going back from it was ordered there, at log index {index}"))))
}

/// What is read to answer, whatever the answer: everything that was said of the release in those environments.
pub(crate) fn read_for(
    facts: &Facts,
    claim: &Proposal,
    asked: &[Promotion],
    every_milestone: bool,
) -> (BTreeSet<u64>, Vec<LogTime>) {
    let system = claim.serial.system();
    let (mut read, mut times) = (BTreeSet::new(), Vec::new());
    for after in asked.iter().map(|promotion| &promotion.after) {
        let stretches = facts.stretches(system, after, claim.release);
        for stretch in &stretches {
            read.extend([stretch.live.index, stretch.live.proposal, stretch.begin].into_iter().chain(stretch.end));
            read.extend(facts.any_approvals(stretch.live.proposal).map(|a| a.index));
            read.extend(facts.rejections(stretch.live.proposal).map(|r| r.index));
            let said = facts.any_proposal(stretch.live.proposal);
            read.extend(said.map(|p| p.claim.change));
            times.extend(facts.covered(stretch.begin));
            times.extend(stretch.end.and_then(|end| facts.time_before(end)));
        }
        let about = facts.milestones(system, after).filter(|m| {
            m.claim.release == claim.release
                || every_milestone
                || stretches.iter().any(|s| s.begin == m.index || s.end == Some(m.index))
        });
        read.extend(about.map(|m| m.index));
        read.extend(facts.rollbacks(system, after).filter(|r| r.claim.from == claim.release).map(|r| r.index));
    }
    (read, times)
}

/// The earlier of two ticks, if both are there.
fn earlier(one: Option<LogTime>, other: Option<LogTime>) -> Option<LogTime> {
    one.zip(other).map(|(one, other)| if one.index <= other.index { one } else { other })
}

#[cfg(test)]
mod tests;
