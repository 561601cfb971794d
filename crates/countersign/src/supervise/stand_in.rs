//! The stand-in for `watch`: while that is silent, another process tells people so, in the same ways.
//!
//! It keeps nothing; the stand-in has an outbox of its own, and ends when `watch` lives again.

use nix::sys::signal::Signal;

use super::Kept;
use crate::{fault::Fault, identity::RoleUser, layout::Layout, status::heartbeat::Pulse};

/// Whether `watch` lives, and who tells people when it does not.
pub(super) struct StandIn {
    pulse: Pulse,
    kept: Kept,
    asked_to_end: bool,
}

impl StandIn {
    /// `args` start the stand-in.
    pub(super) fn new(layout: &Layout, args: Vec<String>) -> Self {
        let pulse = Pulse::new(layout.heartbeat(RoleUser::Watch));
        Self { pulse, kept: Kept::new("watch-stand-in".to_owned(), args), asked_to_end: false }
    }

    /// Starts it, keeps it running, or asks it to end.
    pub(super) fn look(&mut self, layout: &Layout) -> Result<(), Fault> {
        if self.pulse.is_silent() {
            self.asked_to_end = false;
            return self.kept.look(layout);
        }
        if self.kept.is_gone() {
            self.kept.child = None;
        } else if !self.asked_to_end {
            // It tells that `watch` lives again, and then ends.
            self.kept.end(Signal::SIGTERM);
            self.asked_to_end = true;
        }
        Ok(())
    }

    /// For ending it with the others.
    pub(super) fn into_kept(self) -> Kept {
        self.kept
    }
}
