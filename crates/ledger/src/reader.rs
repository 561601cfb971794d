//! Reading a log of statements: following its checkpoints and opening every entry under the charter.
//!
//! What comes out is `Verified`: included under an accepted checkpoint, signed by an enrolled key, and said by
//! somebody who may say it. One entry that is not makes the reader stop where it was: a log that let it in is not
//! the log that the charter describes.

use std::sync::Arc;

use model::{Digest, Timestamp};

use crate::{
    charter::Charters,
    checkpoint::SignedCheckpoint,
    dsse::{Envelope, EnvelopeError},
    follow::{FollowError, Follower, FreshCheckpoint, PolicyError, Sighting, StaleError, WitnessKey, WitnessPolicy},
    merkle::{History, ProofError, leaf_hash},
    note::{VerifierKey, VkeyError},
    statement::{
        self, Members, Statement,
        v1::{Charter, Claim, Kind, Seen},
        vouched,
    },
    tick::OpenTick,
    verified::{Known, Verified},
};

/// Why a log can not be read any further.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The charter's log key or witnesses make no sense.
    #[error("the charter's keys of log and witnesses do not hold up")]
    Keys(#[from] KeysError),
    /// Checkpoint and entries do not continue what was seen.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An entry is not an envelope.
    #[error("entry {index} is not an envelope")]
    Envelope {
        /// Which entry.
        index: u64,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// An entry is not a statement that its signer may make.
    #[error("entry {index} is not a statement of this log")]
    Statement {
        /// Which entry.
        index: u64,
        /// Why.
        #[source]
        source: statement::ReadError,
    },
    /// A statement's signer saw another history than this one, or says that he saw what came later.
    #[error(
        "entry {index} was signed by somebody who had seen other entries before {size} than these: there are two histories"
    )]
    TwoHistories {
        /// Which entry.
        index: u64,
        /// The size of the tree that its signer saw.
        size: u64,
        /// The checkpoint and the statement.
        evidence: Box<Sighting>,
    },
    /// An entry of an excerpt is not where it is said to be.
    #[error("entry {index} is not in the tree of the checkpoint")]
    Proof {
        /// Which entry.
        index: u64,
        /// Why.
        #[source]
        source: ProofError,
    },
    /// The log does not begin with the charter, or repeats one later.
    #[error("entry {0} is not where a charter stands: the founders' signatures come first and nowhere else")]
    Charter(u64),
}

