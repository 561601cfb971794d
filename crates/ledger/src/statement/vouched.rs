//! Which earlier trees of the log a statement speaks of, so that two histories meet in it.

use super::{Statement, v1::Seen};
use crate::tick::OpenTick;

/// The checkpoints that a statement stands on: the one that its signer had seen last, and a tick's own if the log and its
/// witnesses signed it. Each must be the tree that the log had at that size, or there are two histories.
pub fn vouched(statement: &Statement, tick: Option<&OpenTick>) -> Vec<Seen> {
    let tick = tick.map(|open| Seen { size: open.size, root: open.root });
    statement.header.seen.into_iter().chain(tick).collect()
}
