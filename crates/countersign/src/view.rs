//! The log as a process sees it: read up to a checkpoint, verified, and folded into facts.

use std::time::Duration;

use gate::{Facts, policy::Policy};
use ledger::{
    reader::{LogError, Reader},
    statement::{Members, Statement, v1::Seen},
    Verified,
};
use model::Clock as _;

use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    log_client::LogClient,
};

/// A view of the log that grows.
pub struct View {
    log: LogClient,
    reader: Reader,
    facts: Facts,
    policy: Policy,
    statements: Vec<Verified<Statement>>,
}

impl View {
    /// A view at nothing yet. It takes only checkpoints that the charter's quorum of witnesses has cosigned.
    pub fn new(log: LogClient, members: Members) -> Result<Self, Fault> {
        let policy = Policy::parse(&members.charter().policy).because(Kind::Input, "the charter's policy does not hold up")?;
        let facts = Facts::new(members.clone());
        let reader = Reader::new(members).because(Kind::Input, "the charter does not hold up")?;
        Ok(Self { log, reader, facts, policy, statements: Vec::new() })
    }

    /// Reads what is new. Returns where the new statements begin. `Ok` also when there is no checkpoint yet.
    pub fn refresh(&mut self) -> Result<usize, Fault> {
        let before = self.statements.len();
        let Some(note) = self.log.cosigned()? else { return Ok(before) };
        let now = SystemClock.now();
        let target = self.reader.target(&note, now).map_err(untrue)?;
        let mut entries = Vec::new();
        let mut at = self.reader.size();
        while at < target {
            let mut more = self.log.entries(at)?;
            // The log may have grown past the cosigned checkpoint.
            more.truncate(usize::try_from(target - at).unwrap_or(usize::MAX));
            if more.is_empty() {
                return Err(Fault::new(Kind::Untrue, format!("the log signed {target} entries and hands out {at}")));
            }
            at += more.len() as u64;
            entries.extend(more);
        }
        for entry in self.reader.advance(&entries, &note, now).map_err(untrue)? {
            self.facts.apply(&entry).because(Kind::Untrue, "the log's statements do not follow each other")?;
            self.statements.push(entry);
        }
        Ok(before)
    }

    /// Waits until there is more, or the time is over, and reads it.
    pub fn wait(&mut self, timeout: Duration) -> Result<usize, Fault> {
        self.log.wait_beyond(self.reader.size(), timeout)?;
        self.refresh()
    }

    /// Reads until an entry is there, so that who just said something sees it.
    pub fn wait_for(&mut self, index: u64, timeout: Duration) -> Result<(), Fault> {
        let deadline = std::time::Instant::now() + timeout;
        self.refresh()?;
        while self.reader.size() <= index {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Err(Fault::new(Kind::Unavailable, format!("entry {index} is not cosigned after {} s", timeout.as_secs()))
                    .hint("are the witnesses running?"));
            }
            self.wait(left)?;
        }
        Ok(())
    }

    /// The facts.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The charter's policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The reader, for its checkpoint.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The log.
    pub const fn log(&self) -> &LogClient {
        &self.log
    }

    /// All statements read so far; the index in the slice is the log index.
    pub fn statements(&self) -> &[Verified<Statement>] {
        &self.statements
    }

    /// The last checkpoint, for headers.
    pub fn seen(&self) -> Option<Seen> {
        self.reader.checkpoint().map(|c| Seen { size: c.size(), root: c.root() })
    }
}

/// A log that lies is told apart from one that can not be reached.
fn untrue(error: LogError) -> Fault {
    Fault::from_error(Kind::Untrue, error)
        .hint("do not go on with this log; keep both checkpoints and ask the witnesses")
}
