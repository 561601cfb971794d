use model::Digest;

use super::*;
use crate::{
    bodies::Subject,
    fixtures::{ORIGIN, log_signer, witness_signer},
    keys::{Scheme, Signer as _},
    note::NoteSigner,
    statement::{
        samples::{charter, statement},
        v1::{Erasure, Key, KeyScheme, KeyWithdrawal, LogKey, Member, Tick, WitnessKey},
    },
};

fn subject(name: &str) -> SubjectDigest {
    Subject::Person(name.parse().unwrap()).digest()
}

fn person(name: &str) -> Signatory {
    Signatory::Person(name.parse().unwrap())
}

fn signs(name: &str) -> crate::keys::PrivateKey {
    let number = ["ben", "cem", "dan", "olga", "gate"].iter().position(|n| *n == name).unwrap();
    crate::fixtures::key(Scheme::Ed25519, 20 + u8::try_from(number).unwrap())
}

fn key(name: &str) -> KeyId {
    signs(name).key().id()
}

/// A log of statements that only erasures read.
struct Told {
    erasures: Erasures,
    index: u64,
    witness: NoteSigner,
    members: Members,
}

impl Told {
    fn new() -> Self {
        let witness = witness_signer("w.example", 9);
        let mut charter = charter();
        charter.log = LogKey { origin: ORIGIN.to_owned(), vkey: log_signer().vkey().to_string() };
        charter.witnesses = vec![WitnessKey {
            name: "w.example".to_owned(),
            operator: "o".to_owned(),
            vkey: witness.vkey().to_string(),
            url: "http://127.0.0.1:1/".to_owned(),
        }];
        let member = |name: &str| Member {
            id: name.parse().unwrap(),
            keys: vec![Key { scheme: KeyScheme::Ed25519, public: signs(name).key().to_openssh() }],
            roles: vec!["some-role".parse().unwrap()],
            identity: Digest::of(name.as_bytes()),
            founder: false,
        };
        charter.members = ["ben", "cem", "dan", "olga"].map(member).into();
        (charter.robots, charter.recovery) = (Vec::new(), None);
        let members = Members::of(charter, Digest::of(b"charter")).unwrap();
        Self { erasures: Erasures::new(), index: 0, witness, members }
    }

    fn push(&mut self, who: &str, by: &Signatory, statement: &Statement) -> u64 {
        self.erasures.push(self.index, key(who), &self.members, by, statement);
        self.index += 1;
        self.index - 1
    }

    /// A person's word, which counts until this second.
    fn erase(&mut self, who: &str, whom: &str, until_s: u64) -> u64 {
        let mut said = statement(Claim::Erasure(Erasure { subject: subject(whom), reason: None }));
        said.header.expires = Timestamp::from_unix(until_s);
        self.push(who, &person(who), &said)
    }

    /// A tick whose checkpoint was cosigned at this second, or by nobody.
    fn tick(&mut self, at_s: Option<u64>) {
        let root = crate::merkle::CompactRange::new().root();
        let mut signed = crate::checkpoint::SignedCheckpoint::sign(0, root, &log_signer()).unwrap();
        if let Some(at_s) = at_s {
            let line = self.witness.sign(signed.note().text(), Timestamp::from_unix(at_s)).unwrap();
            signed.add(line);
        }
        let checkpoint = String::from_utf8(signed.to_bytes()).unwrap();
        let gate = Signatory::Robot { id: "gate".parse().unwrap(), controllers: Vec::new() };
        // What the robot says itself is not believed where witnesses are asked for.
        let at = Timestamp::from_unix(u64::from(u32::MAX));
        self.push("gate", &gate, &statement(Claim::Tick(Tick { checkpoint, at })));
    }

    fn withdraw(&mut self, whose: &str, void_from: u64) {
        let claim = Claim::KeyWithdrawal(KeyWithdrawal { key: key(whose), void_from });
        self.push("olga", &person("olga"), &statement(claim));
    }

    fn is_complete(&self, whom: &str) -> bool {
        self.erasures.complete(subject(whom)).is_some()
    }
}

