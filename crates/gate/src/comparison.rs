//! Comparisons of two versions on live traffic, computed again from what the log has of them: the numbers that a plan
//! is made of, and four integers a tick and metric.
//!
//! Every answer must follow from the ticks up to it, no tick may be missing or counted twice, clients may have the new
//! version only as far as the steps so far allow, and what the agent did must be what the answers allow. Where the two
//! release documents are at hand, the plan is held against them: it may not be looser than what was approved.
//!
//! It refuses to know what was really counted. An agent that lies about the integers is not found here; one that lies about
//! what follows from them is. A signer's right to speak was checked when its statements were verified.

mod approved;
mod mismatch;
mod replay;

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    Verified,
    statement::{
        Statement,
        v1::{Analysis, AnalysisAnswer, Claim, Milestone, MilestoneKind, Proposal, Rollback},
    },
};
use model::{
    ComponentName, Digest, EnvironmentName, SystemName,
    release::{QUIET_TICKS, Release},
    route::{Split, UNITS},
};

use self::{approved::Approved, replay::Part};
pub use self::{
    mismatch::{Difference, Mismatch},
    replay::{Subject, counted, said, settings},
};

/// Release documents by their digests, as far as whoever asks has them.
pub type Documents<'a> = &'a dyn Fn(&Digest) -> Option<Release>;

/// One system in one environment.
type Place = (SystemName, EnvironmentName);

/// Comparisons followed through a log.
#[derive(Debug, Default)]
pub struct Comparisons {
    /// What is on its way in each place.
    rollouts: BTreeMap<Place, Rollout>,
    proposals: BTreeMap<u64, Put>,
    /// Orders to go back, by what was to run then.
    orders: BTreeMap<Digest, Vec<u64>>,
    /// What ran somewhere already: going back to it is quick, and compares nothing.
    ran: BTreeSet<(Place, Digest)>,
    statements: u64,
    /// Release documents that nobody had.
    missing: BTreeSet<Digest>,
    found: Vec<Mismatch>,
}

/// What a proposal puts up, and in place of what.
#[derive(Clone, Copy, Debug)]
struct Put {
    release: Digest,
    replaces: Option<Digest>,
}

/// A rollout from its beginning to its end.
#[derive(Debug)]
struct Rollout {
    proposal: u64,
    release: Digest,
    replaces: Option<Digest>,
    /// What was approved; none if a document is not at hand.
    approved: Option<Approved>,
    salt: Option<Digest>,
    parts: BTreeMap<Subject, Part>,
    /// How many steps were taken.
    stepped: usize,
    quiet: Quiet,
    /// Whether it was said already that what it did does not follow.
    is_told: bool,
    is_over: bool,
}

/// What was said about a new version without requests.
#[derive(Debug, Default)]
struct Quiet {
    /// Where people were told, and whether ticks since then were looked at.
    said: Option<(u64, bool)>,
    /// The statement by which it was so.
    seen: Option<u64>,
    is_told: bool,
}

impl Comparisons {
    /// Nothing followed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next statement of the log, from the first on.
    pub fn take(&mut self, entry: &Verified<Statement>, documents: Documents<'_>) {
        let index = entry.index();
        match &entry.value().claim {
            Claim::Proposal(c) => self.proposed(index, c),
            Claim::Rollback(c) => self.ordered(index, c),
            Claim::Milestone(c) => self.happened(index, c, documents),
            Claim::Analysis(c) => self.compared(index, c),
            _ => {}
        }
    }

    /// How many statements of comparisons were computed again.
    #[must_use]
    pub const fn statements(&self) -> u64 {
        self.statements
    }

    /// Release documents that were needed and not at hand: what is judged by them was not held against them.
    #[must_use]
    pub const fn missing(&self) -> &BTreeSet<Digest> {
        &self.missing
    }

    /// What was found so far, and forgets it.
    pub fn take_found(&mut self) -> Vec<Mismatch> {
        std::mem::take(&mut self.found)
    }

    fn proposed(&mut self, index: u64, claim: &Proposal) {
        self.proposals.insert(index, Put { release: claim.release, replaces: claim.replaces });
    }

    fn ordered(&mut self, index: u64, claim: &Rollback) {
        self.orders.entry(claim.to).or_default().push(index);
    }

    fn tell(&mut self, index: u64, what: Difference) {
        self.found.push(Mismatch { index, what });
    }