/// Why a charter's keys make no sense.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not a verifier key.
    #[error("a verifier key does not parse")]
    Vkey(#[from] VkeyError),
    /// The witnesses can not be counted.
    #[error("the witnesses can not be counted")]
    Policy(#[from] PolicyError),
    /// The log's key has another name than its origin.
    #[error("the log's key is named `{0}`, which is not its origin")]
    Origin(String),
}

/// The log's key and the witness policy of a charter.
pub fn keys_of(charter: &Charter) -> Result<(VerifierKey, WitnessPolicy), KeysError> {
    let log: VerifierKey = charter.log.vkey.parse()?;
    if log.name() != charter.log.origin {
        return Err(KeysError::Origin(log.name().to_owned()));
    }
    let mut witnesses = Vec::new();
    for witness in &charter.witnesses {
        witnesses.push(WitnessKey { vkey: witness.vkey.parse()?, operator: witness.operator.clone() });
    }
    Ok((log, WitnessPolicy::new(witnesses, charter.witness_quorum as usize)?))
}

/// Reads one log, under its first charter and those that its amendments make of it.
///
/// A checkpoint is judged by the witnesses of the charter in force after the entries that it covers: the people who must
/// agree have signed for them.
#[derive(Clone, Debug)]
pub struct Reader {
    charters: Arc<Charters>,
    follower: Follower,
    /// What the log was at every size, to compare with what signers had seen.
    history: History,
    /// Whether witnesses are asked for at all.
    is_judge: bool,
    begun: bool,
}

impl Reader {
    /// Begins at the first entry.
    pub fn new(members: Members) -> Result<Self, LogError> {
        let (log, policy) = keys_of(members.root().charter())?;
        let (charters, follower) = (Arc::new(Charters::new(&members)), Follower::new(log, policy));
        Ok(Self { charters, follower, history: History::new(), is_judge: true, begun: false })
    }

    /// The same, but takes checkpoints without witnesses. For the roles that only make statements, and for looking
    /// at a log; never for acting on it.
    pub fn unwitnessed(members: Members) -> Result<Self, LogError> {
        let (log, _) = keys_of(members.charter())?;
        let follower = Follower::new(log, WitnessPolicy::unwitnessed());
        let charters = Arc::new(Charters::new(&members));
        Ok(Self { charters, follower, history: History::new(), is_judge: false, begun: false })
    }

    /// How many entries are read; the index of the next.
    pub const fn size(&self) -> u64 {
        self.follower.size()
    }

    /// The charter in force after what was read, and its keys.
    pub fn members(&self) -> &Members {
        self.charters.members()
    }

    /// The charters of the log, as far as it was read.
    pub fn charters(&self) -> &Charters {
        &self.charters
    }

    /// What is remembered of the log.
    pub const fn follower(&self) -> &Follower {
        &self.follower
    }

    /// The last accepted checkpoint.
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.follower.checkpoint()
    }

    /// What the root was when the log had so many entries (RFC 6962 section 2.1); none for more than were read.
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        self.history.root_at(size)
    }

    /// The last accepted checkpoint as one to act on.
    pub fn fresh(&self, now: Timestamp, max_age_s: u64) -> Result<FreshCheckpoint, StaleError> {
        self.follower.fresh(now, max_age_s)
    }

    /// How many entries a checkpoint covers, before they are fetched; refuses one that shrank or forked. Its witnesses are
    /// judged with the entries.
    pub fn target(&self, note: &[u8], now: Timestamp) -> Result<u64, LogError> {
        Ok(self.follower.begin_unjudged(note, now).map_err(|e| self.shown(e))?.target())
    }

    /// Goes on to a checkpoint with the entries up to it, and returns what they say. All or nothing.
    pub fn advance<E: AsRef<[u8]>>(
        &mut self,
        entries: &[E],
        note: &[u8],
        now: Timestamp,
    ) -> Result<Vec<Verified<Statement>>, LogError> {
        let before = self.history.size();
        let advanced = self.try_advance(entries, note, now);
        if advanced.is_err() {
            self.history.truncate(before);
        }
        advanced
    }

    fn try_advance<E: AsRef<[u8]>>(
        &mut self,
        entries: &[E],
        note: &[u8],
        now: Timestamp,
    ) -> Result<Vec<Verified<Statement>>, LogError> {
        let mut advance = self.follower.begin_unjudged(note, now).map_err(|e| self.shown(e))?;
        let mut begun = self.begun;
        let mut charters = Arc::clone(&self.charters);
        let mut said = Vec::with_capacity(entries.len());
        let mut other = None;
        for (index, entry) in (self.size()..).zip(entries) {
            let entry = entry.as_ref();
            let opened = open(&mut charters, index, entry, &mut begun)?;
            other = other.or_else(|| Some((index, entry, self.other_history(&opened)?)));
            let leaf = leaf_hash(entry);
            advance.push_hash(leaf);
            self.history.push(leaf);
            said.push(opened);
        }
        let judges = self.judges_after(&charters)?;
        advance.judge(judges.as_ref().unwrap_or(self.follower.policy()))?;
        self.follower.check(&advance)?;
        // Only now is it certain that the log stands by these entries.
        if let Some((index, entry, seen)) = other {
            let evidence = Sighting::new(note.to_vec(), entry.to_vec());
            let evidence = Box::new(evidence.with_nodes(self.follower.log(), seen, &self.history));
            return Err(LogError::TwoHistories { index, size: seen.size, evidence });
        }
        self.follower.finish(advance)?;
        judges.into_iter().for_each(|policy| self.follower.set_policy(policy));
        self.charters = charters;
        self.begun = begun;
        Ok(said)
    }

    /// The witnesses of the charter in force after new entries, if they changed it.
    fn judges_after(&self, charters: &Charters) -> Result<Option<WitnessPolicy>, LogError> {
        let is_changed = charters.version() != self.charters.version();
        Ok(if self.is_judge && is_changed { Some(keys_of(charters.members().charter())?.1) } else { None })
    }

    /// A tree that a statement speaks of and that is not what the log was.
    fn other_history(&self, entry: &Verified<Statement>) -> Option<Seen> {
        let mut seen = vouched(entry.value(), entry.tick()).into_iter();
        seen.find(|seen| seen.size > entry.index() || self.history.root_at(seen.size) != Some(seen.root))
    }

    /// With what this reader can show of a smaller checkpoint, of which it knows what there was at that size.
    fn shown(&self, error: FollowError) -> FollowError {
        match error {
            FollowError::Shrunk { ours, theirs, evidence } => {
                let evidence = Box::new(evidence.with_nodes(self.follower.log(), &self.history));
                FollowError::Shrunk { ours, theirs, evidence }
            }
            other => other,
        }
    }

    /// What the log was at every size.
    pub const fn history(&self) -> &History {
        &self.history
    }
}

/// Opens an entry, whose place in the tree is for the caller to check, under the charter in force there, and lets the
/// charters take it. `begun` says whether anything but a charter stands before it.
pub(crate) fn open(
    charters: &mut Arc<Charters>,
    index: u64,
    entry: &[u8],
    begun: &mut bool,
) -> Result<Verified<Statement>, LogError> {
    let envelope = Envelope::from_entry(entry).map_err(|source| LogError::Envelope { index, source })?;
    let members = charters.members();
    let (statement, by) =
        statement::open(&envelope, members).map_err(|source| LogError::Statement { index, source })?;
    let is_charter = statement.claim.kind() == Kind::Charter;
    if is_charter && (*begun || Digest::of(envelope.payload()) != members.hash()) || !is_charter && index == 0 {
        return Err(LogError::Charter(index));
    }
    *begun |= !is_charter;
    let tick = match &statement.claim {
        Claim::Tick(claim) => members.open_tick(&claim.checkpoint),
        _ => None,
    };
    let identity = envelope.identity();
    if Charters::concerns(&statement.claim) {
        Arc::make_mut(charters).take(index, envelope.signer(), identity, &statement, tick.as_ref());
    }
    let known = Known { identity: Some(identity), tick, by: Some(by) };
    Ok(Verified::new(index, envelope.signer(), statement, known))
}

/// The checkpoint of a tick, opened under the charter; for one statement alone.
pub fn tick_of(statement: &Statement, members: &Members) -> Option<OpenTick> {
    match &statement.claim {
        Claim::Tick(claim) => members.open_tick(&claim.checkpoint),
        _ => None,
    }
}
