//! What a sweep finds wrong, each with the index that it is about.

use std::ops::Range;

use crate::{check::Voucher, checkpoint::CheckpointError, dsse::EnvelopeError, statement::ReadError};

/// Something that is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// An entry is not there, though later ones are, or though it was signed for.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// The bytes of an entry are not those that were hashed into the signed tree.
    #[error("entry {0} was changed: it does not hash to what the signed tree has there")]
    Changed(u64),
    /// The same, where the stored hashes do not say which.
    #[error(
        "an entry from {} to {} was changed: together they do not hash to what the signed tree has there",
        .0.start, .0.end.saturating_sub(1)
    )]
    ChangedAmong(Range<u64>),
    /// Stored hashes are not the entries'.
    #[error("the stored hashes at level {level}, tile {index} are not those of the entries {} to {}", over.start, over.end.saturating_sub(1))]
    Tile {
        /// The tile's level.
        level: u8,
        /// The tile's index.
        index: u64,
        /// The entries below it.
        over: Range<u64>,
    },
    /// An entry is not an envelope in canonical form.
    #[error("entry {0} is not a statement of this log")]
    Envelope(u64, #[source] EnvelopeError),
    /// An entry is not a statement that its signer may make.
    #[error("entry {0} is not a statement of this log")]
    Statement(u64, #[source] ReadError),
    /// The log does not begin with the charter, or repeats one later.
    #[error("entry {0} is not where a charter stands: the founders' signatures come first and nowhere else")]
    Charter(u64),
    /// An entry is stored under another statement's name.
    #[error("entry {0} is not the statement that it is stored as")]
    StoredAs(u64),
    /// A tick's checkpoint does not hold up.
    #[error("the tick at {0} carries a checkpoint that the log and its witnesses did not sign")]
    Tick(u64),
    /// A statement names a checkpoint over entries that came after it.
    #[error("entry {index} names a checkpoint over {size} statements, which is later than itself")]
    SeenLater {
        /// Its index.
        index: u64,
        /// The size that it names.
        size: u64,
    },
    /// A statement names a root that these entries do not have.
    #[error(
        "entries {} to {} are not those that {} when entry {index} was signed: history was rewritten",
        place.start, place.end.saturating_sub(1), if *tick { "its checkpoint vouches for" } else { "its signer had seen" }
    )]
    Seen {
        /// Its index.
        index: u64,
        /// Between which indices, as closely as others' words say; the end is the size that it names.
        place: Range<u64>,
        /// Whether it is the checkpoint that a tick carries.
        tick: bool,
    },
    /// A stored checkpoint is not signed by the log.
    #[error("the checkpoint for {size} entries is not the log's")]
    Checkpoint {
        /// Its size.
        size: u64,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// The entries are not those that were signed or cosigned.
    #[error("entries {} to {} are not those that {witness} vouches for: history was rewritten", place.start, place.end.saturating_sub(1))]
    Rewritten {
        /// Between which indices, as closely as the evidence says.
        place: Range<u64>,
        /// Whose evidence says so.
        witness: Voucher,
    },
}

/// Kinds of evidence. One lie is told once a kind: what comes after it follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlawKind {
    /// Bytes against hashes.
    Hashes,
    /// Form, signature, entitlement.
    Statements,
    /// What signers and ticks had seen.
    Seen,
    /// Stored checkpoints and cosignatures.
    Checkpoints,
}

impl Flaw {
    /// Which evidence says so.
    pub const fn kind(&self) -> FlawKind {
        match self {
            Self::Missing(_) | Self::Changed(_) | Self::ChangedAmong(_) | Self::Tile { .. } | Self::StoredAs(_) => {
                FlawKind::Hashes
            }
            Self::Envelope(..) | Self::Statement(..) | Self::Charter(_) => FlawKind::Statements,
            Self::Tick(_) | Self::SeenLater { .. } | Self::Seen { .. } => FlawKind::Seen,
            Self::Checkpoint { .. } | Self::Rewritten { .. } => FlawKind::Checkpoints,
        }
    }

    /// The entries that it is about, as closely as the evidence says.
    pub const fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::Missing(i)
            | Self::Changed(i)
            | Self::Envelope(i, _)
            | Self::Statement(i, _)
            | Self::Charter(i)
            | Self::StoredAs(i)
            | Self::Tick(i) => Some((*i, *i)),
            Self::SeenLater { index, .. } => Some((*index, *index)),
            Self::ChangedAmong(place)
            | Self::Tile { over: place, .. }
            | Self::Seen { place, .. }
            | Self::Rewritten { place, .. } => Some((place.start, place.end.saturating_sub(1))),
            Self::Checkpoint { .. } => None,
        }
    }
}
