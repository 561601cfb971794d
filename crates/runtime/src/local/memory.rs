//! Files in memory that one instance is given: secrets and guarded values.
//!
//! They are on a file system of their own, which is read-only before the instance sees it, and which its user can
//! neither write nor mount again. A crash leaves at most a file system in memory, which deleting the instance unmounts.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, chown},
    path::Path,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
};

use super::root::unmount;
use crate::{
    driver::{Doing as _, DriverError},
    durable,
};

/// All secrets of a component, and some for the file system's own use.
const MOUNT_OPTIONS: &str = "size=2m,nr_inodes=512,mode=0700";

/// Puts these files into a file system in memory at `target`; made anew each time.
pub(super) fn provide<'a>(
    kind: &str,
    files: impl Iterator<Item = Result<(&'a str, Vec<u8>), DriverError>>,
    target: &Path,
    uid: u32,
) -> Result<(), DriverError> {
    let what = || format!("{kind} can not be put at `{}`", target.display());
    unmount(target).doing(what)?;
    durable::make_dir(target).doing(what)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = |more: &str| format!("{MOUNT_OPTIONS}{more}");
    let with = |more: &str| mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options(more).as_str()));
    // Since Linux 6.4 memory of a tmpfs can be kept out of swap; before, encrypt the swap or have none.
    match with(",noswap") {
        Err(Errno::EINVAL) => with("").doing(what)?,
        other => other.doing(what)?,
    }
    for file in files {
        let (name, content) = file?;
        let path = target.join(name);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path);
        match made {
            Ok(mut file) => file.write_all(&content).doing(what)?,
            // Two variables may name one secret.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).doing(what),
        }
        chown(&path, Some(uid), Some(uid)).doing(what)?;
    }
    chown(target, Some(uid), Some(uid)).doing(what)?;
    mount(None::<&str>, target, None::<&str>, flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>)
        .doing(what)
}

/// Takes them away.
pub(super) fn withdraw(target: &Path) -> Result<(), DriverError> {
    unmount(target).doing(|| format!("`{}` can not be unmounted", target.display()))?;
    match fs::remove_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("`{}` can not be removed", target.display()))
        }
        _ => Ok(()),
    }
}
