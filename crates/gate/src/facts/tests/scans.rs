//! The facts as they were first written: every question scans all that was said. Slow and plain, so that what the indexes
//! answer can be compared with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ledger::{
    dsse::Identity,
    quorum::tally,
    statement::{
        Members, Statement,
        v1::{
            Approval, Build, Change, Claim, Evidence, EvidenceOutcome, Exception, Halt, Milestone, MilestoneKind,
            Proposal, Rejection, Resume, Rollback,
        },
    },
    tick::OpenTick,
};
use model::{Digest, EnvironmentName, KeyId, PersonId, RoleName, SystemName, Timestamp};

use super::super::{Heading, Live, Said, said::Names};
use crate::time::LogTime;

/// The first `size` statements of a log.
pub(super) struct Scans {
    members: Members,
    size: u64,
    heard: BTreeSet<Digest>,
    founders: BTreeSet<PersonId>,
    changes: BTreeMap<u64, Said<Change>>,
    builds: BTreeMap<u64, Said<Build>>,
    evidence: BTreeMap<u64, Said<Evidence>>,
    proposals: BTreeMap<u64, Said<Proposal>>,
    approvals: BTreeMap<u64, Said<Approval>>,
    rejections: BTreeMap<u64, Said<Rejection>>,
    milestones: BTreeMap<u64, Said<Milestone>>,
    halts: BTreeMap<u64, Said<Halt>>,
    resumes: BTreeMap<u64, Said<Resume>>,
    rollbacks: BTreeMap<u64, Said<Rollback>>,
    exceptions: BTreeMap<u64, Said<Exception>>,
    void_from: BTreeMap<KeyId, u64>,
    withdrawals: BTreeMap<KeyId, u64>,
    times: Vec<LogTime>,
}

impl Scans {
    /// No statements yet, under this charter.
    pub(super) fn new(members: Members) -> Self {
        Self {
            members,
            size: 0,
            heard: BTreeSet::new(),
            founders: BTreeSet::new(),
            changes: BTreeMap::new(),
            builds: BTreeMap::new(),
            evidence: BTreeMap::new(),
            proposals: BTreeMap::new(),
            approvals: BTreeMap::new(),
            rejections: BTreeMap::new(),
            milestones: BTreeMap::new(),
            halts: BTreeMap::new(),
            resumes: BTreeMap::new(),
            rollbacks: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            void_from: BTreeMap::new(),
            withdrawals: BTreeMap::new(),
            times: Vec::new(),
        }
    }

    /// Takes the next statement.
    pub(super) fn apply(
        &mut self,
        (index, key, identity): (u64, KeyId, Identity),
        open: Option<&OpenTick>,
        statement: &Statement,
    ) {
        let by = Arc::new(self.members.holder(key).unwrap().clone());
        if !self.heard.insert(identity.digest()) {
            self.size += 1;
            return;
        }
        let header = Names::default().heading(&statement.header);
        macro_rules! keep {
            ($map:ident, $claim:expr) => {{
                let claim = Clone::clone($claim);
                self.$map.insert(index, Said { index, key, by, header, claim });
            }};
        }
        match &statement.claim {
            Claim::Charter(_) => self.founders.extend(by.persons().iter().cloned()),
            Claim::Tick(tick) => {
                // Time never runs backwards: a tick with older cosignatures than the last adds nothing, and one
                // with a smaller checkpoint takes nothing back of what was there by an earlier time.
                if let Some(time) = open.and_then(|o| LogTime::of_open(tick, o, index, self.members.charter())) {
                    match self.times.last() {
                        None => self.times.push(time),
                        Some(last) if last.earliest <= time.earliest => self.times.push(LogTime {
                            covers: time.covers.max(last.covers),
                            latest: time.latest.max(last.latest),
                            ..time
                        }),
                        Some(_) => {}
                    }
                }
            }
            Claim::Change(c) => keep!(changes, c.as_ref()),
            Claim::Build(c) => keep!(builds, c.as_ref()),
            Claim::Evidence(c) => keep!(evidence, c.as_ref()),
            Claim::Proposal(c) => keep!(proposals, c.as_ref()),
            Claim::Approval(c) => keep!(approvals, c),
            Claim::Rejection(c) => keep!(rejections, c),
            Claim::Milestone(c) => keep!(milestones, c.as_ref()),
            Claim::Halt(c) => keep!(halts, c),
            Claim::Resume(c) => keep!(resumes, c),
            Claim::Rollback(c) => keep!(rollbacks, c),
            Claim::Retirement(_) | Claim::Report(_) => {}
            Claim::Exception(c) => keep!(exceptions, c),
            Claim::KeyWithdrawal(c) => {
                let from = self.void_from.entry(c.key).or_insert(c.void_from);
                *from = c.void_from.min(*from);
                self.withdrawals.entry(c.key).or_insert(index);
            }
            // A verdict is never read by a verdict.
            Claim::Verdict(_) => {}
            _ => {}
        }
        self.size += 1;
    }

