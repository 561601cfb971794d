//! Ticks opened: what a checkpoint's cosignatures say about the time, under a charter.

mod latest;

use std::collections::BTreeMap;

use model::{Digest, Timestamp};

use crate::{
    checkpoint::SignedCheckpoint,
    note::VerifierKey,
    statement::v1::{Charter, WitnessKey},
};

pub(crate) use latest::LatestTime;

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

impl OpenTick {
    /// The earliest and the latest of its times as the tick at a log index, or what the robot that made it says (`at`)
    /// where the charter asks no witness. `None` if it covers more than there was, or says nothing about the time.
    pub fn within(&self, index: u64, at: Timestamp, charter: &Charter) -> Option<(Timestamp, Timestamp)> {
        if self.size > index {
            return None;
        }
        match (self.times.iter().min(), self.times.iter().max()) {
            (Some(earliest), Some(latest)) => Some((*earliest, *latest)),
            _ => (charter.witness_quorum == 0).then_some((at, at)),
        }
    }
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
