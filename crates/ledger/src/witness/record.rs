//! What a witness keeps on disk: one note an origin, and the evidence of forks.
//!
//! The files are named by the digest of the origin, so that no origin can name a path. A record carries the witness's
//! own cosignature, which is verified when it is read: a file that was put there by somebody else does not count.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use model::{Digest, Timestamp};

use super::OpenWitnessError;
use crate::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    durable::{self, DurableError},
    follow::Fork,
    note::{Note, NoteSignature, VerifierKey},
};

/// 256 pieces of evidence: one is enough to stop a log, and nobody shall fill the disk with more.
const FORK_LIMIT: usize = 256;

/// The latest cosigned checkpoint of one origin.
pub(super) struct Record {
    pub(super) checkpoint: Checkpoint,
    pub(super) note: Note,
    pub(super) time: Timestamp,
}

impl Record {
    pub(super) fn new(signed: &SignedCheckpoint, cosignature: NoteSignature, time: Timestamp) -> Self {
        // Only the log's own signature is kept beside ours: what else came with the request is nobody's.
        let mut note = signed.note().clone();
        note.retain_name(&signed.checkpoint().origin);
        note.add(cosignature);
        Self { checkpoint: signed.checkpoint().clone(), note, time }
    }

    pub(super) fn read(folder: &Path, origin: &str, own: &VerifierKey) -> Result<Option<Self>, OpenWitnessError> {
        let path = path_of(folder, origin);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(OpenWitnessError::Read(path, e)),
        };
        let record = Note::parse(&bytes).ok().and_then(|note| {
            let checkpoint: Checkpoint = note.text().parse().ok()?;
            let time = note.cosigned_at(own).ok().flatten()?;
            (checkpoint.origin == origin).then_some(Self { checkpoint, note, time })
        });
        record.map(Some).ok_or(OpenWitnessError::Record(path))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), DurableError> {
        durable::write(&path_of(folder, &self.checkpoint.origin), self.note.to_string().as_bytes(), 0o600)
    }
}

/// Keeps both checkpoints of a fork; the same pair is one file.
pub(super) fn keep_fork(folder: &Path, fork: &Fork) -> Result<(), DurableError> {
    let forks = folder.join("forks");
    durable::create_folder(&forks, 0o700)?;
    let kept = fs::read_dir(&forks).map_or(FORK_LIMIT, Iterator::count);
    if kept >= FORK_LIMIT {
        return Ok(());
    }
    let bytes = fork.to_bytes();
    match durable::write_new(&forks.join(format!("{}.txt", Digest::of(&bytes).hex())), &bytes, 0o600) {
        Err(DurableError::Exists(_)) => Ok(()),
        other => other,
    }
}

fn path_of(folder: &Path, origin: &str) -> PathBuf {
    folder.join(format!("{}.checkpoint", Digest::of(origin.as_bytes()).hex()))
}
