//! Secrets of an instance: files in memory that its user alone can read.
//!
//! They come from a folder of files (other providers come later) and are never in an image, an environment or a
//! message. A crash leaves at most a file system in memory, which deleting the instance unmounts.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use model::SecretName;
use nix::libc;

use super::memory;
use crate::driver::{Doing as _, DriverError};

/// A chain of certificates with its key has some KiB.
const BYTES_LIMIT: u64 = 64 << 10;
/// Puts these secrets into a file system in memory at `target`; made anew each time.
pub(crate) fn provide<'a>(
    provider: &Path,
    wanted: impl Iterator<Item = &'a SecretName>,
    target: &Path,
    uid: u32,
) -> Result<(), DriverError> {
    memory::provide("secrets", wanted.map(|name| Ok((name.as_str(), read(provider, name)?))), target, uid)
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
