//! Plans for the sandbox, as an unprivileged process writes them and an executor checks them, and what came of one.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Endpoint;

/// Where the workspace is, always: paths get into debug information and caches, and so into digests.
pub const WORKSPACE: &str = "/workspace";
/// Length of all words of a command, which the kernel limits to 128 KiB each and some MiB together.
const COMMAND_LIMIT_BYTES: usize = 128 << 10;
/// Variables; honest builds set a dozen.
const ENVIRONMENT_LIMIT: usize = 256;
/// Registries of one build.
const ENDPOINTS_LIMIT: usize = 32;
/// One day: the longest suite that anybody waits for.
const TIME_LIMIT_S: u32 = 86_400;

/// One command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxPlan {
    /// Names it among those that run at the same time; lower-case letters, digits and hyphens.
    pub name: String,
    /// What it may reach.
    pub phase: Phase,
    /// The folder that it may write to, on the host; seen as [`WORKSPACE`].
    pub workspace: PathBuf,
    /// Where the command starts, inside; below [`WORKSPACE`] or `/tmp`.
    pub directory: PathBuf,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Environment variables beside the fixed ones.
    pub environment: BTreeMap<String, String>,
    /// Folders and files of the host to be seen beside `/usr`, read-only.
    pub mounts: Vec<Mount>,
    /// What it may use.
    pub limits: SandboxLimits,
    /// The user that it runs as, who must own the workspace; never root.
    pub uid: u32,
    /// The group that it runs as.
    pub gid: u32,
    /// The file that its output is written to, which must not exist yet.
    pub log: PathBuf,
}

/// What a command may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Phase {
    /// Its own loopback, and through it these addresses of package registries.
    Fetch {
        /// The addresses.
        allow: Vec<Endpoint>,
    },
    /// Its own loopback only.
    Offline,
    /// A network namespace that is there already, with the rules that it has.
    Network {
        /// Its file, as `ip netns` makes them.
        netns: PathBuf,
    },
}

/// Something of the host that is seen read-only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// Inside.
    pub target: PathBuf,
}

/// What a command may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxLimits {
    /// Share of one core in percent; 200 is two cores.
    pub cpu_percent: u32,
    /// Memory in MiB, `/tmp` included; more is killed.
    pub memory_mib: u32,
    /// Size of `/tmp`, which is in memory, in MiB.
    pub tmp_mib: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Seconds until it is killed.
    pub time_s: u32,
    /// Output that is kept, in MiB; what comes after is counted but dropped.
    pub output_mib: u32,
    /// Free space of the disk under the workspace, in MiB, below which it is killed.
    pub disk_floor_mib: u32,
}

impl Default for SandboxLimits {
    /// Enough for compiling a large workspace on a small machine.
    fn default() -> Self {
        Self {
            cpu_percent: 400,
            memory_mib: 4096,
            tmp_mib: 1024,
            pids: 2048,
            time_s: 1800,
            output_mib: 16,
            disk_floor_mib: 512,
        }
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The exit code; 128 and the number of the signal if it was killed.
    pub exit: i32,
    /// Whether something in it was killed for using too much memory.
    pub oom: bool,
    /// Whether it was killed for taking too long.
    pub timed_out: bool,
    /// Whether it was killed because the disk was nearly full.
    pub disk_full: bool,
    /// Bytes of output that were dropped.
    pub dropped_bytes: u64,
    /// What the fetch phase tried to reach and was not allowed to.
    pub denied: Vec<Denied>,
    /// Milliseconds that it took.
    pub duration_ms: u64,
    /// The file with its output.
    pub log: PathBuf,
}

impl Outcome {
    /// Whether it ended by itself with exit code 0 and within all limits.
    pub const fn succeeded(&self) -> bool {
        self.exit == 0 && !self.oom && !self.timed_out && !self.disk_full
    }

