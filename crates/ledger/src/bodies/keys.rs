//! The keys of subjects: who keeps them, and what destroying one means.
//!
//! A crash while a key is made leaves no key or a whole one; a crash while one is destroyed leaves it or not, and
//! destroying it again finishes.

use zeroize::Zeroizing;

use super::SubjectDigest;
use crate::store::StoreError;

/// A key of a subject, wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectKey(Zeroizing<[u8; 32]>);

impl SubjectKey {
    /// A fresh key. `None` if the system gives no random bytes.
    pub fn new() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).ok()?;
        Some(Self(bytes))
    }

    /// From bytes that a table kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the table.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for SubjectKey {
    /// Keys are not printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectKey")
    }
}

/// What a table knows of a subject's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// There never was one.
    Absent,
    /// It is here.
    Kept(SubjectKey),
    /// It was destroyed, and none is made again.
    Destroyed,
}

/// Keeps a key a subject. Any number of threads may ask at once.
pub trait SubjectKeys: Send + Sync {
    /// The key of a subject; `fresh` becomes it if there never was one. Returns when it outlives a power cut, and the same
    /// to all who ask. [`KeyState::Destroyed`] stays; the answer is never [`KeyState::Absent`].
    fn get_or_make(&self, subject: SubjectDigest, fresh: &SubjectKey) -> Result<KeyState, StoreError>;
    /// What is known of a subject's key.
    fn get(&self, subject: SubjectDigest) -> Result<KeyState, StoreError>;
    /// Destroys the key and marks the subject, also one that never had a key. Returns when that outlives a power cut and
    /// the table's own files hold the key no longer; what copies of those files hold is beyond it. Again is fine.
    fn destroy(&self, subject: SubjectDigest) -> Result<(), StoreError>;
    /// Every subject that the table knows after this one, in order of digests, at most `limit`: for moving to another
    /// table.
    fn subjects(
        &self,
        after: Option<SubjectDigest>,
        limit: usize,
    ) -> Result<Vec<(SubjectDigest, KeyState)>, StoreError>;
}
