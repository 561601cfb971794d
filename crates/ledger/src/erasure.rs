//! When a subject is to be erased: two persons have said so, with keys that are believed, before the first word was over.
//!
//! It reads the log's statements in order and keeps no other; whoever reads the same log comes to the same answer. Time
//! is the log's own: a word is over when a tick before the second one proves that its time is over. It refuses to
//! know keys and bodies: carrying it out is for whoever keeps them, and doing it twice is fine.

use std::collections::{BTreeMap, BTreeSet};

use model::{KeyId, PersonId, RoleName, Timestamp};

use crate::{
    bodies::SubjectDigest,
    statement::{
        Members, Signatory, Statement,
        v1::{Claim, Kind},
    },
    tick::LatestTime,
};

/// Two persons: what is forgotten is forgotten for ever.
pub const PERSONS: usize = 2;

/// One person's word that has not been joined by another's yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its log index.
    pub index: u64,
    /// Who said it.
    pub person: PersonId,
    /// With which key.
    pub key: KeyId,
    /// In which role.
    pub role: RoleName,
    /// Until when it counts.
    pub expires: Timestamp,
}

/// An erasure that enough persons have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// The log index of the word that made it complete.
    pub index: u64,
    /// Who said it.
    pub persons: BTreeSet<PersonId>,
}

/// The erasures of one log, read in order.
#[derive(Clone, Debug, Default)]
pub struct Erasures {
    time: LatestTime,
    void_from: BTreeMap<KeyId, u64>,
    words: BTreeMap<SubjectDigest, Vec<Word>>,
    complete: BTreeMap<SubjectDigest, Complete>,
}

impl Erasures {
    /// Before the first entry of a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The kinds of statement that count here; any other may be left out.
    pub const KINDS: [Kind; 3] = [Kind::Erasure, Kind::KeyWithdrawal, Kind::Tick];

    /// The next statement. It was verified and its signer may say it under the charter in force there.
    pub fn push(&mut self, index: u64, key: KeyId, members: &Members, by: &Signatory, statement: &Statement) {
        match &statement.claim {
            Claim::Tick(tick) => {
                self.time.hear(index, tick, members, None);
                if !self.words.is_empty() {
                    self.read_time();
                }
            }
            Claim::KeyWithdrawal(withdrawal) => {
                let from = self.void_from.entry(withdrawal.key).or_insert(u64::MAX);
                *from = withdrawal.void_from.min(*from);
                let void = |word: &Word| word.key == withdrawal.key && word.index >= withdrawal.void_from;
                self.keep_words(|word| !void(word));
            }
            Claim::Erasure(erasure) => {
                let Signatory::Person(person) = by else { return };
                if self.complete.contains_key(&erasure.subject) || self.is_void(key, index) {
                    return;
                }
                self.read_time();
                let words = self.words.entry(erasure.subject).or_default();
                words.retain(|word| word.person != *person);
                // A role must hold when signed and when used.
                let holds = |word: &Word| members.holds(word.key, &Signatory::Person(word.person.clone()), &word.role);
                words.retain(holds);
                let (role, expires) = (statement.header.role.clone(), statement.header.expires);
                words.push(Word { index, person: person.clone(), key, role, expires });
                if words.len() >= PERSONS {
                    let persons = words.iter().map(|word| word.person.clone()).collect();
                    self.words.remove(&erasure.subject);
                    self.complete.insert(erasure.subject, Complete { index, persons });
                }
            }
            _ => {}
        }
    }

    /// The words for a subject that wait for another person's.
    pub fn waiting(&self, subject: SubjectDigest) -> &[Word] {
        self.words.get(&subject).map_or(&[], Vec::as_slice)
    }

    /// The erasure of this subject, if enough persons have said it. It is not taken back.
    pub fn complete(&self, subject: SubjectDigest) -> Option<&Complete> {
        self.complete.get(&subject)
    }

    /// Every subject to be erased, with who said so.
    pub fn all_complete(&self) -> impl Iterator<Item = (SubjectDigest, &Complete)> {
        self.complete.iter().map(|(subject, complete)| (*subject, complete))
    }

    fn is_void(&self, key: KeyId, index: u64) -> bool {
        self.void_from.get(&key).is_some_and(|from| index >= *from)
    }

    /// What is over by now does not count.
    fn read_time(&mut self) {
        let Some((time, _)) = self.time.latest() else { return };
        self.keep_words(|word| word.expires > time);
    }

    fn keep_words(&mut self, keep: impl Fn(&Word) -> bool) {
        self.words.values_mut().for_each(|words| words.retain(&keep));
        self.words.retain(|_, words| !words.is_empty());
    }
}

#[cfg(test)]
mod tests;
