//! The child process that a test confines, and the files that it tries to reach.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    panic::AssertUnwindSafe,
    path::Path,
};

use nix::{
    errno::Errno,
    libc,
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Uid, fork},
};

use crate::confine::Confinement;

/// Runs `body` in a child process of one thread and fails if it does.
#[track_caller]
pub(super) fn in_child(body: impl FnOnce()) {
    let (mut reader, writer) = io::pipe().unwrap();
    #[expect(unsafe_code, reason = "the child uses what only this thread holds, and ends with _exit")]
    // SAFETY: the test's other threads wait and hold no lock that the child needs; the C library resets its own.
    let forked = unsafe { fork() }.unwrap();
    match forked {
        ForkResult::Child => {
            drop(reader);
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(body));
            let text = match &outcome {
                Ok(()) => "done".to_owned(),
                Err(cause) => cause
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .unwrap_or_default(),
            };
            let written = (&writer).write_all(text.as_bytes());
            #[expect(unsafe_code, reason = "the harness's exit handlers are not the child's to run")]
            // SAFETY: `_exit` ends the process and touches no memory.
            unsafe {
                libc::_exit(i32::from(outcome.is_err() || written.is_err()))
            }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            let status = waitpid(child, None).unwrap();
            assert_eq!((status, text.as_str()), (WaitStatus::Exited(child, 0), "done"));
        }
    }
}

/// A raw system call with small arguments, for calls that no library wraps.
pub(super) fn raw(number: i64, arguments: [i64; 3]) -> Result<i64, Errno> {
    let [first, second, third] = arguments;
    #[expect(unsafe_code, reason = "the filter is about system calls by number")]
    // SAFETY: only called with arguments that are no pointers to be written through.
    let result = unsafe { libc::syscall(number, first, second, third, 0, 0, 0) };
    Errno::result(result)
}

/// A folder tree that every user may read by its modes, so that what refuses is not the modes.
pub(super) struct Tree(tempfile::TempDir);

impl Tree {
    pub(super) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for folder in ["", "own", "other"] {
            let path = tree.path(folder);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        for file in ["own/key", "other/key", "notes"] {
            put(&tree.path(file)).unwrap();
            fs::set_permissions(tree.path(file), fs::Permissions::from_mode(0o666)).unwrap();
        }
        tree
    }

    pub(super) fn path(&self, inside: &str) -> std::path::PathBuf {
        self.0.path().join(inside)
    }

    pub(super) fn confinement(&self) -> Confinement {
        Confinement { read: vec![self.path("notes")], write: vec![self.path("own")], ..Confinement::nothing() }
    }
}

pub(super) fn put(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(b"words")
}

pub(super) fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

pub(super) const DENIED: Option<io::ErrorKind> = Some(io::ErrorKind::PermissionDenied);

#[track_caller]
pub(super) fn assert_root() {
    assert!(Uid::effective().is_root(), "tests named `root_` run as root, which `make test` asks for");
}
