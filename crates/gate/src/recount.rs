//! Recounting: every verdict of a log computed again over the statements that it names, and whether every rollout had one.
//!
//! Statements come in order, once. A verdict names how many statements it was decided over, which are a few less than
//! stand before it; so the facts are kept a little behind, and a question is answered when they are where it asks. One
//! that asks about long before is put off to a second reading. It refuses to know who signed what: statements come
//! verified.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use ledger::{
    Verified,
    statement::{
        Members, Statement,
        v1::{Claim, MilestoneKind, Ruling, Verdict},
    },
};

use crate::{
    decide::{DECIDE_VERSION, DecideError, decide_with},
    facts::{Facts, FactsError},
    policy::{Policy, PolicyError},
};

/// How far the facts are kept behind. A gate decides over what it has just read, and 512 statements are more than a log takes
/// in while it does; where they are not, there is a second reading.
const BEHIND: usize = 512;

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
    /// A rollout began without a granted verdict.
    Unfounded {
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
            | Self::Unfounded { index, .. } => *index,
        }
    }
}

/// A question to `decide` over the first statements of the log.
#[derive(Clone, Debug)]
enum Question {
    /// Whether the verdict at this index is what they say.
    Verdict(u64, Box<Verdict>),
    /// Whether what the milestone at this index says was granted.
    Begun(u64, u64),
}

/// A count under way.
#[derive(Debug)]
pub struct Recount {
    policy: Arc<Policy>,
    facts: Facts,
    pending: VecDeque<Verified<Statement>>,
    behind: usize,
    questions: BTreeMap<u64, Vec<Question>>,
    /// Asked about a time that has gone by.
    late: BTreeMap<u64, Vec<Question>>,
    /// Over how many statements a proposal was granted first.
    granted: BTreeMap<u64, u64>,
    verdicts: u64,
    other_versions: BTreeSet<String>,
    found: Vec<Contradiction>,
}

impl Recount {
    /// Begins with the first statement.
    pub fn new(members: Members) -> Result<Self, PolicyError> {
        Ok(Self {
            policy: Arc::new(Policy::parse(&members.charter().policy)?),
            facts: Facts::new(members),
            pending: VecDeque::new(),
            behind: BEHIND,
            questions: BTreeMap::new(),
            late: BTreeMap::new(),
            granted: BTreeMap::new(),
            verdicts: 0,
            other_versions: BTreeSet::new(),
            found: Vec::new(),
        })
    }

    /// Takes the next statement. What was counted before (`is_known`) is believed and not computed again.
    pub fn take(&mut self, entry: Verified<Statement>, is_known: bool) -> Result<(), FactsError> {
        let index = entry.index();
        match &entry.value().claim {
            Claim::Verdict(v) if v.decide != DECIDE_VERSION => {
                self.other_versions.insert(v.decide.clone());
            }
            Claim::Verdict(v) if is_known => {
                if let Ruling::Granted { .. } = v.ruling {
                    self.grant(v.proposal, v.size);
                }
            }
            Claim::Verdict(v) if v.size > index => self.found.push(Contradiction::Ahead { index, size: v.size }),
            Claim::Verdict(v) => self.ask(v.size, Question::Verdict(index, v.clone())),
            Claim::Milestone(m) if m.what == MilestoneKind::Begun && !is_known => {
                let size = entry.value().header.seen.map_or(index, |s| s.size.min(index));
                self.ask(size, Question::Begun(index, m.proposal));
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
            policy: self.policy.clone(),
            facts: Facts::new(self.facts.members().clone()),
            pending: VecDeque::new(),
            behind: 0,
            questions: std::mem::take(&mut self.late),
            late: BTreeMap::new(),
            granted: self.granted.clone(),
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

    /// Versions of `decide` whose verdicts this program can not compute.
    pub const fn other_versions(&self) -> &BTreeSet<String> {
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

    fn grant(&mut self, proposal: u64, size: u64) {
        let first = self.granted.entry(proposal).or_insert(size);
        *first = size.min(*first);
    }

    fn step(&mut self) -> Result<(), FactsError> {
        self.answer();
        if let Some(entry) = self.pending.pop_front() {
            self.facts.apply(&entry)?;
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
                                self.grant(said.proposal, size);
                            }
                        }
                        Ok(decision) => {
                            let follows = Box::new(decision.verdict);
                            self.found.push(Contradiction::Ruling { index, said, follows });
                        }
                        Err(error) => self.found.push(Contradiction::Undecidable { index, error }),
                    }
                }
                Question::Begun(index, proposal) => {
                    if !self.may_begin(proposal, size) {
                        self.found.push(Contradiction::Unfounded { index, proposal });
                    }
                }
            }
        }
    }

    /// Whether a rollout of a proposal was granted by then, or goes back to what ran before.
    fn may_begin(&self, proposal: u64, size: u64) -> bool {
        let by_verdict = self.granted.get(&proposal).is_some_and(|granted| *granted <= size);
        let is_return = || {
            self.facts.proposal(proposal).is_some_and(|p| {
                let live = self.facts.live(p.claim.serial.system(), &p.claim.environment);
                live.iter().any(|l| l.proposal == proposal)
            })
        };
        by_verdict
            || is_return()
            || decide_with(&self.policy, &self.facts, proposal).is_ok_and(|decision| decision.is_granted())
    }
}

#[cfg(test)]
mod tests;
