//! Recounting: every verdict of a log computed again over the statements that it names, and whether every rollout had one.
//!
//! Statements come in order, once. A verdict names how many statements it was decided over, which are a few less than
//! stand before it; so the facts are kept a little behind, and a question is answered when they are where it asks. One
//! that asks about long before is put off to a second reading. It refuses to know who signed what: statements come
//! verified.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    sync::Arc,
};

use ledger::{
    Verified,
    statement::{
        Members, Statement,
        v1::{Claim, Milestone, MilestoneKind, Ruling, Verdict},
    },
};
use model::{Digest, EnvironmentName, Timestamp};

use crate::{
    decide::{DECIDE_VERSION, DecideError, decide_with},
    facts::{Facts, FactsError},
    policy::{Policy, PolicyError},
};

/// How far the facts are kept behind. A gate decides over what it has just read, and 512 statements are more than a log takes
/// in while it does; where they are not, there is a second reading.
const BEHIND: usize = 512;

/// An agent says what it did after the steps of a round: an hour is longer than all of them together take, and shorter than
/// anybody needs to reject what should not begin. Counted from the oldest checkpoint that the environment allows.
const SAID_WITHIN_S: u64 = 3_600;

/// What does not follow from the statements.
#[derive(Debug)]
pub enum Contradiction {
    /// A verdict says something else than `decide`.
    Ruling {
        /// Its index.
        index: u64,
        /// What it says.
        said: Box<Verdict>,
        /// What follows.
        follows: Box<Verdict>,
    },
    /// There is nothing that a verdict could have decided about.
    Undecidable {
        /// Its index.
        index: u64,
        /// Why.
        error: DecideError,
    },
    /// A verdict says that it was decided over more statements than there were.
    Ahead {
        /// Its index.
        index: u64,
        /// So many.
        size: u64,
    },
    /// A rollout began, or came live, without a granted verdict, or when it had not had one for long.
    Unfounded {
        /// The index of the milestone.
        index: u64,
        /// The proposal that it is about.
        proposal: u64,
    },
    /// A version was brought back without a granted verdict of its own time.
    Returned {
        /// The index of the milestone.
        index: u64,
        /// The proposal that it is about.
        proposal: u64,
    },
}

impl Contradiction {
    /// The statement that it is about.
    pub const fn index(&self) -> u64 {
        match self {
            Self::Ruling { index, .. }
            | Self::Undecidable { index, .. }
            | Self::Ahead { index, .. }
            | Self::Unfounded { index, .. }
            | Self::Returned { index, .. } => *index,
        }
    }
}

/// A question to `decide` over the first statements of the log.
#[derive(Clone, Debug)]
enum Question {
    /// Whether the verdict at this index is what they say.
    Verdict(u64, Box<Verdict>),
    /// Whether a verdict that was counted before, or is counted later, holds here.
    Granted(u64),
    /// Whether what the milestone at this index says of a proposal was granted.
    Moved(u64, u64),
    /// Whether the version that the milestone at this index says to be back was granted by this proposal.
    Returned(u64, u64),
    /// Whether the milestone at this index, of this proposal, was said soon after so many statements were seen.
    Soon(u64, u64, u64),
}

/// A count under way.
#[derive(Debug)]
pub struct Recount {
    policy: Arc<Policy>,
    first_policy: Arc<Policy>,
    facts: Facts,
    pending: VecDeque<Verified<Statement>>,
    behind: usize,
    questions: BTreeMap<u64, Vec<Question>>,
    /// Asked about a time that has gone by.
    late: BTreeMap<u64, Vec<Question>>,
    /// Proposals that were granted: since when they are not any more, by the first tick that shows it.
    granted: BTreeMap<u64, Option<Timestamp>>,
    /// Those of them that were granted at the last tick, and did not begin.
    watched: BTreeSet<u64>,
    /// Rollouts that began, and neither came live nor went back.
    rolling: BTreeSet<u64>,
    /// Proposals under which a release came to an environment and was not retired since, by the release.
    came: BTreeMap<(EnvironmentName, Digest), BTreeSet<u64>>,
    /// Proposals that came and whose release was retired since: what they granted was used.
    used: BTreeSet<u64>,
    verdicts: u64,
    other_versions: BTreeMap<String, u64>,
    found: Vec<Contradiction>,
}

impl Recount {
    /// Begins with the first statement.
    pub fn new(members: Members) -> Result<Self, PolicyError> {
        let policy = Arc::new(Policy::parse(&members.root().charter().policy)?);
        Ok(Self {
            first_policy: policy.clone(),
            policy,
            facts: Facts::new(members),
            pending: VecDeque::new(),
            behind: BEHIND,
            questions: BTreeMap::new(),
            late: BTreeMap::new(),
            granted: BTreeMap::new(),
            watched: BTreeSet::new(),
            rolling: BTreeSet::new(),
            came: BTreeMap::new(),
            used: BTreeSet::new(),
            verdicts: 0,
            other_versions: BTreeMap::new(),
            found: Vec::new(),
        })
    }

