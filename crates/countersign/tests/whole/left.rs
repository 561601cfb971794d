//! What an installation may leave behind: nothing. Looks in every place where it makes something.

use std::{fs, path::Path};

/// Everything on this host that belongs to the installation at `root`, in words.
pub(crate) fn left_behind(root: &Path, scope: &str) -> Vec<String> {
    let root = root.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for pid in processes_of(&root) {
        found.push(format!("process {pid}: {}", command_line(pid)));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|l| l.contains(&root) || l.contains(scope)).map(|l| format!("mount {l}")));
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(scope) {
            found.push(format!("network namespace {name}"));
        }
    }
    for entry in fs::read_dir("/sys/class/net").unwrap().flatten() {
        let alias = fs::read_to_string(entry.path().join("ifalias")).unwrap_or_default();
        if alias.contains(scope) {
            found.push(format!("link {}", entry.file_name().to_string_lossy()));
        }
    }
    cgroups(Path::new("/sys/fs/cgroup"), scope, 6, &mut found);
    found
}

/// The processes whose command line names this folder.
pub(crate) fn processes_of(root: &str) -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_string_lossy().parse().ok())
        .filter(|pid| u32::try_from(*pid) != Ok(std::process::id()) && command_line(*pid).contains(root))
        .collect()
}

/// The words of a process's command line; empty for one that has ended.
pub(crate) fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn cgroups(at: &Path, scope: &str, depth: u32, found: &mut Vec<String>) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(scope) {
            found.push(format!("cgroup {}", entry.path().display()));
        } else if depth > 0 {
            cgroups(&entry.path(), scope, depth - 1, found);
        }
    }
}
