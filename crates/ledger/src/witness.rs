//! A witness (C2SP tlog-witness v1.0.0): remembers the largest checkpoint of each log that it is configured for, and
//! cosigns only what continues it. Without transport: bytes of a request in, a response out.
//!
//! It refuses to know what entries are. *Invariant persisted-before-reply:* the record of a checkpoint is synced (through
//! [`crate::durable`]) before its cosignature leaves. A crash in between means that the log asks again with the size that
//! the 409 tells it; nothing is ever cosigned that does not continue what was.

mod client;
mod logs;
mod record;
mod request;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::{Digest, Timestamp};

use crate::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    durable::{self, DurableError, Lock, LockError},
    follow::Fork,
    merkle::{empty_root, verify_consistency},
    note::{NoteKeyType, NoteSigner, VerifierKey},
};

pub use client::{CosignError, Reply, cosign};
pub use logs::{LogListError, WitnessedLog, merge, parse_list};
pub use request::{AddCheckpoint, REQUEST_LIMIT_BYTES, RequestError};

use record::{Enrolled, Record};

/// The response to a request, for any transport that speaks HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Two checkpoints that contradict each other, if that is what the request brought to light. Stored already.
    pub fork: Option<Fork>,
}

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenWitnessError {
    /// Its key is not of the cosignature type.
    #[error("the key of a witness is of the cosignature type")]
    Key,
    /// Another process uses its folder.
    #[error("the folder of the witness is in use")]
    Lock(#[from] LockError),
    /// Its folder can not be made.
    #[error("the folder of the witness can not be used")]
    Folder(#[from] DurableError),
    /// A record is damaged. It is never started from nothing, for then it would cosign anything.
    #[error("the record `{}` of the witness is damaged; restore it, or give the witness a new key", .0.display())]
    Record(PathBuf),
    /// A log that was cosigned before has no record any more.
    #[error("the record `{}` of the log `{origin}` is gone, and this witness has cosigned that log", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
        /// The log.
        origin: String,
    },
    /// The list of the logs that were ever cosigned is gone, or was never made.
    #[error("the list `{}` of the logs that this witness has cosigned is not there", .0.display())]
    NoList(PathBuf),
    /// A record can not be read.
    #[error("the record `{}` of the witness can not be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
}

/// A witness with its state in a folder.
pub struct Witness {
    signer: NoteSigner,
    logs: BTreeMap<String, Log>,
    /// The origin of each log by its SHA-256 in hex.
    by_hash: BTreeMap<String, String>,
    folder: PathBuf,
    /// Which logs were ever cosigned; locked only inside of a log's own lock.
    enrolled: Mutex<Enrolled>,
    _lock: Lock,
}

/// A log that it cosigns for.
struct Log {
    keys: Vec<VerifierKey>,
    /// The latest cosigned checkpoint. One lock for checking, signing and persisting, so that the race which the
    /// specification warns of (section `add-checkpoint`) can not happen; another log does not wait for it.
    latest: Mutex<Option<Record>>,
}

impl Log {
    fn latest(&self) -> MutexGuard<'_, Option<Record>> {
        // What is in it is replaced as a whole, after everything that can fail.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a witness has cosigned of a log, for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The log.
    pub origin: String,
    /// Size and time of the latest cosigned checkpoint; `None` before the first.
    pub latest: Option<(u64, Timestamp)>,
}

/// Why a request was not answered with a cosignature: the statuses of the specification, in the order of its checks.
enum Denied {
    Malformed(RequestError),
    UnknownOrigin,
    Signature(CheckpointError),
    OldBeyondSize,
    OtherSize(u64),
    Inconsistent(Option<Fork>),
    ClockWentBack(Timestamp),
    NotPersisted(DurableError),
    NotSigned,
}

impl Witness {
    /// Makes the folder of a new witness, with the list of what it has cosigned: nothing. To be done before its key is
    /// made, and only then: a key that has cosigned must never begin again.
    pub fn begin(folder: &Path) -> Result<(), DurableError> {
        durable::create_folder(folder, 0o700)?;
        Enrolled::begin(folder)
    }

    /// Opens the folder and reads the record of each log. A log that was cosigned before must have one.
    pub fn open(folder: &Path, signer: NoteSigner, logs: Vec<WitnessedLog>) -> Result<Self, OpenWitnessError> {
        if signer.vkey().key_type() != NoteKeyType::Cosignature {
            return Err(OpenWitnessError::Key);
        }
        durable::create_folder(folder, 0o700)?;
        let lock = Lock::take(&folder.join("lock"))?;
        let enrolled = Enrolled::read(folder)?;
        let mut opened = BTreeMap::new();
        for log in merge(logs) {
            let (origin, keys) = log.into_parts();
            let latest = Record::read(folder, &origin, signer.vkey())?;
            if latest.is_none() && enrolled.has(&origin) {
                return Err(OpenWitnessError::Gone { path: record::path_of(folder, &origin), origin });
            }
            opened.insert(origin, Log { keys, latest: Mutex::new(latest) });
        }
        let by_hash = opened.keys().map(|o| (Digest::of(o.as_bytes()).hex(), o.clone())).collect();
        let (folder, enrolled) = (folder.to_owned(), Mutex::new(enrolled));
        Ok(Self { signer, logs: opened, by_hash, folder, enrolled, _lock: lock })
    }

    /// The key that verifies its cosignatures.
    pub const fn vkey(&self) -> &VerifierKey {
        self.signer.vkey()
    }

    /// What it has cosigned of each log that it is configured for.
    pub fn status(&self) -> Vec<LogStatus> {
        let latest = |log: &Log| log.latest().as_ref().map(|r| (r.checkpoint.size, r.time));
        self.logs.iter().map(|(origin, log)| LogStatus { origin: origin.clone(), latest: latest(log) }).collect()
    }

    /// The latest checkpoint that it cosigned for an origin.
    pub fn latest(&self, origin: &str) -> Option<Checkpoint> {
        self.logs.get(origin)?.latest().as_ref().map(|record| record.checkpoint.clone())
    }

    /// The note of that checkpoint, with the log's signatures and the cosignature: what an auditor compares with.
    pub fn latest_note(&self, origin: &str) -> Option<Vec<u8>> {
        self.logs.get(origin)?.latest().as_ref().map(|record| record.note.to_string().into_bytes())
    }

    /// Answers `GET <prefix>/<origin hash>/checkpoint` (tlog-witness, "Monitor Retrieval Mechanism"): the same note for
    /// the origin with this SHA-256, in lowercase hex. `None` is 404.
    pub fn monitored(&self, origin_hash: &str) -> Option<Vec<u8>> {
        self.latest_note(self.by_hash.get(origin_hash)?)
    }

    /// Answers `POST <prefix>/add-checkpoint`.
    pub fn add_checkpoint(&self, request: &[u8], now: Timestamp) -> Response {
        match self.try_add(request, now) {
            Ok(body) => Response { status: 200, content_type: "text/plain; charset=utf-8", body, fork: None },
            Err(denied) => denied.into(),
        }
    }

    fn try_add(&self, request: &[u8], now: Timestamp) -> Result<Vec<u8>, Denied> {
        let request = AddCheckpoint::parse(request).map_err(Denied::Malformed)?;
        let origin = request.origin();
        let log = self.logs.get(origin).ok_or(Denied::UnknownOrigin)?;
        let theirs = SignedCheckpoint::open_by(request.note(), origin, &log.keys).map_err(Denied::Signature)?;
        if request.old() > theirs.size() {
            return Err(Denied::OldBeyondSize);
        }
        let mut latest = log.latest();
        let ours = latest.as_ref();
        let (old_size, old_root) = ours.map_or((0, empty_root()), |r| (r.checkpoint.size, r.checkpoint.root));
        if request.old() != old_size {
            // A log that was set back asks like this, and so does one whose processes ask at the same time.
            if let Some(ours) = ours.filter(|_| theirs.size() < old_size) {
                let smaller = Fork::new(ours.note.to_string().into_bytes(), signed_by_log(&theirs, &log.keys));
                drop(record::keep_smaller(&self.folder, &smaller));
            }
            return Err(Denied::OtherSize(old_size));
        }
        if verify_consistency(old_size, &old_root, theirs.size(), &theirs.root(), request.proof()).is_err() {
            let pair = ours.map(|r| {
                let pair = Fork::new(r.note.to_string().into_bytes(), signed_by_log(&theirs, &log.keys));
                log.keys.iter().fold(pair, |pair, key| pair.with_proof(key, request.proof()))
            });
            // Anybody can send a log's checkpoint with a proof that is none. Evidence is what the log has signed; it is
            // kept as well as can be, and the answer is no either way.
            let (forks, others): (Vec<_>, Vec<_>) =
                pair.into_iter().partition(|pair| log.keys.iter().any(|key| pair.is_proof(key)));
            for pair in others.iter().filter(|pair| log.keys.iter().any(|key| pair.judge(key).is_ok())) {
                drop(record::keep_unproven(&self.folder, pair));
            }
            for fork in &forks {
                drop(record::keep_fork(&self.folder, fork));
            }
            return Err(Denied::Inconsistent(forks.into_iter().next()));
        }
        if let Some(time) = ours.map(|r| r.time).filter(|time| *time > now) {
            return Err(Denied::ClockWentBack(time));
        }
        let cosignature = self.signer.sign(theirs.note().text(), now).map_err(|_| Denied::NotSigned)?;
        let record = Record::new(&theirs, &log.keys, cosignature.clone(), now);
        record.write(&self.folder).map_err(Denied::NotPersisted)?;
        let mut enrolled = self.enrolled.lock().unwrap_or_else(PoisonError::into_inner);
        enrolled.add(&self.folder, origin).map_err(Denied::NotPersisted)?;
        drop(enrolled);
        *latest = Some(record);
        Ok(cosignature.to_string().into_bytes())
    }
}

/// A checkpoint's note with the log's own signatures alone: what else came with it is nobody's, and would make the same
/// evidence look new each time.
fn signed_by_log(checkpoint: &SignedCheckpoint, keys: &[VerifierKey]) -> Vec<u8> {
    let mut note = checkpoint.note().clone();
    note.retain_keys(keys);
    note.to_string().into_bytes()
}

impl From<Denied> for Response {
    fn from(denied: Denied) -> Self {
        let text = |status, text: &str| Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{text}\n").into_bytes(),
            fork: None,
        };
        match denied {
            Denied::Malformed(e) => text(400, &e.to_string()),
            Denied::UnknownOrigin => text(404, "this witness does not know that log"),
            Denied::Signature(e @ (CheckpointError::Malformed(_) | CheckpointError::Origin { .. })) => {
                text(400, &e.to_string())
            }
            Denied::Signature(e @ CheckpointError::Note(_)) => text(403, &e.to_string()),
            Denied::OldBeyondSize => text(400, "the old size is larger than the checkpoint's"),
            Denied::OtherSize(size) => Self { content_type: "text/x.tlog.size", ..text(409, &size.to_string()) },
            Denied::Inconsistent(fork) => {
                Self { fork, ..text(422, "the checkpoint does not continue the one that was cosigned before") }
            }
            Denied::ClockWentBack(time) => text(503, &format!("the clock of this witness went back behind {time}")),
            Denied::NotPersisted(e) => text(503, &e.to_string()),
            Denied::NotSigned => text(503, "the witness could not sign"),
        }
    }
}

#[cfg(test)]
mod tests;
