//! Images: files of a workspace as an OCI image that is the same, byte for byte, whenever it is made again, and a
//! store of images by digest.
//!
//! One layer, a plain tar: compressing would make the digest depend on the version of the compressor. It refuses to
//! know how images are run. Blobs are written under a temporary name, synced and renamed, so that a crash leaves
//! at most a temporary file; what has a digest for a name has that digest.

mod elf;
mod import;
mod layer;
mod libraries;
mod packages;
mod store;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use model::{Commit, Digest, Serial, Timestamp};

pub use import::{ImportError, Imported};
pub use libraries::Library;
pub use packages::Package;
pub use store::{ImageStore, StoreError};

/// The user that components run as where nobody says otherwise; no account of any distribution has this number.
pub const COMPONENT_USER: &str = "65532:65532";

/// What goes into the image of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlan {
    /// The component, for the title.
    pub component: String,
    /// Where in the image (absolute), and what of the workspace (relative): a file, or a folder with all below it.
    pub files: BTreeMap<String, String>,
    /// The command that it runs.
    pub command: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Folders that something is mounted on when it runs, such as volumes: the root is read-only.
    pub mount_points: Vec<String>,
    /// The TCP port that it listens on.
    pub port: Option<u16>,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOrigin {
    /// The serial of the change.
    pub serial: Serial,
    /// The commit.
    pub commit: Commit,
    /// The time of the commit, which is the time of everything in the image.
    pub committed_at: Timestamp,
    /// The remote that the commit is from.
    pub source: String,
    /// Who publishes it; the system's name where nothing else is known.
    pub vendor: String,
}

/// An image that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of its only layer.
    pub layer: Digest,
    /// The size of the layer in bytes.
    pub layer_bytes: u64,
    /// Files in it.
    pub files: Vec<ImageFile>,
    /// Shared libraries of this machine that its programs need, and that were added.
    pub libraries: Vec<Library>,
}

/// A file in an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageFile {
    /// Where.
    pub path: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// Why an image can not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A place in the image that is not one.
    #[error("`{0}` is not a place in an image: write an absolute path without `.` and `..`")]
    Target(String),
    /// A source that leads out of the workspace.
    #[error("`{0}` is not a path in the workspace: write a relative path without `..`")]
    Source(String),
    /// A source that the build did not make.
    #[error(
        "`{source_path}` is not there after the build: `files` of component `{component}` names it, so look at what the build prints"
    )]
    Missing {
        /// The component.
        component: String,
        /// The path in the workspace.
        source_path: String,
    },
    /// Something that can not be in an image.
    #[error("`{0}` is neither a file, a folder nor a link")]
    Kind(PathBuf),
    /// Two sources for one place.
    #[error("`{0}` in the image comes from two places, and at least one of them is not a folder")]
    Twice(String),
    /// Nothing in it.
    #[error(
        "component `{0}` has no files: name what the build makes, as in `files = {{ \"/bin/web\" = \"target/debug/web\" }}`"
    )]
    Empty(String),
    /// A shared library that this machine does not have.
    #[error(
        "`{program}` needs the shared library `{library}`, which is neither in the image nor on this machine: add its package to `debian.lock`, install it here, or link it statically"
    )]
    Library {
        /// The program in the image.
        program: String,
        /// The library.
        library: String,
    },
    /// A program that is not one.
    #[error("`{program}` is not a program that can be read: {why}")]
    Elf {
        /// The program in the image.
        program: String,
        /// What is wrong.
        why: String,
    },
    /// Larger than the limit.
    #[error("the image of component `{component}` is larger than {limit}")]
    TooLarge {
        /// The component.
        component: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading failed.
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

/// Makes an image and puts it into the store. To be called when nothing runs in the workspace any more.
pub fn build_image(
    workspace: &Path,
    plan: &ImagePlan,
    origin: &ImageOrigin,
    store: &ImageStore,
) -> Result<BuiltImage, ImageError> {
    let mut tree = layer::Tree::collect(workspace, plan)?;
    let libraries = libraries::add(&mut tree)?;
    let layer = tree.write(store, plan, origin.committed_at)?;
    let config = wire::Config::new(plan, origin, layer.digest);
    let config = store.put_json(&config)?;
    let manifest = wire::Manifest::new(plan, origin, config, wire::layer(layer.digest, layer.bytes));
    let digest = store.put_json(&manifest)?.digest;
    Ok(BuiltImage { digest, layer: layer.digest, layer_bytes: layer.bytes, files: layer.files, libraries })
}
