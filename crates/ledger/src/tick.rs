//! Ticks opened: what a checkpoint's cosignatures say about the time, under a charter.

use std::collections::BTreeMap;

use model::{Digest, Timestamp};

use crate::{
    checkpoint::SignedCheckpoint,
    note::VerifierKey,
    statement::v1::{Charter, WitnessKey},
};

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

/// The keys that a tick's checkpoint is verified with, read from a charter once.
#[derive(Clone, Debug)]
pub struct TickKeys {
    log: VerifierKey,
    /// With their operators; those whose keys do not parse cosign nothing.
    witnesses: Vec<(VerifierKey, String)>,
    quorum: usize,
}

/// Opens the signed note in a tick. `None` unless the log signed it and the quorum of witnesses cosigned it.
pub fn open(note: &str, charter: &Charter) -> Option<OpenTick> {
    TickKeys::of(charter)?.open(note)
}

impl TickKeys {
    /// Those of a charter. `None` if the log's key does not hold up.
    pub fn of(charter: &Charter) -> Option<Self> {
        let log: VerifierKey = charter.log.vkey.parse().ok()?;
        let parse = |w: &WitnessKey| Some((w.vkey.parse().ok()?, w.operator.clone()));
        let witnesses = charter.witnesses.iter().filter_map(parse).collect();
        let quorum = charter.witness_quorum as usize;
        (log.name() == charter.log.origin).then_some(Self { log, witnesses, quorum })
    }

    /// As [`open`].
    pub fn open(&self, note: &str) -> Option<OpenTick> {
        let signed = SignedCheckpoint::open(note.as_bytes(), &self.log).ok()?;
        let checkpoint = signed.checkpoint();
        // Several witnesses of one operator are one voice; its earliest is taken.
        let mut by_operator: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for (key, operator) in &self.witnesses {
            if let Ok(Some(time)) = signed.note().cosigned_at(key) {
                let earliest = by_operator.entry(operator).or_insert(time);
                *earliest = time.min(*earliest);
            }
        }
        let times: Vec<Timestamp> = by_operator.into_values().collect();
        let enough = times.len() >= self.quorum;
        enough.then_some(OpenTick { size: checkpoint.size, root: checkpoint.root, times })
    }
}
