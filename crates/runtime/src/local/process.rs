//! Processes as `/proc` shows them (`proc(5)`): who they are, and how they are confined.
//!
//! A process is named by pid, start time and boot together, because pids are used again.

use std::{fs, io, os::linux::fs::MetadataExt as _, path::PathBuf};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// A process that is never mistaken for a later one with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessId {
    pid: i32,
    /// In clock ticks since boot (field 22 of `stat`).
    started_ticks: u64,
    boot: String,
}

/// What `/proc/<pid>/status` says of its confinement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confinement {
    pub(crate) uids: Vec<u32>,
    pub(crate) gids: Vec<u32>,
    pub(crate) seccomp: u32,
    pub(crate) no_new_privileges: u32,
    pub(crate) capabilities: Vec<u64>,
}

impl ProcessId {
    /// The process that has this pid now, if one has.
    pub(crate) fn of(pid: i32) -> io::Result<Option<Self>> {
        let Some(stat) = stat(pid)? else { return Ok(None) };
        Ok(Some(Self { pid, started_ticks: stat.started_ticks, boot: boot()? }))
    }

    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs; a zombie does not, nor one that the kernel is ending.
    pub(crate) fn runs(&self) -> io::Result<bool> {
        if self.boot != boot()? {
            return Ok(false);
        }
        Ok(stat(self.pid)?.is_some_and(|stat| stat.started_ticks == self.started_ticks && !stat.ends))
    }

    /// Sends a signal; nothing happens if it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.runs()? {
            return Ok(());
        }
        gone_is_fine(kill(Pid::from_raw(self.pid), signal))
    }

    /// Whether it does anything of its own with this signal: it catches, ignores, or blocks and awaits it.
    pub(crate) fn minds(&self, signal: Signal) -> io::Result<bool> {
        // Signal n is bit n - 1 (`proc_pid_status(5)`, SigBlk, SigIgn, SigCgt).
        let bit = 1_u64 << (signal as u32 - 1);
        for thread in fs::read_dir(self.path("task"))? {
            let text = match fs::read_to_string(thread?.path().join("status")) {
                Ok(text) => text,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            let set = |name: &str| {
                let field = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                u64::from_str_radix(field.trim(), 16).unwrap_or(u64::MAX)
            };
            if (set("SigBlk:") | set("SigIgn:") | set("SigCgt:")) & bit != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends it and all of its process group.
    pub(crate) fn kill_group(&self) -> io::Result<()> {
        if !self.runs()? {
            return Ok(());
        }
        gone_is_fine(killpg(Pid::from_raw(self.pid), Signal::SIGKILL))
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    /// How it is confined.
    pub(crate) fn confinement(&self) -> io::Result<Confinement> {
        let text = fs::read_to_string(self.path("status"))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        let wrong = |name: &str| io::Error::other(format!("`{name}` in `/proc/{}/status` is not a number", self.pid));
        let number = |name: &str| field(name).parse::<u32>().map_err(|_| wrong(name));
        let numbers = |name: &str| {
            field(name)
                .split_whitespace()
                .map(|n| n.parse::<u32>().map_err(|_| wrong(name)))
                .collect::<io::Result<Vec<_>>>()
        };
        let set = |name: &str| u64::from_str_radix(field(name), 16).map_err(|_| wrong(name));
        Ok(Confinement {
            uids: numbers("Uid")?,
            gids: numbers("Gid")?,
            seccomp: number("Seccomp")?,
            no_new_privileges: number("NoNewPrivs")?,
            capabilities: vec![set("CapInh")?, set("CapPrm")?, set("CapEff")?, set("CapBnd")?, set("CapAmb")?],
        })
    }

    /// The identity of one of its namespaces.
    pub(crate) fn namespace(&self, kind: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path("ns").join(kind))?.st_ino())
    }

    /// The device that the program it runs is on.
    pub(crate) fn program_device(&self) -> io::Result<u64> {
        Ok(fs::metadata(self.path("exe"))?.st_dev())
    }

    /// The device of its root folder.
    pub(crate) fn root_device(&self) -> io::Result<u64> {
        Ok(fs::metadata(self.path("root"))?.st_dev())
    }

    /// The type and the options of its root mount, from `mountinfo`: `(erofs, ro,…)`.
    pub(crate) fn root_mount(&self) -> io::Result<(String, String)> {
        let text = fs::read_to_string(self.path("mountinfo"))?;
        // 36 35 98:0 /mnt1 / rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        let root = text.lines().rfind(|line| line.split(' ').nth(4) == Some("/"));
        let fields = root.and_then(|line| {
            let (before, after) = line.split_once(" - ")?;
            Some((
                after.split(' ').next()?.to_owned(),
                format!("{};{}", before.split(' ').nth(5)?, after.split(' ').nth(2)?),
            ))
        });
        fields.ok_or_else(|| io::Error::other("it has no root mount"))
    }
}

/// The id of this boot.
pub(crate) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// What is used of `/proc/<pid>/stat`.
struct Stat {
    /// It has ended or is being ended, with all of its threads.
    ends: bool,
    started_ticks: u64,
}

/// `PF_EXITING` (Linux `include/linux/sched.h`): its memory, namespaces and cgroup go before its entry does.
const EXITING: u64 = 0x4;

/// Reads it; the name comes first, may hold anything, and ends at the last parenthesis.
fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let fields: Vec<&str> =
        text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default().split_whitespace().collect();
    // The third field of all is the first here.
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    match (fields.first(), number(9), number(20), number(22)) {
        (Some(state), Some(flags), Some(threads), Some(started_ticks)) => {
            // A first thread may end before the others; the process runs on.
            let ends = threads <= 1 && (matches!(*state, "Z" | "X") || flags & EXITING != 0);
            Ok(Some(Stat { ends, started_ticks }))
        }
        _ => Err(io::Error::other(format!("`/proc/{pid}/stat` is not as expected"))),
    }
}

/// What `/proc` says of a process that has just ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

fn gone_is_fine(sent: nix::Result<()>) -> io::Result<()> {
    match sent {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
