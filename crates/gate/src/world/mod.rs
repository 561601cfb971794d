//! A small world for tests: a charter with people and robots, and a log in memory whose entries are signed for real.
//!
//! `Verified` statements come out of a [`Reader`] under a signed and cosigned checkpoint, as everywhere else. It is
//! used by this room's tests and by the speed example; it knows nothing of `decide`.

mod charter;
mod guarded;
mod releases;

use std::{cell::RefCell, sync::Arc};

use ledger::{
    FreshCheckpoint, Verified,
    checkpoint::{Checkpoint, SignedCheckpoint},
    dsse::Envelope,
    keys::{PrivateKey, Scheme, Signer as _},
    merkle::CompactRange,
    note::{Note, NoteKeyType, NoteSigner},
    reader::Reader,
    statement::{
        FOUNDER_ROLE, Members, PAYLOAD_TYPE, Statement,
        v1::{Charter, Claim, Header, KeyWithdrawal, Kind, Nonce, Tick},
    },
};
use model::{Digest, EnvironmentName, KeyId, SystemName, Timestamp};

pub(crate) use charter::{charter, dig, quorum, two_builders, with_emergencies};
pub(crate) use guarded::{COOL_OFF_S, guarded, payout};
pub(crate) use releases::{Put, commit, suite};

use crate::Facts;

pub(crate) const ORIGIN: &str = "log.example/bank";
/// Where the world's time begins.
pub(crate) const EPOCH: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 86_400;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) charter: Charter,
    pub(crate) now: u64,
    entries: Vec<Vec<u8>>,
    tree: CompactRange,
    nonce: u128,
    /// What has been read already; reading goes on from there.
    known: RefCell<Option<(Reader, Facts)>>,
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

/// The system of the world, or another.
pub(crate) fn system() -> SystemName {
    "bank".parse().unwrap()
}

pub(crate) fn production() -> EnvironmentName {
    "production".parse().unwrap()
}

/// The key of a person or robot; `ada/2` is the second key of `ada`.
pub(crate) fn key_of(who: &str) -> PrivateKey {
    let robot = ["builder", "second", "tester", "outside", "agent", "gate", "log"].contains(&who);
    let scheme = if robot { Scheme::Ed25519 } else { Scheme::SshSig };
    PrivateKey::from_seed(scheme, Digest::of(who.as_bytes()).as_bytes()).unwrap()
}

pub(crate) fn key_id(who: &str) -> KeyId {
    key_of(who).key().id()
}

fn raw_key(name: &str) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::from_seed(Scheme::Ed25519, Digest::of(name.as_bytes()).as_bytes()).unwrap())
}

pub(crate) fn log_signer(origin: &str) -> NoteSigner {
    NoteSigner::new(origin, NoteKeyType::Ed25519, raw_key("the log")).unwrap()
}

pub(crate) fn witness(name: &str) -> NoteSigner {
    NoteSigner::new(name, NoteKeyType::Cosignature, raw_key(name)).unwrap()
}

impl World {
    /// A log with nothing in it.
    pub(crate) fn empty(charter: Charter) -> Self {
        Self {
            charter,
            now: EPOCH,
            entries: Vec::new(),
            tree: CompactRange::new(),
            nonce: 0,
            known: RefCell::new(None),
        }
    }

    /// A log that the founders have signed, and a tick.
    pub(crate) fn founded(charter: Charter) -> Self {
        let mut world = Self::empty(charter);
        world.found(&["ada", "ben"]);
        world.tick();
        world
    }

