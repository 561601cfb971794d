//! Which charter is in force, as the log's own process sees it: everything that is stored is taken, in order.
//!
//! Whoever appends is judged by the charter in force at the end of the log, and once more when the statement gets its
//! place: others may have come first, and readers stop at a statement that its signer might not make where it stands. It
//! keeps nothing; a crash makes it read the log again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use ledger::{
    charter::{Charters, RefusedAct},
    dsse::{Envelope, Identity},
    log::{ENTRIES_LIMIT, Log},
    statement::{
        self, Members, ReadError, Statement,
        v1::{Claim, Kind},
    },
    store::{Store, StoreError},
};
use model::{Digest, KeyId};

/// Statements that were checked and wait for their place: four full queues. Beyond them each is checked a second time.
const CHECKED_LIMIT: usize = 4_096;
/// Charters that were weighed and are kept in mind: more than amendments wait in a queue for their place.
const WEIGHED_LIMIT: usize = 1_024;

/// The charters of a log, up to the last entry that was taken.
pub(super) struct InForce {
    followed: Mutex<Followed>,
    /// Charters that were weighed and hold up: which one was edited, and which one that makes.
    weighed: Mutex<BTreeSet<(Digest, Digest)>>,
    /// Taken while a charter is weighed at the door: one at a time, so that nobody takes every core, or every thread by
    /// waiting.
    weighing: Mutex<()>,
}

struct Followed {
    charters: Arc<Charters>,
    read: u64,
    /// What the writer has let in and not stored yet.
    ahead: Option<Arc<Charters>>,
    /// Statements that were checked, each by which version of the charters, and whether it can change them.
    checked: HashMap<Identity, (usize, bool)>,
}

