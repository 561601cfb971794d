//! Dependencies: which command fetches those of a lock file, what was fetched, and whether it is what the lock
//! file says.
//!
//! The fetch phase is the only one with a network, so it runs no code of the repository: package managers are
//! started with the parts of the repository's configuration that name registries, and no others. It refuses to know
//! whether a dependency is any good; it makes sure that it is the one that the commit names.

mod cargo;
mod debian;
mod npm;
mod pip;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use model::{Digest, manifest::FetchTool};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    hashing,
    sandbox::{Endpoint, WORKSPACE},
};

/// Where fetched dependencies are put, in the workspace.
pub(crate) const OWN: &str = ".countersign";
/// A lock file; those of the largest workspaces have some MiB.
const LOCK_LIMIT_BYTES: u64 = 64 << 20;
/// Dependencies of one build.
const DEPENDENCIES_LIMIT: usize = 50_000;

/// A kind of package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ecosystem {
    /// Rust: `Cargo.lock`.
    Cargo,
    /// JavaScript: `package-lock.json`.
    Npm,
    /// Python: `requirements.txt` with hashes.
    Pip,
    /// Debian packages: `debian.lock`, lines of `package version sha256 filename`.
    Debian,
    /// No dependencies.
    None,
}

impl From<Option<FetchTool>> for Ecosystem {
    fn from(tool: Option<FetchTool>) -> Self {
        match tool {
            Some(FetchTool::Cargo) => Self::Cargo,
            Some(FetchTool::Npm) => Self::Npm,
            Some(FetchTool::Pip) => Self::Pip,
            Some(FetchTool::Debian) => Self::Debian,
            None => Self::None,
        }
    }
}

/// One command of the fetch phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchStep {
    /// Whether it needs the registries; otherwise it runs offline.
    pub network: bool,
    /// The command.
    pub command: Vec<String>,
    /// Where it starts, inside the sandbox.
    pub directory: PathBuf,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
}

/// One dependency as a lock file names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedDependency {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of what was fetched.
    pub digest: DependencyDigest,
    /// Where the lock file says that it comes from.
    pub source: String,
    /// The package URL (purl specification), by which advisories name it.
    pub purl: String,
}

/// A digest of the kind that the ecosystem uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DependencyDigest {
    /// SHA-256 of the archive.
    Sha256(Digest),
    /// SHA-512 of the archive, 128 hex digits.
    Sha512(String),
    /// A git commit, 40 hex digits.
    GitCommit(String),
}

/// Why dependencies can not be fetched or are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No lock file.
    #[error("there is no `{file}` at the commit: {hint}")]
    NoLock {
        /// The file.
        file: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The lock file can not be read.
    #[error("`{file}` can not be read: {why}")]
    Lock {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A dependency without a digest.
    #[error("`{file}` names no digest that can be checked for `{dependency}`: {hint}")]
    NoDigest {
        /// The lock file.
        file: &'static str,
        /// The dependency.
        dependency: String,
        /// What to do.
        hint: &'static str,
    },
    /// Fetching ended well, but something is missing.
    #[error("`{dependency}` was not fetched, though `{file}` names it")]
    Missing {
        /// The lock file.
        file: &'static str,
        /// The dependency.
        dependency: String,
    },
    /// What was fetched is not what the lock file names.
    #[error(
        "`{dependency}` is not what the lock file names: it has digest {found} instead of {wanted}; the registry serves something else than when the lock file was written"
    )]
    Mismatch {
        /// The dependency.
        dependency: String,
        /// The digest of what was fetched.
        found: String,
        /// The digest of the lock file.
        wanted: String,
    },
    /// A setting in the repository that could run code while fetching.
    #[error("`{file}` sets `{setting}`, which is not allowed while fetching: {hint}")]
    Setting {
        /// The file.
        file: String,
        /// The setting.
        setting: String,
        /// What to do.
        hint: &'static str,
    },
    /// No registry was declared where one is needed.
    #[error("no registry is declared for the build: add `registries = [\"host:port\"]` to it in countersign.toml")]
    NoRegistry,
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

