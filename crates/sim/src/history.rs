//! A log with a past: as many signed statements as wanted, of many systems and releases, as a firm would leave it in years.
//!
//! Changes, builds, evidence, proposals, approvals, verdicts that follow, milestones and ticks; one release in ten fails
//! a suite, some are rolled back, rejected or halted, and keys are withdrawn. Each statement is read back and verified
//! before the next ones are made, so what is written is what the door and `decide` would have. It writes into the store
//! that it is given; a crash leaves a log that is shorter.

mod charter;
mod release;

use std::{collections::BTreeMap, error::Error, sync::Arc};

use gate::{Facts, policy::Policy};
use ledger::{
    checkpoint::Checkpoint,
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    merkle::{Edge, leaf_hash},
    note::{Note, NoteKeyType, NoteSigner},
    reader::Reader,
    statement::{
        FOUNDER_ROLE, Members, PAYLOAD_TYPE, Statement,
        v1::{Claim, Header, Kind, Nonce, Seen, Tick},
    },
    store::{Batch, Store, StoredEntry},
};
use model::{Digest, EnvironmentName, SystemName, Timestamp};

pub use charter::{OPERATORS, ORIGIN};

/// Where the time of these logs begins.
const EPOCH: u64 = 1_700_000_000;
/// The time between two phases of a release.
const PHASE_S: u64 = 600;
/// A statement counts for thirty days.
const LIFE_S: u64 = 30 * 86_400;
/// As many statements as this a checkpoint, at most.
const BATCH: usize = 512;

/// What goes wrong while writing.
pub type WriteError = Box<dyn Error + Send + Sync>;

/// A log that grows.
pub struct History<'a> {
    store: &'a dyn Store,
    members: Members,
    policy: Policy,
    reader: Reader,
    facts: Facts,
    edge: Edge,
    log: NoteSigner,
    witness: NoteSigner,
    keys: BTreeMap<String, PrivateKey>,
    now: u64,
    nonce: u128,
    cosigned: String,
    waiting: Vec<StoredEntry>,
    counts: BTreeMap<Kind, u64>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The charter.
    pub members: Members,
    /// How many statements.
    pub size: u64,
    /// How many of each kind.
    pub counts: BTreeMap<Kind, u64>,
}

/// The key of a person or robot of these logs: anybody can make them, they protect nothing.
pub fn key_of(who: &str) -> Result<PrivateKey, WriteError> {
    let scheme = if charter::ROBOTS.iter().any(|(robot, ..)| *robot == who) { Scheme::Ed25519 } else { Scheme::SshSig };
    let seed = Digest::of(format!("history of {who}").as_bytes());
    PrivateKey::from_seed(scheme, seed.as_bytes()).ok_or_else(|| format!("no key of {who}").into())
}

/// What signs the checkpoints.
pub fn log_signer() -> Result<NoteSigner, WriteError> {
    signer(ORIGIN, NoteKeyType::Ed25519)
}

/// What cosigns them.
pub fn witness_signer() -> Result<NoteSigner, WriteError> {
    signer(charter::WITNESS, NoteKeyType::Cosignature)
}

fn signer(name: &str, kind: NoteKeyType) -> Result<NoteSigner, WriteError> {
    let seed = Digest::of(format!("history of {name}").as_bytes());
    let key = PrivateKey::from_seed(Scheme::Ed25519, seed.as_bytes()).ok_or("no key")?;
    Ok(NoteSigner::new(name, kind, Arc::new(key))?)
}

/// Writes a log of at least so many statements about so many systems into an empty store. `told` hears how many there are
/// by now.
pub fn write(
    store: &dyn Store,
    statements: u64,
    systems: u64,
    mut told: impl FnMut(u64),
) -> Result<Written, WriteError> {
    let mut history = History::found(store, systems)?;
    let mut lines: Vec<release::Line> =
        (0..systems).map(|n| release::Line::new(&history, n)).collect::<Result<_, _>>()?;
    while history.size() < statements {
        for phase in release::Phase::ALL {
            for line in &mut lines {
                line.go(phase, &mut history)?;
            }
            history.flush()?;
            history.now += PHASE_S;
            history.tick()?;
            told(history.size());
        }
    }
    let size = history.size();
    Ok(Written { members: history.members, size, counts: history.counts })
}

