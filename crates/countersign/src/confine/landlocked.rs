//! Limits on files, TCP ports, signals and abstract sockets through Landlock (Linux 5.13 and later).
//!
//! It asks for all rights of ABI 6 and lets the kernel leave out what it does not know; what was left out is told, never
//! hidden. It refuses to know why a path or port is allowed, and writes nothing.
//!
//! Not asked for: the rights of later ABIs (to connect to named Unix sockets, UDP ports). The modes of sockets and the
//! seccomp filter stand in for them until distributions have such kernels.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::unistd::Uid;

use super::{ConfineError, Confinement, Coverage, Enforced};

/// The ABI whose rights are asked for, and tested here.
const ASKED: ABI = ABI::V6;
/// Paths, links across folders, truncating, and device control are all known from here on.
const ALL_FILE_RIGHTS: u32 = 5;
/// TCP ports are known from here on.
const TCP: u32 = 4;
/// Signals and abstract sockets are known from here on.
const SCOPES: u32 = 6;

/// The allowed paths, opened as the user who may.
pub(super) struct Rules(Vec<(PathFd, BitFlags<AccessFs>)>);

impl Rules {
    /// Opens every path, while the process still can.
    pub(super) fn open(wanted: &Confinement) -> Result<Self, ConfineError> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        // Device files need a capability to make; leaving the rights out makes it certain.
        let write = read | (AccessFs::from_write(ASKED) & !(AccessFs::MakeChar | AccessFs::MakeBlock));
        let mut opened = Vec::new();
        for (paths, rights) in
            [(&wanted.read, read), (&wanted.write, write), (&wanted.execute, read | AccessFs::Execute)]
        {
            for path in paths {
                opened.push(open(path, rights)?);
            }
        }
        Ok(Self(opened))
    }

    /// Restricts the calling thread and says to what degree.
    pub(super) fn restrict(self, wanted: &Confinement) -> Result<Enforced, ConfineError> {
        let status = self.restrict_thread(wanted).map_err(|source| ConfineError::Landlock { source })?;
        let asked_tcp = wanted.connect_tcp.is_some() || wanted.bind_tcp.is_some();
        Ok(enforced(&status, asked_tcp))
    }

    fn restrict_thread(self, wanted: &Confinement) -> Result<RestrictionStatus, landlock::RulesetError> {
        let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(ASKED))?.scope(Scope::from_all(ASKED))?;
        let ports = [(&wanted.connect_tcp, AccessNet::ConnectTcp), (&wanted.bind_tcp, AccessNet::BindTcp)];
        for (list, right) in ports {
            if list.is_some() {
                ruleset = ruleset.handle_access(right)?;
            }
        }
        let mut created = ruleset.create()?;
        for (path, rights) in self.0 {
            created = created.add_rule(PathBeneath::new(path, rights))?;
        }
        for (list, right) in ports {
            for port in list.iter().flatten() {
                created = created.add_rule(NetPort::new(*port, right))?;
            }
        }
        created.restrict_self()
    }
}

/// Opens a path, with the rights that make sense for what it is.
fn open(path: &Path, rights: BitFlags<AccessFs>) -> Result<(PathFd, BitFlags<AccessFs>), ConfineError> {
    let failed = |source| ConfineError::Path { path: path.to_owned(), source };
    // First, because its error is the kernel's own.
    let folder = std::fs::metadata(path).map_err(failed)?.is_dir();
    let fd = PathFd::new(path).map_err(|error| failed(std::io::Error::other(error)))?;
    Ok((fd, if folder { rights } else { rights & AccessFs::from_file(ASKED) }))
}

/// Whether the lists allow the root folder itself, so that it can not be used to check that others are refused.
pub(super) fn root_is_allowed(wanted: &Confinement) -> bool {
    [&wanted.read, &wanted.write, &wanted.execute]
        .into_iter()
        .flatten()
        .any(|path| std::path::absolute(path).is_ok_and(|path| path == Path::new("/")))
}

fn enforced(status: &RestrictionStatus, asked_tcp: bool) -> Enforced {
    let abi = match (&status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) | (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => 0,
        (_, LandlockStatus::Available { effective_abi, kernel_abi }) => {
            kernel_abi.and_then(|abi| u32::try_from(abi).ok()).unwrap_or(effective_abi as u32)
        }
    };
    let from = |first| if abi >= first { Coverage::Full } else { Coverage::No };
    Enforced {
        uid: Uid::effective().as_raw(),
        files: match abi {
            0 => Coverage::No,
            1..ALL_FILE_RIGHTS => Coverage::Partial,
            _ => Coverage::Full,
        },
        tcp: if asked_tcp { from(TCP) } else { Coverage::NotAsked },
        scopes: from(SCOPES),
        landlock_abi: abi,
    }
}

/// What programs of the distribution need to start, as far as it is there.
pub(super) struct Distribution {
    pub(super) execute: Vec<PathBuf>,
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
}

pub(super) fn distribution() -> Distribution {
    let there = |paths: &[&str]| paths.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    Distribution {
        // Programs, their libraries and the loader.
        execute: there(&[
            "/usr/bin",
            "/usr/sbin",
            "/usr/lib",
            "/usr/lib32",
            "/usr/lib64",
            "/usr/libexec",
            "/bin",
            "/sbin",
            "/lib",
            "/lib32",
            "/lib64",
        ]),
        // The loader's cache, certificates, and what name look-ups and times read.
        read: there(&[
            "/etc/ld.so.cache",
            "/etc/ssl",
            "/etc/hosts",
            "/etc/host.conf",
            "/etc/nsswitch.conf",
            "/etc/resolv.conf",
            "/etc/services",
            "/etc/gai.conf",
            "/etc/passwd",
            "/etc/group",
            "/etc/localtime",
            "/usr/share",
            "/dev/urandom",
            "/dev/random",
            "/dev/zero",
        ]),
        write: there(&["/dev/null"]),
    }
}

#[cfg(test)]
mod tests;
