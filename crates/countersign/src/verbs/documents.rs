//! Release documents in a folder of blobs, for whoever compares what was done with what was approved.
//!
//! It reads, and believes only what has the digest that it was asked for.

use std::path::{Path, PathBuf};

use model::{Digest, release::Release};

use crate::layout::Layout;

/// Where the builder and `import` keep them.
pub(super) fn folder(layout: &Layout) -> PathBuf {
    layout.images().join("blobs/sha256")
}

/// The release document with this digest; none if there is no file by its name that is one.
pub(super) fn release(folder: &Path, digest: &Digest) -> Option<Release> {
    let bytes = std::fs::read(folder.join(digest.hex())).ok()?;
    if Digest::of(&bytes) != *digest {
        return None;
    }
    Release::from_bytes(&bytes).ok()
}