impl<'a> History<'a> {
    fn found(store: &'a dyn Store, systems: u64) -> Result<Self, WriteError> {
        let charter = charter::charter(systems)?;
        let founding = Statement {
            header: Header {
                charter: None,
                role: FOUNDER_ROLE.parse()?,
                system: None,
                environment: None,
                seen: None,
                nonce: Nonce::from_bytes([0; 16]),
                expires: Timestamp::from_unix(EPOCH + 300 * 86_400),
                program: None,
            },
            claim: Claim::Charter(Box::new(charter.clone())),
        };
        let payload = founding.to_bytes()?;
        let members = Members::of(charter, Digest::of(&payload))?;
        let mut history = Self {
            store,
            policy: Policy::parse(&members.charter().policy)?,
            reader: Reader::new(members.clone())?,
            facts: Facts::new(members.clone()),
            members,
            edge: Edge::new(),
            log: log_signer()?,
            witness: witness_signer()?,
            keys: BTreeMap::new(),
            now: EPOCH,
            nonce: 0,
            cosigned: String::new(),
            waiting: Vec::new(),
            counts: BTreeMap::new(),
        };
        for founder in charter::FOUNDERS {
            let envelope = Envelope::seal(PAYLOAD_TYPE, payload.clone(), &key_of(founder)?)?;
            history.append(&envelope, Kind::Charter);
        }
        history.flush()?;
        history.tick()?;
        Ok(history)
    }

    fn size(&self) -> u64 {
        self.edge.size() + self.waiting.len() as u64
    }

    fn append(&mut self, envelope: &Envelope, kind: Kind) -> u64 {
        self.waiting.push(StoredEntry { bytes: envelope.canonical_bytes(), identity: envelope.identity() });
        *self.counts.entry(kind).or_default() += 1;
        self.size() - 1
    }

    /// Somebody's word, in the log with the next checkpoint. Returns its index.
    fn say(
        &mut self,
        who: &str,
        role: &str,
        about: (Option<&SystemName>, Option<&EnvironmentName>),
        claim: Claim,
    ) -> Result<u64, WriteError> {
        self.nonce += 1;
        let kind = claim.kind();
        let header = Header {
            charter: Some(self.members.hash()),
            role: role.parse()?,
            system: about.0.cloned(),
            environment: about.1.cloned(),
            seen: self.reader.checkpoint().map(|c| Seen { size: c.size(), root: c.root() }),
            nonce: Nonce::from_bytes(self.nonce.to_be_bytes()),
            expires: Timestamp::from_unix(self.now + LIFE_S),
            program: None,
        };
        let payload = Statement { header, claim }.to_bytes()?;
        if !self.keys.contains_key(who) {
            self.keys.insert(who.to_owned(), key_of(who)?);
        }
        let key = self.keys.get(who).ok_or("no key")?;
        let envelope = Envelope::seal(PAYLOAD_TYPE, payload, key)?;
        Ok(self.append(&envelope, kind))
    }

    fn tick(&mut self) -> Result<(), WriteError> {
        let tick = Tick { checkpoint: self.cosigned.clone(), at: Timestamp::from_unix(self.now) };
        self.say("gate", "gate", (None, None), Claim::Tick(tick))?;
        self.flush()
    }

    /// Commits what waits under checkpoints of at most [`BATCH`] statements each, the last one cosigned, and reads it.
    fn flush(&mut self) -> Result<(), WriteError> {
        while !self.waiting.is_empty() {
            let rest = self.waiting.split_off(self.waiting.len().min(BATCH));
            let entries = std::mem::replace(&mut self.waiting, rest);
            let first = self.edge.size();
            entries.iter().for_each(|e| self.edge.push(leaf_hash(&e.bytes)));
            let checkpoint = Checkpoint::new(ORIGIN, self.edge.size(), self.edge.compact().root());
            let mut note = Note::new(checkpoint.to_string())?;
            note.add(self.log.sign(note.text(), Timestamp::default())?);
            let bytes: Vec<Vec<u8>> = entries.iter().map(|e| e.bytes.clone()).collect();
            let batch = Batch {
                first,
                entries,
                tiles: self.edge.take_changed(),
                note: note.to_string().into_bytes(),
                ..Batch::default()
            };
            self.store.commit(&batch)?;
            let line = self.witness.sign(note.text(), Timestamp::from_unix(self.now))?;
            self.store.add_cosignature(checkpoint.size, charter::WITNESS, &line.to_string())?;
            note.add(line);
            self.cosigned = note.to_string();
            for entry in self.reader.advance(&bytes, self.cosigned.as_bytes(), Timestamp::from_unix(self.now))? {
                self.facts.apply(&entry)?;
            }
        }
        Ok(())
    }
}
