//! What every driver of this room does: say what is there, and do one step.
//!
//! A driver refuses to know why: it chooses nothing, and never starts what no step named.

use rollout::{instance::Observed, step::Step};

/// Something that runs components: containers on this host, a cluster, or the fake in `sim`.
pub trait Driver {
    /// What is there now. Bounded: it never waits for a component.
    fn observe(&mut self) -> Result<Observed, DriverError>;

    /// Does one step; doing it twice is doing it once.
    ///
    /// An error means that the step is not done. What it had begun is taken back now or by the next
    /// [`Driver::execute`] or opening of the driver, never left for a person.
    fn execute(&mut self, step: &Step) -> Result<(), DriverError>;
}

/// What made something fail.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a driver did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The step can not be done in the state that things are in; the plan has to change.
    #[error("{0}")]
    Refused(String),
    /// The host lacks something; the hint says what to do about it.
    #[error("{what}; {hint}")]
    Host {
        /// What is missing.
        what: String,
        /// What to do.
        hint: String,
    },
    /// It did not work; the same step may be tried again.
    #[error("{what}")]
    Failed {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: Cause,
    },
    /// The executor does not answer, or not in its own language; start it again.
    #[error("the executor does not answer as it should: {what}")]
    Lost {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: Option<Cause>,
    },
}

impl DriverError {
    /// The message and every cause, for logs and pages.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

/// Adds to an error what was being done.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, DriverError>;
}

impl<T, E: Into<Cause>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, DriverError> {
        self.map_err(|source| DriverError::Failed { what: what(), source: source.into() })
    }
}

/// A failure that has no other cause than itself.
pub(crate) fn failed(what: impl Into<String>, why: impl Into<String>) -> DriverError {
    DriverError::Failed { what: what.into(), source: why.into().into() }
}
