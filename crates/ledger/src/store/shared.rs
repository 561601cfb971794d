//! The part of a store that several processes open at once: whose turn it is to order statements, and how the others
//! hand theirs over.
//!
//! It refuses to know what is handed over. What it promises is the fence: once somebody has taken a turn, a commit under
//! any earlier turn changes nothing, however late it comes. Offers need not outlive a crash: nobody has a receipt for one.

use std::time::Duration;

use model::Digest;

use super::StoreError;
use crate::dsse::Identity;

/// Who gives statements their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This process, which is the only one that can open the store.
    Only,
    /// This process, since the turn with this number.
    Sequencer {
        /// Counts turns; a larger one fences off every smaller one.
        epoch: u64,
    },
    /// Another process.
    Follower {
        /// The number of its turn.
        epoch: u64,
        /// What it calls itself.
        holder: String,
    },
}

impl Turn {
    /// Whether it is this process.
    pub const fn is_ours(&self) -> bool {
        !matches!(self, Self::Follower { .. })
    }
}

impl std::fmt::Display for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Only => f.write_str("the only one"),
            Self::Sequencer { epoch } => write!(f, "sequencer, epoch {epoch}"),
            Self::Follower { epoch, holder } => write!(f, "follower of `{holder}`, epoch {epoch}"),
        }
    }
}

/// A statement that was let in by one process and waits for the one whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The statement's name.
    pub identity: Identity,
    /// The canonical bytes of the envelope.
    pub bytes: Vec<u8>,
    /// Made with a secret that all processes of this log have: whoever can only write the store can put nothing past
    /// the door.
    pub seal: Digest,
}

/// What others have done since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Something was committed or cosigned.
    pub head: bool,
    /// Statements were handed over.
    pub offers: bool,
    /// A turn has ended before its time.
    pub turn: bool,
}

impl Changes {
    /// Whether there is anything to look at.
    pub const fn any(self) -> bool {
        self.head || self.offers || self.turn
    }
}

/// Takes turns on one store.
pub trait Shared: Send + Sync {
    /// Takes the turn if nobody has it or its time is over, prolongs it if it is this process's, and says whose it is.
    ///
    /// A turn that was lost, or under which a commit had an unknown outcome, is not prolonged: a new one is taken, and
    /// it is taken only after that commit has ended one way or the other.
    fn take_turn(&self) -> Result<Turn, StoreError>;
    /// Gives the turn back if it is this process's, so that another takes it at once.
    fn end_turn(&self) -> Result<(), StoreError>;
    /// Hands statements to whoever has the turn. One that waits there already stays once.
    fn hand_over(&self, offers: &[Offer]) -> Result<(), StoreError>;
    /// What was handed over, the oldest first, at most `limit`. A commit removes what it commits.
    fn handed_over(&self, limit: usize) -> Result<Vec<Offer>, StoreError>;
    /// Removes offers that need no commit.
    fn settle(&self, identities: &[Identity]) -> Result<(), StoreError>;
    /// Waits until others have done something, but no longer than `timeout`.
    fn wait(&self, timeout: Duration) -> Result<Changes, StoreError>;
}
