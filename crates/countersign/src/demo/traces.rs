//! What a demo could leave on a machine: processes, mounts, network namespaces and links, cgroups.
//!
//! It looks and changes nothing.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::fault::{Fault, Kind};

/// Waits until nothing of this folder and these scopes is left.
pub fn gone(dir: &Path, scopes: &[String], limit: Duration) -> Result<(), Fault> {
    let deadline = Instant::now() + limit;
    loop {
        let left = left(dir, scopes);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Fault::new(Kind::Unavailable, format!("left behind: {}", left.join(", "))));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is left, in words.
fn left(dir: &Path, scopes: &[String]) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse().is_ok_and(|pid: u32| pid != std::process::id()) {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            if words.contains(&*dir) && words.contains("countersign") && is_ours(&entry.path()) {
                left.push(format!("process {name} ({})", words.trim()));
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    left.extend(
        mounts.lines().filter(|l| l.contains(&*dir)).filter_map(|l| Some(format!("mount {}", l.split(' ').nth(4)?))),
    );
    for scope in scopes {
        for place in ["/run/netns", "/sys/class/net"] {
            left.extend(named(Path::new(place), scope, 0));
        }
        left.extend(named(Path::new("/sys/fs/cgroup"), scope, CGROUP_DEPTH));
    }
    left
}

/// Controllers of version 1 each have a tree; ours are at most this deep in any.
const CGROUP_DEPTH: u32 = 3;

/// A process of this program; an editor that shows a file of the folder is not.
fn is_ours(process: &Path) -> bool {
    let theirs = fs::read_link(process.join("exe"));
    let ours = std::env::current_exe();
    matches!((theirs, ours), (Ok(a), Ok(b)) if a == b)
}

/// Entries whose name contains a word, this deep.
fn named(folder: &Path, word: &str, depth: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains(word) {
            found.push(entry.path().display().to_string());
        } else if depth > 0 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(named(&entry.path(), word, depth - 1));
        }
    }
    found
}