    /// Takes the next statement. What was counted before (`is_known`) is believed and not computed again.
    pub fn take(&mut self, entry: Verified<Statement>, is_known: bool) -> Result<(), FactsError> {
        let index = entry.index();
        match &entry.value().claim {
            Claim::Verdict(v) if v.decide != DECIDE_VERSION => {
                self.other_versions.entry(v.decide.clone()).or_insert(index);
            }
            Claim::Verdict(v) if is_known => {
                if let Ruling::Granted { .. } = v.ruling {
                    self.ask(v.size.max(self.facts.size()), Question::Granted(v.proposal));
                }
            }
            Claim::Verdict(v) if v.size > index => self.found.push(Contradiction::Ahead { index, size: v.size }),
            Claim::Verdict(v) => self.ask(v.size, Question::Verdict(index, v.clone())),
            Claim::Milestone(m) => {
                let asked = self.moves(m, index);
                let is_used = self.comes(m);
                if is_used && !is_known {
                    self.found.push(Contradiction::Returned { index, proposal: m.proposal });
                } else if let Some(question) = asked.filter(|_| !is_known) {
                    let size = entry.value().header.seen.map_or(index, |s| s.size.min(index));
                    self.ask(size, question);
                }
            }
            _ => {}
        }
        self.pending.push_back(entry);
        while self.pending.len() > self.behind {
            self.step()?;
        }
        Ok(())
    }

    /// There are no more statements. What was asked about long before is in [`Recount::again`].
    pub fn finish(&mut self) -> Result<(), FactsError> {
        while !self.pending.is_empty() {
            self.step()?;
        }
        self.answer();
        Ok(())
    }

    /// A second reading for the questions that came too late, if there are any: hand it the statements again from the
    /// first on, all of them as known.
    pub fn again(&mut self) -> Option<Self> {
        if self.late.is_empty() {
            return None;
        }
        Some(Self {
            policy: self.first_policy.clone(),
            first_policy: self.first_policy.clone(),
            facts: Facts::new(self.facts.members_at(0).clone()),
            pending: VecDeque::new(),
            behind: 0,
            questions: std::mem::take(&mut self.late),
            late: BTreeMap::new(),
            granted: BTreeMap::new(),
            watched: BTreeSet::new(),
            rolling: BTreeSet::new(),
            came: BTreeMap::new(),
            used: BTreeSet::new(),
            verdicts: self.verdicts,
            other_versions: self.other_versions.clone(),
            found: Vec::new(),
        })
    }

    /// So many statements are in the facts, and every question that the first of them ask is answered; `None` while one
    /// is put off.
    pub fn settled(&self) -> Option<u64> {
        self.late.is_empty().then(|| self.facts.size())
    }

    /// How many verdicts were computed again.
    pub const fn verdicts(&self) -> u64 {
        self.verdicts
    }

    /// Versions of `decide` whose verdicts this program can not compute, each with the index of the first such verdict.
    pub const fn other_versions(&self) -> &BTreeMap<String, u64> {
        &self.other_versions
    }

    /// What was found so far, and forgets it.
    pub fn take_found(&mut self) -> Vec<Contradiction> {
        std::mem::take(&mut self.found)
    }

    /// The facts, behind the statements until [`Recount::finish`].
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    fn ask(&mut self, size: u64, question: Question) {
        let questions = if size < self.facts.size() { &mut self.late } else { &mut self.questions };
        questions.entry(size).or_default().push(question);
    }

    /// Follows a rollout. Returns what is to be asked: every beginning needs a verdict, coming live without one, and coming back.
    fn moves(&mut self, m: &Milestone, index: u64) -> Option<Question> {
        match m.what {
            MilestoneKind::Begun => {
                self.rolling.insert(m.proposal);
                Some(Question::Moved(index, m.proposal))
            }
            MilestoneKind::Live => (!self.rolling.remove(&m.proposal)).then_some(Question::Moved(index, m.proposal)),
            MilestoneKind::BroughtBack => Some(Question::Returned(index, m.proposal)),
            what => {
                if what.is_back() {
                    self.rolling.remove(&m.proposal);
                }
                None
            }
        }
    }

    /// Follows which proposals brought a release, until it is retired. Returns whether one brings it back that did so before.
    fn comes(&mut self, m: &Milestone) -> bool {
        let place = (m.environment.clone(), m.release);
        match m.what {
            MilestoneKind::Live | MilestoneKind::BroughtBack => {
                self.came.entry(place).or_default().insert(m.proposal);
                m.what == MilestoneKind::BroughtBack && self.used.contains(&m.proposal)
            }
            MilestoneKind::Retired => {
                self.used.extend(self.came.remove(&place).unwrap_or_default());
                false
            }
            _ => false,
        }
    }

