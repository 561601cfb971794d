//! Cgroups, version 1 (also beside version 2, "hybrid") and version 2: reading limits back, ending all that is in one,
//! removing it. runc makes them.
//!
//! Sources: Linux `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use model::release::Component;
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        statfs::{CGROUP2_SUPER_MAGIC, statfs},
    },
    unistd::Pid,
};

use super::bundle::{CPU_PERIOD_US, cpu_quota_us, memory_bytes};
use crate::driver::DriverError;

const MOUNTED: &str = "/sys/fs/cgroup";
/// Controllers that a component's limits need.
const NEEDED: [&str; 3] = ["memory", "cpu", "pids"];
/// A killed process leaves its cgroup when the kernel has freed its memory: GiBs take well under this.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// The cgroups of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where they are mounted.
    top: PathBuf,
    layout: Layout,
}

/// How this host arranges its cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One tree a controller, each mounted in a folder.
    Split { mounts: Vec<PathBuf>, counts_swap: bool },
    /// One tree.
    Unified,
}

impl Hierarchy {
    /// Looks at the host.
    pub(crate) fn find() -> Result<Self, DriverError> {
        let top = Path::new(MOUNTED);
        let missing = |what: String| DriverError::Host {
            what,
            hint: format!("mount cgroups at `{MOUNTED}` with the controllers memory, cpu and pids"),
        };
        if statfs(top).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC) {
            let controllers = fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
            return match NEEDED.iter().find(|needed| !controllers.split_whitespace().any(|c| c == **needed)) {
                None => Ok(Self { top: top.to_owned(), layout: Layout::Unified }),
                Some(needed) => Err(missing(format!("the cgroup controller `{needed}` is off"))),
            };
        }
        if let Some(needed) = NEEDED.iter().find(|needed| !top.join(needed).join("cgroup.procs").is_file()) {
            return Err(missing(format!("the cgroup controller `{needed}` is not mounted")));
        }
        let mut mounts: Vec<PathBuf> = fs::read_dir(top)
            .map_err(|error| missing(format!("`{MOUNTED}` can not be read ({error})")))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.join("cgroup.procs").is_file())
            // `cpu` and `cpu,cpuacct` are often links to one mount.
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        mounts.sort_unstable();
        mounts.dedup();
        let counts_swap = top.join("memory/memory.memsw.limit_in_bytes").is_file();
        Ok(Self { top: top.to_owned(), layout: Layout::Split { mounts, counts_swap } })
    }

    /// Whether a bundle may ask for a limit on swap. With one tree it is set afterwards (see `tighten`).
    pub(crate) const fn counts_swap(&self) -> bool {
        matches!(self.layout, Layout::Split { counts_swap: true, .. })
    }

    fn controller(&self, controller: &str, cgroup: &str) -> PathBuf {
        let inside = cgroup.trim_start_matches('/');
        match &self.layout {
            Layout::Split { .. } => self.top.join(controller).join(inside),
            Layout::Unified => self.top.join(inside),
        }
    }

    /// Sets what a bundle can not say: no swap, and all of a component ends when its memory runs out.
    pub(crate) fn tighten(&self, cgroup: &str) -> io::Result<()> {
        if self.layout == Layout::Unified {
            for (file, value) in [("memory.swap.max", "0"), ("memory.oom.group", "1")] {
                let path = self.controller("memory", cgroup).join(file);
                if path.exists() {
                    set(&path, value)?;
                }
            }
        }
        Ok(())
    }

    /// What of the limits is not as asked; `None` if all is.
    pub(crate) fn differs(&self, cgroup: &str, component: &Component) -> io::Result<Option<String>> {
        let value = |controller: &str, file: &str| {
            Ok::<_, io::Error>(fs::read_to_string(self.controller(controller, cgroup).join(file))?.trim().to_owned())
        };
        let (memory, quota, pids) = (memory_bytes(component), cpu_quota_us(component), component.limits.pids);
        let cpu = format!("{quota} {CPU_PERIOD_US}");
        let mut found = match &self.layout {
            Layout::Split { .. } => {
                let set = format!("{} {}", value("cpu", "cpu.cfs_quota_us")?, value("cpu", "cpu.cfs_period_us")?);
                vec![("memory", value("memory", "memory.limit_in_bytes")?, memory.to_string()), ("cpu", set, cpu)]
            }
            Layout::Unified => {
                vec![
                    ("memory", value("memory", "memory.max")?, memory.to_string()),
                    ("cpu", value("cpu", "cpu.max")?, cpu),
                ]
            }
        };
        found.push(("pids", value("pids", "pids.max")?, pids.to_string()));
        match &self.layout {
            // Memory and swap together.
            Layout::Split { counts_swap: true, .. } => {
                found.push(("swap", value("memory", "memory.memsw.limit_in_bytes")?, memory.to_string()));
            }
            Layout::Unified if self.controller("memory", cgroup).join("memory.swap.max").exists() => {
                found.push(("swap", value("memory", "memory.swap.max")?, "0".to_owned()));
            }
            _ => {}
        }
        Ok(found
            .into_iter()
            .find(|(_, found, wanted)| found != wanted)
            .map(|(what, found, wanted)| format!("its limit of {what} is `{found}` instead of `{wanted}`")))
    }

    /// Whether the process is in this cgroup for everything that limits it.
    pub(crate) fn holds(&self, cgroup: &str, pid: i32) -> io::Result<bool> {
        for controller in NEEDED {
            if !members(&self.controller(controller, cgroup))?.contains(&pid) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The processes in it.
    pub(crate) fn members(&self, cgroup: &str) -> io::Result<Vec<i32>> {
        members(&self.controller("pids", cgroup))
    }

    /// Whether the kernel has ended something in it for want of memory.
    pub(crate) fn out_of_memory(&self, cgroup: &str) -> io::Result<bool> {
        let file = match &self.layout {
            Layout::Split { .. } => "memory.oom_control",
            Layout::Unified => "memory.events",
        };
        let text = match fs::read_to_string(self.controller("memory", cgroup).join(file)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let count =
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse::<u64>().ok());
        Ok(count.unwrap_or_default() > 0)
    }

    /// Puts a process of ours into a cgroup of its own, so that a service manager that ends the executor's service
    /// with all that is in it leaves this one alone. Limits nothing.
    pub(crate) fn set_apart(&self, cgroup: &str, pid: i32) -> io::Result<()> {
        let inside = cgroup.trim_start_matches('/');
        let tops = match &self.layout {
            // Service managers have a tree of their own, and with both versions the one without controllers.
            Layout::Split { .. } => vec![self.top.join("systemd"), self.top.join("unified")],
            Layout::Unified => vec![self.top.clone()],
        };
        for top in tops.iter().filter(|top| top.join("cgroup.procs").exists()) {
            let folder = top.join(inside);
            fs::create_dir_all(&folder)?;
            set(&folder.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Ends everything in it, also what forks without end: its limit of processes holds until the last is gone.
    pub(crate) fn kill(&self, cgroup: &str) -> io::Result<()> {
        let started = Instant::now();
        loop {
            let all = self.members(cgroup)?;
            if all.is_empty() {
                return Ok(());
            }
            if started.elapsed() > EMPTY_TIMEOUT {
                return Err(io::Error::other(format!("{} processes do not end", all.len())));
            }
            let at_once = self.controller("pids", cgroup).join("cgroup.kill");
            if self.layout == Layout::Unified && at_once.exists() {
                set(&at_once, "1")?;
            } else {
                for pid in all {
                    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                        Ok(()) | Err(Errno::ESRCH) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            thread::sleep(POLL);
        }
    }

    /// Ends everything in it and removes it.
    pub(crate) fn remove(&self, cgroup: &str) -> io::Result<()> {
        self.kill(cgroup)?;
        let inside = cgroup.trim_start_matches('/');
        let folders: Vec<PathBuf> = match &self.layout {
            Layout::Split { mounts, .. } => mounts.iter().map(|mount| mount.join(inside)).collect(),
            Layout::Unified => vec![self.top.join(inside)],
        };
        let started = Instant::now();
        for folder in folders {
            loop {
                match fs::remove_dir(&folder) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    // The last process has ended, but the kernel still tidies up after it.
                    Err(error)
                        if error.raw_os_error() == Some(Errno::EBUSY as i32) && started.elapsed() < EMPTY_TIMEOUT =>
                    {
                        thread::sleep(POLL)
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn members(folder: &Path) -> io::Result<Vec<i32>> {
    match fs::read_to_string(folder.join("cgroup.procs")) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        // Removed while it was read.
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "a cgroup's file is the kernel's, there is nothing to sync")]
fn set(path: &Path, value: &str) -> io::Result<()> {
    fs::write(path, value)
}