    /// Why it did not succeed, for people.
    pub fn reason(&self, limits: &SandboxLimits) -> String {
        let mut reason = if self.timed_out {
            format!("it did not end within {} s and was killed", limits.time_s)
        } else if self.oom {
            format!("it needed more than {} MiB of memory and was killed", limits.memory_mib)
        } else if self.disk_full {
            format!("the disk had less than {} MiB left, and it was killed", limits.disk_floor_mib)
        } else {
            format!("it ended with exit code {}", self.exit)
        };
        if !self.denied.is_empty() {
            let denied: Vec<String> =
                self.denied.iter().map(|d| format!("`{}` ({} times)", d.target, d.count)).collect();
            reason.push_str(&format!("; it tried to reach what is not declared: {}", denied.join(", ")));
        }
        reason
    }
}

/// An address that was asked for in the fetch phase and is not declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// The address as it was asked for, cut to a length that fits a line.
    pub target: String,
    /// How many times.
    pub count: u64,
}

/// What an executor allows, whoever asks; made at its start from its own configuration, not from a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Workspaces and logs are below this folder; absolute, without links.
    pub root: PathBuf,
    /// Where bundles are made while they run; a folder of root alone.
    pub state: PathBuf,
    /// The users that commands may run as.
    pub uids: RangeInclusive<u32>,
    /// What may be mounted, exactly these pairs.
    pub mounts: Vec<Mount>,
    /// Where network namespaces for [`Phase::Network`] are; none are allowed without it.
    pub netns: Option<PathBuf>,
    /// The registries that may be reached; any for `None`.
    pub registries: Option<Vec<Endpoint>>,
}

/// Why an executor refuses a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The name can not stand in a path.
    #[error("`{0}` is not a name for a sandbox: use lower-case letters, digits and hyphens, at most 60")]
    Name(String),
    /// A path that must be absolute and plain is not.
    #[error("`{0}` is not an absolute path without `.` and `..`")]
    Path(PathBuf),
    /// A path outside of the allowed folder.
    #[error("`{path}` is not below `{root}`, the only folder that this executor works in")]
    Outside {
        /// The path.
        path: PathBuf,
        /// The allowed folder.
        root: PathBuf,
    },
    /// The log would be where the command can change it.
    #[error("the log `{0}` is in the workspace, where the command could change it")]
    LogInWorkspace(PathBuf),
    /// Starts somewhere else.
    #[error("`{0}` is not a folder to start in: use `/workspace`, a folder below it, or `/tmp`")]
    Directory(PathBuf),
    /// No command, or one that is too long or has a zero byte.
    #[error("the command is empty, longer than {COMMAND_LIMIT_BYTES} bytes, or has a zero byte in it")]
    Command,
    /// A variable that can not be set.
    #[error("`{0}` is not an environment variable that can be set")]
    Variable(String),
    /// A user that is not allowed.
    #[error("user {uid} is not one that this executor runs commands as ({} to {})", allowed.start(), allowed.end())]
    User {
        /// The user.
        uid: u32,
        /// The allowed users.
        allowed: RangeInclusive<u32>,
    },
    /// A mount that is not allowed.
    #[error("`{0}` is not one of the tools that this executor shows to commands")]
    Mount(PathBuf),
    /// A registry that is not allowed.
    #[error("`{0}` is not one of the registries that this executor reaches")]
    Registry(Endpoint),
    /// Too many registries.
    #[error("more than {ENDPOINTS_LIMIT} registries")]
    Registries,
    /// A limit of zero or out of range.
    #[error("the limit `{0}` is zero or out of range")]
    Limit(&'static str),
    /// A network namespace that is not allowed.
    #[error("`{0}` is not a network namespace that this executor may join")]
    Netns(PathBuf),
}

