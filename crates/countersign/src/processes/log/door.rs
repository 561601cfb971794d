//! The door of the log: every statement is signed by an enrolled key, entitled, in time, and of this history.
//!
//! A statement that names a checkpoint which this log never had is refused, and kept with the log's own checkpoint: either
//! its signer was shown a fork, or this log was set back. A crash while that is kept loses the evidence, not the refusal.

use std::{path::PathBuf, sync::Arc};

use ledger::{
    bodies::Subject,
    dsse::{Envelope, Identity},
    follow::Sighting,
    log::{Door, Log, Refusal, Submission},
    statement::{
        EntitlementError, Members, ReadError, Signatory, Statement,
        v1::{Claim, Kind, Seen},
        vouched,
    },
    store::{Store, StoreError},
};
use model::{Clock as _, Digest};

use super::{
    in_force::{InForce, PlaceError},
    refusals::Refusals,
};
use crate::clock::SystemClock;

/// Lets in what the charter lets in.
pub(super) struct CharterDoor {
    in_force: Arc<InForce>,
    forks: PathBuf,
    refusals: Arc<Refusals>,
}

/// Why a statement does not come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum DoorError {
    #[error(transparent)]
    Statement(#[from] ReadError),
    #[error(transparent)]
    Entitlement(#[from] EntitlementError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("the statement {0} is nothing that is cancelled")]
    NothingToCancel(u64),
    #[error("only those who guard the value can cancel the change of it at {0}, in that role")]
    NoGuardian(u64),
    #[error("a body was sent that the statement does not commit to")]
    StrayBody,
    #[error("the checkpoint of the tick is not this log's, or too few witnesses cosigned it")]
    Tick,
    #[error("a body was sent as about `{0}`, which is not whom its statement is about")]
    OtherSubject(Subject),
    #[error("its signer had seen {seen} entries of this log, and it has {size}")]
    Later { seen: u64, size: u64 },
    #[error("its signer had seen other entries before {0} than this log has")]
    TwoHistories(u64),
    #[error("what its signer had seen can not be compared with the log")]
    Unknown(#[source] ledger::log::ReadError),
}

impl DoorError {
    /// Whether somebody knows another history of this log.
    pub(super) const fn is_of_another_history(&self) -> bool {
        matches!(self, Self::Later { .. } | Self::TwoHistories(_))
    }
}

impl CharterDoor {
    pub(super) const fn new(in_force: Arc<InForce>, forks: PathBuf, refusals: Arc<Refusals>) -> Self {
        Self { in_force, forks, refusals }
    }

    fn let_in(&self, log: &Log, submission: &Submission) -> Result<(), DoorError> {
        let (charters, _) = self.in_force.follow(log).map_err(DoorError::Unknown)?;
        let (statement, by) = ledger::statement::open(&submission.envelope, charters.members())?;
        Members::check_expiry(&statement, SystemClock.now())?;
        for said in &submission.bodies {
            let commitment = said.body.commitment();
            if !statement.claim.commitments().into_iter().any(|(_, named)| named == commitment) {
                return Err(DoorError::StrayBody);
            }
            let subject = subject_of(&statement.claim, &by, commitment);
            // Nobody signs it, and another would take the body out of the erasure that is meant for it.
            if subject.as_ref() != Some(&said.subject) {
                return Err(DoorError::OtherSubject(said.subject.clone()));
            }
        }
        let identity = submission.envelope.identity();
        // What is in the log already is said again by whoever had no answer.
        if log.find(identity).map_err(DoorError::Unknown)?.is_none() {
            self.in_force.check(&charters, submission.envelope.signer(), &statement)?;
            if let Claim::Cancellation(cancellation) = &statement.claim {
                may_cancel(log, charters.members(), &statement, cancellation.of)?;
            }
        }
        self.is_of_this_history(log, charters.members(), submission, &statement)?;
        self.in_force.note(identity, &charters, &statement.claim);
        Ok(())
    }

    fn is_of_this_history(
        &self,
        log: &Log,
        members: &Members,
        submission: &Submission,
        statement: &Statement,
    ) -> Result<(), DoorError> {
        let tick = ledger::reader::tick_of(statement, members);
        // It would tell no reader anything, and every auditor that something is wrong.
        if tick.is_none() && statement.claim.kind() == Kind::Tick {
            return Err(DoorError::Tick);
        }
        for seen in vouched(statement, tick.as_ref()) {
            let root = log.root_at(seen.size).map_err(DoorError::Unknown)?;
            if root == Some(seen.root) {
                continue;
            }
            self.keep(log, submission, seen);
            return Err(match root {
                None => DoorError::Later { seen: seen.size, size: log.head().size() },
                Some(_) => DoorError::TwoHistories(seen.size),
            });
        }
        Ok(())
    }

    fn keep(&self, log: &Log, submission: &Submission, seen: Seen) {
        let evidence = log.sighting(submission.envelope.canonical_bytes(), seen);
        tracing::error!("a statement names a checkpoint over {} entries that this log never had", seen.size);
        if let Err(error) = ledger::follow::keep(&self.forks, Sighting::KIND, &evidence.to_bytes()) {
            tracing::error!("it can not be kept: {error}");
        }
    }
}

/// Whether a no could have an effect: somebody would otherwise think that a change of a value was stopped.
fn may_cancel(log: &Log, members: &Members, statement: &Statement, of: u64) -> Result<(), DoorError> {
    let entry = log.entries(of, 1).map_err(DoorError::Unknown)?.into_iter().next();
    let said = entry.and_then(|entry| {
        let envelope = Envelope::from_entry(&entry).ok()?;
        Statement::from_bytes(envelope.payload()).ok()
    });
    let Some(said) = said else { return Err(DoorError::NothingToCancel(of)) };
    match &said.claim {
        // The charters say more about an amendment, and any member may end a silence.
        Claim::Amendment(_) | Claim::Silence(_) => Ok(()),
        Claim::ValueProposal(proposal) => {
            let place = (said.header.system.as_ref(), said.header.environment.as_ref());
            let mut rules = members.charter().values.iter();
            let rule = rules.find(|r| r.name == proposal.name && (Some(&r.system), Some(&r.environment)) == place);
            let guards = rule.is_some_and(|r| r.guardians.groups.iter().any(|g| g.role == statement.header.role));
            if guards { Ok(()) } else { Err(DoorError::NoGuardian(of)) }
        }
        _ => Err(DoorError::NothingToCancel(of)),
    }
}

/// Whom a body of a statement is about: the person who made it, the change that was tested, or the value itself.
fn subject_of(claim: &Claim, by: &Signatory, body: Digest) -> Option<Subject> {
    match (claim, by) {
        (Claim::Evidence(evidence), _) => Some(Subject::Change(evidence.change)),
        (Claim::ValueProposal(proposal), _) if proposal.value == body => Some(Subject::Value(body)),
        (_, Signatory::Person(id)) => Some(Subject::Person(id.clone())),
        _ => None,
    }
}

impl Door for CharterDoor {
    fn check(&self, log: &Log, submission: &Submission) -> Result<(), Refusal> {
        self.let_in(log, submission).map_err(|error| {
            self.refusals.note(&submission.envelope, self.in_force.charters().members(), &error, SystemClock.now());
            Refusal::new(error)
        })
    }

    fn begin(&self, first: u64, store: &dyn Store) -> Result<(), StoreError> {
        self.in_force.begin(first, store)
    }

    fn place(&self, index: u64, identity: Identity, entry: &[u8]) -> Result<(), Refusal> {
        self.in_force.place(index, identity, entry).map_err(|e| Refusal::new(DoorError::Place(e)))
    }

    fn end(&self, stored: Option<u64>) {
        self.in_force.end(stored);
    }
}

#[cfg(test)]
mod tests;
