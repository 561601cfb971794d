//! Which charter is in force where in a log.
//!
//! It takes the log's statements in order and keeps amendments, who consents to them, and what stands in their way. Whoever
//! reads the same entries comes to the same charters. Time is the log's own: a delay begins with the first tick whose
//! checkpoint covers what began it, at the latest of its times, and is over with a later tick whose earliest time is so much
//! later. The latest time that any tick so far proves counts, not the last tick's: whoever says an old one again turns
//! nothing back. It refuses to know policies and clocks, and writes nothing.
//!
//! *Invariant forward:* a charter that came into force stays in the history; a withdrawal of a key takes no amendment back.

mod judge;
mod put;

use std::collections::{BTreeMap, BTreeSet};

use model::{KeyId, PersonId};

use crate::{
    dsse::Identity,
    keys::PublicKey,
    statement::{
        Members, Signatory, Statement, public_key,
        v1::{Charter, Claim, Key, Tick},
    },
    tick::{LatestTime, OpenTick},
};

pub use judge::{Hindrance, RefusedAct};
pub use put::{Consented, Delay, Put, State};

/// The charters of a log, and the amendments that made them.
#[derive(Clone, Debug)]
pub struct Charters {
    /// Who is in force for the next statement: the last of `in_force`.
    now: Members,
    /// From which index on which members are in force, in order; the first from 0 on.
    in_force: Vec<(u64, Members)>,
    /// The index after the last statement that was taken.
    size: u64,
    /// Statements that count here, by name: one that is repeated later says nothing new.
    heard: BTreeSet<Identity>,
    puts: BTreeMap<u64, Put>,
    /// Whose each key was that ever stood in a charter in force.
    owners: BTreeMap<KeyId, Owner>,
    void_from: BTreeMap<KeyId, u64>,
    withdrawals: BTreeMap<KeyId, u64>,
    new_keys: Vec<(BTreeSet<KeyId>, Delay)>,
    time: LatestTime,
    rests_on: BTreeSet<u64>,
}

/// To whom a key belongs for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Person(PersonId),
    Robot(model::RobotId),
    Recovery,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Person(id) => write!(f, "{id}"),
            Self::Robot(id) => write!(f, "robot {id}"),
            Self::Recovery => f.write_str("recovery"),
        }
    }
}

impl Charters {
    /// Of the log of these members, before its first entry: they begin with its first charter.
    pub fn new(members: &Members) -> Self {
        let root = members.root().clone();
        let owners = owners(root.charter()).collect();
        Self {
            in_force: vec![(0, root.clone())],
            now: root,
            size: 0,
            heard: BTreeSet::new(),
            puts: BTreeMap::new(),
            owners,
            void_from: BTreeMap::new(),
            withdrawals: BTreeMap::new(),
            new_keys: Vec::new(),
            time: LatestTime::default(),
            rests_on: BTreeSet::new(),
        }
    }

    /// The members in force for the next statement.
    pub const fn members(&self) -> &Members {
        &self.now
    }

    /// The members in force for the statement at an index.
    pub fn members_at(&self, index: u64) -> &Members {
        let after = self.in_force.partition_point(|(from, _)| *from <= index);
        after.checked_sub(1).and_then(|at| self.in_force.get(at)).map_or(&self.now, |(_, members)| members)
    }

    /// Every change of who is in force, with the index from which on: amendments, and keys that begin to count.
    pub fn history(&self) -> &[(u64, Members)] {
        &self.in_force
    }

    /// How many changes there were: it grows with each, and with nothing else.
    pub fn version(&self) -> usize {
        self.in_force.len()
    }

    /// The index after the last statement that was taken.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The amendments that were put up, by log index.
    pub fn puts(&self) -> impl DoubleEndedIterator<Item = &Put> {
        self.puts.values()
    }

    /// The amendment at a log index.
    pub fn put(&self, index: u64) -> Option<&Put> {
        self.puts.get(&index)
    }

    /// Keys that stand in the charter in force and do not count yet, with what must pass.
    pub fn new_keys(&self) -> impl Iterator<Item = (KeyId, &Delay)> {
        self.new_keys.iter().flat_map(|(keys, delay)| keys.iter().map(move |key| (*key, delay)))
    }

    /// The log index of the first withdrawal of a key.
    pub fn withdrawal(&self, key: KeyId) -> Option<u64> {
        self.withdrawals.get(&key).copied()
    }

    /// Amendments in force that rest on a signature by a key that was withdrawn for that index. They stay in force.
    pub fn by_withdrawn_keys(&self) -> impl Iterator<Item = &Put> {
        self.puts.values().filter(|put| {
            let State::InForce { by, .. } = &put.state else { return false };
            self.is_void(put.key, put.index)
                || put.consents.iter().any(|c| by.contains(&c.index) && self.is_void(c.key, c.index))
        })
    }