#[test]
fn two_persons_erase_and_one_does_not() {
    let mut told = Told::new();
    told.erase("ben", "ada", 100);
    assert!(!told.is_complete("ada"));
    told.erase("ben", "ada", 200);
    assert!(!told.is_complete("ada"), "the same person twice is one person");
    assert_eq!(told.erasures.waiting(subject("ada")).len(), 1);
    told.erase("cem", "eve", 100);
    assert!(!told.is_complete("ada"), "another subject is another matter");
    let robot = Signatory::Robot { id: "gate".parse().unwrap(), controllers: vec!["cem".parse().unwrap()] };
    told.push("gate", &robot, &statement(Claim::Erasure(Erasure { subject: subject("ada"), reason: None })));
    assert!(!told.is_complete("ada"), "a robot does not count");
    let index = told.erase("cem", "ada", 100);
    let complete = told.erasures.complete(subject("ada")).unwrap();
    assert_eq!(complete.index, index);
    assert_eq!(complete.persons, ["ben", "cem"].map(|p| p.parse().unwrap()).into());
    assert!(told.erasures.waiting(subject("ada")).is_empty());
    assert!(!told.is_complete("eve"));
    told.erase("ben", "ada", 300);
    assert_eq!(told.erasures.complete(subject("ada")).unwrap().index, index, "once is for ever");
    assert_eq!(told.erasures.all_complete().count(), 1);
}

#[test]
fn a_word_that_is_over_by_the_logs_time_does_not_count() {
    for (ticks, counts) in [
        (vec![], true),
        (vec![Some(99)], true),
        (vec![Some(100)], false),
        (vec![Some(100), Some(50)], false),
        (vec![Some(100), None], false),
        (vec![None], true),
    ] {
        let mut told = Told::new();
        told.erase("ben", "ada", 100);
        for at in &ticks {
            told.tick(*at);
        }
        told.erase("cem", "ada", 900);
        assert_eq!(told.is_complete("ada"), counts, "{ticks:?}");
    }
    let mut told = Told::new();
    told.erase("ben", "ada", 100);
    told.tick(Some(100));
    told.erase("cem", "eve", 900);
    told.tick(Some(50));
    told.erase("cem", "ada", 900);
    assert!(!told.is_complete("ada"), "time does not run backwards");
    let mut told = Told::new();
    told.tick(Some(100));
    told.tick(Some(50));
    told.erase("ben", "ada", 100);
    told.erase("cem", "ada", 900);
    assert!(!told.is_complete("ada"), "nor while nobody waits");
}

#[test]
fn a_key_that_is_withdrawn_takes_its_word_along() {
    for (void_from, counts) in [(0, false), (1, true)] {
        let mut told = Told::new();
        assert_eq!(told.erase("ben", "ada", 100), 0);
        told.withdraw("ben", void_from);
        told.erase("cem", "ada", 100);
        assert_eq!(told.is_complete("ada"), counts, "void from {void_from}");
    }
    let mut told = Told::new();
    told.withdraw("ben", 0);
    told.erase("ben", "ada", 100);
    told.erase("cem", "ada", 100);
    assert!(!told.is_complete("ada"), "nor do later ones count");
    told.erase("dan", "ada", 100);
    assert!(told.is_complete("ada"));
    told.withdraw("dan", 0);
    assert!(told.is_complete("ada"), "what is forgotten does not come back");
}

#[test]
fn the_digest_of_a_subject_is_of_its_words() {
    assert_ne!(subject("ada").digest(), &Digest::of(b"person:ada"));
}

#[test]
fn a_word_by_somebody_who_lost_the_role_since_does_not_count() {
    let mut told = Told::new();
    told.erase("ben", "ada", 100);
    let mut charter = told.members.charter().clone();
    charter.members[0].roles.clear();
    told.members = Members::of(charter, Digest::of(b"charter")).unwrap();
    told.erase("cem", "ada", 100);
    assert!(!told.is_complete("ada"));
    told.erase("dan", "ada", 100);
    assert!(told.is_complete("ada"));
}
