//! Guarded values: which one is in force where, and how far others are.
//!
//! A value comes into force when the quorum of its guardians has approved exactly that change, its proposer not counted,
//! and the cool-off has passed by the log's ticks without one guardian cancelling it; and only if what it says it
//! replaces is what was in force then. Once in force it stays until another one replaces it. It refuses to know the
//! values themselves: they are kept beside the log, and every statement names them by a salted digest.
//!
//! *Invariant forward:* what has come into force is never undone. A withdrawal of a key that the value in force needed
//! leaves none in force, and not the one before it, nor one that waited: else whoever withdraws keys chose where money
//! goes. Only what is proposed after that helps.

mod alarms;
mod release;
mod shown;

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    quorum::{Tally, tally},
    statement::{
        Members, Signatory,
        v1::{Cancellation, Quorum, ValueApproval, ValueProposal, ValueRule},
    },
};
use model::{Digest, EnvironmentName, PersonId, RoleName, SystemName, Timestamp, ValueName};

use crate::{
    facts::{Facts, Said, ValueKey},
    time::{CoolOff, LogTime},
};

pub use alarms::{ValueAlarm, value_alarms};
pub use release::given;
pub(crate) use release::{ReleaseValues, read_for};
pub use shown::{value_shown, value_shown_digest};

/// A guarded value of the charter and everything that was proposed for it.
#[derive(Clone, Debug)]
pub struct ValueView<'a> {
    /// The charter's rule.
    pub rule: &'a ValueRule,
    /// What is in force.
    pub in_force: Option<InForce>,
    /// If what was in force last rests on a key withdrawn since: none is in force, until one that is proposed later.
    pub fell: Option<Fell>,
    /// Every proposal that stands or was in force, oldest first.
    pub proposals: Vec<Standing<'a>>,
}

/// A value that was in force and rests on a key that was withdrawn since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fell {
    /// The log index of its proposal.
    pub proposal: u64,
    /// The log index of the withdrawal.
    pub by: u64,
}

/// A value that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The log index of its proposal.
    pub proposal: u64,
    /// SHA-256(salt ‖ value).
    pub value: Digest,
    /// The log index of the statement that brought it into force: a tick, or without a cool-off the last approval.
    pub since: u64,
    /// The approvals that it rests on.
    pub approvals: BTreeSet<u64>,
}

/// A proposal and how far it is.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The proposal.
    pub proposal: &'a Said<ValueProposal>,
    /// How far it is.
    pub state: State,
    /// How far the guardians' quorum is met.
    pub tally: Tally,
    /// The approval that completed it.
    pub completed: Option<u64>,
    /// How far the time after that has passed.
    pub cool_off: CoolOff,
    /// Approvals that do not count, and why.
    pub unfit: BTreeMap<u64, Unfit>,
}

/// How far a proposal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for approvals.
    Open,
    /// Its quorum is there, and it waits for its time.
    CoolingOff,
    /// It is in force.
    InForce,
    /// It was in force until this proposal came into force.
    Replaced(u64),
    /// It was in force until a key that it rests on was withdrawn, in the statement at this index.
    Fell(u64),
    /// A guardian stopped it, in the statement at this index.
    Cancelled(u64),
    /// What it says it replaces is not what is in force, or was not when its time had come.
    Stale,
    /// It, or approvals that it needed, ran out before its time had come.
    Expired,
}

impl State {
    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Open => "waits for approvals".to_owned(),
            Self::CoolingOff => "cools off".to_owned(),
            Self::InForce => "is in force".to_owned(),
            Self::Replaced(by) => format!("was replaced by {by}"),
            Self::Fell(by) => format!("rests on a key that was withdrawn in {by}"),
            Self::Cancelled(by) => format!("was cancelled in {by}"),
            Self::Stale => "replaces something that is not in force".to_owned(),
            Self::Expired => "ran out before its time had come".to_owned(),
        }
    }

    /// Whether it may still come into force.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::CoolingOff)
    }
}