    /// The log indices of everything that the charter in force follows from, beside the first one.
    pub const fn rests_on(&self) -> &BTreeSet<u64> {
        &self.rests_on
    }

    /// Whether a statement can have to do with charters at all; the others may be left out.
    pub const fn concerns(claim: &Claim) -> bool {
        matches!(
            claim,
            Claim::Tick(_) | Claim::KeyWithdrawal(_) | Claim::Amendment(_) | Claim::Consent(_) | Claim::Cancellation(_)
        )
    }

    /// Takes a statement, which was verified and whose signer may say it by [`Charters::members`]. Statements come in the
    /// order of the log. Returns whether the members in force are others from the next one on.
    pub fn take(
        &mut self,
        index: u64,
        key: KeyId,
        identity: Identity,
        statement: &Statement,
        tick: Option<&OpenTick>,
    ) -> bool {
        let before = self.version();
        self.size = self.size.max(index.saturating_add(1));
        if !Self::concerns(&statement.claim) {
            return false;
        }
        let Ok(by) = self.members().holder_arc(key) else { return false };
        if !matches!(statement.claim, Claim::Tick(_)) && !self.heard.insert(identity) {
            return false;
        }
        match &statement.claim {
            Claim::Tick(claim) => {
                let members = self.members().clone();
                let opened = tick.cloned();
                let opened =
                    if self.waits() { opened.or_else(|| members.open_tick(&claim.checkpoint)) } else { opened };
                self.time.hear(index, claim, &members, opened.as_ref());
                if let Some(open) = opened.filter(|_| self.waits()) {
                    self.let_time_pass(index, claim, &open, &members);
                }
            }
            Claim::KeyWithdrawal(claim) => {
                self.rests_on.insert(index);
                let from = self.void_from.entry(claim.key).or_insert(u64::MAX);
                *from = claim.void_from.min(*from);
                self.withdrawals.entry(claim.key).or_insert(index);
            }
            Claim::Amendment(claim) => {
                self.rests_on.insert(index);
                let header = &statement.header;
                let put = Put::new((index, key), by, header.role.clone(), header.expires, (**claim).clone());
                self.puts.insert(index, put);
            }
            Claim::Consent(claim) => {
                self.rests_on.insert(index);
                let header = &statement.header;
                let (role, expires) = (header.role.clone(), header.expires);
                if let Some(put) = self.puts.get_mut(&claim.amendment)
                    && put.amendment.becomes == claim.becomes
                {
                    put.consents.push(Consented { index, key, by, role, expires, shown: claim.shown });
                    self.weigh(claim.amendment, index);
                }
            }
            Claim::Cancellation(claim) => {
                self.rests_on.insert(index);
                if matches!(*by, Signatory::Person(_)) && !self.is_void(key, index) {
                    self.cancel(claim.of, index);
                }
            }
            _ => {}
        }
        self.version() != before
    }

    /// Whether what a key signed at an index is void by now.
    pub fn is_void(&self, key: KeyId, index: u64) -> bool {
        self.void_from.get(&key).is_some_and(|from| index >= *from)
    }

    /// Looks whether an amendment is complete with the consent at an index.
    fn weigh(&mut self, amendment: u64, index: u64) {
        let Some(put) = self.puts.get(&amendment).filter(|put| put.state == State::Open) else { return };
        self.rests_on.extend(self.time.latest().map(|(_, tick)| tick));
        let Ok(ready) = self.ready(put) else { return };
        if !ready.tally.is_met() {
            return;
        }
        let delay_s = self.members().charter().recovery.as_ref().map_or(0, |r| r.delay_s);
        let is_recovery = put.is_recovery();
        let Some(put) = self.puts.get_mut(&amendment) else { return };
        if is_recovery {
            put.state = State::Waiting { by: ready.by, delay: Delay::from(index, delay_s) };
        } else {
            put.state = State::InForce { from: index.saturating_add(1), by: ready.by };
            self.come_into_force(index, ready.charter, false);
        }
    }

    /// One member is enough, and it is not taken back.
    fn cancel(&mut self, amendment: u64, index: u64) {
        if let Some(put) = self.puts.get_mut(&amendment)
            && put.is_recovery()
            && matches!(put.state, State::Open | State::Waiting { .. })
        {
            put.state = State::Cancelled { at: index };
        }
    }

