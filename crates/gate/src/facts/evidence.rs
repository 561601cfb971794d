//! What suites found, by change, by commit and by release.

use ledger::statement::v1::{Evidence, EvidenceOutcome};
use model::{Commit, Digest};

use super::{Facts, said::Said};

impl Facts {
    /// One evidence.
    pub fn one_evidence(&self, index: u64) -> Option<&Said<Evidence>> {
        self.evidence.get(index).filter(|s| self.stands(s))
    }

    /// All evidence about a change that stands, oldest first. Bad news stands even when its signer's key was
    /// withdrawn: otherwise whoever withdraws a key could make a failure disappear.
    pub fn evidence(&self, change: u64) -> impl DoubleEndedIterator<Item = &Said<Evidence>> {
        self.evidence
            .by(&self.evidence_of, &change)
            .filter(|s| s.claim.outcome != EvidenceOutcome::Passed || self.stands(s))
    }

    /// All evidence that a suite failed on a commit, also by keys withdrawn since, oldest first.
    pub fn failures_on_source(&self, commit: &Commit) -> impl DoubleEndedIterator<Item = &Said<Evidence>> {
        self.evidence.by(&self.failures_on_source, commit)
    }

    /// All evidence that a suite failed on the containers of a release, also by keys withdrawn since, oldest first.
    pub fn failures_on_release(&self, release: Digest) -> impl DoubleEndedIterator<Item = &Said<Evidence>> {
        self.evidence.by(&self.failures_on_release, &release)
    }
}
