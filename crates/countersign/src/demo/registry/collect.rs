//! Fills a folder with the packages that a lock file names, from what cargo has downloaded before.
//!
//! Reaches no network and takes no file whose checksum is not that of the lock. A crash in the middle leaves a
//! torn file, which the next run replaces.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::read_limited;

/// Why packages were not collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The lock file can not be read.
    #[error("the lock file `{file}` can not be read")]
    Lock {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock file is not one.
    #[error("`{file}` is not a Cargo.lock")]
    Syntax {
        /// Which.
        file: PathBuf,
        /// Why.
        source: toml_edit::de::Error,
    },
    /// A package comes from elsewhere than the ordinary registry, or has no checksum.
    #[error("the package `{0}` of the lock file has no checksum or is not from the ordinary registry")]
    Source(String),
    /// cargo has not downloaded all of them.
    #[error(
        "cargo has not downloaded {count} of the packages in the lock file, such as `{first}`; run scripts/fetch-example-crates"
    )]
    Missing {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// A file can not be read or written.
    #[error("`{file}` can not be copied")]
    Copy {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is read of a lock file.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// How lock files name the ordinary registry.
pub(super) const ORDINARY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Copies every package that `lock` names from cargo's own cache (`CARGO_HOME/registry/cache/*/`) to the folder
/// `out`, which is made if needed, and answers how many there are. Only files with the checksum of the lock are
/// taken; those that are there already stay. Packages without a source are the project's own.
pub fn collect(lock: &Path, cargo_home: &Path, out: &Path) -> Result<usize, CollectError> {
    let text = fs::read_to_string(lock).map_err(|source| CollectError::Lock { file: lock.to_owned(), source })?;
    let locked: Lock =
        toml_edit::de::from_str(&text).map_err(|source| CollectError::Syntax { file: lock.to_owned(), source })?;
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |source| CollectError::Copy { file, source }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let caches = caches(cargo_home).map_err(failed(cargo_home))?;
    let (mut count, mut missing) = (0, Vec::new());
    for package in locked.package {
        let label = format!("{}-{}", package.name, package.version);
        let checksum = match (package.source.as_deref(), package.checksum) {
            (None, _) => continue,
            (Some(ORDINARY), Some(checksum)) => checksum,
            _ => return Err(CollectError::Source(label)),
        };
        let name = format!("{label}.crate");
        let there = out.join(&name);
        if is(&there, &checksum) {
            count += 1;
        } else if let Some(found) = caches.iter().map(|c| c.join(&name)).find(|f| is(f, &checksum)) {
            fs::copy(&found, &there).map_err(failed(&found))?;
            count += 1;
        } else {
            missing.push(label);
        }
    }
    let lacking = missing.len();
    match missing.into_iter().next() {
        None => Ok(count),
        Some(first) => Err(CollectError::Missing { count: lacking, first }),
    }
}

/// The folders that cargo keeps downloaded packages in, one a registry.
fn caches(cargo_home: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(cargo_home.join("registry/cache")) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is(file: &Path, checksum: &str) -> bool {
    read_limited(file).is_ok_and(|bytes| hex::encode(Sha256::digest(&bytes)) == checksum)
}
