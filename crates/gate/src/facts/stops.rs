//! Stops before the log has them: what somebody handed over directly is weighed as if it came next.
//!
//! The log's own facts stay as they are, and so does their number: what is decided with stops in hand is for whoever acts
//! on it, who may only do less for it, and is nothing to sign.

use ledger::{
    dsse::{Envelope, Identity},
    statement::{
        self, Members, ReadError, Statement,
        v1::{Claim, Kind},
    },
};
use model::KeyId;

use super::{Facts, FactsError};

/// A halt, a rejection or a withdrawal of a key, signed by somebody who may say it.
///
/// The fields are private: only [`Stop::open`] makes one, after checking that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    identity: Identity,
    key: KeyId,
    statement: Statement,
}

/// Why an envelope is no stop.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Not a statement of this log.
    #[error(transparent)]
    Statement(#[from] ReadError),
    /// Something else.
    #[error("this is not a halt, a rejection or a withdrawal of a key but a {0}")]
    Other(Kind),
}

impl Stop {
    /// Opens an envelope under a charter.
    pub fn open(envelope: &Envelope, members: &Members) -> Result<Self, StopError> {
        let (statement, _) = statement::open(envelope, members)?;
        match statement.claim {
            Claim::Halt(_) | Claim::Rejection(_) | Claim::KeyWithdrawal(_) => {
                Ok(Self { identity: envelope.identity(), key: envelope.signer(), statement })
            }
            other => Err(StopError::Other(other.kind())),
        }
    }

    /// The statement's name.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// What it says.
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }
}

impl Facts {
    /// The same facts with stops that the log does not have yet. What it has already changes nothing.
    pub fn stopped<'a>(&self, stops: impl IntoIterator<Item = &'a Stop>) -> Result<Self, FactsError> {
        let mut facts = self.clone();
        for stop in stops {
            facts.fold(facts.size, stop.key, stop.identity, None, &stop.statement)?;
        }
        facts.size = self.size;
        Ok(facts)
    }
}
