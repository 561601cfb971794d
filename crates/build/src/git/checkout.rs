//! Writing the tree of a commit into a folder, byte for byte as it is in git: no attributes, filters, line ends or
//! substitutions are applied, so what is built is what was signed.
//!
//! It refuses submodules, Git LFS pointers and links that leave the tree, because each would bring in something
//! that no signature covers. A crash leaves a partial folder, which the next checkout refuses.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use model::{Commit, Timestamp};
use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};

use super::{Git, GitError, tree::Entry};

/// Files in a tree; the largest public monorepos stay below.
const FILES_LIMIT: usize = 1_000_000;
/// One file. Sources do not reach it; data belongs elsewhere.
const FILE_LIMIT_BYTES: u64 = 1 << 30;
/// Links followed while resolving one path, as the kernel limits them.
const LINKS_LIMIT: usize = 40;
/// How a Git LFS pointer begins (git-lfs `docs/spec.md`).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// LFS pointers are below 1,024 bytes by their specification.
const LFS_POINTER_LIMIT: usize = 1024;
/// What Countersign itself keeps in a workspace, beside the tree.
pub(crate) const OWN_FOLDER: &str = ".countersign";

/// Why a tree was not written.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The mirror could not answer.
    #[error(transparent)]
    Git(#[from] GitError),
    /// There is something in the folder already.
    #[error("`{0}` is not empty: a tree is written only into an empty folder")]
    NotEmpty(PathBuf),
    /// A submodule.
    #[error(
        "`{0}` is a submodule: its content is not covered by the commit; put it into the tree, or release it as a component of its own"
    )]
    Submodule(String),
    /// A Git LFS pointer.
    #[error("`{0}` is a Git LFS pointer: its content is not covered by the commit; put the file itself into the tree")]
    LfsPointer(String),
    /// A link that leads out of the tree.
    #[error("the link `{path}` leads out of the tree, to `{target}`")]
    LinkLeaves {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A path that could be taken for something else.
    #[error("`{path}` can not be written: {why}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// Too many files.
    #[error("the tree has more than {0} files")]
    TooManyFiles(usize),
    /// Reading or writing failed.
    #[error("can not {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

pub(super) fn checkout(git: &Git, commit: Commit, dir: &Path) -> Result<(), CheckoutError> {
    let time = git.commits(&[commit])?.first().map(|f| f.committed_at).ok_or(GitError::Missing(commit))?;
    let entries = git.tree(commit)?;
    if entries.len() > FILES_LIMIT {
        return Err(CheckoutError::TooManyFiles(FILES_LIMIT));
    }
    for entry in &entries {
        check_path(entry)?;
    }
    let io = |doing, path: &Path| {
        let path = path.to_path_buf();
        move |source| CheckoutError::Io { doing, path, source }
    };
    fs::create_dir_all(dir).map_err(io("make", dir))?;
    if fs::read_dir(dir).map_err(io("list", dir))?.next().is_some() {
        return Err(CheckoutError::NotEmpty(dir.to_path_buf()));
    }

    let mut batch = git.batch()?;
    let mut links = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![dir.to_path_buf()];
    // Links are written last, so that nothing can be written through one.
    for entry in &entries {
        let content = batch.object(&entry.object, "blob", FILE_LIMIT_BYTES)?;
        let shown = || String::from_utf8_lossy(&entry.path).into_owned();
        if entry.mode == "120000" {
            links.insert(entry.path.clone(), content);
            continue;
        }
        if content.len() < LFS_POINTER_LIMIT && content.starts_with(LFS_POINTER) {
            return Err(CheckoutError::LfsPointer(shown()));
        }
        let path = dir.join(OsStr::from_bytes(&entry.path));
        make_folders(dir, &path, &mut folders).map_err(io("make the folder of", &path))?;
        let mode = if entry.mode == "100755" { 0o755 } else { 0o644 };
        let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).and_then(|mut file| {
            file.write_all(&content)?;
            // What the mode of a new file is depends on the process; this does not.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.set_modified(system_time(time))
        });
        written.map_err(io("write", &path))?;
    }
    for (path, target) in &links {
        if !stays_inside(path, target, &links) {
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            return Err(CheckoutError::LinkLeaves { path: text(path), target: text(target) });
        }
    }
    let stamp = TimeSpec::new(i64::try_from(time.unix()).unwrap_or(i64::MAX), 0);
    for (path, target) in &links {
        let path = dir.join(OsStr::from_bytes(path));
        make_folders(dir, &path, &mut folders).map_err(io("make the folder of", &path))?;
        symlink(OsStr::from_bytes(target), &path).map_err(io("write the link", &path))?;
        let stamped = utimensat(AT_FDCWD, &path, &stamp, &stamp, UtimensatFlags::NoFollowSymlink);
        stamped.map_err(|e| io("set the time of", &path)(e.into()))?;
    }
    // Deepest first: writing into a folder changes its time.
    for folder in folders.iter().rev() {
        File::open(folder).and_then(|f| f.set_modified(system_time(time))).map_err(io("set the time of", folder))?;
    }
    Ok(())
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.unix())
}

fn make_folders(dir: &Path, path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|p| *p != dir && !p.is_dir()) else { return Ok(()) };
    make_folders(dir, parent, made)?;
    fs::create_dir(parent)?;
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
    made.push(parent.to_path_buf());
    Ok(())
}

fn check_path(entry: &Entry) -> Result<(), CheckoutError> {
    let path = || String::from_utf8_lossy(&entry.path).into_owned();
    let refuse = |why| Err(CheckoutError::Path { path: path(), why });
    match entry.mode.as_str() {
        "100644" | "100755" | "100664" | "120000" => {}
        "160000" => return Err(CheckoutError::Submodule(path())),
        _ => return refuse("it is neither a file nor a link"),
    }
    if std::str::from_utf8(&entry.path).is_err() {
        return refuse("its name is not UTF-8");
    }
    for part in entry.path.split(|b| *b == b'/') {
        match part {
            b"" | b"." | b".." => return refuse("its name has an empty part, `.` or `..`"),
            p if p.eq_ignore_ascii_case(b".git") => return refuse("`.git` is git's own folder"),
            _ => {}
        }
    }
    let own = entry.path.split(|b| *b == b'/').next() == Some(OWN_FOLDER.as_bytes());
    if own { refuse("the folder `.countersign` is where fetched dependencies are put") } else { Ok(()) }
}

/// Whether a link leads to a place within the tree, following the other links of the tree as the kernel would.
/// Places that are not in the tree count as ordinary names: a build may make them.
fn stays_inside(path: &[u8], target: &[u8], links: &BTreeMap<Vec<u8>, Vec<u8>>) -> bool {
    let mut hops = 0;
    let mut at: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    at.pop();
    // What is still to be walked, the next part last.
    let mut ahead: Vec<&[u8]> = target.split(|b| *b == b'/').rev().collect();
    if target.starts_with(b"/") || target.is_empty() || target.contains(&0) {
        return false;
    }
    while let Some(part) = ahead.pop() {
        match part {
            b"" | b"." => {}
            b".." => {
                if at.pop().is_none() {
                    return false;
                }
            }
            part => {
                at.push(part);
                let Some(next) = links.get(&at.join(&b'/')) else { continue };
                hops += 1;
                if hops > LINKS_LIMIT || next.starts_with(b"/") {
                    return false;
                }
                at.pop();
                ahead.extend(next.split(|b| *b == b'/').rev());
            }
        }
    }
    true
}
