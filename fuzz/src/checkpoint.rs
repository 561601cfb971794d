//! Checkpoints (C2SP tlog-checkpoint), as texts and as signed notes.

use ledger::checkpoint::{Checkpoint, SignedCheckpoint};

use crate::fixed;

/// A checkpoint that is read prints as what was read; a signed one was signed by its log, about itself.
pub fn run(data: &[u8]) {
    open(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = text.parse::<Checkpoint>();
    if let Ok(checkpoint) = &parsed {
        assert_eq!(checkpoint.to_string(), text, "a checkpoint has one form");
        assert!(checkpoint.size <= i64::MAX.cast_unsigned());
    }
    // Signed by the log, whatever it says is read the same way, or not at all.
    if let Some(signed) = open(fixed::signed(text).as_bytes()) {
        assert_eq!(Some(signed.checkpoint()), parsed.as_ref().ok());
    }
}

fn open(bytes: &[u8]) -> Option<SignedCheckpoint> {
    let signed = SignedCheckpoint::open(bytes, fixed::log_signer().vkey()).ok()?;
    assert_eq!(signed.checkpoint().origin, fixed::ORIGIN);
    assert_eq!(signed.note().text(), signed.checkpoint().to_string(), "what is signed is what is read");
    assert!(fixed::is_signed_by_log(signed.note()), "only the log's own signature counts");
    assert_eq!(signed.to_bytes(), bytes);
    Some(signed)
}
