//! Whether an instance runs as it was asked to: from `/proc` and its cgroup, never from what runc said.

use std::{collections::BTreeMap, fs, io, os::linux::fs::MetadataExt as _, path::Path};

use super::{
    cgroup::Hierarchy,
    process::{ProcessId, is_gone},
    record::{Record, Running},
};

/// `SECCOMP_MODE_FILTER` (Linux `include/uapi/linux/seccomp.h`).
const SECCOMP_FILTER: u32 = 2;
/// Namespaces that an instance has to itself, as `/proc/<pid>/ns` names them.
const NAMESPACES: [&str; 6] = ["pid", "net", "mnt", "uts", "ipc", "cgroup"];
/// Processes of an instance whose program is looked at each time; more than most ever have.
const PROGRAMS_LIMIT: usize = 64;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// All is as asked.
    Sound,
    /// Something is not; in words for people.
    Differs(String),
    /// There is nothing to look at any more.
    Gone,
}

/// The namespaces of a process.
pub(crate) fn namespaces(process: &ProcessId) -> io::Result<BTreeMap<String, u64>> {
    NAMESPACES.iter().map(|kind| Ok(((*kind).to_owned(), process.namespace(kind)?))).collect()
}

/// Whether the component's own program runs already, on its own root: before, it is runc that prepares it, and the
/// filter comes just before the program.
pub(crate) fn has_begun(process: &ProcessId, root_device: u64) -> io::Result<bool> {
    match process.program_device() {
        // No link to follow while the program is being replaced, and none after the end.
        Err(error) if is_gone(&error) => Ok(false),
        found => Ok(found? == root_device),
    }
}

/// Looks at everything that can be looked at cheaply.
pub(crate) fn check(
    hierarchy: &Hierarchy,
    cgroup: &str,
    record: &Record,
    running: &Running,
    network: &Path,
) -> io::Result<Finding> {
    let Some(init) = &running.init else { return Ok(Finding::Gone) };
    let found = look(hierarchy, cgroup, record, running, init, network);
    // Whatever was found or failed, it says nothing if the process has ended meanwhile.
    if !init.runs()? {
        return Ok(Finding::Gone);
    }
    match found {
        Ok(None) => Ok(Finding::Sound),
        Ok(Some(what)) => Ok(Finding::Differs(what)),
        Err(error) if is_gone(&error) => {
            Ok(Finding::Differs(format!("not all of it can be seen in `/proc/{}`", init.pid())))
        }
        Err(error) => Err(error),
    }
}

fn look(
    hierarchy: &Hierarchy,
    cgroup: &str,
    record: &Record,
    running: &Running,
    init: &ProcessId,
    network: &Path,
) -> io::Result<Option<String>> {
    if !running.shim.runs()? {
        return Ok(Some("the process that keeps its log and exit code has ended".to_owned()));
    }
    let own = ProcessId::of(i32::try_from(std::process::id()).map_err(io::Error::other)?)?;
    for (kind, wanted) in &running.namespaces {
        let found = init.namespace(kind)?;
        if found != *wanted {
            return Ok(Some(format!("it is in another {kind} namespace than at its start")));
        }
        if let Some(own) = &own
            && own.namespace(kind)? == found
        {
            return Ok(Some(format!("it shares the host's {kind} namespace")));
        }
    }
    if running.namespaces.get("net").copied() != fs::metadata(network).ok().map(|found| found.st_ino()) {
        return Ok(Some("it is not in the network namespace made for it".to_owned()));
    }
    let (kind, options) = init.root_mount()?;
    let read_only = options.split(';').all(|side| side.split(',').any(|option| option == "ro"));
    if kind != "erofs" || !read_only {
        return Ok(Some(format!("its root is mounted as `{kind}` with `{options}` instead of erofs, read-only")));
    }
    if init.root_device()? != running.root_device {
        return Ok(Some("its root is another file system than at its start".to_owned()));
    }
    if !hierarchy.holds(cgroup, init.pid())? {
        return Ok(Some("it is not in its cgroup".to_owned()));
    }
    if let Some(what) = hierarchy.differs(cgroup, &record.spec.component)? {
        return Ok(Some(what));
    }
    for pid in hierarchy.members(cgroup)?.into_iter().take(PROGRAMS_LIMIT) {
        let Some(process) = ProcessId::of(pid)? else { continue };
        match program(&process, record.uid, running.root_device) {
            Ok(None) => {}
            Ok(Some(what)) => return Ok(Some(what)),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// One process: who it is, how it is confined, and that its program is of the root.
fn program(process: &ProcessId, uid: u32, root_device: u64) -> io::Result<Option<String>> {
    let found = process.confinement()?;
    let pid = process.pid();
    // A zombie has no program and no privileges left to look at.
    if !process.runs()? {
        return Ok(None);
    }
    Ok(if found.seccomp != SECCOMP_FILTER {
        Some(format!("its process {pid} runs without the system call filter"))
    } else if found.no_new_privileges != 1 {
        Some(format!("its process {pid} may gain privileges"))
    } else if found.capabilities.iter().any(|set| *set != 0) {
        Some(format!("its process {pid} has capabilities"))
    } else if found.uids.iter().chain(&found.gids).any(|id| *id != uid) {
        Some(format!("its process {pid} runs as another user or group than {uid}"))
    } else if process.program_device()? != root_device {
        Some(format!("its process {pid} runs a program that is not of its image"))
    } else {
        None
    })
}
