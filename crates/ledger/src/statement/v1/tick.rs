//! Ticks: how time enters the log.

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// An earlier checkpoint of this log with its witnesses' cosignatures, whose times are the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tick {
    /// The signed note with the log's signature and the cosignatures (C2SP tlog-checkpoint, tlog-cosignature).
    pub checkpoint: String,
    /// The robot's own reading; used only where the charter names no witness, and then verdicts say *unwitnessed*.
    pub at: Timestamp,
}
