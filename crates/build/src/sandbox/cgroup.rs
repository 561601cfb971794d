//! Control groups of sandboxes, version 1, hybrid and version 2: where they are, what they counted, and ending
//! everything in one.
//!
//! `runc` makes and removes them; this module only reads counters and kills.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The parent of all groups of sandboxes.
const PARENT: &str = "/countersign-sandbox";
/// Killed processes are gone within milliseconds, unless a disk does not answer.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// The group of one sandbox, from the root of the hierarchy.
pub(super) fn path(id: &str) -> String {
    format!("{PARENT}/{id}")
}

/// Where each hierarchy is mounted, from `/proc/self/mountinfo` (proc(5)).
struct Hierarchies {
    /// The version 1 memory controller, if there is one.
    memory: Option<PathBuf>,
    /// Every hierarchy, of both versions.
    all: Vec<PathBuf>,
}

fn hierarchies() -> Hierarchies {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found = Hierarchies { memory: None, all: Vec::new() };
    for line in text.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(point) = before.split(' ').nth(4).map(PathBuf::from) else { continue };
        let mut after = after.split(' ');
        let (kind, options) = (after.next(), after.nth(1).unwrap_or_default());
        if kind == Some("cgroup") && options.split(',').any(|o| o == "memory") {
            found.memory = Some(point.clone());
        }
        if matches!(kind, Some("cgroup" | "cgroup2")) {
            found.all.push(point);
        }
    }
    found
}

fn below(point: &Path, group: &str) -> PathBuf {
    point.join(group.trim_start_matches('/'))
}

/// Whether the kernel counts swap, so that a limit of it can be set.
pub(super) fn counts_swap() -> bool {
    match hierarchies().memory {
        Some(memory) => memory.join("memory.memsw.limit_in_bytes").exists(),
        // In version 2 the file is in every group but the root; having swap accounting is its default.
        None => fs::read_to_string("/proc/swaps").is_ok_and(|t| t.lines().count() > 1),
    }
}

/// How many processes of a group were killed for using too much memory.
pub(super) fn oom_kills(group: &str) -> u64 {
    let found = hierarchies();
    let files = match found.memory {
        Some(memory) => vec![below(&memory, group).join("memory.oom_control")],
        None => found.all.iter().map(|p| below(p, group).join("memory.events")).collect(),
    };
    let count = |file: &PathBuf| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("oom_kill "))?;
        line.trim().parse::<u64>().ok()
    };
    files.iter().filter_map(count).max().unwrap_or(0)
}

/// Kills every process of a group and waits until they are gone; a group that is not there is empty.
pub(super) fn end(group: &str) -> io::Result<()> {
    let folders: Vec<PathBuf> = hierarchies().all.iter().map(|p| below(p, group)).collect();
    let started = Instant::now();
    loop {
        let mut left = 0;
        for folder in &folders {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for pid in text.lines().filter_map(|l| l.parse().ok()).filter(|pid| *pid > 0) {
                left += 1;
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
        if left == 0 {
            return Ok(());
        }
        if started.elapsed() > KILL_LIMIT {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{left} processes do not end")));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Removes the empty folders of a group.
pub(super) fn remove(group: &str) {
    for point in hierarchies().all {
        // Fails where `runc delete` was first, which is well. The parent stays: another sandbox may be about to use it.
        fs::remove_dir(below(&point, group)).ok();
    }
}

/// Ends what a killed executor left running: what has a folder below its `state` folder. Called once, before the
/// first plan, by the only executor that works with this folder.
pub fn sweep(state: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(state) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(id) = entry.file_name().into_string() else { continue };
        end(&path(&id))?;
        remove(&path(&id));
        // What was mounted on it went with the executor.
        fs::remove_dir(entry.path())?;
    }
    Ok(())
}
