//! Confinement: what a process gives up at its own start, before it reads anything that others wrote.
//!
//! It refuses to know what a role does: the caller names the user, files, ports and kinds of sockets that the role
//! needs, and everything else is given up for ever, by this process and its children. It writes nothing, so a crash in
//! it leaves nothing behind but a process that did not start.
//!
//! Landlock and seccomp bind the calling thread and the threads and processes that it starts later. So
//! [`Confinement::apply`] is called first in `main`, before any runtime; it counts the threads and refuses if there is
//! another. What must be opened with more rights (a port below 1024, the socket to an executor) is opened before.
//!
//! What the kernel is too old for is left out and *reported* in [`Enforced`], which `countersign status` shows; the
//! user, capabilities, `no_new_privs` and the seccomp filter are never left out. Executors that mount are not confined
//! by this: a Landlocked process may not mount, nor may its children.

mod landlocked;
mod seccomp;
mod status;

use std::{fmt, fs, io, path::PathBuf};

use nix::{
    sys::stat::{Mode, umask},
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};
use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};
use serde::{Deserialize, Serialize};

use crate::identity::User;

/// Files of a role are for the role, and for its group to read.
const UMASK: u32 = 0o027;

/// No kernel has more capabilities than the 64 bits of its sets.
const CAPABILITY_BITS: u32 = 64;

/// How many files, sockets and pipes a process may have open, unless it says more: enough for 256 clients with a
/// connection onwards each and a full set of database files; a leak is noticed long before the host suffers.
pub(crate) const OPEN_FILES: u64 = 1024;

/// The sockets that a process may make. Whatever it says, netlink, packet, raw, vsock and all others are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sockets {
    /// Unix sockets only.
    Unix,
    /// Unix sockets, and TCP over IPv4 and IPv6.
    Tcp,
    /// As [`Self::Tcp`], and UDP: for a process whose children ask a name server. Ports of UDP are not limited.
    TcpAndUdp,
}

/// What a process keeps. Everything not named here is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// The user to become; asks for root. Without, the process stays who it is (and if that is root, without
    /// capabilities), which is how it is started by a user who is not root.
    pub(crate) user: Option<User>,
    /// Files, and folders with all below, that may be read. Each must exist.
    pub(crate) read: Vec<PathBuf>,
    /// Files, and folders with all below, that may be read, written, made, renamed and removed. Each must exist.
    pub(crate) write: Vec<PathBuf>,
    /// Files, and folders with all below, that may be read and run as programs: programs, interpreters and their
    /// libraries. If empty, `execve` is refused altogether. Each must exist.
    pub(crate) execute: Vec<PathBuf>,
    /// TCP ports that may be connected to, on any address; all if nothing is said.
    pub(crate) connect_tcp: Option<Vec<u16>>,
    /// TCP ports that may be listened at; all if nothing is said. (0 allows any free port.)
    pub(crate) bind_tcp: Option<Vec<u16>>,
    /// Kinds of sockets that may be made.
    pub(crate) sockets: Sockets,
    /// How many files may be open at once; [`OPEN_FILES`] for most.
    pub(crate) open_files: u64,
}

impl Confinement {
    /// Nothing but Unix sockets and what is open already.
    pub(crate) fn nothing() -> Self {
        Self {
            user: None,
            read: Vec::new(),
            write: Vec::new(),
            execute: Vec::new(),
            connect_tcp: Some(Vec::new()),
            bind_tcp: Some(Vec::new()),
            sockets: Sockets::Unix,
            open_files: OPEN_FILES,
        }
    }

    /// Lets the process start programs of the distribution (`git`): their folders, libraries and settings, and
    /// `/dev/null` to write. Those of them that this host has.
    ///
    /// `git` must be told `GIT_CONFIG_NOSYSTEM=1`: the host's settings are not in the list, and it gives up when it may
    /// not read them. `ssh` and `ssh-keygen` refuse a user without an account, so they do not run as a role.
    #[must_use]
    pub(crate) fn with_programs(mut self) -> Self {
        let distribution = landlocked::distribution();
        self.execute.extend(distribution.execute);
        self.read.extend(distribution.read);
        self.write.extend(distribution.write);
        self
    }