impl Ecosystem {
    /// The commands that fetch, in order. Writes what they need into the `.countersign` folder of the workspace,
    /// which no code of the repository has touched yet.
    pub fn steps(self, workspace: &Path, registries: &[Endpoint]) -> Result<Vec<FetchStep>, FetchError> {
        match self {
            Self::Cargo => cargo::steps(workspace),
            Self::Npm => npm::steps(workspace, registries),
            Self::Pip => pip::steps(workspace, registries),
            Self::Debian => debian::steps(workspace, registries),
            Self::None => Ok(Vec::new()),
        }
    }

    /// Every dependency of the lock file, each compared with what was fetched. To be called after the steps and
    /// before any code of the repository runs.
    pub fn verify(self, workspace: &Path) -> Result<Vec<LockedDependency>, FetchError> {
        let mut found = match self {
            Self::Cargo => cargo::verify(workspace)?,
            Self::Npm => npm::verify(workspace)?,
            Self::Pip => pip::verify(workspace)?,
            Self::Debian => debian::verify(workspace)?,
            Self::None => Vec::new(),
        };
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The variables by which later commands find what was fetched.
    pub fn environment(self) -> BTreeMap<String, String> {
        let pairs = match self {
            Self::Cargo => cargo::environment(),
            Self::Npm => npm::environment(),
            Self::Pip => pip::environment(),
            Self::Debian => debian::environment(),
            Self::None => Vec::new(),
        };
        pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }
}

/// A path in the workspace as the sandbox sees it.
fn inside(path: &str) -> String {
    format!("{WORKSPACE}/{path}")
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_path_buf();
    move |source| FetchError::Io { doing, path, source }
}

/// Makes a folder below `.countersign` and returns it.
fn own_folder(workspace: &Path, name: &str) -> Result<PathBuf, FetchError> {
    let path = workspace.join(OWN).join(name);
    fs::create_dir_all(&path).map_err(io_error("make", &path))?;
    Ok(path)
}

/// Writes a file that is read by the very next command; a torn one fails that command.
fn write(path: &Path, text: &str) -> Result<(), FetchError> {
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).open(path);
    opened.and_then(|mut f| io::Write::write_all(&mut f, text.as_bytes())).map_err(io_error("write", path))
}

/// Reads a text file of the repository; `None` if it is not there. Links are not followed.
fn read(path: &Path) -> Result<Option<String>, FetchError> {
    let lock = |why: String| FetchError::Lock { file: file_name(path), why };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("read", path)(e)),
        Ok(meta) if !meta.is_file() => return Err(lock("it is not a file".to_owned())),
        Ok(meta) if meta.len() > LOCK_LIMIT_BYTES => {
            return Err(lock(format!("it is larger than {LOCK_LIMIT_BYTES} bytes")));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    String::from_utf8(bytes).map(Some).map_err(|_| lock("it is not UTF-8".to_owned()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn check_count(file: &str, count: usize) -> Result<(), FetchError> {
    if count <= DEPENDENCIES_LIMIT {
        return Ok(());
    }
    Err(FetchError::Lock {
        file: file.to_owned(),
        why: format!("it names more than {DEPENDENCIES_LIMIT} dependencies"),
    })
}

/// The digest of a file.
fn hash_file<H: sha2::Digest>(path: &Path) -> Result<Vec<u8>, FetchError> {
    File::open(path).and_then(hashing::of::<H>).map_err(io_error("read", path))
}

/// Compares the SHA-256 of a file with the wanted one.
fn check_sha256(path: &Path, wanted: &Digest, dependency: &str) -> Result<(), FetchError> {
    let found = hash_file::<Sha256>(path)?;
    if found.as_slice() == wanted.as_bytes() {
        return Ok(());
    }
    Err(FetchError::Mismatch { dependency: dependency.to_owned(), found: hex::encode(found), wanted: wanted.hex() })
}

/// Percent-encodes what a part of a package URL may not hold (purl specification, "Character encoding").
fn purl_part(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b".-_~:".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