    fn happened(&mut self, index: u64, claim: &Milestone, documents: Documents<'_>) {
        let place = (claim.serial.system().clone(), claim.environment.clone());
        if claim.what == MilestoneKind::Begun {
            self.begun(index, &place, claim, documents);
            return;
        }
        let is_return = self.ran.contains(&(place.clone(), claim.release));
        let rollout = self.rollouts.get_mut(&place).filter(|r| r.proposal == claim.proposal && !r.is_over);
        let mut is_let_in = true;
        let mut found = Vec::new();
        if let Some(rollout) = rollout {
            found = rollout.did(index, claim.what, is_return);
            rollout.is_over = claim.what.is_end();
        } else if claim.what == MilestoneKind::Live && !is_return {
            // Live without having begun: what should have been compared was not.
            let approved = self.approved(claim, documents).1;
            is_let_in = approved.is_none_or(|approved| approved.components.is_empty());
            found.extend((!is_let_in).then_some((index, Difference::Uncompared)));
        }
        found.into_iter().for_each(|(index, what)| self.tell(index, what));
        if claim.what == MilestoneKind::Live && is_let_in {
            self.ran.insert((place, claim.release));
        }
    }

    fn begun(&mut self, index: u64, place: &Place, claim: &Milestone, documents: Documents<'_>) {
        let open = self.rollouts.get(place).filter(|r| !r.is_over && (r.stepped > 0 || !r.parts.is_empty()));
        if let Some(proposal) = open.map(|r| r.proposal) {
            self.tell(index, Difference::Open { proposal });
            // What was counted goes on to count.
            if proposal == claim.proposal {
                return;
            }
        }
        let (replaces, approved) = self.approved(claim, documents);
        let rollout = Rollout {
            proposal: claim.proposal,
            release: claim.release,
            replaces,
            approved,
            salt: None,
            parts: BTreeMap::new(),
            stepped: 0,
            quiet: Quiet::default(),
            is_told: false,
            is_over: false,
        };
        self.rollouts.insert(place.clone(), rollout);
    }

    /// What a release replaces by its proposal, and what was approved of their comparison; none if a document is not at hand.
    fn approved(&mut self, claim: &Milestone, documents: Documents<'_>) -> (Option<Digest>, Option<Approved>) {
        let replaces = self.proposals.get(&claim.proposal).and_then(|put| put.replaces);
        let approved = replaces.and_then(|before| {
            let mut read = |digest: Digest| {
                let document = documents(&digest);
                if document.is_none() {
                    self.missing.insert(digest);
                }
                document
            };
            let (new, old) = (read(claim.release), read(before));
            Some(Approved::of(&new?, &old?, &claim.environment))
        });
        (replaces, approved)
    }

    fn compared(&mut self, index: u64, claim: &Analysis) {
        self.statements += 1;
        let place = (claim.serial.system().clone(), claim.environment.clone());
        let put = self.proposals.get(&claim.proposal).copied();
        let orders = self.orders.get(&claim.release).map(Vec::as_slice).unwrap_or_default();
        let rollout = self
            .rollouts
            .get_mut(&place)
            .filter(|r| !r.is_over && (r.proposal, r.release) == (claim.proposal, claim.release));
        let found = match (rollout, put) {
            (Some(rollout), Some(put)) if put.release == claim.release => rollout.counted(index, claim, orders),
            _ => vec![(index, Difference::NoRollout { proposal: claim.proposal })],
        };
        found.into_iter().for_each(|(index, what)| self.tell(index, what));
    }
}

impl Rollout {
    /// Takes a statement of what was counted.
    fn counted(&mut self, index: u64, claim: &Analysis, orders: &[u64]) -> Vec<(u64, Difference)> {
        let mut found = Vec::new();
        let Some(subject) = Subject::of(&claim.metrics) else {
            return vec![(index, Difference::Nothing)];
        };
        let component = subject.component().clone();
        if claim.metrics.iter().any(|m| subject.is_strange(m)) {
            found.push((index, Difference::Mixed { component: component.clone() }));
        }
        if self.replaces != Some(claim.other) {
            found.push((index, Difference::Other { found: claim.other, replaces: self.replaces }));
        }
        match self.salt {
            Some(salt) if salt != claim.salt => {
                found.push((index, Difference::Changed { component: component.clone() }))
            }
            Some(_) => {}
            None => {
                let salt = |generation: u64| Split::salt_of(&claim.other, &claim.release, generation);
                if claim.salt != salt(claim.proposal) && !orders.iter().any(|order| claim.salt == salt(*order)) {
                    found.push((index, Difference::Salt));
                }
                self.salt = Some(claim.salt);
            }
        }
        if !self.parts.contains_key(&subject) {
            let (part, wrong) = Part::begin(claim);
            found.extend(wrong.map(|what| (index, what)));
            if let Some(approved) = &self.approved {
                found.extend(approved.looser(claim, &subject).into_iter().map(|what| (index, what)));
            }
            self.parts.insert(subject.clone(), part);
        }
        found.extend(self.shares(claim, &subject).map(|what| (index, what)));
        if let Some(part) = self.parts.get_mut(&subject) {
            found.extend(part.take(claim, &component).into_iter().map(|what| (index, what)));
            // Only of what the edge counts is no request no client.
            if subject.is_of_edge() {
                found.extend(self.quiet.counted(index, part.longest_quiet()));
            }
        }
        found
    }

