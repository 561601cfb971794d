//! What a witness keeps on disk: one note an origin, the list of origins that it has ever cosigned, and the evidence of
//! forks.
//!
//! *Invariant listed-before-reply:* an origin is on the list before its first cosignature leaves. So a record that is gone
//! is told from one that never was, and the list is made together with the key. A crash between record and list leaves a
//! record that is not listed yet, which counts all the same.
//!
//! The files are named by the digest of the origin, so that no origin can name a path. A record carries the witness's
//! own cosignature, which is verified when it is read: a file that was put there by somebody else does not count.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use model::{Digest, Timestamp};

use super::OpenWitnessError;
use crate::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    durable::{self, DurableError},
    follow::{self, Fork},
    note::{Note, NoteSignature, VerifierKey},
};

/// The file with the origins that were ever cosigned.
const LIST: &str = "cosigned-logs";
/// Its first line.
const LIST_HEADER: &str = "countersign-witness/1";

/// The origins that were ever cosigned, as the folder has them.
pub(super) struct Enrolled {
    origins: BTreeSet<String>,
}

impl Enrolled {
    /// Begins the list of a witness that has cosigned nothing. One that is there stays.
    pub(super) fn begin(folder: &Path) -> Result<(), DurableError> {
        match durable::write_new(&folder.join(LIST), format!("{LIST_HEADER}\n").as_bytes(), 0o600) {
            Err(DurableError::Exists(_)) => Ok(()),
            other => other,
        }
    }

    pub(super) fn read(folder: &Path) -> Result<Self, OpenWitnessError> {
        let path = folder.join(LIST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(OpenWitnessError::NoList(path)),
            Err(e) => return Err(OpenWitnessError::Read(path, e)),
        };
        let lines = text.strip_prefix(LIST_HEADER).and_then(|t| t.strip_prefix('\n'));
        let lines = lines.filter(|l| l.is_empty() || l.ends_with('\n')).ok_or(OpenWitnessError::Record(path))?;
        Ok(Self { origins: lines.lines().map(str::to_owned).collect() })
    }

    pub(super) fn has(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }

    /// Puts an origin on the list, synced. Nothing is done if it is there.
    pub(super) fn add(&mut self, folder: &Path, origin: &str) -> Result<(), DurableError> {
        if self.has(origin) {
            return Ok(());
        }
        let mut text = format!("{LIST_HEADER}\n");
        for listed in self.origins.iter().map(String::as_str).chain([origin]) {
            text.push_str(listed);
            text.push('\n');
        }
        durable::write(&folder.join(LIST), text.as_bytes(), 0o600)?;
        self.origins.insert(origin.to_owned());
        Ok(())
    }
}

/// The latest cosigned checkpoint of one origin.
pub(super) struct Record {
    pub(super) checkpoint: Checkpoint,
    pub(super) note: Note,
    pub(super) time: Timestamp,
}

impl Record {
    pub(super) fn new(
        signed: &SignedCheckpoint,
        keys: &[VerifierKey],
        cosignature: NoteSignature,
        time: Timestamp,
    ) -> Self {
        // Only the log's own signatures are kept beside ours: what else came with the request is nobody's.
        let mut note = signed.note().clone();
        note.retain_keys(keys);
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
    follow::keep(&folder.join("forks"), Fork::KIND, &fork.to_bytes())
}

/// Keeps two checkpoints that were not shown to go together, and not shown to contradict each other, apart from forks:
/// these must not take the forks' room.
pub(super) fn keep_unproven(folder: &Path, pair: &Fork) -> Result<(), DurableError> {
    follow::keep(&folder.join("forks"), "unproven", &pair.to_bytes())
}

/// Keeps a smaller checkpoint beside the one that was cosigned, apart from those that can not both be true.
pub(super) fn keep_smaller(folder: &Path, pair: &Fork) -> Result<(), DurableError> {
    follow::keep(&folder.join("forks"), "smaller", &pair.to_bytes())
}

pub(super) fn path_of(folder: &Path, origin: &str) -> PathBuf {
    folder.join(format!("{}.checkpoint", Digest::of(origin.as_bytes()).hex()))
}