    /// How many statements.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The log's time now: what its last tick says.
    pub(super) fn time(&self) -> Option<LogTime> {
        self.times.last().copied()
    }

    /// The first tick that covers an entry.
    pub(super) fn covered(&self, index: u64) -> Option<LogTime> {
        let at = self.times.partition_point(|t| t.covers <= index);
        self.times.get(at).copied()
    }

    /// The last tick before an entry: it was said then or later.
    pub(super) fn time_before(&self, index: u64) -> Option<LogTime> {
        let at = self.times.partition_point(|t| t.index < index);
        at.checked_sub(1).and_then(|at| self.times.get(at)).copied()
    }

    /// Whether what this key signed at this index is void.
    pub(super) fn is_void(&self, key: KeyId, index: u64) -> bool {
        self.void_from.get(&key).is_some_and(|from| index >= *from)
    }

    fn standing<'a, T>(&'a self, map: &'a BTreeMap<u64, Said<T>>) -> impl DoubleEndedIterator<Item = &'a Said<T>> {
        map.values().filter(|said| !self.is_void(said.key, said.index))
    }

    /// A change, unless its signer's key was withdrawn.
    pub(super) fn change(&self, index: u64) -> Option<&Said<Change>> {
        self.changes.get(&index).filter(|s| !self.is_void(s.key, s.index))
    }

    /// A change also if its signer's key was withdrawn since: what binds does not cease to bind by that.
    pub(super) fn any_change(&self, index: u64) -> Option<&Said<Change>> {
        self.changes.get(&index)
    }

    /// All changes of a system that stand, oldest first.
    pub(super) fn changes(&self, system: &SystemName) -> impl DoubleEndedIterator<Item = &Said<Change>> {
        self.standing(&self.changes).filter(move |s| &s.claim.system == system)
    }

    /// A build.
    pub(super) fn build(&self, index: u64) -> Option<&Said<Build>> {
        self.builds.get(&index).filter(|s| !self.is_void(s.key, s.index))
    }

    /// All builds that stand.
    pub(super) fn builds(&self) -> impl DoubleEndedIterator<Item = &Said<Build>> {
        self.standing(&self.builds)
    }

    /// One evidence.
    pub(super) fn one_evidence(&self, index: u64) -> Option<&Said<Evidence>> {
        self.evidence.get(&index).filter(|s| !self.is_void(s.key, s.index))
    }

    /// All evidence about a change that stands, oldest first. Bad news stands even when its signer's key was
    /// withdrawn: otherwise whoever withdraws a key could make a failure disappear.
    pub(super) fn evidence(&self, change: u64) -> impl DoubleEndedIterator<Item = &Said<Evidence>> {
        self.evidence.values().filter(move |s| {
            let good = s.claim.outcome == EvidenceOutcome::Passed;
            s.claim.change == change && !(good && self.is_void(s.key, s.index))
        })
    }

