//! A workspace: the tree of one commit with its fetched dependencies, in which commands run in the sandbox. The
//! builder makes one for each build, the tester one for each suite that runs on the source.
//!
//! It refuses to know what the commands are for. A crash leaves a folder, which the next preparation removes.

use std::{
    collections::BTreeMap,
    error::Error,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

use model::{Commit, Serial, Timestamp};

use crate::{
    fetch::{Ecosystem, FetchError, LockedDependency},
    git::{CheckoutError, GitError, Mirror},
    sandbox::{Endpoint, Outcome, Phase, SandboxLimits, SandboxPlan, WORKSPACE},
    toolchain::Toolchain,
};

#[cfg(test)]
mod tests;

/// What runs plans: [`crate::sandbox::run`] in a root process, [`crate::sandbox::ask`] elsewhere.
pub type RunSandbox<'a> = dyn FnMut(&SandboxPlan, &mut dyn FnMut(&str)) -> Result<Outcome, SandboxFailure> + 'a;
/// Why a plan was not run.
pub type SandboxFailure = Box<dyn Error + Send + Sync>;

/// Where workspaces and logs are on this machine, and as whom commands run in them.
#[derive(Clone, Debug)]
pub struct Site {
    /// Folder of workspaces.
    pub workspaces: PathBuf,
    /// Folder of logs; of this process, not of the commands.
    pub logs: PathBuf,
    /// The tools.
    pub toolchain: Toolchain,
    /// The user that commands run as: that of this process, or any other where this is root.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// What each command may use.
    pub limits: SandboxLimits,
}

/// What a workspace is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The serial of the change; `None` while there is none yet.
    pub serial: Option<Serial>,
    /// The commit.
    pub commit: Commit,
    /// Names the workspace among those of the same change.
    pub name: String,
    /// The package manager of its dependencies.
    pub fetch: Ecosystem,
    /// The registries that the fetch phase may reach.
    pub registries: Vec<Endpoint>,
}

/// A prepared workspace.
#[derive(Debug)]
pub struct Workspace {
    dir: PathBuf,
    name: String,
    dependencies: Vec<LockedDependency>,
    environment: BTreeMap<String, String>,
    committed_at: Timestamp,
    runs: u32,
}

/// Why a workspace could not be prepared, or a command did not succeed in it.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The mirror could not answer.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The tree could not be written.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// Dependencies can not be fetched, or are not what the lock file says.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The sandbox did not run.
    #[error("the sandbox could not run `{command}`")]
    Sandbox {
        /// The command.
        command: String,
        /// Why not.
        source: SandboxFailure,
    },
    /// A command did not succeed.
    #[error("`{command}` did not succeed: {reason}; its output is in `{log}`, and ends:\n{}", tail.join("\n"))]
    Command {
        /// The command.
        command: String,
        /// Why.
        reason: String,
        /// The file with its output.
        log: PathBuf,
        /// The last lines of its output.
        tail: Vec<String>,
    },
    /// Reading or writing failed.
    #[error("can not {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Lines of output that an error quotes.
const TAIL_LINES: usize = 30;
/// Depth of folders that are walked when the workspace is given to its user.
const DEPTH_LIMIT: u32 = 200;

