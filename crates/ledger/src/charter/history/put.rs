//! One amendment that was put up: who did, who consents, and how far it has come.

use std::{collections::BTreeSet, sync::Arc};

use model::{Digest, KeyId, RoleName, Timestamp};

use crate::statement::{Signatory, v1::Amendment};

/// An amendment in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its log index.
    pub index: u64,
    /// The key that signed it.
    pub key: KeyId,
    /// Who that is.
    pub by: Arc<Signatory>,
    /// In which role.
    pub role: RoleName,
    /// After this it counts for nothing new.
    pub expires: Timestamp,
    /// What it says.
    pub amendment: Amendment,
    /// Every consent to it, in the order of the log, whether it counts or not.
    pub consents: Vec<Consented>,
    /// How far it has come.
    pub state: State,
}

/// One consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consented {
    /// Its log index.
    pub index: u64,
    /// The key that signed it.
    pub key: KeyId,
    /// Who that is.
    pub by: Arc<Signatory>,
    /// In which role.
    pub role: RoleName,
    /// After this it counts for nothing new.
    pub expires: Timestamp,
    /// The digest of what was shown.
    pub shown: Digest,
}

/// How far an amendment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for consents. Whether it can come into force at all, [`super::Charters::hindrance`] tells.
    Open,
    /// Enough recovery keys have signed it, and any member can cancel it until the delay is over.
    Waiting {
        /// The log indices of the consents that count.
        by: BTreeSet<u64>,
        /// What must pass.
        delay: Delay,
    },
    /// It is, or was, in force.
    InForce {
        /// The first index for which it is.
        from: u64,
        /// The log indices of the consents that counted.
        by: BTreeSet<u64>,
    },
    /// A member cancelled it.
    Cancelled {
        /// The log index of the cancellation.
        at: u64,
    },
    /// The charter was changed otherwise while it waited.
    Overtaken {
        /// The log index with which that came into force.
        at: u64,
    },
}

/// Time that must pass by the log's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The log index that it counts from.
    pub since: u64,
    /// How long, in seconds.
    pub asked_s: u64,
    /// Until when, and by which tick: known from the first tick that covers what it counts from.
    pub until: Option<(Timestamp, u64)>,
}

impl Put {
    pub(super) const fn new(
        (index, key): (u64, KeyId),
        by: Arc<Signatory>,
        role: RoleName,
        expires: Timestamp,
        amendment: Amendment,
    ) -> Self {
        Self { index, key, by, role, expires, amendment, consents: Vec::new(), state: State::Open }
    }

    /// Whether recovery keys put it up, and not a member.
    pub fn is_recovery(&self) -> bool {
        matches!(*self.by, Signatory::Recovery)
    }
}

impl Delay {
    pub(super) const fn from(since: u64, asked_s: u64) -> Self {
        Self { since, asked_s, until: None }
    }

    /// Takes a tick, and says whether the delay is over with it. `latest` is that of all ticks so far, with the one that
    /// says so: a tick by an old time begins nothing earlier. The ticks that it rests on are noted.
    pub(super) fn tick(
        &mut self,
        index: u64,
        covers: u64,
        earliest: Timestamp,
        latest: (Timestamp, u64),
        rests_on: &mut BTreeSet<u64>,
    ) -> bool {
        match self.until {
            None if covers > self.since => {
                self.until = Some((latest.0.plus_s(self.asked_s), index));
                rests_on.extend([index, latest.1]);
                false
            }
            Some((until, began)) if index > began && earliest >= until => {
                rests_on.insert(index);
                true
            }
            _ => false,
        }
    }
}