    /// All evidence that a suite failed, also by keys withdrawn since, about whatever change it was said.
    pub(super) fn failures(&self) -> impl DoubleEndedIterator<Item = &Said<Evidence>> {
        self.evidence.values().filter(|s| s.claim.outcome == EvidenceOutcome::Failed)
    }

    /// A proposal also if its signer's key was withdrawn since.
    pub(super) fn any_proposal(&self, index: u64) -> Option<&Said<Proposal>> {
        self.proposals.get(&index)
    }

    /// All approvals of a proposal, also by keys withdrawn since.
    pub(super) fn any_approvals(&self, proposal: u64) -> impl Iterator<Item = &Said<Approval>> {
        self.approvals.values().filter(move |s| s.claim.proposal == proposal)
    }

    /// A proposal.
    pub(super) fn proposal(&self, index: u64) -> Option<&Said<Proposal>> {
        self.proposals.get(&index).filter(|s| !self.is_void(s.key, s.index))
    }

    /// All proposals that stand, oldest first.
    pub(super) fn proposals(&self) -> impl DoubleEndedIterator<Item = &Said<Proposal>> {
        self.standing(&self.proposals)
    }

    /// All approvals of a proposal that stand.
    pub(super) fn approvals(&self, proposal: u64) -> impl DoubleEndedIterator<Item = &Said<Approval>> {
        self.standing(&self.approvals).filter(move |s| s.claim.proposal == proposal)
    }

    /// All rejections of a proposal, also by keys withdrawn since: stopping is not undone by a withdrawal.
    pub(super) fn rejections(&self, proposal: u64) -> impl DoubleEndedIterator<Item = &Said<Rejection>> {
        self.rejections.values().filter(move |s| s.claim.proposal == proposal)
    }

    /// All milestones of an environment of a system that stand, oldest first.
    pub(super) fn milestones<'a>(
        &'a self,
        system: &'a SystemName,
        environment: &'a EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &'a Said<Milestone>> {
        self.standing(&self.milestones)
            .filter(move |s| s.claim.serial.system() == system && &s.claim.environment == environment)
    }

    /// All rollback orders, also by keys withdrawn since.
    pub(super) fn rollbacks<'a>(
        &'a self,
        system: &'a SystemName,
        environment: &'a EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &'a Said<Rollback>> {
        self.rollbacks
            .values()
            .filter(move |s| s.header.system.as_ref() == Some(system) && &s.claim.environment == environment)
    }

    /// What runs now, and what ran before it, newest first.
    pub(super) fn live(&self, system: &SystemName, environment: &EnvironmentName) -> Vec<Live> {
        self.live_before(system, environment, u64::MAX)
    }

    /// What ran when the log had so many statements, newest first.
    pub(super) fn live_before(&self, system: &SystemName, environment: &EnvironmentName, size: u64) -> Vec<Live> {
        let mut stack: Vec<Live> = Vec::new();
        for said in self.milestones(system, environment).take_while(|m| m.index < size) {
            let m = &said.claim;
            let known = stack.iter().position(|l| l.proposal == m.proposal);
            if m.what == MilestoneKind::Live {
                // Going back to the predecessor ends with that one live again: the stack shrinks to it, and what it
                // replaced is what it replaced the first time.
                let again = known.and_then(|at| stack.get(at)).filter(|l| l.release == m.release).cloned();
                let is_below = known.is_some_and(|at| at + 1 < stack.len());
                stack.truncate(known.unwrap_or(stack.len()));
                stack.push(Live {
                    release: m.release,
                    serial: m.serial.clone(),
                    proposal: m.proposal,
                    index: said.index,
                    before: again.as_ref().map_or(m.other, |l| l.before),
                    returned: is_below || again.is_some_and(|l| l.returned),
                });
            } else if let Some(at) = known.filter(|_| m.what.is_back()) {
                let was_top = at + 1 == stack.len();
                stack.remove(at);
                if let Some(top) = stack.last_mut().filter(|_| was_top) {
                    top.returned = true;
                }
            }
        }
        stack.reverse();
        stack
    }

