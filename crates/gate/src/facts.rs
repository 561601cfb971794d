//! Facts: the statements of a log, folded into what `decide` asks about.
//!
//! Nothing is thrown away by the fold: a withdrawn key makes earlier statements void, so facts are kept as they
//! were said and judged when asked. Whatever a question names is indexed, so that an answer costs what has been said
//! about it and not what is in the log.

mod alarms;
mod builds;
mod evidence;
mod exceptions;
mod halts;
mod live;
mod reports;
mod rollouts;
mod said;
mod stops;
mod table;
mod times;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ledger::{
    Verified,
    charter::Charters,
    dsse::Identity,
    statement::{
        Members, Statement,
        v1::{
            Acknowledgement, Alarm, Approval, Build, Cancellation, Change, Claim, Evidence, EvidenceOn,
            EvidenceOutcome, Exception, Halt, KeyWithdrawal, Kind, Milestone, Proposal, Rejection, Report, Resume,
            Retirement, Rollback, Silence, ValueApproval, ValueProposal,
        },
    },
    tick::OpenTick,
};
use model::{Commit, Digest, EnvironmentName, KeyId, PersonId, RoleName, SuiteName, SystemName};

pub use alarms::{Condition, Firing, SilenceRefusal, Silencing, hidden_roles, may_silence, reports_on};
pub use live::{Live, Stack};
pub use reports::Trouble;
pub use said::{Heading, Said};
pub use stops::{Stop, StopError};
pub(crate) use values::ValueKey;

use crate::{policy::Policy, time::LogTime};
use live::History;
use said::Names;
use table::{Index, Table};

