//! What was read from the log and verified: the only way for one room to take another's word.

use std::{ops::Deref, sync::Arc};

use model::KeyId;

use crate::{dsse::Identity, statement::Signatory, tick::OpenTick};

/// A statement's content that is in the log, signed by a key that may say it.
///
/// *Invariant verified:* the entry at `index` is in the tree of a checkpoint that a [`crate::follow::Follower`] accepted,
/// or that a [`crate::excerpt::Excerpt`] opened and an inclusion proof leads to,
/// `key` signed it, and its kind is `T`'s. Only this room can make one, after checking that; the fields are private, so
/// nobody else can, not even by mistake:
///
/// ```compile_fail,E0451
/// let key = model::KeyId::of_wire(b"made up");
/// let forged = ledger::verified::Verified { index: 7, key, value: "granted", known: Default::default() };
/// ```
///
/// nor change what one says:
///
/// ```compile_fail,E0616
/// fn tamper(mut verified: ledger::verified::Verified<String>) {
///     verified.value = "granted".to_owned();
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    index: u64,
    key: KeyId,
    value: T,
    known: Known,
}

/// What was computed on the way to *verified* and is asked for again by whoever folds statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The statement's name, from the bytes of its payload.
    pub(crate) identity: Option<Identity>,
    /// The checkpoint that a tick carries, if it is a tick and its signatures were found to hold up.
    pub(crate) tick: Option<OpenTick>,
    /// Who signed it, by the charter in force where it stands.
    pub(crate) by: Option<Arc<Signatory>>,
}

impl<T> Verified<T> {
    /// The caller has established *verified*.
    pub(crate) const fn new(index: u64, key: KeyId, value: T, known: Known) -> Self {
        Self { index, key, value, known }
    }

    /// Its index in the log.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The key that signed it.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// What it says.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The statement's name, if it was computed when the entry was read.
    pub const fn identity(&self) -> Option<Identity> {
        self.known.identity
    }

    /// The checkpoint of a tick, if it was opened when the entry was read: the log signed it and the quorum of witnesses
    /// cosigned it. `None` says nothing: then [`crate::tick::open`] answers.
    pub const fn tick(&self) -> Option<&OpenTick> {
        self.known.tick.as_ref()
    }

    /// Who signed it, by the charter in force where it stands, if that was computed when the entry was read.
    pub const fn by(&self) -> Option<&Arc<Signatory>> {
        self.known.by.as_ref()
    }

    /// The same, borrowed: *verified* holds for what is borrowed as it holds for the owner.
    pub fn as_ref(&self) -> Verified<&T> {
        Verified { index: self.index, key: self.key, value: &self.value, known: self.known.clone() }
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
