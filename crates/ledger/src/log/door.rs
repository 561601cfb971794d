//! The door of the log: who decides what may come in.

use std::sync::Arc;

use super::Submission;
use crate::dsse::Envelope;

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

/// Decides what may come into a log.
///
/// Two checks, because signatures are slow and order is not: [`Door::check`] runs in the thread of whoever appends, many
/// at once; [`Door::admit`] runs in the log's one writer, in the order of the log.
pub trait Door: Send + Sync {
    /// Form, signature, bodies, expiry: whatever can be judged from the submission, the time and the log so far.
    fn check(&self, submission: &Submission) -> Result<(), Refusal>;

    /// Judges what depends on the entries before, and from then on counts the entry among them. It may depend on
    /// nothing else, least of all on the time: when a log is opened, every stored entry is admitted again, in order.
    fn admit(&self, index: u64, envelope: &Envelope) -> Result<(), Refusal>;

    /// The entries from this index on, though admitted, are not in the log after all: forget them.
    fn rewind(&self, size: u64);
}

/// A door that is open to every envelope: for logs of others and for measuring. A log of statements never has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenDoor;

impl Door for OpenDoor {
    fn check(&self, _: &Submission) -> Result<(), Refusal> {
        Ok(())
    }

    fn admit(&self, _: u64, _: &Envelope) -> Result<(), Refusal> {
        Ok(())
    }

    fn rewind(&self, _: u64) {}
}
