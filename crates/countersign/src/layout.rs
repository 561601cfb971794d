//! Where everything is: one folder, a part for each process, owned by its user.
//!
//! Knows paths and nothing of what is in them.

use std::path::{Path, PathBuf};

use crate::identity::RoleUser;

/// The folder that `up` uses when none is named.
pub const DEFAULT_DIR: &str = "/var/lib/countersign";

/// The paths under one folder.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under this folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The founders' envelopes, one a line; the first line's payload is the charter.
    pub fn charter(&self) -> PathBuf {
        self.root.join("charter.jsonl")
    }

    /// The charter's payload, before every founder has signed.
    pub fn charter_draft(&self) -> PathBuf {
        self.root.join("charter.draft.json")
    }

    /// Who the members' e-mail addresses are, with the salts of the charter's commitments.
    pub fn identities(&self) -> PathBuf {
        self.root.join("identities.json")
    }

    /// Where the processes of this host listen and how often they look.
    pub fn settings(&self) -> PathBuf {
        self.root.join("settings.json")
    }

    /// Held by the running `up`, with its process id.
    pub fn lock(&self) -> PathBuf {
        self.root.join("up.lock")
    }

    /// A role's private key.
    pub fn key(&self, role: RoleUser) -> PathBuf {
        self.root.join("keys").join(format!("{role}.key"))
    }

    /// A role's own folder.
    pub fn home(&self, role: RoleUser) -> PathBuf {
        self.root.join(role.name())
    }

    /// A role's folder for its socket.
    pub fn run(&self, role: RoleUser) -> PathBuf {
        self.root.join("run").join(role.name())
    }

    /// A role's socket.
    pub fn socket(&self, role: RoleUser) -> PathBuf {
        self.run(role).join("socket")
    }

    /// What a role says that it is doing.
    pub fn status(&self, role: RoleUser) -> PathBuf {
        self.root.join("status").join(role.name()).join("status.json")
    }

    /// Where a role notes that it lives, beside its status.
    pub fn heartbeat(&self, role: RoleUser) -> PathBuf {
        self.status(role).with_file_name("heartbeat")
    }

    /// The OCI blobs, written by the builder and read by everyone.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// What the executor of a role keeps.
    pub fn executor(&self, role: RoleUser) -> PathBuf {
        self.root.join("executor").join(role.name())
    }

    /// Volumes of components.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Restore points of volumes.
    pub fn restore_points(&self) -> PathBuf {
        self.root.join("restore-points")
    }

    /// Secrets by name, each a file that only root reads.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// Secrets of systems under test, made up where nobody puts one: a suite never sees those of production.
    pub fn test_secrets(&self) -> PathBuf {
        self.root.join("test-secrets")
    }

    /// What the processes print.
    pub fn output(&self, role: &str) -> PathBuf {
        self.root.join("output").join(format!("{role}.log"))
    }
}