/// Why an approval does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// Its signer proposed the value.
    Proposer,
    /// It is of another value, of another name, place or predecessor, or stands before the proposal.
    OtherChange,
    /// Something else was shown to its signer.
    OtherText,
    /// Its signer spoke, or would count, in no role that guards the value.
    NoGuardian,
}

impl Unfit {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Proposer => "its signer proposed the value",
            Self::OtherChange => "it is of another change than the proposal's",
            Self::OtherText => "something else was shown to its signer",
            Self::NoGuardian => "its signer does not guard the value",
        }
    }
}

/// Every guarded value of the charter.
pub fn all(facts: &Facts) -> Vec<ValueView<'_>> {
    facts.members().charter().values.iter().map(|rule| view(facts, rule)).collect()
}

/// One guarded value, if the charter has it.
pub fn one<'a>(
    facts: &'a Facts,
    system: &SystemName,
    environment: &EnvironmentName,
    name: &ValueName,
) -> Option<ValueView<'a>> {
    rule_in(facts.members(), system, environment, name).map(|rule| view(facts, rule))
}

/// A quorum that nobody meets: of a value that a charter does not have.
const NOBODY: Quorum = Quorum { groups: Vec::new() };

fn key(rule: &ValueRule) -> ValueKey {
    (rule.system.clone(), rule.environment.clone(), rule.name.clone())
}

/// When a proposal would come into force, if what it replaces is there then.
#[derive(Clone, Copy, Debug)]
enum Coming {
    /// By a statement.
    At {
        /// Its log index.
        index: u64,
        /// The withdrawal since, if any, by which too little of what it needed stands.
        fell: Option<u64>,
    },
    /// Not yet.
    NotYet,
    /// Not any more.
    Expired,
    /// Not any more: cancelled in the statement at this index.
    Cancelled(u64),
}

fn view<'a>(facts: &'a Facts, rule: &'a ValueRule) -> ValueView<'a> {
    let mut coming = Vec::new();
    let mut proposals: Vec<Standing<'_>> = Vec::new();
    for proposal in facts.any_value_proposals_of(&key(rule)) {
        let (standing, when) = stand(facts, rule, proposal);
        if let Coming::At { index, fell } = when {
            coming.push((index, standing.completed, proposals.len(), fell));
        } else if facts.is_void(proposal.key, proposal.index) {
            continue;
        }
        proposals.push(standing);
    }
    // Those whose time has come, in the order of that, and of their quorums where one tick ends both: each only over what
    // it says it replaces.
    coming.sort_unstable();
    let mut now: Option<Holder> = None;
    let mut fell: Option<Fell> = None;
    for (since, _, at, fell_by) in coming {
        now = now.and_then(|holder| holder.until(since, &mut proposals, &mut fell));
        let Some(standing) = proposals.get_mut(at) else { continue };
        let claim = &standing.proposal.claim;
        let is_late = fell.is_some_and(|fell| standing.proposal.index < fell.by);
        if is_late || claim.replaces != now.as_ref().map(|holder| holder.value.proposal) {
            standing.state = State::Stale;
            continue;
        }
        let counted = |v: &&Said<ValueApproval>| v.index <= since && stood(facts, v, since);
        let approvals = votes(facts, rule, standing.proposal).0.into_iter().filter(counted).map(|v| v.index).collect();
        let value = InForce { proposal: standing.proposal.index, value: claim.value, since, approvals };
        standing.state = State::InForce;
        fell = None;
        let by = value.proposal;
        if let Some(before) = now.replace(Holder { at, value, fell: fell_by })
            && let Some(before) = proposals.get_mut(before.at)
        {
            before.state = State::Replaced(by);
        }
    }
    let in_force = now.and_then(|holder| holder.until(u64::MAX, &mut proposals, &mut fell)).map(|holder| holder.value);
    let current = in_force.as_ref().map(|value| value.proposal);
    let is_late = |s: &Standing<'_>| fell.is_some_and(|fell| s.proposal.index < fell.by);
    for standing in proposals.iter_mut().filter(|s| s.state.is_open()) {
        if is_late(standing) || standing.proposal.claim.replaces != current {
            standing.state = State::Stale;
        }
    }
    ValueView { rule, in_force, fell, proposals }
}

