//! What an auditor brings along: checkpoints that were kept elsewhere, a witness's state, the follower of the last audit.

use std::path::Path;

use ledger::{
    checkpoint::SignedCheckpoint,
    follow::{Follower, WitnessPolicy},
    note::VerifierKey,
};
use model::Digest;

use crate::fault::{Because as _, Fault, Kind};

/// The first line of what `--keep` wrote.
const FOLLOWER: &[u8] = b"countersign-follower/";

/// What was kept elsewhere.
#[derive(Default)]
pub(super) struct Kept {
    /// Checkpoints, in any order.
    pub(super) checkpoints: Vec<SignedCheckpoint>,
    /// The follower that has seen most.
    pub(super) follower: Option<Follower>,
}

impl Kept {
    /// Reads a checkpoint, or what `--keep` wrote.
    pub(super) fn read(&mut self, path: &Path, log: &VerifierKey) -> Result<(), Fault> {
        let bytes = std::fs::read(path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
        if bytes.starts_with(FOLLOWER) {
            let follower = Follower::from_bytes(log.clone(), WitnessPolicy::unwitnessed(), &bytes)
                .because(Kind::Input, format!("`{}` does not hold up", path.display()))?;
            if self.follower.as_ref().is_none_or(|old| old.size() < follower.size()) {
                self.follower = Some(follower);
            }
            return Ok(());
        }
        let checkpoint = SignedCheckpoint::open(&bytes, log).map_err(|e| {
            Fault::from_error(Kind::Input, e)
                .context(format!("`{}` is not a checkpoint of this log", path.display()))
                .hint("a checkpoint is what `/log/checkpoint` answers; it must be of the log that the charter names")
        })?;
        self.checkpoints.push(checkpoint);
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