    /// Whether clients had the new version as far as the steps so far allow, and the units say so too.
    fn shares(&self, claim: &Analysis, subject: &Subject) -> Option<Difference> {
        let whole = u32::from(UNITS);
        claim.ticks.iter().zip(claim.first..).find_map(|(tick, number)| {
            let share = u32::from(tick.share);
            let fits = |c: &[u32; 4]| c[0] == share && c[0].checked_add(c[2]) == Some(whole);
            if share > whole || (subject.is_of_edge() && !tick.counts.iter().all(fits)) {
                return Some(Difference::Units { tick: number, share: tick.share });
            }
            let approved = self.approved.as_ref()?;
            // The first share may be counted before it is said that it is given.
            let allowed = approved.shares.get(..self.stepped.max(1).min(approved.shares.len()))?;
            let is_allowed = tick.share == 0 || allowed.contains(&tick.share);
            (!is_allowed).then_some(Difference::Share { tick: number, share: tick.share })
        })
    }

    /// Takes what the agent did, and says what of it does not follow from the answers.
    fn did(&mut self, index: u64, what: MilestoneKind, is_return: bool) -> Vec<(u64, Difference)> {
        let mut found = Vec::new();
        let worse =
            self.parts.iter().find(|(_, p)| p.said == AnalysisAnswer::GoBack).map(|(of, _)| of.component().clone());
        match what {
            MilestoneKind::Stepped => {
                self.stepped += 1;
                let steps = self.approved.as_ref().map(|a| a.shares.len());
                if let Some(component) = worse {
                    found.push((index, Difference::WentOn { component }));
                } else if let Some(steps) = steps.filter(|steps| self.stepped > *steps) {
                    found.push((index, Difference::Steps { steps }));
                } else if steps == Some(self.stepped)
                    && let Some(component) = self.not_promoted(|p| p.said == AnalysisAnswer::Promote)
                {
                    self.is_told = true;
                    found.push((index, Difference::Promoted { component }));
                }
            }
            MilestoneKind::Watched | MilestoneKind::Live if !self.is_told => {
                let is_asked = self.approved.as_ref().is_some_and(|a| !a.components.is_empty()) && !is_return;
                let difference = match worse {
                    Some(component) => Some(Difference::WentOn { component }),
                    None if self.parts.is_empty() && is_asked => Some(Difference::Uncompared),
                    None if self.parts.is_empty() => None,
                    None => self.not_promoted(|p| p.promoted).map(|component| Difference::Promoted { component }),
                };
                self.is_told |= difference.is_some();
                found.extend(difference.map(|d| (index, d)));
            }
            MilestoneKind::WentBackWorse if worse.is_none() => found.push((index, Difference::NotWorse)),
            MilestoneKind::Quiet => {
                self.quiet.said = self.quiet.said.or(Some((index, false)));
                self.quiet.is_told = true;
            }
            _ => {}
        }
        if what.is_end() {
            found.extend(self.quiet.ends());
        }
        found
    }

    /// A component of those that are compared for which something is not so.
    fn not_promoted(&self, is_so: impl Fn(&Part) -> bool) -> Option<ComponentName> {
        let wanted = self.approved.as_ref().map(|a| a.components.clone()).unwrap_or_default();
        let absent =
            wanted.into_iter().find(|name| !self.parts.keys().any(|of| of.is_of_edge() && of.component() == name));
        let read = self.approved.iter().flat_map(|a| a.counters.iter().chain(&a.invariants));
        let mut missing = read.filter(|of| !self.parts.contains_key(of)).map(|of| of.component().clone());
        absent
            .or_else(|| missing.next())
            .or_else(|| self.parts.iter().find(|(_, part)| !is_so(part)).map(|(of, _)| of.component().clone()))
    }
}

impl Quiet {
    /// A statement came by which the new version was without requests for so long, at most.
    fn counted(&mut self, index: u64, longest: u64) -> Option<(u64, Difference)> {
        // Told with the tick or after it, but before more is told of what was counted.
        let late = self.seen.filter(|_| !self.is_told);
        if longest >= QUIET_TICKS && self.seen.is_none() {
            self.seen = Some(index);
        }
        if let Some((_, looked)) = &mut self.said {
            *looked = true;
        }
        let late = late?;
        self.is_told = true;
        Some((late, Difference::Silent))
    }

    /// At the end of a rollout: whether what was told was so.
    fn ends(&mut self) -> Option<(u64, Difference)> {
        match (self.said, self.seen) {
            (Some((index, true)), None) => Some((index, Difference::NotQuiet)),
            (None, Some(index)) if !self.is_told => Some((index, Difference::Silent)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