/// What is in force while the log is gone through.
struct Holder {
    /// Where its proposal is in the list.
    at: usize,
    value: InForce,
    /// The withdrawal by which too little of what it needed stands.
    fell: Option<u64>,
}

impl Holder {
    /// The same, unless it fell before a log index: that is noted then.
    fn until(self, index: u64, proposals: &mut [Standing<'_>], fell: &mut Option<Fell>) -> Option<Self> {
        let Some(by) = self.fell.filter(|by| *by < index) else { return Some(self) };
        if let Some(standing) = proposals.get_mut(self.at) {
            standing.state = State::Fell(by);
        }
        *fell = Some(Fell { proposal: self.value.proposal, by });
        None
    }
}

/// Whether something stood when the log had the statement at an index: withdrawals after that come later.
fn stood<T>(facts: &Facts, said: &Said<T>, index: u64) -> bool {
    facts.voided(said.key, said.index).is_none_or(|by| by > index)
}

/// How far one proposal is, whatever else was proposed.
fn stand<'a>(facts: &'a Facts, rule: &ValueRule, proposal: &'a Said<ValueProposal>) -> (Standing<'a>, Coming) {
    let (votes, unfit) = votes(facts, rule, proposal);
    let time = facts.time();
    // A role must hold when signed, which readers check, and when used: by the charter in force then. What was void then
    // does not count, and what is void only since did.
    let tally_of = |last: u64, alive_at: Timestamp, members: &Members, then: u64| {
        let mut spoke: BTreeMap<PersonId, BTreeSet<RoleName>> = BTreeMap::new();
        let Some(rule) = rule_of(members, rule) else { return tally(&NOBODY, &spoke) };
        for vote in votes.iter().filter(|v| v.index <= last && v.header.expires > alive_at && stood(facts, *v, then)) {
            let role = &vote.header.role;
            if is_guardian(rule, role) && members.holds(vote.key, &vote.by, role) {
                for person in vote.by.persons() {
                    spoke.entry(person.clone()).or_default().insert(role.clone());
                }
            }
        }
        tally(&rule.guardians, &spoke)
    };
    let mut completed = None;
    let mut cool_off = CoolOff::of(rule.cool_off_s, None, time);
    let mut when = None;
    for vote in &votes {
        let members = facts.members_at(vote.index);
        let Some(rule) = rule_of(members, rule) else { continue };
        let began = facts.covered(vote.index);
        let over = comes_at(facts, rule.cool_off_s, vote.index, began);
        let at = over.map_or(u64::MAX, |(index, _)| index);
        if !tally_of(vote.index, Timestamp::default(), members, at).is_met() {
            continue;
        }
        // What has run out by then counts for nothing; a later approval may complete the quorum anew.
        let (then, used) = match over {
            Some((index, then)) => (then, facts.members_at(index)),
            None => (time.map(|t| t.latest).unwrap_or_default(), facts.members()),
        };
        completed = Some(vote.index);
        cool_off = CoolOff::of(rule.cool_off_s, began, time);
        let is_met = tally_of(vote.index, then, used, at).is_met()
            && proposal.header.expires > then
            && stood(facts, proposal, at);
        when = Some(match over {
            Some((index, _)) if is_met => {
                let enough = |by: &u64| stood(facts, proposal, *by) && tally_of(vote.index, then, used, *by).is_met();
                let since = votes.iter().filter_map(|v| facts.voided(v.key, v.index));
                let since = since.chain(facts.voided(proposal.key, proposal.index)).filter(|by| *by > index);
                Coming::At { index, fell: since.filter(|by| !enough(by)).min() }
            }
            None if is_met => Coming::NotYet,
            _ => Coming::Expired,
        });
        if is_met {
            break;
        }
    }
    let now = time.map(|t| t.latest).unwrap_or_default();
    let mut when = when.unwrap_or(if proposal.header.expires > now { Coming::NotYet } else { Coming::Expired });
    let before = match when {
        Coming::At { index, .. } => index,
        Coming::NotYet | Coming::Expired | Coming::Cancelled(_) => u64::MAX,
    };
    if let Some(by) = cancelled(facts, rule, proposal.index).filter(|by| *by < before) {
        when = Coming::Cancelled(by);
    }
    let tally = tally_of(u64::MAX, Timestamp::default(), facts.members(), u64::MAX);
    let state = match when {
        Coming::Cancelled(by) => State::Cancelled(by),
        Coming::Expired => State::Expired,
        Coming::At { .. } => State::InForce,
        Coming::NotYet if completed.is_some() => State::CoolingOff,
        Coming::NotYet => State::Open,
    };
    (Standing { proposal, state, tally, completed, cool_off, unfit }, when)
}

