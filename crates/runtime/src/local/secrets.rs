//! Secrets of an instance: files in memory that its user alone can read.
//!
//! They come from a folder of files (other providers come later) and are never in an image, an environment or a
//! message. A crash leaves at most a file system in memory, which deleting the instance unmounts.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown},
    path::Path,
};

use model::SecretName;
use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount},
};

use super::root::unmount;
use crate::{
    driver::{Doing as _, DriverError},
    durable,
};

/// A chain of certificates with its key has some KiB.
const BYTES_LIMIT: u64 = 64 << 10;
/// All secrets of a component, and some for the file system's own use.
const MOUNT_OPTIONS: &str = "size=2m,nr_inodes=512,mode=0700";

/// Puts these secrets into a file system in memory at `target`; made anew each time.
pub(crate) fn provide<'a>(
    provider: &Path,
    wanted: impl Iterator<Item = &'a SecretName>,
    target: &Path,
    uid: u32,
) -> Result<(), DriverError> {
    let what = || format!("secrets can not be put at `{}`", target.display());
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
    for name in wanted {
        let content = read(provider, name)?;
        let path = target.join(name.as_str());
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

fn read(provider: &Path, name: &SecretName) -> Result<Vec<u8>, DriverError> {
    let path = provider.join(name.as_str());
    let what = || format!("the secret `{name}` can not be read");
    let refused = |why: String| DriverError::Host {
        what: format!("the secret `{name}` is not used: {why}"),
        hint: format!("see `{}`", path.display()),
    };
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(&path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DriverError::Host {
                what: format!("there is no secret `{name}`"),
                hint: format!("put it into the file `{}`, readable by its owner alone", path.display()),
            });
        }
        Err(error) => return Err(error).doing(what),
    };
    let found = file.metadata().doing(what)?;
    if !found.is_file() {
        return Err(refused("it is not a file".to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        return Err(refused(format!(
            "others than its owner can reach it (mode {:o}): `chmod 600` it",
            found.mode() & 0o7777
        )));
    }
    if found.len() > BYTES_LIMIT {
        return Err(refused(format!("it is over {BYTES_LIMIT} bytes")));
    }
    let mut content = Vec::new();
    file.take(BYTES_LIMIT).read_to_end(&mut content).doing(what)?;
    Ok(content)
}

/// Takes them away.
pub(crate) fn withdraw(target: &Path) -> Result<(), DriverError> {
    unmount(target).doing(|| format!("`{}` can not be unmounted", target.display()))?;
    match fs::remove_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("`{}` can not be removed", target.display()))
        }
        _ => Ok(()),
    }
}
