//! The processes, one file each. `countersign up` starts them by the hidden verb `process`.
//!
//! What they share is how they start: read the charter and check its hash, open what only their user may open,
//! confine themselves, and only then read anything from outside.

pub mod agent;
pub mod builder;
pub mod edge;
pub mod front;
pub mod gate;
pub mod log;
pub(crate) mod setback;
pub mod tester;
pub mod watch;
pub mod witness;
pub mod workshop;

use std::path::Path;

use ledger::keys::{PrivateKey, Scheme};
use model::Digest;

use crate::{
    charter_file::{self, CharterFile},
    confine::{Confinement, Enforced},
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    layout::Layout,
    settings::Settings,
    status::StatusFile,
};

/// How long a process waits until what it said is cosigned, before it goes on and looks again later.
pub(crate) const COSIGN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// What every process has when it starts.
#[derive(Debug)]
pub struct Start {
    /// Where everything is.
    pub layout: Layout,
    /// This host's settings.
    pub settings: Settings,
    /// The charter and the founders' envelopes.
    pub charter: CharterFile,
    /// Which process this is.
    pub role: RoleUser,
}

impl Start {
    /// Reads what it needs and checks the charter's hash.
    pub fn read(dir: &Path, role: RoleUser, charter: Digest) -> Result<Self, Fault> {
        let layout = Layout::new(dir);
        let settings = Settings::read(&layout)?;
        let charter = charter_file::read(&layout, Some(charter))?;
        Ok(Self { layout, settings, charter, role })
    }

    /// This role's private key.
    pub fn key(&self) -> Result<PrivateKey, Fault> {
        let path = self.layout.key(self.role);
        PrivateKey::read(Scheme::Ed25519, &path, &mut || None)
            .because(Kind::Unavailable, format!("the key `{}` can not be used", path.display()))
    }

    /// Confines the process. From here on it reads and writes only what is listed. Started by root, it becomes its
    /// own user; started by somebody else, it stays that and says so.
    pub fn confine(&self, confinement: Confinement) -> Result<StatusFile, Fault> {
        let enforced = self.confine_quietly(confinement)?;
        Ok(StatusFile::new(&self.layout, self.role, enforced.to_string()))
    }

    /// The same for who has no word of its own: the role's status stays as it is.
    pub fn confine_quietly(&self, mut confinement: Confinement) -> Result<Enforced, Fault> {
        let is_root = nix::unistd::geteuid().is_root();
        confinement.user = is_root.then(|| self.role.user());
        confinement.read.push(self.layout.charter());
        confinement.read.push(self.layout.settings());
        confinement.write.push(self.layout.home(self.role));
        confinement.write.push(self.layout.run(self.role));
        if let Some(folder) = self.layout.status(self.role).parent() {
            confinement.write.push(folder.to_owned());
        }
        let enforced =
            confinement.apply().because(Kind::Unavailable, format!("the {} can not confine itself", self.role))?;
        // Its supervisor's death ends it, so that an `up` killed with -9 leaves nobody behind. After `apply`, as
        // changing the user clears it.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)
            .because(Kind::Unavailable, "the process can not be tied to its supervisor")?;
        Ok(enforced)
    }
}
