//! The one way in which files are written so that a crash leaves either the old bytes or the new ones.
//!
//! It knows paths, bytes and modes, and refuses to know what they mean.
//!
//! Order of system calls in [`write`]: create a temporary file beside the target (`O_EXCL`, final mode), write,
//! `fsync` it, `rename` it over the target, `fsync` the folder. A crash before the rename leaves the old file and
//! perhaps a temporary one, which nobody reads; a crash after it leaves the new one.
//!
//! Known hole: after a failed `fsync` Linux may drop the dirty pages and report success the next time
//! (Rebello and others, "Can Applications Recover from fsync Failures?", USENIX ATC 2020). We therefore never
//! retry an `fsync` on the same file: the temporary file is removed and the caller starts again with new bytes.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Why a file was not written. The target is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The path has no file name or no folder.
    #[error("`{}` does not name a file in a folder", .0.display())]
    Path(PathBuf),
    /// The target is there already, and the call was not allowed to replace it.
    #[error("`{}` is already there", .0.display())]
    Exists(PathBuf),
    /// A system call failed.
    #[error("can not {doing} `{}`", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Writes a file as a whole, replacing one that is there. `mode` holds whatever the umask is.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DurableError> {
    let temporary = write_beside(path, bytes, mode)?;
    replace(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Writes a file that must not be there yet; two callers can not both succeed.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DurableError> {
    let temporary = write_beside(path, bytes, mode)?;
    // `link` fails when the name exists, in one step; `rename` would replace it.
    let linked = fs::hard_link(&temporary, path);
    drop(fs::remove_file(&temporary));
    match linked {
        Ok(()) => sync_folder_of(path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(DurableError::Exists(path.to_owned())),
        Err(source) => Err(DurableError::Io { doing: "create", path: path.to_owned(), source }),
    }
}

/// Moves a file, whose bytes are already synced, over another in the same file system, and syncs the target's folder.
pub fn replace(from: &Path, to: &Path) -> Result<(), DurableError> {
    #[expect(clippy::disallowed_methods, reason = "this is the helper that the ban names")]
    fs::rename(from, to).map_err(|source| DurableError::Io { doing: "replace", path: to.to_owned(), source })?;
    sync_folder_of(to)
}

/// Makes a folder and those above it, with this mode for the last one, and syncs the folder that holds it.
pub fn create_folder(path: &Path, mode: u32) -> Result<(), DurableError> {
    let failed = |source| DurableError::Io { doing: "create folder", path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(above).map_err(failed)?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(e) => return Err(failed(e)),
    }
    sync_folder_of(path)
}

/// Syncs the folder that holds this path, so that a name made or removed there stays so.
pub fn sync_folder_of(path: &Path) -> Result<(), DurableError> {
    let folder = folder_of(path)?;
    File::open(&folder).and_then(|f| f.sync_all()).map_err(|source| DurableError::Io {
        doing: "sync folder",
        path: folder,
        source,
    })
}

/// Holds a folder or file for one process. The kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("`{}` is in use by another process", .0.display())]
    Held(PathBuf),
    /// The lock file can not be opened or locked.
    #[error("can not lock `{}`", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

impl Lock {
    /// Takes the lock file at this path, making it if it is not there. Does not wait.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |e| LockError::Io(path.to_owned(), e);
        // The lock file holds no bytes, so tearing it is harmless.
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(path.to_owned())),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}

fn folder_of(path: &Path) -> Result<PathBuf, DurableError> {
    match path.parent() {
        Some(p) if p.as_os_str().is_empty() => Ok(PathBuf::from(".")),
        Some(p) => Ok(p.to_owned()),
        None => Err(DurableError::Path(path.to_owned())),
    }
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf, DurableError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| DurableError::Path(path.to_owned()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let temporary = folder_of(path)?.join(hidden);
    // A process with the same id may have died here before: what it left is nobody's.
    drop(fs::remove_file(&temporary));
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).and_then(|mut file| {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(temporary),
        Err(source) => {
            drop(fs::remove_file(&temporary));
            Err(DurableError::Io { doing: "write", path: path.to_owned(), source })
        }
    }
}

#[cfg(test)]
mod tests;