    /// From the entry after this one on another charter is in force. Keys that are new in it count after a delay, but for
    /// recovery, whose own delay has passed.
    fn come_into_force(&mut self, index: u64, charter: Charter, is_recovery: bool) {
        let old = self.now.clone();
        let delay_s = if is_recovery { 0 } else { old.charter().key_delay_s };
        let known = |key: &KeyId| old.key(*key).is_ok();
        let listed: BTreeSet<KeyId> = keys(&charter).filter_map(|k| public_key(k).ok()).map(|k| k.id()).collect();
        let mut not_yet: BTreeSet<KeyId> = old.not_yet().intersection(&listed).copied().collect();
        let fresh: BTreeSet<KeyId> = listed.iter().filter(|k| !known(k) && !not_yet.contains(*k)).copied().collect();
        if delay_s > 0 {
            not_yet.extend(&fresh);
        }
        if is_recovery {
            not_yet.clear();
        }
        self.owners.extend(owners(&charter));
        // `ready` has made members of it before.
        let Ok(members) = old.amended(charter, not_yet.clone()) else { return };
        self.enter(index, members);
        for (keys, _) in &mut self.new_keys {
            keys.retain(|key| not_yet.contains(key));
        }
        if delay_s > 0 && !fresh.is_empty() {
            self.new_keys.push((fresh, Delay::from(index, delay_s)));
        }
        self.new_keys.retain(|(keys, _)| !keys.is_empty());
        // A recovery that waits was for a charter that could not be changed otherwise, and it just was.
        for put in self.puts.values_mut() {
            if let State::Waiting { .. } = put.state {
                put.state = State::Overtaken { at: index };
            }
        }
    }

    /// Whether time that passes changes anything.
    fn waits(&self) -> bool {
        !self.new_keys.is_empty() || self.puts.values().any(|put| matches!(put.state, State::Waiting { .. }))
    }

    /// A tick: what waited long enough is over.
    fn let_time_pass(&mut self, index: u64, tick: &Tick, open: &OpenTick, members: &Members) {
        let Some((earliest, _)) = open.within(index, tick.at, members.charter()) else { return };
        let Some(latest) = self.time.latest() else { return };
        let mut over = Vec::new();
        for put in self.puts.values_mut() {
            let (at, recovery) = (put.index, put.amendment.clone());
            if let State::Waiting { by, delay } = &mut put.state
                && delay.tick(index, open.size, earliest, latest, &mut self.rests_on)
            {
                over.push((at, recovery, by.clone()));
            }
        }
        for (at, amendment, by) in over {
            // A recovery before it in this loop may have come into force, and has overtaken this one.
            let waits = self.puts.get(&at).is_some_and(|put| matches!(put.state, State::Waiting { .. }));
            let Ok(charter) = self.result(&amendment, true) else { continue };
            if waits && let Some(put) = self.puts.get_mut(&at) {
                put.state = State::InForce { from: index.saturating_add(1), by };
                self.come_into_force(index, charter, true);
            }
        }
        let mut counts = BTreeSet::new();
        self.new_keys.retain_mut(|(keys, delay)| {
            let is_over = delay.tick(index, open.size, earliest, latest, &mut self.rests_on);
            if is_over {
                counts.append(keys);
            }
            !is_over
        });
        if !counts.is_empty() {
            self.enter(index, self.now.counting(&counts));
        }
    }

    /// Other members from the entry after this one on.
    fn enter(&mut self, index: u64, members: Members) {
        self.now = members.clone();
        self.in_force.push((index.saturating_add(1), members));
    }
}

/// Every key of a charter.
fn keys(charter: &Charter) -> impl Iterator<Item = &Key> {
    let recovery = charter.recovery.iter().flat_map(|r| &r.keys);
    charter.members.iter().flat_map(|m| &m.keys).chain(charter.robots.iter().map(|r| &r.key)).chain(recovery)
}

/// Whose the keys of a charter are; those that do not parse are nobody's.
fn owners(charter: &Charter) -> impl Iterator<Item = (KeyId, Owner)> + use<> {
    let id = |key: &Key| public_key(key).ok().as_ref().map(PublicKey::id);
    let mut owners = Vec::new();
    for member in &charter.members {
        owners.extend(member.keys.iter().filter_map(|k| Some((id(k)?, Owner::Person(member.id.clone())))));
    }
    owners.extend(charter.robots.iter().filter_map(|r| Some((id(&r.key)?, Owner::Robot(r.id.clone())))));
    let recovery = charter.recovery.iter().flat_map(|r| &r.keys);
    owners.extend(recovery.filter_map(|k| Some((id(k)?, Owner::Recovery))));
    owners.into_iter()
}

#[cfg(test)]
mod tests;