/// Why an entry may not stand where it would.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("the entry can not be read")]
    Envelope(#[from] ledger::dsse::EnvelopeError),
    #[error(transparent)]
    Statement(#[from] ReadError),
    #[error(transparent)]
    Act(#[from] RefusedAct),
    #[error("another amendment is being weighed: send it again in a moment")]
    Busy,
    #[error("what the amendment makes would be refused")]
    Charter(#[from] gate::duties::CharterError),
}

impl InForce {
    pub(super) fn new(members: &Members) -> Self {
        let charters = Arc::new(Charters::new(members));
        let followed = Mutex::new(Followed { charters, read: 0, ahead: None, checked: HashMap::new() });
        Self { followed, weighed: Mutex::default(), weighing: Mutex::default() }
    }

    /// Each field is set in one step, and `ahead` is thrown away with the next batch.
    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The charters up to what was read.
    pub(super) fn charters(&self) -> Arc<Charters> {
        self.followed().charters.clone()
    }

    /// Reads what the log has that was not read yet; the charters, and how many entries they are after.
    pub(super) fn follow(&self, log: &Log) -> Result<(Arc<Charters>, u64), ledger::log::ReadError> {
        let mut followed = self.followed();
        while followed.read < log.head().size() {
            let entries = log.entries(followed.read, ENTRIES_LIMIT)?;
            if entries.is_empty() {
                break;
            }
            entries.iter().for_each(|entry| followed.read_entry(entry));
        }
        Ok((followed.charters.clone(), followed.read))
    }

    /// A statement was checked by these charters.
    pub(super) fn note(&self, identity: Identity, by: &Charters, claim: &Claim) {
        let mut followed = self.followed();
        if followed.checked.len() >= CHECKED_LIMIT {
            followed.checked.clear();
        }
        followed.checked.insert(identity, (by.version(), Charters::concerns(claim)));
    }

    /// The writer gives places from `first` on.
    pub(super) fn begin(&self, first: u64, store: &dyn Store) -> Result<(), StoreError> {
        let mut followed = self.followed();
        while followed.read < first {
            let left = usize::try_from(first - followed.read).unwrap_or(ENTRIES_LIMIT);
            let entries = store.entries(followed.read, left.min(ENTRIES_LIMIT))?;
            if entries.is_empty() {
                return Err(StoreError::OutOfStep { expected: first, found: followed.read });
            }
            entries.iter().for_each(|entry| followed.read_entry(&entry.bytes));
        }
        followed.ahead = Some(followed.charters.clone());
        Ok(())
    }

    /// Whether an entry may stand at this index, after those that were let in since.
    pub(super) fn place(&self, index: u64, identity: Identity, entry: &[u8]) -> Result<(), PlaceError> {
        // Only the writer, who asks here, lets anything in ahead: the lock need not be held, and nobody waits for what
        // is weighed.
        let (checked, mut charters) = {
            let mut followed = self.followed();
            let charters = followed.ahead.clone().unwrap_or_else(|| followed.charters.clone());
            (followed.checked.remove(&identity), charters)
        };
        if checked == Some((charters.version(), false)) {
            return Ok(());
        }
        let envelope = Envelope::from_entry(entry)?;
        let (statement, _) = statement::open(&envelope, charters.members())?;
        self.judge(&charters, envelope.signer(), &statement)?;
        if Charters::concerns(&statement.claim) {
            Arc::make_mut(&mut charters).take(index, envelope.signer(), identity, &statement, None);
            self.followed().ahead = Some(charters);
        }
        Ok(())
    }

    /// Whether a statement about the charter could have an effect; others always can. Before it comes to the writer.
    pub(super) fn check(&self, charters: &Charters, key: KeyId, statement: &Statement) -> Result<(), PlaceError> {
        if !matches!(statement.claim, Claim::Amendment(_)) {
            return self.judge(charters, key, statement);
        }
        match self.weighing.try_lock() {
            Err(TryLockError::WouldBlock) => Err(PlaceError::Busy),
            Ok(_) | Err(TryLockError::Poisoned(_)) => self.judge(charters, key, statement),
        }
    }

    /// The same. What a charter lets whom do is weighed once for each that is edited and made, because it takes long.
    fn judge(&self, charters: &Charters, key: KeyId, statement: &Statement) -> Result<(), PlaceError> {
        charters.check(key, statement)?;
        if let Claim::Amendment(amendment) = &statement.claim {
            let is_recovery = charters.members().holder(key).is_ok_and(|by| *by == statement::Signatory::Recovery);
            let charter = charters.result(amendment, is_recovery).map_err(RefusedAct::from)?;
            let made = (amendment.from, amendment.becomes);
            if !self.weighed().contains(&made) {
                gate::duties::check(&charter)?;
                let mut weighed = self.weighed();
                if weighed.len() >= WEIGHED_LIMIT {
                    weighed.clear();
                }
                weighed.insert(made);
            }
        }
        Ok(())
    }

    fn weighed(&self) -> MutexGuard<'_, BTreeSet<(Digest, Digest)>> {
        self.weighed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was let in is stored up to this index, or is read from the store again.
    pub(super) fn end(&self, stored: Option<u64>) {
        let mut followed = self.followed();
        let ahead = followed.ahead.take();
        if let (Some(size), Some(ahead)) = (stored, ahead) {
            followed.charters = ahead;
            followed.read = size.max(followed.read);
        }
    }
}

impl Followed {
    /// An entry of the log was judged when it came in; here only those are read that the charter can depend on.
    fn read_entry(&mut self, entry: &[u8]) {
        let index = self.read;
        self.read += 1;
        let Ok(envelope) = Envelope::from_entry(entry) else { return };
        if !KINDS.into_iter().any(|kind| names(envelope.payload(), kind)) {
            return;
        }
        let Ok(statement) = Statement::from_bytes(envelope.payload()) else { return };
        let (key, identity) = (envelope.signer(), envelope.identity());
        Arc::make_mut(&mut self.charters).take(index, key, identity, &statement, None);
    }
}

const KINDS: [Kind; 5] = [Kind::Tick, Kind::KeyWithdrawal, Kind::Amendment, Kind::Consent, Kind::Cancellation];

/// Whether a payload names the kind: what does not is of another kind.
pub(super) fn names(payload: &[u8], kind: Kind) -> bool {
    let name = kind.predicate_type();
    std::str::from_utf8(payload).is_ok_and(|text| text.contains(&name))
}