/// Why a statement can not be folded.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The statements did not come in order.
    #[error("expected the statement at index {expected}, got {found}")]
    Order {
        /// The index that comes next.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// The signer is not one that the charter lists.
    #[error(transparent)]
    Signer(#[from] ledger::statement::EntitlementError),
    /// The statement can not be written again as it was read. A defect of this version.
    #[error(transparent)]
    Payload(#[from] ledger::statement::PayloadError),
}

/// The first `size` statements of a log.
#[derive(Clone, Debug)]
pub struct Facts {
    charters: Charters,
    policy: Digest,
    names: Names,
    size: u64,
    heard: HashSet<Identity>,
    founders: BTreeSet<PersonId>,
    changes: Table<Change>,
    changes_of: Index<SystemName>,
    /// The accepted changes of each system, and how many of the first of them are void.
    accepted: BTreeMap<SystemName, (Vec<usize>, usize)>,
    builds: Table<Build>,
    builds_of: Index<u64>,
    builds_as: Index<Digest>,
    evidence: Table<Evidence>,
    evidence_of: Index<u64>,
    failures_on_source: Index<Commit>,
    failures_on_release: Index<Digest>,
    proposals: Table<Proposal>,
    approvals: Table<Approval>,
    approvals_of: Index<u64>,
    rejections: Table<Rejection>,
    rejections_of: Index<u64>,
    milestones: Table<Milestone>,
    /// The first milestone that says that a proposal was gone back from.
    went_back: BTreeMap<u64, u64>,
    backs_of: Index<Digest>,
    halts: Table<Halt>,
    resumes: Table<Resume>,
    resumes_of: Index<u64>,
    rollbacks: Table<Rollback>,
    rollbacks_from: Index<Digest>,
    retirements: Table<Retirement>,
    reports: Table<Report>,
    reports_of: Index<Digest>,
    exceptions: Table<Exception>,
    exceptions_of: Index<(SuiteName, Digest)>,
    cancellations: Table<Cancellation>,
    cancellations_of: Index<u64>,
    value_proposals: Table<ValueProposal>,
    value_proposals_of: Index<ValueKey>,
    value_approvals: Table<ValueApproval>,
    value_approvals_of: Index<u64>,
    alarms: Table<Alarm>,
    /// The alarms that are firing, by what they are about.
    firings: alarms::Firings,
    acknowledgements: Table<Acknowledgement>,
    acknowledgements_of: Index<u64>,
    silences: Table<Silence>,
    /// Every environment of every system of the charter.
    places: BTreeMap<SystemName, BTreeMap<EnvironmentName, Place>>,
    void_from: BTreeMap<KeyId, u64>,
    /// Every withdrawal of a key, in order: its log index, and from where on the key is void by it.
    withdrawals: BTreeMap<KeyId, Vec<(u64, u64)>>,
    times: Vec<LogTime>,
}

/// What is known of one environment of one system.
#[derive(Clone, Debug, Default)]
struct Place {
    proposals: Vec<usize>,
    milestones: Vec<usize>,
    rollbacks: Vec<usize>,
    retirements: Vec<usize>,
    /// What ran, by the milestones that stand.
    history: History,
    /// The log indices of the halts in force.
    halts: BTreeSet<u64>,
}

impl Facts {
    /// No statements yet, under this charter.
    pub fn new(members: Members) -> Self {
        let charters = Charters::new(&members);
        let members = charters.members().clone();
        let charter = members.charter();
        let environments = || charter.environments.iter().map(|e| (e.name.clone(), Place::default())).collect();
        Self {
            policy: Digest::of(charter.policy.as_bytes()),
            names: Names::of(charter),
            places: charter.systems.iter().map(|s| (s.name.clone(), environments())).collect(),
            charters,
            size: 0,
            heard: HashSet::new(),
            founders: BTreeSet::new(),
            changes: Table::new(),
            changes_of: Index::new(),
            accepted: BTreeMap::new(),
            builds: Table::new(),
            builds_of: Index::new(),
            builds_as: Index::new(),
            evidence: Table::new(),
            evidence_of: Index::new(),
            failures_on_source: Index::new(),
            failures_on_release: Index::new(),
            proposals: Table::new(),
            approvals: Table::new(),
            approvals_of: Index::new(),
            rejections: Table::new(),
            rejections_of: Index::new(),
            milestones: Table::new(),
            went_back: BTreeMap::new(),
            backs_of: Index::new(),
            halts: Table::new(),
            resumes: Table::new(),
            resumes_of: Index::new(),
            rollbacks: Table::new(),
            rollbacks_from: Index::new(),
            retirements: Table::new(),
            reports: Table::new(),
            reports_of: Index::new(),
            exceptions: Table::new(),
            exceptions_of: Index::new(),
            cancellations: Table::new(),
            cancellations_of: Index::new(),
            value_proposals: Table::new(),
            value_proposals_of: Index::new(),
            value_approvals: Table::new(),
            value_approvals_of: Index::new(),
            alarms: Table::new(),
            firings: alarms::Firings::new(),
            acknowledgements: Table::new(),
            acknowledgements_of: Index::new(),
            silences: Table::new(),
            void_from: BTreeMap::new(),
            withdrawals: BTreeMap::new(),
            times: Vec::new(),
        }
    }

    /// Takes the next statement.
    pub fn apply(&mut self, entry: &Verified<Statement>) -> Result<(), FactsError> {
        let identity = match entry.identity() {
            Some(identity) => identity,
            None => Identity::of(&entry.value().to_bytes()?, entry.key()),
        };
        self.fold(entry.index(), entry.key(), identity, entry.tick(), entry.value())
    }

    /// The same for who has the parts; the caller has verified them.
    pub(crate) fn fold(
        &mut self,
        index: u64,
        key: KeyId,
        identity: Identity,
        opened: Option<&OpenTick>,
        statement: &Statement,
    ) -> Result<(), FactsError> {
        if index != self.size {
            return Err(FactsError::Order { expected: self.size, found: index });
        }
        let by = self.members().holder_arc(key)?;
        self.size += 1;
        if self.charters.take(index, key, identity, statement, opened) {
            self.follow_charter();
        }
        // A verdict is never read by a verdict.
        if matches!(statement.claim, Claim::Verdict(_)) {
            return Ok(());
        }
        // The same payload by the same key is the same statement, and it was said when it stood first: whoever holds
        // the log's key could otherwise repeat an old approval, an old milestone or an old pass as if it were new.
        if !self.heard.insert(identity) {
            return Ok(());
        }
        let header = self.names.heading(&statement.header);
        macro_rules! keep {
            ($map:ident, $claim:expr) => {{
                let claim = Clone::clone($claim);
                self.$map.add(Said { index, key, by, header, claim })
            }};
        }
        match &statement.claim {
            Claim::Charter(_) => self.founders.extend(by.persons().iter().cloned()),
            Claim::Tick(tick) => self.keep_time(tick, opened, index),
            Claim::Change(c) => {
                let at = keep!(changes, c.as_ref());
                self.changes_of.add(c.system.clone(), at);
                if c.is_accepted() {
                    self.accepted.entry(c.system.clone()).or_default().0.push(at);
                    self.skip_void_changes();
                }
            }
            Claim::Build(c) => {
                let at = keep!(builds, c.as_ref());
                self.builds_of.add(c.change, at);
                self.builds_as.add(c.release, at);
            }
            Claim::Evidence(c) => {
                let at = keep!(evidence, c.as_ref());
                self.evidence_of.add(c.change, at);
                if c.outcome == EvidenceOutcome::Failed {
                    match &c.on {
                        EvidenceOn::Source { commit } => self.failures_on_source.add(*commit, at),
                        EvidenceOn::Containers { release, .. } => self.failures_on_release.add(*release, at),
                    }
                }
            }
            Claim::Proposal(c) => {
                let at = keep!(proposals, c.as_ref());
                if let Some(place) = self.place_mut(c.serial.system(), &c.environment) {
                    place.proposals.push(at);
                }
            }
            Claim::Approval(c) => {
                let at = keep!(approvals, c);
                self.approvals_of.add(c.proposal, at);
            }
            Claim::Rejection(c) => {
                let at = keep!(rejections, c);
                self.rejections_of.add(c.proposal, at);
            }
            Claim::Milestone(c) => {
                let at = keep!(milestones, c.as_ref());
                if c.what.is_back() {
                    self.went_back.entry(c.proposal).or_insert(index);
                    self.backs_of.add(c.release, at);
                }
                let stands = !self.is_void(key, index);
                if let Some(place) = self.place_mut(c.serial.system(), &c.environment) {
                    place.milestones.push(at);
                    if stands {
                        place.history.apply(index, c);
                    }
                }
            }
            Claim::Halt(c) => {
                keep!(halts, c);
                self.begin_halt(index);
            }
            Claim::Resume(c) => {
                let at = keep!(resumes, c);
                self.resumes_of.add(c.halt, at);
                self.weigh_halt(c.halt);
            }
            Claim::Rollback(c) => {
                let system = header.system.clone();
                let at = keep!(rollbacks, c);
                self.rollbacks_from.add(c.from, at);
                if let Some(place) = system.and_then(|system| self.place_mut(&system, &c.environment)) {
                    place.rollbacks.push(at);
                }
            }
            Claim::Retirement(c) => {
                let at = keep!(retirements, c);
                if let Some(place) = self.place_mut(c.serial.system(), &c.environment) {
                    place.retirements.push(at);
                }
            }
            Claim::Report(c) => {
                let at = keep!(reports, c.as_ref());
                self.reports_of.add(c.release, at);
            }
            Claim::Exception(c) => {
                let at = keep!(exceptions, c);
                self.exceptions_of.add((c.suite.clone(), c.case), at);
            }
            Claim::KeyWithdrawal(c) => self.withdraw(c, index),
            // What was forgotten beside the log changes nothing that is in it.
            // Nor does what was counted: what the agent did about it is in its milestones.
            Claim::Verdict(_) | Claim::Erasure(_) | Claim::Analysis(_) => {}
            Claim::Cancellation(c) => {
                let at = keep!(cancellations, c);
                self.cancellations_of.add(c.of, at);
            }
            Claim::ValueProposal(c) => {
                let place = header.system.clone().zip(header.environment.clone());
                let at = keep!(value_proposals, c);
                if let Some((system, environment)) = place {
                    self.value_proposals_of.add((system, environment, c.name.clone()), at);
                }
            }
            Claim::ValueApproval(c) => {
                let at = keep!(value_approvals, c);
                self.value_approvals_of.add(c.proposal, at);
            }
            Claim::Alarm(c) => {
                let stands = !self.is_void(key, index);
                alarms::take(&mut self.firings, index, &header, c, stands);
                keep!(alarms, c);
            }
            Claim::Acknowledgement(c) => {
                let at = keep!(acknowledgements, c);
                self.acknowledgements_of.add(c.alarm, at);
            }
            Claim::Silence(c) => {
                keep!(silences, c.as_ref());
            }
            Claim::Amendment(_) | Claim::Consent(_) => {}
        }
        Ok(())
    }

    /// Another charter is in force. What was said of a place that it does not name stays known.
    fn follow_charter(&mut self) {
        let charter = self.charters.members().charter();
        self.policy = Digest::of(charter.policy.as_bytes());
        self.names = Names::of(charter);
        let mut new = Vec::new();
        for system in &charter.systems {
            let environments = self.places.entry(system.name.clone()).or_default();
            for environment in &charter.environments {
                if !environments.contains_key(&environment.name) {
                    environments.insert(environment.name.clone(), Place::default());
                    new.push((system.name.clone(), environment.name.clone()));
                }
            }
        }
        // A halt of everything is one of what comes later too.
        if !new.is_empty() {
            let halts: Vec<u64> = self.halts.iter().map(|halt| halt.index).collect();
            halts.into_iter().for_each(|halt| self.begin_halt_in(halt, &new));
        }
    }

    /// Passes over statements that are not known, up to this index: what was said there is taken as not said. For excerpts
    /// of a log only; whoever acts on facts has every statement. A smaller index is no step back.
    pub(crate) fn skip_to(&mut self, index: u64) {
        self.size = self.size.max(index);
    }

    /// What a key signed from some index on is void, and whatever was derived from it is derived again.
    fn withdraw(&mut self, claim: &KeyWithdrawal, index: u64) {
        let (key, from) = (claim.key, claim.void_from);
        let before = self.void_from.get(&key).copied().unwrap_or(u64::MAX);
        self.void_from.insert(key, from.min(before));
        self.withdrawals.entry(key).or_default().push((index, from));
        if self.milestones.within(from..before).iter().any(|m| m.key == key) {
            self.tell_histories_again();
        }
        if self.alarms.within(from..before).iter().any(|a| a.key == key) {
            self.tell_alarms_again();
        }
        let resumed = self.resumes.within(from..before).iter().filter(|r| r.key == key);
        let halts: BTreeSet<u64> = resumed.map(|r| r.claim.halt).collect();
        halts.into_iter().for_each(|halt| self.weigh_halt(halt));
        self.skip_void_changes();
    }

    fn tell_histories_again(&mut self) {
        let (milestones, void_from) = (&self.milestones, &self.void_from);
        for place in self.places.values_mut().flat_map(BTreeMap::values_mut) {
            let mut history = History::default();
            let all = place.milestones.iter().filter_map(|at| milestones.row(*at));
            for said in all.filter(|s| void_from.get(&s.key).is_none_or(|from| s.index < *from)) {
                history.apply(said.index, &said.claim);
            }
            place.history = history;
        }
    }

    /// What is void stays void, so each accepted change is passed over once.
    fn skip_void_changes(&mut self) {
        let (changes, void_from) = (&self.changes, &self.void_from);
        let is_void =
            |at: usize| changes.row(at).is_some_and(|s| void_from.get(&s.key).is_some_and(|from| s.index >= *from));
        for (accepted, void) in self.accepted.values_mut() {
            while accepted.get(*void).is_some_and(|at| is_void(*at)) {
                *void += 1;
            }
        }
    }

    fn place(&self, system: &SystemName, environment: &EnvironmentName) -> Option<&Place> {
        self.places.get(system)?.get(environment)
    }

    fn place_mut(&mut self, system: &SystemName, environment: &EnvironmentName) -> Option<&mut Place> {
        self.places.get_mut(system)?.get_mut(environment)
    }

    /// How many statements.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether a statement is in the log: the same payload by the same key. Verdicts are not kept in mind.
    pub fn has_heard(&self, identity: Identity) -> bool {
        self.heard.contains(&identity)
    }

    /// The charter in force after these statements, and its keys.
    pub const fn members(&self) -> &Members {
        self.charters.members()
    }

    /// The charter that was in force for the statement at an index.
    pub fn members_at(&self, index: u64) -> &Members {
        self.charters.members_at(index)
    }

    /// The charters of the log, and the amendments that were put up.
    pub const fn charters(&self) -> &Charters {
        &self.charters
    }

    /// Whether who said something still holds, with this key, the role in which it was said: a role must hold when signed
    /// and when used.
    pub fn still_holds<T>(&self, said: &Said<T>) -> bool {
        self.members().holds(said.key, &said.by, &said.header.role)
    }

    /// The policy of the charter in force, if it is another than the one at hand. `None` also if it does not parse: then
    /// no policy at hand is of its digest, and nothing is granted.
    pub fn policy_after(&self, at_hand: &Policy) -> Option<Policy> {
        let is_other = at_hand.digest() != self.policy;
        is_other.then(|| Policy::parse(&self.members().charter().policy).ok()).flatten()
    }

    /// The digest of the charter's policy.
    pub(crate) const fn policy(&self) -> Digest {
        self.policy
    }

    /// Whether every founder has signed the charter.
    pub fn is_founded(&self) -> bool {
        // The first charter's: who founded a log does not change.
        self.members_at(0).charter().founders().all(|m| self.founders.contains(&m.id))
    }

    /// Whether what this key signed at this index is void.
    pub fn is_void(&self, key: KeyId, index: u64) -> bool {
        self.void_from.get(&key).is_some_and(|from| index >= *from)
    }

    /// The log index of the withdrawal of a key.
    pub fn withdrawal(&self, key: KeyId) -> Option<u64> {
        self.withdrawals.get(&key)?.first().map(|(at, _)| *at)
    }

    /// The log index of the withdrawal by which what this key signed at this index is void, the first one if there are
    /// several: until then it stood.
    pub(crate) fn voided(&self, key: KeyId, index: u64) -> Option<u64> {
        self.withdrawals.get(&key)?.iter().find(|(_, from)| index >= *from).map(|(at, _)| *at)
    }

    /// Whether the statement at a log index withdraws a key.
    pub(crate) fn is_withdrawal(&self, index: u64) -> bool {
        self.withdrawals.values().flatten().any(|(at, _)| *at == index)
    }

    fn stands<T>(&self, said: &Said<T>) -> bool {
        !self.is_void(said.key, said.index)
    }

    fn standing<'a, T: 'a>(
        &'a self,
        rows: impl DoubleEndedIterator<Item = &'a Said<T>>,
    ) -> impl DoubleEndedIterator<Item = &'a Said<T>> {
        rows.filter(|said| self.stands(said))
    }

    /// A change, unless its signer's key was withdrawn.
    pub fn change(&self, index: u64) -> Option<&Said<Change>> {
        self.changes.get(index).filter(|s| self.stands(s))
    }

    /// A change also if its signer's key was withdrawn since: what binds does not cease to bind by that.
    pub(crate) fn any_change(&self, index: u64) -> Option<&Said<Change>> {
        self.changes.get(index)
    }

    /// All changes of a system that stand, oldest first.
    pub fn changes(&self, system: &SystemName) -> impl DoubleEndedIterator<Item = &Said<Change>> {
        self.standing(self.changes.by(&self.changes_of, system))
    }

    /// The first accepted change of a system that stands.
    pub fn first_accepted(&self, system: &SystemName) -> Option<&Said<Change>> {
        let (accepted, void) = self.accepted.get(system)?;
        self.changes.row(*accepted.get(*void)?)
    }

    /// A proposal also if its signer's key was withdrawn since.
    pub fn any_proposal(&self, index: u64) -> Option<&Said<Proposal>> {
        self.proposals.get(index)
    }

    /// All approvals of a proposal, also by keys withdrawn since.
    pub(crate) fn any_approvals(&self, proposal: u64) -> impl DoubleEndedIterator<Item = &Said<Approval>> {
        self.approvals.by(&self.approvals_of, &proposal)
    }

    /// A proposal.
    pub fn proposal(&self, index: u64) -> Option<&Said<Proposal>> {
        self.proposals.get(index).filter(|s| self.stands(s))
    }

    /// All proposals that stand, oldest first.
    pub fn proposals(&self) -> impl DoubleEndedIterator<Item = &Said<Proposal>> {
        self.standing(self.proposals.iter())
    }

    /// The proposals for an environment of a system that stand, oldest first.
    pub fn proposals_for(
        &self,
        system: &SystemName,
        environment: &EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &Said<Proposal>> {
        let all: &[usize] = self.place(system, environment).map(|p| p.proposals.as_slice()).unwrap_or_default();
        self.standing(all.iter().filter_map(|at| self.proposals.row(*at)))
    }

    /// All approvals of a proposal that stand.
    pub fn approvals(&self, proposal: u64) -> impl DoubleEndedIterator<Item = &Said<Approval>> {
        self.standing(self.any_approvals(proposal))
    }

    /// All rejections of a proposal, also by keys withdrawn since: stopping is not undone by a withdrawal.
    pub fn rejections(&self, proposal: u64) -> impl DoubleEndedIterator<Item = &Said<Rejection>> {
        self.rejections.by(&self.rejections_of, &proposal)
    }

    /// Whether the holder of a key exercised a role that may say a kind. Readers check entitlement when they
    /// verify; this is for rules that ask about a role by what it may say.
    pub fn may_say(&self, role: &RoleName, kind: Kind) -> bool {
        self.members().charter().may_say(role, kind)
    }
}

#[cfg(test)]
mod tests;