    /// Gives up everything else, for ever, and says what the kernel enforces.
    ///
    /// The order matters: capabilities are needed to change the user and the bounding set, `no_new_privs` to install
    /// the filters without them, and the seccomp filter comes last because it refuses calls that the others make.
    /// A parent-death signal (`PR_SET_PDEATHSIG`) set before is cleared by the change of user: set it afterwards.
    ///
    /// # Errors
    /// [`ConfineError`]. The process may have given up a part: end it, do not go on.
    pub(crate) fn apply(&self) -> Result<Enforced, ConfineError> {
        let proc_status = status::Source::open()?;
        let before = proc_status.read()?;
        if before.threads != 1 {
            return Err(ConfineError::Threads { count: before.threads });
        }
        let rules = landlocked::Rules::open(self)?;

        umask(Mode::from_bits_truncate(UMASK));
        // A core file would hold keys.
        limit("forbid core files", Resource::Core, 0)?;
        limit("limit open files", Resource::Nofile, self.open_files)?;
        drop_bounding_set(before.bounding)?;
        if let Some(user) = &self.user {
            become_user(user)?;
        }
        step("clear ambient capabilities", clear_ambient_capability_set())?;
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        step("give up capabilities", set_capabilities(None, none))?;
        step("set no_new_privs", set_no_new_privs(true))?;
        // Others of the same user can not read the memory, and with it the keys; must follow the change of user,
        // which sets it anew.
        step("forbid reading memory", set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
        let enforced = rules.restrict(self)?;
        seccomp::Filters::new(self.sockets, !self.execute.is_empty())?.install()?;

        let after = proc_status.read()?;
        after.check(self.user.as_ref(), before.bounding_can_be_dropped())?;
        if enforced.files != Coverage::No && !landlocked::root_is_allowed(self) && fs::read_dir("/").is_ok() {
            return Err(ConfineError::NotEnforced { what: "the root folder can still be read" });
        }
        Ok(enforced)
    }
}

/// How much of a kind of limit the kernel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Coverage {
    /// All that was asked.
    Full,
    /// Some: this kernel does not know all the rights.
    Partial,
    /// None: this kernel can not.
    No,
    /// None, and none was asked.
    NotAsked,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::No => "not enforced",
            Self::NotAsked => "not asked",
        })
    }
}

/// What the kernel enforces on this process, for `countersign status`. Capabilities, `no_new_privs` and the seccomp
/// filter are not listed: without them there is an error instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enforced {
    /// The user that the process runs as.
    pub(crate) uid: u32,
    /// Limits on files. `Partial` below Landlock ABI 5 (Linux 6.10): truncating (below 3) or device control (below 5)
    /// outside the lists is left to file modes.
    pub(crate) files: Coverage,
    /// Limits on TCP ports; needs Landlock ABI 4 (Linux 6.7).
    pub(crate) tcp: Coverage,
    /// No signals and no abstract Unix sockets to processes outside; needs Landlock ABI 6 (Linux 6.12).
    pub(crate) scopes: Coverage,
    /// The kernel's Landlock ABI, 0 without Landlock.
    pub(crate) landlock_abi: u32,
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "user {}, files {}, tcp ports {}, signals {} (Landlock ABI {})",
            self.uid, self.files, self.tcp, self.scopes, self.landlock_abi
        )
    }
}

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// Other threads would stay free.
    #[error("a process with {count} threads can not be confined: only this thread would be")]
    Threads {
        /// Threads, this one included.
        count: u32,
    },
    /// A path of the lists is not there or can not be opened.
    #[error("can not open `{}`, which the process is to be confined to", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A system call failed.
    #[error("can not {what}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Only root can become another user.
    #[error("can not become user {wanted} as user {uid}: only root can")]
    NotRoot {
        /// Who we are.
        uid: u32,
        /// Who was asked for.
        wanted: u32,
    },
    /// Landlock refused.
    #[error("can not limit files and ports")]
    Landlock {
        /// Why.
        source: landlock::RulesetError,
    },
    /// Seccomp refused.
    #[error("can not limit system calls")]
    Seccomp {
        /// Why.
        source: seccompiler::Error,
    },
    /// All calls succeeded, and yet the process is not confined.
    #[error("the process is not confined: {what}")]
    NotEnforced {
        /// What is wrong.
        what: &'static str,
    },
}

fn step<T, E: Into<io::Error>>(what: &'static str, result: Result<T, E>) -> Result<T, ConfineError> {
    result.map_err(|source| ConfineError::Step { what, source: source.into() })
}

fn limit(what: &'static str, resource: Resource, most: u64) -> Result<(), ConfineError> {
    // Never above the hard limit that is in force: raising it asks for a capability.
    let most = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    step(what, setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }))
}

/// Takes every capability out of the bounding set, so that no program started later can gain one. Without
/// `CAP_SETPCAP` the kernel refuses; then `no_new_privs` alone keeps them out.
fn drop_bounding_set(bounding: u64) -> Result<(), ConfineError> {
    for bit in 0..CAPABILITY_BITS {
        let capability = 1_u64 << bit;
        if bounding & capability == 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(capability)) {
            Ok(()) => {}
            Err(rustix::io::Errno::PERM) => return Ok(()),
            Err(source) => {
                return Err(ConfineError::Step { what: "drop the capability bounding set", source: source.into() });
            }
        }
    }
    Ok(())
}

fn become_user(user: &User) -> Result<(), ConfineError> {
    let uid = Uid::effective();
    if !uid.is_root() {
        return Err(ConfineError::NotRoot { uid: uid.as_raw(), wanted: user.uid });
    }
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    step("set groups", setgroups(&groups))?;
    step("change the group", setresgid(gid, gid, gid))?;
    step("change the user", setresuid(uid, uid, uid))
}

#[cfg(test)]
mod tests;
