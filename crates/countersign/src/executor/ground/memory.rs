//! What was started on the ground of the log, for the day on which a host comes up and its log does not.
//!
//! It holds what the log, when it was read last, still gave ground for, and nothing older: what has been replaced twice, or
//! refused since, is taken out. It is written where no role can write. A crash leaves the file before; a file that can not be
//! read is as good as none, and nothing is started by it. It refuses to know why something has ground.

use std::path::PathBuf;

use gate::Wanted;
use ledger::durable;
use model::{Digest, EnvironmentName, SystemName, ValueName};
use serde::{Deserialize, Serialize};

/// As many versions side by side as a manifest may ask for, with one that is coming, and as many components that read values
/// of their own: 13 × 64. What drops out is not started without the log.
const STARTED_LIMIT: usize = 832;

/// Something that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Started {
    system: SystemName,
    environment: EnvironmentName,
    release: Digest,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stays: bool,
    /// What its guarded values were committed to with.
    values: Vec<(ValueName, Digest)>,
}

impl Started {
    fn of(wanted: &Wanted) -> Self {
        let Wanted { system, environment, release, stays, values } = wanted.clone();
        Self { system, environment, release, stays, values }
    }

    fn wanted(&self) -> Wanted {
        let Self { system, environment, release, stays, values } = self.clone();
        Wanted { system, environment, release, stays, values }
    }
}

/// What was started, oldest first.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    started: Vec<Started>,
}

impl Memory {
    /// What the file has.
    pub(super) fn open(path: PathBuf) -> Self {
        let started = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!("`{}` does not hold up, and nothing is started by it: {error}", path.display());
                Vec::new()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::error!("`{}` can not be read, and nothing is started by it: {error}", path.display());
                Vec::new()
            }
        };
        Self { path, started }
    }

    /// Whether exactly this was started before, and had ground when the log was read last.
    pub(super) fn has(&self, wanted: &Wanted) -> bool {
        self.started.contains(&Started::of(wanted))
    }

    /// Remembers that this is started.
    pub(super) fn add(&mut self, wanted: &Wanted) {
        if self.has(wanted) {
            return;
        }
        let surplus = (self.started.len() + 1).saturating_sub(STARTED_LIMIT);
        self.started.drain(..surplus);
        self.started.push(Started::of(wanted));
        self.write();
    }

    /// Forgets what `has_ground` says no to.
    pub(super) fn retain(&mut self, mut has_ground: impl FnMut(&Wanted) -> bool) {
        let before = self.started.len();
        self.started.retain(|started| has_ground(&started.wanted()));
        if self.started.len() < before {
            self.write();
        }
    }

    /// What can not be kept is missing after a restart without a log, and nowhere else.
    fn write(&self) {
        let written = serde_json::to_vec(&self.started)
            .map_err(std::io::Error::from)
            .and_then(|bytes| durable::write(&self.path, &bytes, 0o600).map_err(std::io::Error::other));
        if let Err(error) = written {
            tracing::warn!("`{}` can not be written: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests;
