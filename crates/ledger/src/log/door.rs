//! The door of the log: who decides what may come in.

use std::sync::Arc;

use super::{Log, Submission};
use crate::{
    dsse::Identity,
    store::{Store, StoreError},
};

/// Why a statement was not let in; the chain of the cause says what and why.
#[derive(Clone, Debug)]
pub struct Refusal(Arc<dyn std::error::Error + Send + Sync>);

impl Refusal {
    /// From the error that says why.
    pub fn new(reason: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(reason))
    }

    /// The error, if it is of this type.
    pub fn reason<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Decides what may come into a log, from the submission, the time and what the log was so far: form,
/// signature, entitlement, bodies, expiry, history.
///
/// It is asked in the thread of whoever appends, many at once, so that the log's one writer has only order to make.
pub trait Door: Send + Sync {
    /// Lets a submission in or says why not.
    fn check(&self, log: &Log, submission: &Submission) -> Result<(), Refusal>;

    /// The writer gives places from `first` on; what stands before is in the store. Who may say what can depend on what
    /// stands before, and between [`Door::check`] and here others were faster.
    fn begin(&self, first: u64, store: &dyn Store) -> Result<(), StoreError> {
        let _ = (first, store);
        Ok(())
    }

    /// Whether an entry may stand at an index, after those that were let in since [`Door::begin`].
    fn place(&self, index: u64, identity: Identity, entry: &[u8]) -> Result<(), Refusal> {
        let _ = (index, identity, entry);
        Ok(())
    }

    /// Those since [`Door::begin`] are stored, and the log has so many entries now; or none of them is known to be.
    fn end(&self, stored: Option<u64>) {
        let _ = stored;
    }
}

/// A door that is open to every envelope: for logs of others and for measuring. A log of statements never has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenDoor;

impl Door for OpenDoor {
    fn check(&self, _: &Log, _: &Submission) -> Result<(), Refusal> {
        Ok(())
    }
}