    pub(crate) fn found(&mut self, founders: &[&str]) {
        for who in founders {
            self.say(who, FOUNDER_ROLE, Claim::Charter(Box::new(self.charter.clone())));
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// Time goes on by so much, and a tick says so.
    pub(crate) fn wait(&mut self, seconds: u64) -> u64 {
        self.now += seconds;
        self.tick()
    }

    pub(crate) fn tick(&mut self) -> u64 {
        let note = self.note(self.entries.len(), &[("alpha", self.now)]);
        self.tick_of(note)
    }

    pub(crate) fn tick_of(&mut self, checkpoint: String) -> u64 {
        self.say("gate", "gate", Claim::Tick(Tick { checkpoint, at: at(self.now) }))
    }

    /// A checkpoint of the first entries, with cosignatures.
    pub(crate) fn note(&self, size: usize, cosigned: &[(&str, u64)]) -> String {
        let mut range = CompactRange::new();
        if size == self.entries.len() {
            range = self.tree.clone();
        } else {
            self.entries.iter().take(size).for_each(|e| range.push_entry(e));
        }
        note_of(&Checkpoint::new(ORIGIN, size as u64, range.root()), cosigned)
    }

    /// A statement as its claim implies, signed and appended. Returns its index.
    pub(crate) fn say(&mut self, who: &str, role: &str, claim: Claim) -> u64 {
        self.say_with(who, role, claim, |_| {})
    }

    pub(crate) fn say_with(&mut self, who: &str, role: &str, claim: Claim, change: impl FnOnce(&mut Header)) -> u64 {
        self.nonce += 1;
        let (system, environment) = place(&claim);
        let is_charter = claim.kind() == Kind::Charter;
        let mut header = Header {
            charter: (!is_charter).then(|| self.hash()),
            role: role.parse().unwrap(),
            system,
            environment,
            seen: None,
            // The founders sign one and the same payload.
            nonce: Nonce::from_bytes(if is_charter { [0; 16] } else { self.nonce.to_be_bytes() }),
            expires: at(EPOCH + 300 * DAY),
            program: None,
        };
        change(&mut header);
        let payload = Statement { header, claim }.to_bytes().unwrap();
        let envelope = Envelope::seal(PAYLOAD_TYPE, payload, &key_of(who)).unwrap();
        self.append(envelope.canonical_bytes())
    }

    /// An entry again, as whoever holds the log's key can.
    pub(crate) fn repeat(&mut self, index: u64) -> u64 {
        let entry = self.entries[usize::try_from(index).unwrap()].clone();
        self.append(entry)
    }

    pub(crate) fn append(&mut self, entry: Vec<u8>) -> u64 {
        self.tree.push_entry(&entry);
        self.entries.push(entry);
        self.size() - 1
    }

    pub(crate) fn withdraw(&mut self, by: &str, whose: &str, void_from: u64) -> u64 {
        self.say(by, "operator", Claim::KeyWithdrawal(KeyWithdrawal { key: key_id(whose), void_from }))
    }

    fn founding_payload(&self) -> Vec<u8> {
        let header = Header {
            charter: None,
            role: FOUNDER_ROLE.parse().unwrap(),
            system: None,
            environment: None,
            seen: None,
            nonce: Nonce::from_bytes([0; 16]),
            expires: at(EPOCH + 300 * DAY),
            program: None,
        };
        Statement { header, claim: Claim::Charter(Box::new(self.charter.clone())) }.to_bytes().unwrap()
    }

    pub(crate) fn hash(&self) -> Digest {
        Digest::of(&self.founding_payload())
    }

    pub(crate) fn members(&self) -> Members {
        Members::of(self.charter.clone(), self.hash()).unwrap()
    }

    /// Every statement, verified.
    pub(crate) fn verified(&self) -> Vec<ledger::Verified<Statement>> {
        let note = self.note(self.entries.len(), &[("alpha", self.now)]);
        Reader::new(self.members()).unwrap().advance(&self.entries, note.as_bytes(), at(self.now)).unwrap()
    }

    /// A reader that has read everything under a checkpoint cosigned now, and the facts.
    pub(crate) fn reader(&self) -> (Reader, Facts) {
        self.with(|reader, facts| (reader.clone(), facts.clone()))
    }

    /// The same, where they are.
    pub(crate) fn with<R>(&self, ask: impl FnOnce(&Reader, &Facts) -> R) -> R {
        let mut known = self.known.borrow_mut();
        let (reader, facts) =
            known.get_or_insert_with(|| (Reader::new(self.members()).unwrap(), Facts::new(self.members())));
        let note = self.note(self.entries.len(), &[("alpha", self.now)]);
        let from = usize::try_from(reader.size()).unwrap();
        for entry in &reader.advance(&self.entries[from..], note.as_bytes(), at(self.now)).unwrap() {
            facts.apply(entry).unwrap();
        }
        ask(reader, facts)
    }

    /// Everything that was said, read from the first entry on.
    pub(crate) fn statements(&self) -> Vec<Verified<Statement>> {
        let note = self.note(self.entries.len(), &[("alpha", self.now)]);
        let mut reader = Reader::new(self.members()).unwrap();
        reader.advance(&self.entries, note.as_bytes(), at(self.now)).unwrap()
    }

    pub(crate) fn facts(&self) -> Facts {
        self.reader().1
    }

    /// A fresh checkpoint of everything.
    pub(crate) fn fresh(&self) -> FreshCheckpoint {
        self.reader().0.fresh(at(self.now), 60).unwrap()
    }
}

/// A checkpoint signed by the log and cosigned.
pub(crate) fn note_of(checkpoint: &Checkpoint, cosigned: &[(&str, u64)]) -> String {
    let mut note = Note::new(checkpoint.to_string()).unwrap();
    let log = log_signer(&checkpoint.origin);
    note.add(log.sign(note.text(), Timestamp::default()).unwrap());
    let signed = SignedCheckpoint::open(note.to_string().as_bytes(), log.vkey()).unwrap();
    let mut note = signed.note().clone();
    for (name, time) in cosigned {
        note.add(witness(name).sign(note.text(), at(*time)).unwrap());
    }
    note.to_string()
}

/// System and environment as the header must name them.
fn place(claim: &Claim) -> (Option<SystemName>, Option<EnvironmentName>) {
    match claim {
        Claim::Charter(_)
        | Claim::Tick(_)
        | Claim::KeyWithdrawal(_)
        | Claim::Erasure(_)
        | Claim::Amendment(_)
        | Claim::Consent(_) => (None, None),
        Claim::ValueProposal(_) | Claim::ValueApproval(_) => (Some(system()), Some(production())),
        Claim::Cancellation(_) | Claim::Alarm(_) | Claim::Acknowledgement(_) | Claim::Silence(_) => {
            (Some(system()), None)
        }
        Claim::Change(c) => (Some(c.system.clone()), None),
        Claim::Build(_) | Claim::Evidence(_) | Claim::Exception(_) => (Some(system()), None),
        Claim::Proposal(c) => (Some(c.serial.system().clone()), Some(c.environment.clone())),
        Claim::Approval(c) => (Some(system()), Some(c.environment.clone())),
        Claim::Verdict(c) => (Some(system()), Some(c.environment.clone())),
        Claim::Milestone(c) => (Some(system()), Some(c.environment.clone())),
        Claim::Analysis(c) => (Some(system()), Some(c.environment.clone())),
        Claim::Rollback(c) => (Some(system()), Some(c.environment.clone())),
        Claim::Retirement(c) => (Some(system()), Some(c.environment.clone())),
        Claim::Report(c) => (Some(system()), Some(c.environment.clone())),
        Claim::Halt(c) => (Some(system()), c.environment.clone()),
        Claim::Rejection(_) => (Some(system()), Some(production())),
        Claim::Resume(_) => (None, None),
    }
}