impl SandboxPlan {
    /// Checks all that can be checked without touching the disk; the rest is checked on open files as it is used.
    pub fn check(&self, rules: &Rules) -> Result<(), PlanError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.name.is_empty() || self.name.len() > 60 || !self.name.bytes().all(fits) || self.name.starts_with('-') {
            return Err(PlanError::Name(self.name.chars().take(60).collect()));
        }
        for path in [&self.workspace, &self.log] {
            plain(path)?;
            if path.strip_prefix(&rules.root).is_ok_and(|rest| !rest.as_os_str().is_empty()) {
                continue;
            }
            return Err(PlanError::Outside { path: path.clone(), root: rules.root.clone() });
        }
        if self.log.starts_with(&self.workspace) {
            return Err(PlanError::LogInWorkspace(self.log.clone()));
        }
        plain(&self.directory)?;
        if !self.directory.starts_with(WORKSPACE) && !self.directory.starts_with("/tmp") {
            return Err(PlanError::Directory(self.directory.clone()));
        }
        let length: usize = self.command.iter().map(|w| w.len() + 1).sum();
        let first_is_empty = self.command.first().is_none_or(String::is_empty);
        if first_is_empty || length > COMMAND_LIMIT_BYTES || self.command.iter().any(|w| w.contains('\0')) {
            return Err(PlanError::Command);
        }
        self.check_environment()?;
        if self.uid == 0 || self.gid == 0 || !rules.uids.contains(&self.uid) {
            return Err(PlanError::User { uid: self.uid, allowed: rules.uids.clone() });
        }
        if let Some(mount) = self.mounts.iter().find(|m| !rules.mounts.contains(m)) {
            return Err(PlanError::Mount(mount.source.clone()));
        }
        self.check_phase(rules)?;
        self.limits.check()
    }

    fn check_environment(&self) -> Result<(), PlanError> {
        if self.environment.len() > ENVIRONMENT_LIMIT {
            return Err(PlanError::Variable(format!("more than {ENVIRONMENT_LIMIT} variables")));
        }
        let bad = |(name, value): &(&String, &String)| {
            name.is_empty()
                || name.starts_with(|c: char| c.is_ascii_digit())
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                || value.contains('\0')
                || value.len() > COMMAND_LIMIT_BYTES
        };
        match self.environment.iter().find(bad) {
            Some((name, _)) => Err(PlanError::Variable(name.chars().take(100).collect())),
            None => Ok(()),
        }
    }

    fn check_phase(&self, rules: &Rules) -> Result<(), PlanError> {
        match &self.phase {
            Phase::Offline => Ok(()),
            Phase::Fetch { allow } if allow.len() > ENDPOINTS_LIMIT => Err(PlanError::Registries),
            Phase::Fetch { allow } => match &rules.registries {
                Some(known) => {
                    allow.iter().find(|e| !known.contains(e)).map_or(Ok(()), |e| Err(PlanError::Registry(e.clone())))
                }
                None => Ok(()),
            },
            Phase::Network { netns } => {
                plain(netns)?;
                let allowed = rules.netns.as_ref().is_some_and(|root| netns.parent() == Some(root));
                if allowed { Ok(()) } else { Err(PlanError::Netns(netns.clone())) }
            }
        }
    }
}

impl SandboxLimits {
    fn check(&self) -> Result<(), PlanError> {
        let zero = [
            ("cpu_percent", self.cpu_percent),
            ("memory_mib", self.memory_mib),
            ("tmp_mib", self.tmp_mib),
            ("pids", self.pids),
            ("time_s", self.time_s),
            ("output_mib", self.output_mib),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, value)| *value == 0) {
            return Err(PlanError::Limit(name));
        }
        if self.time_s > TIME_LIMIT_S { Err(PlanError::Limit("time_s")) } else { Ok(()) }
    }
}

/// Absolute, and the same in words as on disk.
fn plain(path: &Path) -> Result<(), PlanError> {
    let words = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    let same = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    if path.is_absolute() && words && same { Ok(()) } else { Err(PlanError::Path(path.to_path_buf())) }
}
