//! What was said about guarded values, and what was cancelled. What follows from it is in `gate::values`.

use ledger::statement::v1::{Cancellation, ValueApproval, ValueProposal};
use model::{EnvironmentName, SystemName, ValueName};

use super::{Facts, said::Said};

/// A guarded value by where it is used and what it is called.
pub(crate) type ValueKey = (SystemName, EnvironmentName, ValueName);

impl Facts {
    /// All proposals of guarded values that stand, oldest first.
    pub fn value_proposals(&self) -> impl DoubleEndedIterator<Item = &Said<ValueProposal>> {
        self.standing(self.value_proposals.iter())
    }

    /// The proposals of one guarded value, also by keys withdrawn since, oldest first.
    pub(crate) fn any_value_proposals_of(
        &self,
        key: &ValueKey,
    ) -> impl DoubleEndedIterator<Item = &Said<ValueProposal>> {
        self.value_proposals.by(&self.value_proposals_of, key)
    }

    /// A proposal of a guarded value.
    pub fn value_proposal(&self, index: u64) -> Option<&Said<ValueProposal>> {
        self.value_proposals.get(index).filter(|said| self.stands(said))
    }

    /// The same, also if its signer's key was withdrawn since.
    pub(crate) fn any_value_proposal(&self, index: u64) -> Option<&Said<ValueProposal>> {
        self.value_proposals.get(index)
    }

    /// All approvals of guarded values that stand, oldest first.
    pub fn value_approvals(&self) -> impl DoubleEndedIterator<Item = &Said<ValueApproval>> {
        self.standing(self.value_approvals.iter())
    }

    /// The approvals of a proposal of a guarded value, also by keys withdrawn since.
    pub(crate) fn any_value_approvals(&self, proposal: u64) -> impl DoubleEndedIterator<Item = &Said<ValueApproval>> {
        self.value_approvals.by(&self.value_approvals_of, &proposal)
    }

    /// Who cancelled what stands at a log index, also by keys withdrawn since: stopping is not undone by a withdrawal.
    pub fn cancellations(&self, of: u64) -> impl DoubleEndedIterator<Item = &Said<Cancellation>> {
        self.cancellations.by(&self.cancellations_of, &of)
    }
}
