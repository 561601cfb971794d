//! What an auditor keeps between two audits.

use ledger::follow::{Follower, WitnessPolicy};

use crate::fixed;

/// A kept follower has one form, and is of this log.
pub fn run(data: &[u8]) {
    let log = fixed::log_signer().vkey().clone();
    let Ok(follower) = Follower::from_bytes(log.clone(), WitnessPolicy::unwitnessed(), data) else { return };
    assert_eq!(follower.to_bytes(), data, "it has one form");
    let Some(checkpoint) = follower.checkpoint() else {
        assert!(data.is_empty(), "only nothing is nothing");
        return;
    };
    assert_eq!(checkpoint.root(), follower.range().root(), "same-tree");
    assert_eq!(checkpoint.size(), follower.size());
    assert!(fixed::is_signed_by_log(checkpoint.note()), "only the log's own signature counts");
}
