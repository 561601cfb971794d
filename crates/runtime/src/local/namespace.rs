//! Named network namespaces under `/run/netns`, as `ip netns` keeps them, and work inside of one.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::statfs::statfs,
};

use super::command::{self, COMMAND_TIMEOUT, Tools};
use crate::driver::{Doing as _, DriverError, failed};

const FOLDER: &str = "/run/netns";
/// `NSFS_MAGIC` (Linux `include/uapi/linux/magic.h`).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Where a namespace of this name is, whether it is there or not.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Whether it is there, and not only the file that a crash left in its place.
pub(crate) fn exists(name: &str) -> bool {
    statfs(&path(name)).is_ok_and(|found| i128::from(found.filesystem_type().0) == i128::from(NSFS_MAGIC))
}

/// Makes one, if it is not there.
pub(crate) fn add(tools: &Tools, name: &str) -> Result<(), DriverError> {
    if exists(name) {
        return Ok(());
    }
    remove(tools, name)?;
    command::run(&tools.ip, &["netns", "add", name], b"", COMMAND_TIMEOUT)?;
    Ok(())
}

/// Removes it, and whatever a crash left in its place.
pub(crate) fn remove(tools: &Tools, name: &str) -> Result<(), DriverError> {
    if exists(name) {
        command::run(&tools.ip, &["netns", "delete", name], b"", COMMAND_TIMEOUT)?;
    }
    match fs::remove_file(path(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("the network namespace `{name}` can not be removed"))
        }
        _ => Ok(()),
    }
}

/// The names that start like this.
pub(crate) fn names(prefix: &str) -> Vec<String> {
    let Ok(folder) = fs::read_dir(FOLDER) else { return Vec::new() };
    folder
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// Works inside of it, on a thread of its own that ends afterwards: a thread's namespace is never changed back.
///
/// Programs started by the work are inside too, and unlike with `ip netns exec` `/sys` stays as it is.
pub(crate) fn inside<T: Send>(
    name: &str,
    work: impl FnOnce() -> Result<T, DriverError> + Send,
) -> Result<T, DriverError> {
    let what = || format!("the network namespace `{name}` can not be entered");
    let namespace = File::open(path(name)).doing(what)?;
    thread::scope(|scope| {
        let entered = scope.spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).doing(what)?;
            work()
        });
        entered.join().unwrap_or_else(|_| Err(failed(what(), "its thread ended early")))
    })
}

/// Sets `net.*` settings of it, as `(path below /proc/sys/net, value)`.
pub(crate) fn configure(name: &str, settings: &[(&str, &str)]) -> Result<(), DriverError> {
    inside(name, || {
        for (setting, value) in settings {
            let file = Path::new("/proc/sys/net").join(setting);
            // IPv6 may be compiled out or off, and then there is nothing to turn off.
            if !file.exists() && setting.starts_with("ipv6/") {
                continue;
            }
            #[expect(clippy::disallowed_methods, reason = "a setting of the kernel, there is nothing to sync")]
            fs::write(&file, value).doing(|| format!("the setting `{}` can not be made", file.display()))?;
        }
        Ok(())
    })
}
