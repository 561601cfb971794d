//! What was read from the log and verified: the only way for one room to take another's word.

use std::ops::Deref;

use model::KeyId;

/// A statement's content that is in the log, signed by a key that may say it.
///
/// *Invariant verified:* the entry at `index` is in the tree of a checkpoint that a [`crate::follow::Follower`] accepted,
/// `key` signed it, and its kind is `T`'s. Only this room can make one, after checking that; the fields are private, so
/// nobody else can, not even by mistake:
///
/// ```compile_fail,E0451
/// let key = model::KeyId::of_wire(b"made up");
/// let forged = ledger::verified::Verified { index: 7, key, value: "granted" };
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
}

impl<T> Verified<T> {
    /// The caller has established *verified*.
    pub(crate) const fn new(index: u64, key: KeyId, value: T) -> Self {
        Self { index, key, value }
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

    /// The same, borrowed: *verified* holds for what is borrowed as it holds for the owner.
    pub const fn as_ref(&self) -> Verified<&T> {
        Verified { index: self.index, key: self.key, value: &self.value }
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