/// The statement by which the time after an approval is over, and how late it was at most then.
fn comes_at(facts: &Facts, cool_off_s: u64, approval: u64, began: Option<LogTime>) -> Option<(u64, Timestamp)> {
    if cool_off_s == 0 {
        let then = facts.time_before(approval).map(|t| t.latest).unwrap_or_default();
        return Some((approval, then));
    }
    let began = began?;
    let over = facts.first_time(began.index, began.latest.plus_s(cool_off_s))?;
    Some((over.index, over.latest))
}

/// The approvals of a proposal that fit it, also by keys withdrawn since, in the order of the log, and those that do not.
fn votes<'a>(
    facts: &'a Facts,
    rule: &ValueRule,
    proposal: &Said<ValueProposal>,
) -> (Vec<&'a Said<ValueApproval>>, BTreeMap<u64, Unfit>) {
    let text = value_shown_digest(facts, proposal.index);
    let (mut cast, mut unfit) = (Vec::new(), BTreeMap::new());
    for approval in facts.any_value_approvals(proposal.index) {
        let wrong = if approval.by.persons().iter().any(|person| proposal.by.persons().contains(person)) {
            Some(Unfit::Proposer)
        } else if !fits(approval, proposal) {
            Some(Unfit::OtherChange)
        } else if Some(approval.claim.shown) != text {
            Some(Unfit::OtherText)
        } else if !guards(facts, rule, approval) {
            Some(Unfit::NoGuardian)
        } else {
            None
        };
        match wrong {
            Some(wrong) => {
                unfit.insert(approval.index, wrong);
            }
            None => cast.push(approval),
        }
    }
    (cast, unfit)
}

fn fits(approval: &Said<ValueApproval>, proposal: &Said<ValueProposal>) -> bool {
    let (said, claim) = (&approval.claim, &proposal.claim);
    approval.index > proposal.index
        && said.name == claim.name
        && said.value == claim.value
        && said.replaces == claim.replaces
        && approval.header.system == proposal.header.system
        && approval.header.environment == proposal.header.environment
}

/// The first cancellation of a proposal by a guardian.
fn cancelled(facts: &Facts, rule: &ValueRule, proposal: u64) -> Option<u64> {
    let by_guardian = |said: &&Said<Cancellation>| {
        said.index > proposal && guards(facts, rule, said) && matches!(*said.by, Signatory::Person(_))
    };
    facts.cancellations(proposal).find(by_guardian).map(|said| said.index)
}

/// Whether something was said in a role that guarded the value then.
fn guards<T>(facts: &Facts, rule: &ValueRule, said: &Said<T>) -> bool {
    rule_of(facts.members_at(said.index), rule).is_some_and(|rule| is_guardian(rule, &said.header.role))
}

fn is_guardian(rule: &ValueRule, role: &RoleName) -> bool {
    rule.guardians.groups.iter().any(|group| &group.role == role)
}

/// What a charter says of the same value.
fn rule_of<'a>(members: &'a Members, rule: &ValueRule) -> Option<&'a ValueRule> {
    rule_in(members, &rule.system, &rule.environment, &rule.name)
}

/// What a charter says of a value.
fn rule_in<'a>(
    members: &'a Members,
    system: &SystemName,
    environment: &EnvironmentName,
    name: &ValueName,
) -> Option<&'a ValueRule> {
    let mut rules = members.charter().values.iter();
    rules.find(|r| &r.name == name && &r.system == system && &r.environment == environment)
}

#[cfg(test)]
mod tests;
