//! A sweep: one pass over a whole log on all cores, for whoever reads it from its first entry to its last.
//!
//! Threads take bundles of 256 entries as they come free and do with each what depends on nothing else: hashes, form,
//! signature, entitlement, what was seen, checkpoints and cosignatures. The caller's thread gets the bundles in order and
//! does what depends on order. A bundle's entries are compared with the [`Skeleton`] of a signed tree before anything is
//! made of them, so that what comes out is `Verified` from the first bundle on, and an entry that was changed is named
//! by its index.
//!
//! Signatures are verified one by one and strictly: to verify them in batches accepts others, and not always the same.
//! It refuses to know what statements mean, and writes nothing.

mod bundle;
mod flaw;
pub mod kept;
mod skeleton;
mod source;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
};

use crate::{
    Verified,
    charter::Charters,
    follow::WitnessPolicy,
    note::VerifierKey,
    statement::{Members, Statement, v1::Kind},
    store::StoreError,
};

pub use flaw::{Flaw, FlawKind};
pub use skeleton::{BUNDLE, Bundle, NotHere, Skeleton};
pub use source::{Found, Source, StoreSource};

/// Bundles that may be under way or waiting for an earlier one: 8,192 entries, at most some tens of megabytes, and
/// enough that no thread waits for a slow bundle of another.
const AHEAD: u64 = 32;

/// What is read, and with what it is compared.
pub struct Sweep<'a> {
    /// The log.
    pub source: &'a dyn Source,
    /// The log's first charter and its keys. Amendments are followed.
    pub members: &'a Members,
    /// The log's key.
    pub log: &'a VerifierKey,
    /// The witnesses whose cosignatures are checked.
    pub witnesses: &'a WitnessPolicy,
    /// The tree to compare with.
    pub skeleton: &'a Skeleton,
    /// Whether its root is the one that the log has signed. If not, flaws come out, and no statements.
    pub is_signed: bool,
    /// So many entries were verified before, by whoever sweeps again: they are hashed and compared, and read without
    /// verifying them again.
    pub verified: u64,
    /// The first bundle to read; those before it are passed over, by whoever read them before.
    pub from: u64,
    /// How many threads.
    pub threads: NonZeroUsize,
}

/// One bundle, looked at.
#[derive(Debug)]
pub struct Part<T> {
    /// The index of its first entry.
    pub first: u64,
    /// The index after its last.
    pub end: u64,
    /// What its entries say, up to the first that is not a statement of this log.
    pub said: Vec<Said<T>>,
    /// What is wrong with it.
    pub flaws: Vec<Flaw>,
    /// How many signed checkpoints were compared.
    pub checkpoints: u64,
    /// How many cosignatures of known witnesses were verified.
    pub cosignatures: u64,
    /// The largest checkpoint in it that the quorum of witnesses has cosigned, with how many operators did.
    pub witnessed: Option<(u64, usize)>,
    agreed: Agreed,
    /// The index after the last entry that was opened.
    opened: u64,
    /// Whether its entries are those of the signed tree.
    is_shown: bool,
    /// By whose word its statements were entitled.
    known: Arc<bundle::Known>,
}

/// A statement, and what the caller wanted to know of it.
#[derive(Debug)]
pub struct Said<T> {
    /// The statement.
    pub entry: Verified<Statement>,
    /// The members in force there.
    pub members: Members,
    /// What the caller's function made of it.
    pub look: T,
}

/// Up to which size each kind of evidence agrees with the tree.
#[derive(Clone, Copy, Debug, Default)]
struct Agreed {
    seen: u64,
    by_log: u64,
    by_witness: u64,
}

/// Whose turn it is.
struct Turn {
    next: u64,
    folded: u64,
    stop: bool,
}

struct Turns {
    turn: Mutex<Turn>,
    moved: Condvar,
}

