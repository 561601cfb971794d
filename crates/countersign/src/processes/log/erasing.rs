//! Carries out erasures: destroys the key of a subject when the log says that two persons want it.
//!
//! It reads the log that it serves, from the first entry at each start, so an erasure that a crash interrupted is carried
//! out then. It takes no other input, and doing it again changes nothing. It refuses to know why.

use std::time::Duration;

use ledger::{
    bodies::KeyState,
    dsse::Envelope,
    erasure::Erasures,
    log::{ENTRIES_LIMIT, Log},
    statement::Members,
};

use super::in_force::{InForce, names};
use crate::fault::{Because as _, Fault, Kind};

/// Between looks while nothing comes; what comes is looked at at once.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest pause between tries of what fails: a dump of the database, which keeps a key from being destroyed wholly,
/// takes minutes, and each try makes others wait.
const PAUSE_LIMIT: Duration = Duration::from_secs(60);

/// How far the log was read, and what was carried out.
#[derive(Default)]
pub(super) struct Erasing {
    erasures: Erasures,
    read: u64,
    /// How many of the complete erasures were carried out since the start, in the order of subjects.
    done: std::collections::BTreeSet<ledger::bodies::SubjectDigest>,
}

impl Erasing {
    /// Works until the process ends. `tell` is told what is wrong, or that nothing is.
    pub(super) fn run(mut self, log: &Log, in_force: &InForce, tell: impl Fn(Option<String>)) {
        let mut pause = PATIENCE;
        loop {
            match self.round(log, in_force) {
                Ok(()) => {
                    pause = PATIENCE;
                    tell(None);
                }
                Err(fault) => {
                    tracing::error!("{fault}");
                    tell(Some(fault.message()));
                    // What failed is tried again after a while, also when the log grows meanwhile.
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_LIMIT);
                }
            }
            log.wait_beyond(self.read, PATIENCE);
        }
    }

    /// Reads what is new and carries out what is complete.
    pub(super) fn round(&mut self, log: &Log, in_force: &InForce) -> Result<(), Fault> {
        loop {
            let (charters, known) = in_force.follow(log).because(Kind::Unavailable, "the log can not be read")?;
            let entries =
                log.entries(self.read, ENTRIES_LIMIT).because(Kind::Unavailable, "the log can not be read")?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                // What came in since is read in the next turn, under the charter in force there.
                if self.read >= known {
                    break;
                }
                self.read_entry(&entry, charters.members_at(self.read))?;
                self.read += 1;
            }
        }
        let Some(bodies) = log.bodies() else { return Ok(()) };
        let mut failed = None;
        for (subject, complete) in self.erasures.all_complete() {
            if self.done.contains(&subject) {
                continue;
            }
            let before = bodies.state(subject).because(Kind::Unavailable, "the keys of subjects can not be read")?;
            // Also where it is destroyed already: a crash may have left the last of it undone.
            let erased = bodies.erase(subject);
            if let Err(fault) = erased.because(Kind::Unavailable, "the key of a subject can not be destroyed wholly") {
                // The others do not wait for this one.
                failed.get_or_insert(fault);
                continue;
            }
            self.done.insert(subject);
            if before != KeyState::Destroyed {
                let persons: Vec<String> = complete.persons.iter().map(ToString::to_string).collect();
                tracing::info!(
                    "erased {subject}, as {} said, with statement {}",
                    persons.join(" and "),
                    complete.index
                );
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Entries were judged at the door; here only those are read that an erasure can depend on.
    fn read_entry(&mut self, entry: &[u8], members: &Members) -> Result<(), Fault> {
        let envelope = Envelope::from_entry(entry).because(Kind::Untrue, "an entry of the log is not an envelope")?;
        if !Erasures::KINDS.into_iter().any(|kind| names(envelope.payload(), kind)) {
            return Ok(());
        }
        let (statement, by) = ledger::statement::open(&envelope, members)
            .because(Kind::Untrue, format!("entry {} of the log is not a statement", self.read))?;
        self.erasures.push(self.read, envelope.signer(), members, &by, &statement);
        Ok(())
    }
}