    /// Whether a proposal has been tried and gone back from, or ordered back from: it needs a new proposal.
    pub(super) fn spent(&self, proposal: u64) -> Option<u64> {
        let said = self.proposal(proposal)?;
        let (system, environment) = (said.claim.serial.system(), &said.claim.environment);
        // Bad news stands, also by an agent's key that was withdrawn since.
        let back = self.milestones.values().find(|m| m.claim.proposal == proposal && m.claim.what.is_back());
        let ordered =
            self.rollbacks(system, environment).find(|r| r.index > proposal && r.claim.from == said.claim.release);
        back.map(|m| m.index).or(ordered.map(|r| r.index))
    }

    /// The halt in force for an environment of a system, if there is one; also by a key withdrawn since.
    pub(super) fn halted(&self, system: &SystemName, environment: &EnvironmentName) -> Option<&Said<Halt>> {
        self.halts.values().find(|halt| {
            let here = halt.claim.environment.as_ref().is_none_or(|e| e == environment)
                && halt.header.system.as_ref().is_none_or(|s| s == system);
            here && !self.is_resumed(halt.index, system, environment)
        })
    }

    /// Whether enough people said that a halt is over here: a resume that names a system or an environment is about
    /// that one alone.
    fn is_resumed(&self, halt: u64, system: &SystemName, environment: &EnvironmentName) -> bool {
        let Some(rule) = self.members.charter().environment(environment) else { return false };
        let mut spoke: BTreeMap<PersonId, BTreeSet<RoleName>> = BTreeMap::new();
        let here = |h: &Heading| {
            h.environment.as_ref().is_none_or(|e| e == environment) && h.system.as_ref().is_none_or(|s| s == system)
        };
        let resumes =
            self.standing(&self.resumes).filter(|r| r.claim.halt == halt && r.index > halt && here(&r.header));
        for resume in resumes.filter(|r| self.members.holds(r.key, &r.by, &r.header.role)) {
            for person in resume.by.persons() {
                spoke.entry(person.clone()).or_default().insert(resume.header.role.clone());
            }
        }
        tally(&rule.resume, &spoke).is_met()
    }

    /// The persons who made exceptions for a case of a suite that count at a time, without those who contributed.
    pub(super) fn excepted(
        &self,
        system: &SystemName,
        suite: &model::SuiteName,
        case: Digest,
        contributors: &BTreeSet<PersonId>,
        now: Timestamp,
    ) -> BTreeSet<PersonId> {
        let by_terms = self.exceptions_by_terms(system, suite, case, contributors, now);
        by_terms.into_values().map(|who| who.into_keys().collect()).max_by_key(BTreeSet::len).unwrap_or_default()
    }

    /// Until when a case of a suite is excepted by so many persons who did not contribute, and the log indices of
    /// their exceptions. `None` if it is not.
    pub(super) fn excepted_until(
        &self,
        (system, suite, case): (&SystemName, &model::SuiteName, Digest),
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
        suite: &model::SuiteName,
        case: Digest,
        contributors: &BTreeSet<PersonId>,
        now: Timestamp,
    ) -> BTreeMap<(PersonId, Timestamp), BTreeMap<PersonId, (Timestamp, u64)>> {
        let mut by_terms: BTreeMap<_, BTreeMap<PersonId, (Timestamp, u64)>> = BTreeMap::new();
        let holds = |said: &&Said<Exception>| self.members.holds(said.key, &said.by, &said.header.role);
        for said in self.standing(&self.exceptions).filter(holds) {
            let claim = &said.claim;
            let until = claim.ends.min(said.header.expires);
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
    pub(super) fn exceptions(&self) -> impl Iterator<Item = &Said<Exception>> {
        self.standing(&self.exceptions)
    }
}