impl Turns {
    /// Numbers alone, each set in one step: a poisoned lock holds whole data.
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next bundle to look at, when it is not too far ahead.
    fn take(&self, bundles: u64) -> Option<u64> {
        let mut turn = self.turn();
        while !turn.stop && turn.next < bundles && turn.next >= turn.folded + AHEAD {
            turn = self.moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        if turn.stop || turn.next >= bundles {
            return None;
        }
        turn.next += 1;
        Some(turn.next - 1)
    }

    fn folded(&self, count: u64) {
        self.turn().folded = count;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.turn().stop = true;
        self.moved.notify_all();
    }
}

/// Lets nobody wait for a thread that is gone.
struct StopOnPanic<'a>(&'a Turns);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl Sweep<'_> {
    /// Sweeps. `look` is called on any thread, once a statement; `fold` on this one, in order, and its error ends it.
    pub fn run<T: Send, E: From<StoreError>>(
        &self,
        look: &(dyn Fn(&Verified<Statement>) -> T + Sync),
        mut fold: impl FnMut(Part<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let bundles = self.skeleton.bundles();
        let turns =
            Turns { turn: Mutex::new(Turn { next: self.from, folded: self.from, stop: false }), moved: Condvar::new() };
        let recent = bundle::Recent::default();
        let root = Charters::new(self.members);
        let known = Mutex::new(Arc::new(bundle::Known(root.history().to_vec())));
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(AHEAD as usize);
            for _ in 0..self.threads.get() {
                let (sender, turns) = (sender.clone(), &turns);
                let hands = bundle::Hands { recent: &recent, known: &known };
                scope.spawn(move || {
                    let _guard = StopOnPanic(turns);
                    while let Some(number) = turns.take(bundles) {
                        if sender.send((number, self.look_at(number, &hands, look))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let mut waiting = BTreeMap::new();
            let mut order = Order { agreed: Agreed::default(), begun: self.from > 0, charters: root };
            let hands = bundle::Hands { recent: &recent, known: &known };
            let mut next = self.from;
            let outcome = receiver.iter().try_for_each(|(number, part)| {
                waiting.insert(number, part);
                while let Some(part) = waiting.remove(&next) {
                    let mut part = part?;
                    // Whoever looked at it did not know yet of an amendment just before or in it: once more.
                    while let Some(now) = order.follow(&part) {
                        *known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
                        part = self.look_at(next, &hands, look)?;
                    }
                    order.check(&mut part);
                    if !part.is_shown {
                        part.said.clear();
                    }
                    fold(part)?;
                    next += 1;
                    turns.folded(next);
                }
                Ok(())
            });
            turns.stop();
            outcome
        })
    }
}

/// What depends on the order of bundles.
struct Order {
    agreed: Agreed,
    begun: bool,
    charters: Charters,
}

impl Order {
    /// Follows the charters through a bundle. If somebody was entitled by another charter than the one in force there,
    /// nothing is taken, and who is in force comes back, as far as these statements tell.
    fn follow<T>(&mut self, part: &Part<T>) -> Option<bundle::Known> {
        let mut charters = self.charters.clone();
        let by = |index: u64| part.known.at(index).map(|(number, _)| number);
        for said in &part.said {
            let entry = &said.entry;
            if by(entry.index()) != charters.version().checked_sub(1) {
                return Some(bundle::Known(charters.history().to_vec()));
            }
            if let Some(identity) = entry.identity() {
                charters.take(entry.index(), entry.key(), identity, entry.value(), entry.tick());
            }
        }
        // The first entry that did not hold up may have been judged by the wrong charter.
        if part.opened < part.end && by(part.opened) != charters.version().checked_sub(1) {
            return Some(bundle::Known(charters.history().to_vec()));
        }
        if charters.version() != self.charters.version()
            || part.said.iter().any(|s| Charters::concerns(&s.entry.value().claim))
        {
            self.charters = charters;
        }
        None
    }

    fn check<T>(&mut self, part: &mut Part<T>) {
        // The founders' signatures come first and nowhere else. Each is of the charter: entitlement has seen to that.
        let founders = part.said.iter().position(|s| {
            let is_charter = s.entry.value().claim.kind() == Kind::Charter;
            let out_of_place = is_charter && self.begun || !is_charter && s.entry.index() == 0;
            self.begun |= !is_charter;
            out_of_place
        });
        if let Some(at) = founders {
            part.flaws.push(Flaw::Charter(part.first + at as u64));
            part.said.truncate(at);
        }
        let from = |known: u64, place: &mut std::ops::Range<u64>| {
            if known < place.end {
                place.start = place.start.max(known);
            }
        };
        for flaw in &mut part.flaws {
            match flaw {
                Flaw::Seen { place, .. } => from(self.agreed.seen, place),
                Flaw::Rewritten { place, witness: crate::check::Voucher::Witness(_) } => {
                    from(self.agreed.by_witness, place);
                }
                Flaw::Rewritten { place, .. } => from(self.agreed.by_log, place),
                _ => {}
            }
        }
        let (known, new) = (&mut self.agreed, part.agreed);
        known.seen = known.seen.max(new.seen);
        known.by_log = known.by_log.max(new.by_log);
        known.by_witness = known.by_witness.max(new.by_witness);
    }
}

/// As many threads as there are cores.
pub fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests;
