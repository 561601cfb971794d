//! What an auditor brings along, and what is kept of a contradiction: checkpoints that were kept elsewhere, a witness's
//! state, the file of the last audit; and both checkpoints where the log does not continue one of them.
//!
//! Evidence is written durably, under a name made of its content: written twice it is one file, and a crash leaves it
//! whole or not there, to be found again by the next audit.

use std::path::{Path, PathBuf};

use ledger::{
    checkpoint::SignedCheckpoint,
    follow::{Follower, Fork, WitnessPolicy},
    merkle::CompactRange,
    note::VerifierKey,
    sweep::kept::{HEADER, Kept},
};
use model::Digest;

use crate::fault::{Because as _, Fault, Kind};

/// The first line of what an agent or an older audit keeps.
const FOLLOWER: &[u8] = b"countersign-follower/";

/// One thing that was kept elsewhere.
pub(super) struct Piece {
    /// Where it was read.
    pub(super) path: PathBuf,
    /// A signed checkpoint of this log.
    pub(super) checkpoint: SignedCheckpoint,
    /// The tree's edge, where it was kept with it: it names the place of a difference more closely.
    pub(super) edge: Option<CompactRange>,
}

/// What was kept elsewhere.
#[derive(Default)]
pub(super) struct Pieces(pub(super) Vec<Piece>);

impl Pieces {
    /// Reads a checkpoint, what an audit kept, or what a follower kept.
    pub(super) fn read(&mut self, path: &Path, log: &VerifierKey) -> Result<(), Fault> {
        let bytes = std::fs::read(path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
        let (checkpoint, edge) = if bytes.starts_with(FOLLOWER) {
            let follower = Follower::from_bytes(log.clone(), WitnessPolicy::unwitnessed(), &bytes)
                .because(Kind::Input, format!("`{}` does not hold up", path.display()))?;
            let Some(checkpoint) = follower.checkpoint() else { return Ok(()) };
            (checkpoint.clone(), Some(follower.range().clone()))
        } else if bytes.starts_with(HEADER.as_bytes()) {
            let kept = kept_of(path, &bytes, log)?;
            (kept.checkpoint, Some(kept.range))
        } else {
            let checkpoint = SignedCheckpoint::open(&bytes, log).map_err(|e| {
                Fault::from_error(Kind::Input, e)
                    .context(format!("`{}` is not a checkpoint of this log", path.display()))
                    .hint(
                        "a checkpoint is what `/log/checkpoint` answers; it must be of the log that the charter names",
                    )
            })?;
            (checkpoint, None)
        };
        self.0.push(Piece { path: path.to_owned(), checkpoint, edge });
        Ok(())
    }

    /// Reads what a witness has cosigned last: its file, or the one of this log in its folder.
    pub(super) fn read_witness(&mut self, path: &Path, log: &VerifierKey) -> Result<(), Fault> {
        if !path.is_dir() {
            return self.read(path, log);
        }
        let file = path.join(format!("{}.checkpoint", Digest::of(log.name().as_bytes()).hex()));
        if !file.is_file() {
            return Err(Fault::new(
                Kind::Usage,
                format!("the witness at `{}` has cosigned nothing of `{}`", path.display(), log.name()),
            )
            .hint("is it another witness's folder?"));
        }
        self.read(&file, log)
    }
}

/// What an audit of this log kept at a path; `None` if there is nothing yet.
pub(in crate::verbs) fn read_kept(path: &Path, log: &VerifierKey) -> Result<Option<Kept>, Fault> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            return Err(Fault::from_error(Kind::Usage, e).context(format!("`{}` can not be read", path.display())));
        }
    };
    if bytes.starts_with(FOLLOWER) {
        // Of a version that remembered the tree, and not what was audited of it: it is evidence, and replaced.
        return Ok(None);
    }
    kept_of(path, &bytes, log).map(Some)
}

fn kept_of(path: &Path, bytes: &[u8], log: &VerifierKey) -> Result<Kept, Fault> {
    Kept::from_bytes(bytes, log).map_err(|e| {
        Fault::from_error(Kind::Input, e)
            .context(format!("`{}` is not what an audit of this log kept", path.display()))
            .hint("name another file with `--keep`; a file that was kept of a log is kept as it is")
    })
}

/// Keeps both checkpoints of a contradiction. Returns where.
pub(super) fn keep_fork(folder: &Path, fork: &Fork) -> Result<PathBuf, Fault> {
    let fork = fork.to_bytes();
    let path = folder.join(format!("fork-{}.txt", Digest::of(&fork).short()));
    let failed = || format!("the evidence can not be written to `{}`", path.display());
    ledger::durable::write(&path, &fork, 0o600).because(Kind::Unavailable, failed())?;
    Ok(path)
}
