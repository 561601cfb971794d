//! Ticks opened: what a checkpoint's cosignatures say about the time, under a charter.

use std::collections::BTreeMap;

use model::{Digest, Timestamp};

use crate::{checkpoint::SignedCheckpoint, note::VerifierKey, statement::v1::Charter};

/// A tick's checkpoint, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTick {
    /// How many entries it covers.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// When each operator of witnesses cosigned: at least the quorum of them, or none under a charter without.
    pub times: Vec<Timestamp>,
}

/// Opens the signed note in a tick. `None` unless the log signed it and the quorum of witnesses cosigned it.
pub fn open(note: &str, charter: &Charter) -> Option<OpenTick> {
    let log: VerifierKey = charter.log.vkey.parse().ok()?;
    let signed = SignedCheckpoint::open(note.as_bytes(), &log).ok()?;
    if signed.checkpoint().origin != charter.log.origin {
        return None;
    }
    // Several witnesses of one operator are one voice; its earliest is taken.
    let mut by_operator: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for witness in &charter.witnesses {
        let Ok(key) = witness.vkey.parse::<VerifierKey>() else { continue };
        if let Ok(Some(time)) = signed.note().cosigned_at(&key) {
            let earliest = by_operator.entry(&witness.operator).or_insert(time);
            *earliest = time.min(*earliest);
        }
    }
    if by_operator.len() < charter.witness_quorum as usize {
        return None;
    }
    Some(OpenTick { size: signed.size(), root: signed.root(), times: by_operator.into_values().collect() })
}
