//! The log as a process sees it: read up to a checkpoint, verified, and folded into facts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use gate::{Facts, policy::Policy};
use ledger::{
    Verified,
    follow::{FollowError, Fork, Sighting},
    reader::{LogError, Reader},
    statement::{Members, Statement, v1::Seen},
};
use model::Clock as _;

use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    log_client::LogClient,
};

/// The file of the last accepted checkpoint.
const MEMORY: &str = "checkpoint";

const UNTRUE_HINT: &str = "do not go on with this log; keep both checkpoints and ask the witnesses";

/// A view of the log that grows.
pub struct View {
    log: LogClient,
    reader: Reader,
    facts: Facts,
    policy: Policy,
    statements: Vec<Verified<Statement>>,
    memory: Option<PathBuf>,
}

impl View {
    /// A view at nothing yet. It takes only checkpoints that the charter's quorum of witnesses has cosigned.
    pub fn new(log: LogClient, members: Members) -> Result<Self, Fault> {
        let policy = Policy::parse(&members.root().charter().policy)
            .because(Kind::Input, "the charter's policy does not hold up")?;
        let facts = Facts::new(members.clone());
        let reader = Reader::new(members).because(Kind::Input, "the charter does not hold up")?;
        Ok(Self { log, reader, facts, policy, statements: Vec::new(), memory: None })
    }

    /// The same, and it remembers across restarts the last checkpoint that it accepted: a log that was rewritten or
    /// set back while the process was down is told from the one before.
    pub fn with_memory(log: LogClient, members: Members, folder: &Path) -> Result<Self, Fault> {
        let mut view = Self::new(log, members)?;
        view.memory = Some(folder.to_owned());
        Ok(view)
    }

    /// Reads what is new. Returns where the new statements begin. `Ok` also when there is no checkpoint yet.
    pub fn refresh(&mut self) -> Result<usize, Fault> {
        let before = self.statements.len();
        if before == 0
            && let Some(note) = self.remembered()?
        {
            self.advance(&note)?;
        }
        if let Some(note) = self.log.cosigned()?
            && self.reader.checkpoint().is_none_or(|known| known.to_bytes() != note)
        {
            self.advance(&note)?;
            self.remember(&note)?;
        }
        Ok(before)
    }

    fn advance(&mut self, note: &[u8]) -> Result<(), Fault> {
        let now = SystemClock.now();
        let target = match self.reader.target(note, now) {
            Ok(target) => target,
            Err(error) => return Err(self.untrue(error, note)),
        };
        let mut entries = Vec::new();
        let mut at = self.reader.size();
        while at < target {
            let mut more = self.log.entries(at)?;
            // The log may have grown past the cosigned checkpoint.
            more.truncate(usize::try_from(target - at).unwrap_or(usize::MAX));
            if more.is_empty() {
                self.keep_evidence(note);
                return Err(Fault::new(
                    Kind::Untrue,
                    format!("{target} entries were signed and the log hands out {at}"),
                )
                .hint(UNTRUE_HINT));
            }
            at += more.len() as u64;
            entries.extend(more);
        }
        match self.reader.advance(&entries, note, now) {
            Ok(said) => {
                for entry in said {
                    self.facts.apply(&entry).because(Kind::Untrue, "the log's statements do not follow each other")?;
                    self.statements.push(entry);
                }
                // One that does not parse grants nothing: the one at hand is of another digest.
                if let Some(policy) = self.facts.policy_after(&self.policy) {
                    self.policy = policy;
                }
                Ok(())
            }
            Err(error) => Err(self.untrue(error, note)),
        }
    }

    fn remembered(&self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(folder) = &self.memory else { return Ok(None) };
        match std::fs::read(folder.join(MEMORY)) {
            Ok(note) => Ok(Some(note)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Fault::from_error(Kind::Unavailable, e).context("the last checkpoint can not be read")),
        }
    }

    fn remember(&self, note: &[u8]) -> Result<(), Fault> {
        let Some(folder) = &self.memory else { return Ok(()) };
        ledger::durable::write(&folder.join(MEMORY), note, 0o600)
            .because(Kind::Unavailable, "the checkpoint can not be kept")
    }

    /// A log that can not hand out what was signed may have been set back: what was signed, and what it says now.
    fn keep_evidence(&self, signed: &[u8]) {
        let (Some(folder), Ok(now)) = (&self.memory, self.log.head()) else { return };
        let evidence = Fork::new(signed.to_vec(), now).with_nodes(self.reader.follower().log(), &self.log);
        keep(folder, Fork::KIND, &evidence.to_bytes());
    }

    /// A log that lies is told apart from one that can not be reached; both checkpoints are kept as evidence.
    fn untrue(&self, error: LogError, note: &[u8]) -> Fault {
        if let Some(folder) = &self.memory {
            match &error {
                // The entries do not lead to what was remembered from before the restart: it meets what is said now.
                LogError::Follow(FollowError::Forked { evidence, .. }) if evidence.ours.is_empty() => {
                    self.keep_evidence(note);
                }
                LogError::Follow(FollowError::Shrunk { evidence, .. } | FollowError::Forked { evidence, .. }) => {
                    // What the log itself hands out of the larger tree is what can prove that it forked.
                    let evidence = (**evidence).clone().with_nodes(self.reader.follower().log(), &self.log);
                    keep(folder, Fork::KIND, &evidence.to_bytes());
                }
                LogError::TwoHistories { evidence, .. } => keep(folder, Sighting::KIND, &evidence.to_bytes()),
                _ => {}
            }
        }
        Fault::from_error(Kind::Untrue, error).hint(UNTRUE_HINT)
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
                return Err(Fault::new(
                    Kind::Unavailable,
                    format!("entry {index} is not cosigned after {} s", timeout.as_secs()),
                )
                .hint("are the witnesses running?"));
            }
            self.wait(left)?;
        }
        Ok(())
    }

    /// How many entries the log has ordered, cosigned or not.
    pub fn ordered(&self) -> Result<u64, Fault> {
        let mut size = self.reader.size();
        loop {
            match self.log.entries(size)?.len() {
                0 => return Ok(size),
                more => size += more as u64,
            }
        }
    }

    /// Whether the log has ordered an entry, cosigned or not.
    pub fn is_ordered(&self, index: u64) -> Result<bool, Fault> {
        Ok(!self.log.entries(index)?.is_empty())
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

/// Keeps what does not fit together; a folder that can not be written does not make the log more believable.
fn keep(folder: &Path, kind: &str, evidence: &[u8]) {
    if let Err(error) = ledger::follow::keep(folder, kind, evidence) {
        tracing::error!("the evidence against the log can not be kept: {error}");
    }
}