    fn grant(&mut self, proposal: u64) {
        self.granted.insert(proposal, None);
        self.watched.insert(proposal);
    }

    fn is_granted(&self, proposal: u64) -> bool {
        decide_with(&self.policy, &self.facts, proposal).is_ok_and(|decision| decision.is_granted())
    }

    /// At a tick: which proposals are not granted any more.
    fn look_again(&mut self) {
        let Some(now) = self.facts.time() else { return };
        let over: Vec<u64> = self.watched.iter().copied().filter(|p| !self.is_granted(*p)).collect();
        for proposal in over {
            self.watched.remove(&proposal);
            if let Entry::Occupied(mut ended) = self.granted.entry(proposal) {
                ended.insert(Some(now.latest));
            }
        }
    }

    fn step(&mut self) -> Result<(), FactsError> {
        self.answer();
        if let Some(entry) = self.pending.pop_front() {
            self.facts.apply(&entry)?;
            // One that does not parse refuses everything: the one at hand is of another digest.
            if let Some(policy) = self.facts.policy_after(&self.policy) {
                self.policy = Arc::new(policy);
            }
            if let Claim::Tick(_) = entry.value().claim {
                self.look_again();
            }
        }
        Ok(())
    }

    /// Answers what is asked about exactly these facts.
    fn answer(&mut self) {
        let size = self.facts.size();
        if self.questions.first_key_value().is_none_or(|(asked, _)| *asked > size) {
            return;
        }
        for question in self.questions.remove(&size).unwrap_or_default() {
            match question {
                Question::Verdict(index, said) => {
                    self.verdicts += 1;
                    match decide_with(&self.policy, &self.facts, said.proposal) {
                        Ok(decision) if decision.verdict == *said => {
                            if decision.is_granted() {
                                self.grant(said.proposal);
                            }
                        }
                        Ok(decision) => {
                            let follows = Box::new(decision.verdict);
                            self.found.push(Contradiction::Ruling { index, said, follows });
                        }
                        Err(error) => self.found.push(Contradiction::Undecidable { index, error }),
                    }
                }
                Question::Granted(proposal) => {
                    if self.is_granted(proposal) {
                        self.grant(proposal);
                    }
                }
                Question::Moved(index, proposal) => {
                    if !self.may_move(proposal) {
                        self.found.push(Contradiction::Unfounded { index, proposal });
                    } else if size < index {
                        // What its signer says to have seen must not be from long before.
                        self.ask(index, Question::Soon(index, proposal, size));
                    }
                }
                Question::Returned(index, proposal) => {
                    if !self.is_granted(proposal) && !self.was_granted(proposal) {
                        self.found.push(Contradiction::Returned { index, proposal });
                    } else if size < index {
                        self.ask(index, Question::Soon(index, proposal, size));
                    }
                }
                Question::Soon(index, proposal, seen) => {
                    // The first tick after what was seen: while nobody made ticks, nobody could see one.
                    let since = self.facts.covered(seen).map(|t| t.latest);
                    if !since.is_none_or(|since| self.is_soon(proposal, since)) {
                        self.found.push(Contradiction::Unfounded { index, proposal });
                    }
                }
            }
        }
    }

    /// Whether a proposal is granted here, was until lately, or is what runs or may be gone back to.
    fn may_move(&self, proposal: u64) -> bool {
        self.is_granted(proposal) || self.was_granted(proposal) || self.is_return(proposal)
    }

    /// Whether a proposal was granted until lately.
    fn was_granted(&self, proposal: u64) -> bool {
        match self.granted.get(&proposal) {
            Some(Some(ended)) => self.is_soon(proposal, *ended),
            // It ended since the last tick.
            Some(None) => true,
            None => false,
        }
    }

    /// Whether it is so soon after a time that an agent may still say what it was allowed then.
    fn is_soon(&self, proposal: u64, since: Timestamp) -> bool {
        let charter = self.facts.members().charter();
        let rule = self.facts.any_proposal(proposal).and_then(|p| charter.environment(&p.claim.environment));
        let within_s = rule.map_or(0, |r| r.max_age_s).saturating_add(SAID_WITHIN_S);
        self.facts.time().is_none_or(|now| now.earliest <= since.plus_s(within_s))
    }

    /// Whether it runs, or ran immediately before what runs: [`crate::may_return`] allows no more.
    fn is_return(&self, proposal: u64) -> bool {
        let Some(said) = self.facts.any_proposal(proposal) else { return false };
        let running = self.facts.running(said.claim.serial.system(), &said.claim.environment);
        let mut stack = running.iter();
        let Some(first) = stack.next() else { return false };
        first.proposal == proposal || (!first.returned && stack.next().is_some_and(|l| l.proposal == proposal))
    }
}

#[cfg(test)]
mod tests;
