//! What of a proposal's comparison on live traffic does not follow, for the verbs that tell about one release.
//!
//! It computes the answers again and judges nothing else.

use gate::comparison::{Comparisons, Documents};
use ledger::{
    Verified,
    statement::{Statement, v1::Claim},
};

/// The log index of each statement about this proposal that does not follow, and what is wrong with it.
pub(super) fn wrong(statements: &[Verified<Statement>], proposal: u64, documents: Documents<'_>) -> Vec<(u64, String)> {
    let mut comparisons = Comparisons::new();
    statements.iter().for_each(|entry| comparisons.take(entry, documents));
    let is_about = |index: u64| {
        let entry = usize::try_from(index).ok().and_then(|at| statements.get(at));
        match entry.map(|entry| &entry.value().claim) {
            Some(Claim::Analysis(c)) => c.proposal == proposal,
            Some(Claim::Milestone(c)) => c.proposal == proposal,
            _ => false,
        }
    };
    let found = comparisons.take_found().into_iter().filter(|m| is_about(m.index));
    found.map(|m| (m.index, m.what.to_string())).collect()
}
