//! Who made a commit: its addresses and its signing key against the charter. Pure.

use std::collections::{BTreeMap, BTreeSet};

use build::git::{CommitFacts, CommitSignature};
use ledger::statement::v1::{CommitFact, CommitProblem};
use model::{KeyId, PersonId};

use crate::founding::Identity;

/// What the log says of a commit. Author, committer and signer must be one enrolled person; co-authors must be
/// enrolled and count as contributors. A trailer that can not be read could hide one, so it is not in order either.
pub(super) fn fact(
    commit: &CommitFacts,
    people: &BTreeMap<PersonId, Identity>,
    holder: impl Fn(KeyId) -> Option<PersonId>,
) -> CommitFact {
    let person = |email: &str| {
        let email = email.trim().to_lowercase();
        people.iter().find(|(_, identity)| identity.emails.contains(&email)).map(|(id, _)| id.clone())
    };
    let author = person(&commit.author_email);
    let committer = person(&commit.committer_email);
    let others: Vec<Option<PersonId>> = commit.co_author_emails.iter().map(|e| person(e)).collect();
    let mut contributors: BTreeSet<PersonId> =
        author.iter().chain(committer.iter()).chain(others.iter().flatten()).cloned().collect();
    let signed = match &commit.signature {
        CommitSignature::Signed { key } => {
            let id = KeyId::of_wire(key);
            holder(id).map(|person| (id, person)).ok_or(CommitProblem::UnknownKey)
        }
        CommitSignature::Unsigned => Err(CommitProblem::Unsigned),
        CommitSignature::NotSsh => Err(CommitProblem::NotSsh),
        CommitSignature::BadSignature => Err(CommitProblem::BadSignature),
        CommitSignature::UnsupportedKey => Err(CommitProblem::UnknownKey),
    };
    let (key, problem) = match signed {
        Err(problem) => (None, Some(problem)),
        Ok((key, signer)) => {
            let all_known = author.is_some()
                && committer.is_some()
                && others.iter().all(Option::is_some)
                && commit.unreadable_trailers.is_empty();
            let is_one = author.as_ref() == Some(&signer) && committer.as_ref() == Some(&signer);
            contributors.insert(signer);
            let problem = match (all_known, is_one) {
                (false, _) => Some(CommitProblem::UnknownAuthor),
                (true, false) => Some(CommitProblem::ForgedAuthor),
                (true, true) => None,
            };
            (Some(key), problem)
        }
    };
    CommitFact {
        commit: commit.commit,
        contributors: contributors.into_iter().collect(),
        key,
        requirements: commit.requirements.clone(),
        problem,
    }
}

#[cfg(test)]
mod tests;
