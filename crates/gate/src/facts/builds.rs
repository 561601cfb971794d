//! Builds: by their index, by the change that they were made of, and by the release that they made.

use ledger::statement::v1::Build;
use model::Digest;

use super::{Facts, said::Said};

impl Facts {
    /// A build.
    pub fn build(&self, index: u64) -> Option<&Said<Build>> {
        self.builds.get(index).filter(|s| self.stands(s))
    }

    /// All builds that stand.
    pub fn builds(&self) -> impl DoubleEndedIterator<Item = &Said<Build>> {
        self.standing(self.builds.iter())
    }

    /// The builds of a change that stand, oldest first.
    pub fn builds_of(&self, change: u64) -> impl DoubleEndedIterator<Item = &Said<Build>> {
        self.standing(self.builds.by(&self.builds_of, &change))
    }

    /// All builds of a change, also by keys withdrawn since, oldest first.
    pub(crate) fn any_builds_of(&self, change: u64) -> impl DoubleEndedIterator<Item = &Said<Build>> {
        self.builds.by(&self.builds_of, &change)
    }

    /// The builds that made a release and stand, oldest first.
    pub fn builds_as(&self, release: Digest) -> impl DoubleEndedIterator<Item = &Said<Build>> {
        self.standing(self.builds.by(&self.builds_as, &release))
    }
}
