//! What agents said of rollouts, and what runs by it.

use ledger::statement::v1::{Milestone, Retirement, Rollback};
use model::{Digest, EnvironmentName, SystemName};

use super::{
    Facts,
    live::{Live, Stack, Stretch},
    said::Said,
};

impl Facts {
    /// All milestones of an environment of a system that stand, oldest first.
    pub fn milestones(
        &self,
        system: &SystemName,
        environment: &EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &Said<Milestone>> {
        let all: &[usize] = self.place(system, environment).map(|p| p.milestones.as_slice()).unwrap_or_default();
        self.standing(all.iter().filter_map(|at| self.milestones.row(*at)))
    }

    /// The same, also by keys withdrawn since.
    pub(crate) fn any_milestones(
        &self,
        system: &SystemName,
        environment: &EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &Said<Milestone>> {
        let all: &[usize] = self.place(system, environment).map(|p| p.milestones.as_slice()).unwrap_or_default();
        all.iter().filter_map(|at| self.milestones.row(*at))
    }

    /// All rollback orders, also by keys withdrawn since.
    pub fn rollbacks(
        &self,
        system: &SystemName,
        environment: &EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &Said<Rollback>> {
        let all: &[usize] = self.place(system, environment).map(|p| p.rollbacks.as_slice()).unwrap_or_default();
        all.iter().filter_map(|at| self.rollbacks.row(*at))
    }

    /// Orders to retire versions, oldest first. One by a key that was withdrawn since is none: nobody needs it stopped.
    pub fn retirements(
        &self,
        system: &SystemName,
        environment: &EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &Said<Retirement>> {
        let all: &[usize] = self.place(system, environment).map(|p| p.retirements.as_slice()).unwrap_or_default();
        self.standing(all.iter().filter_map(|at| self.retirements.row(*at)))
    }

    /// What runs now and what ran before it, newest first: as long as the history of the environment. Who asks only
    /// what runs, or about one release, asks [`Facts::running`].
    pub fn live(&self, system: &SystemName, environment: &EnvironmentName) -> Vec<Live> {
        self.running(system, environment).iter().cloned().collect()
    }

    /// The same, without copying any of it.
    pub fn running(&self, system: &SystemName, environment: &EnvironmentName) -> Stack<'_> {
        self.place(system, environment).map_or(Stack::empty(), |place| place.history.now())
    }

    /// When a release ran in an environment, oldest first.
    pub(crate) fn stretches(
        &self,
        system: &SystemName,
        environment: &EnvironmentName,
        release: Digest,
    ) -> Vec<Stretch<'_>> {
        self.place(system, environment).map(|place| place.history.stretches(release)).unwrap_or_default()
    }

    /// The first milestone that says that a release went back in an environment, also by keys withdrawn since: bad news stands.
    pub(crate) fn gone_back(&self, system: &SystemName, environment: &EnvironmentName, release: Digest) -> Option<u64> {
        let mut all = self.milestones.by(&self.backs_of, &release);
        let here = |m: &&Said<Milestone>| m.claim.serial.system() == system && &m.claim.environment == environment;
        all.find(here).map(|m| m.index)
    }

    /// What ran when the log had so many statements, newest first.
    pub(crate) fn running_before(&self, system: &SystemName, environment: &EnvironmentName, size: u64) -> Stack<'_> {
        self.place(system, environment).map_or(Stack::empty(), |place| place.history.before(size))
    }

    /// Whether a proposal has been tried and gone back from, or ordered back from: it needs a new proposal.
    pub fn spent(&self, proposal: u64) -> Option<u64> {
        let said = self.proposal(proposal)?;
        let (system, environment) = (said.claim.serial.system(), &said.claim.environment);
        // Bad news stands, also by an agent's key that was withdrawn since, and so does an operator's order.
        let ordered = self.rollbacks.by(&self.rollbacks_from, &said.claim.release).find(|r| {
            r.index > proposal && r.header.system.as_ref() == Some(system) && &r.claim.environment == environment
        });
        self.went_back.get(&proposal).copied().or(ordered.map(|r| r.index))
    }
}