impl Workspace {
    /// Checks the commit out, fetches its dependencies and compares them with the lock file. What an earlier
    /// attempt left under the same name is removed.
    pub fn prepare(
        mirror: &Mirror,
        source: &Source,
        site: &Site,
        sandbox: &mut RunSandbox<'_>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Self, WorkspaceError> {
        let of = source.serial.as_ref().map_or_else(|| source.commit.short(), Serial::to_string);
        let name = format!("{of}-{}", source.name);
        let dir = site.workspaces.join(&name);
        remove(&dir)?;
        let committed_at = mirror.facts(source.commit)?.committed_at;
        mirror.checkout(source.commit, &dir)?;
        let steps = source.fetch.steps(&dir, &source.registries)?;
        own(&dir, site.uid, site.gid)?;
        let mut environment = BTreeMap::new();
        // reproducible-builds.org, "SOURCE_DATE_EPOCH".
        environment.insert("SOURCE_DATE_EPOCH".to_owned(), committed_at.unix().to_string());
        environment.insert("COUNTERSIGN_COMMIT".to_owned(), source.commit.to_string());
        if let Some(serial) = &source.serial {
            environment.insert("COUNTERSIGN_SERIAL".to_owned(), serial.to_string());
        }
        let mut workspace = Self { dir, name, dependencies: Vec::new(), environment, committed_at, runs: 0 };
        for step in steps {
            let phase = if step.network { Phase::Fetch { allow: source.registries.clone() } } else { Phase::Offline };
            let mut plan = workspace.plan(site, phase, &step.command, step.environment)?;
            plan.directory = step.directory;
            workspace.succeed(&plan, sandbox, on_line)?;
        }
        workspace.dependencies = source.fetch.verify(&workspace.dir)?;
        // Only now: it says that there is no network any more.
        workspace.environment.extend(source.fetch.environment());
        Ok(workspace)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything that was fetched.
    pub fn dependencies(&self) -> &[LockedDependency] {
        &self.dependencies
    }

    /// The time of the commit.
    pub const fn committed_at(&self) -> Timestamp {
        self.committed_at
    }

    /// A plan for a command in this workspace, with a log of its own; to be changed where needed.
    pub fn plan(
        &mut self,
        site: &Site,
        phase: Phase,
        command: &[String],
        environment: BTreeMap<String, String>,
    ) -> Result<SandboxPlan, WorkspaceError> {
        self.runs += 1;
        let log = site.logs.join(format!("{}-{}.log", self.name, self.runs));
        match fs::remove_file(&log) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &log)(e)),
            _ => {}
        }
        let mut all = self.environment.clone();
        all.extend(environment);
        // The plan's name is limited in length and has to differ between those that run at the same time.
        let digest = model::Digest::of(self.dir.as_os_str().as_encoded_bytes()).short();
        Ok(SandboxPlan {
            name: format!("ws-{digest}-{}", self.runs),
            phase,
            workspace: self.dir.clone(),
            directory: WORKSPACE.into(),
            command: command.to_vec(),
            environment: all,
            mounts: site.toolchain.mounts.clone(),
            limits: site.limits,
            uid: site.uid,
            gid: site.gid,
            log,
        })
    }

    /// Runs a plan and insists that it succeeds.
    pub fn succeed(
        &self,
        plan: &SandboxPlan,
        sandbox: &mut RunSandbox<'_>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Outcome, WorkspaceError> {
        let command = plan.command.join(" ");
        let mut tail = Vec::new();
        let mut keep = |line: &str| {
            if tail.len() == TAIL_LINES {
                tail.remove(0);
            }
            tail.push(line.to_owned());
            on_line(line);
        };
        let outcome =
            sandbox(plan, &mut keep).map_err(|source| WorkspaceError::Sandbox { command: command.clone(), source })?;
        if outcome.succeeded() {
            return Ok(outcome);
        }
        let reason = outcome.reason(&plan.limits);
        Err(WorkspaceError::Command { command, reason, log: outcome.log, tail })
    }

    /// Removes the folder; the logs stay.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        remove(&self.dir)
    }
}

/// Removes a folder with all below it. What ran in it may have locked its owner out of folders; those are opened again.
fn remove(dir: &Path) -> Result<(), WorkspaceError> {
    let removed = match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => unlock(dir, 0).and_then(|()| fs::remove_dir_all(dir)),
        removed => removed,
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir)(e)),
        _ => Ok(()),
    }
}

fn unlock(dir: &Path, depth: u32) -> io::Result<()> {
    if depth > DEPTH_LIMIT {
        return Err(io::Error::other("folders are nested too deeply"));
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // The kind of the entry itself: a link to a folder is not one.
        if entry.file_type()?.is_dir() {
            unlock(&entry.path(), depth + 1)?;
        }
    }
    Ok(())
}

/// Gives a fresh tree to the user that commands run as; nothing to do where that is this process's own.
fn own(dir: &Path, uid: u32, gid: u32) -> Result<(), WorkspaceError> {
    if nix::unistd::geteuid().as_raw() == uid {
        return Ok(());
    }
    own_all(dir, uid, gid, 0).map_err(io_error("give to the user of the sandbox", dir))
}

fn own_all(path: &Path, uid: u32, gid: u32, depth: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        if depth > DEPTH_LIMIT {
            return Err(io::Error::other("folders are nested too deeply"));
        }
        for entry in fs::read_dir(path)? {
            own_all(&entry?.path(), uid, gid, depth + 1)?;
        }
    }
    if (meta.uid(), meta.gid()) == (uid, gid) { Ok(()) } else { lchown(path, Some(uid), Some(gid)) }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    let path = path.to_path_buf();
    move |source| WorkspaceError::Io { doing, path, source }
}
