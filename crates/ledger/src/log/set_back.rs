//! That a log is not what it was: restored from an old backup, or rewritten. It is noticed by the process that has served
//! more, or by a witness that has cosigned more, and from then on the log takes nothing in.
//!
//! It refuses to know how that came about. Going on would make two histories under one key, which nobody can mend.

/// How it is known that the log does not continue what others have seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetBack {
    /// The store holds less than this process has served.
    #[error("the store holds {stored} entries, but {served} were served: it was restored from an old state")]
    Store {
        /// What was served.
        served: u64,
        /// What is stored.
        stored: u64,
    },
    /// The store holds other entries than this process has served.
    #[error("the store does not continue the {served} entries that were served: it was rewritten")]
    Rewritten {
        /// What was served.
        served: u64,
    },
    /// A witness has cosigned more.
    #[error("witness `{witness}` has cosigned {theirs} entries, and the log has {ours}")]
    Witness {
        /// The witness.
        witness: String,
        /// What it has cosigned.
        theirs: u64,
        /// What the log has.
        ours: u64,
    },
    /// A witness has cosigned something else.
    #[error("the log does not continue what witness `{0}` has cosigned")]
    Fork(String),
}
