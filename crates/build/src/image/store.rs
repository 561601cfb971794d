//! The store of images: `blobs/sha256/<hex>` in one folder, and exports of single images as OCI layouts.
//!
//! A blob is written to a temporary file, synced, renamed to its digest, and the folder synced. A crash in between
//! leaves a temporary file that nothing reads.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use model::Digest;
use serde::Serialize;

use super::wire::{Descriptor, INDEX, Index, Layout, MANIFEST, Manifest};
use crate::hashing::{self, Counted};

/// Manifests, configurations and indexes; the specification asks registries for at least 4 MiB.
pub(super) const DOCUMENT_LIMIT_BYTES: u64 = 4 << 20;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not there.
    #[error("there is no blob {0} in the image store")]
    Missing(Digest),
    /// Something else is there than its name says.
    #[error("blob {0} in the image store has been changed: its content no longer has that digest")]
    Changed(Digest),
    /// A document that is not one.
    #[error("blob {digest} is not {what}")]
    Document {
        /// The blob.
        digest: Digest,
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Larger than the limit.
    #[error("blob {digest} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// The limit in bytes.
        limit_bytes: u64,
    },
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

/// Images by digest.
#[derive(Clone, Debug)]
pub struct ImageStore {
    dir: PathBuf,
}

impl ImageStore {
    /// Opens the store in `dir`, making it if there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let store = Self { dir: dir.to_path_buf() };
        let blobs = store.blobs();
        fs::create_dir_all(&blobs).map_err(io_error("make", &blobs))?;
        Ok(store)
    }

    /// The file of a blob, whether or not it is there.
    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn blobs(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    /// Reads a document and checks its digest.
    pub fn read(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob(digest);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing(digest)),
            opened => opened.map_err(io_error("read", &path))?,
        };
        let mut bytes = Vec::new();
        file.take(DOCUMENT_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(io_error("read", &path))?;
        if bytes.len() as u64 > DOCUMENT_LIMIT_BYTES {
            return Err(StoreError::TooLarge { digest, limit_bytes: DOCUMENT_LIMIT_BYTES });
        }
        if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(StoreError::Changed(digest)) }
    }

    /// Reads an image completely, and checks the digest of every blob of it.
    pub fn verify(&self, image: Digest) -> Result<(), StoreError> {
        let manifest = self.manifest(image)?;
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            let path = self.blob(blob.digest);
            let file = match File::open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing(blob.digest)),
                opened => opened.map_err(io_error("read", &path))?,
            };
            if hashing::sha256(file).map_err(io_error("read", &path))? != blob.digest {
                return Err(StoreError::Changed(blob.digest));
            }
        }
        Ok(())
    }

    /// Writes an image as an OCI layout into `dir`, which must be absent or empty: `oci-layout`, `index.json` and
    /// its blobs. `name` is its reference, such as `paydesk-web:paydesk-000042`.
    pub fn export(&self, image: Digest, name: &str, dir: &Path) -> Result<(), StoreError> {
        let bytes = self.read(image)?;
        let manifest = self.manifest(image)?;
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(io_error("make", &blobs))?;
        let all = manifest.layers.iter().chain([&manifest.config]).map(|d| d.digest).chain([image]);
        for digest in all {
            let (from, to) = (self.blob(digest), blobs.join(digest.hex()));
            // A link takes no space; over the border of a file system it has to be a copy.
            if !to.exists() && fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).map_err(io_error("copy", &from))?;
            }
        }
        let annotations = [("org.opencontainers.image.ref.name".to_owned(), name.to_owned())].into();
        let entry = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest: image,
            size: bytes.len() as u64,
            platform: None,
            annotations,
        };
        let index = Index { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests: vec![entry] };
        let layout = Layout { image_layout_version: "1.0.0".to_owned() };
        for (name, json) in [("index.json", serde_json::to_vec(&index)), ("oci-layout", serde_json::to_vec(&layout))] {
            let path = dir.join(name);
            let json = json.map_err(|source| StoreError::Document { digest: image, what: "a document", source })?;
            let opened = fs::OpenOptions::new().write(true).create_new(true).open(&path);
            opened
                .and_then(|mut f| f.write_all(&json).and_then(|()| f.sync_all()))
                .map_err(io_error("write", &path))?;
        }
        Ok(())
    }

    pub(super) fn manifest(&self, image: Digest) -> Result<Manifest, StoreError> {
        serde_json::from_slice(&self.read(image)?).map_err(|source| StoreError::Document {
            digest: image,
            what: "an image manifest",
            source,
        })
    }

    /// Puts a document into the store; its media type is for the caller to set.
    pub(super) fn put_json(&self, document: &impl Serialize) -> Result<Descriptor, StoreError> {
        let bytes = serde_json::to_vec(document);
        let bytes =
            bytes.map_err(|source| StoreError::Document { digest: Digest::of(b""), what: "a document", source })?;
        let (digest, size) = self.put(&bytes[..])?;
        Ok(Descriptor { media_type: String::new(), digest, size, platform: None, annotations: Default::default() })
    }

    /// Puts everything that a reader gives into the store, whatever its digest turns out to be.
    pub(super) fn put(&self, mut from: impl Read) -> Result<(Digest, u64), StoreError> {
        let mut blob = self.begin()?;
        let blobs = self.blobs();
        io::copy(&mut from, &mut blob).map_err(io_error("write in", &blobs))?;
        self.keep(blob)
    }

    /// A blob that is to be written piece by piece and then given to [`ImageStore::keep`].
    pub(super) fn begin(&self) -> Result<Counted<tempfile::NamedTempFile>, StoreError> {
        let file = tempfile::Builder::new().prefix(".part-").tempfile_in(self.blobs());
        Ok(Counted::new(file.map_err(io_error("write in", &self.blobs()))?))
    }

    /// Keeps a finished blob only if it has this digest; otherwise it goes, and its own digest is returned.
    pub(super) fn keep_if(
        &self,
        blob: Counted<tempfile::NamedTempFile>,
        wanted: Digest,
    ) -> Result<(Digest, u64), StoreError> {
        let (digest, size) = (blob.digest(), blob.bytes());
        if digest == wanted { self.keep(blob) } else { Ok((digest, size)) }
    }

    /// Gives a finished blob its name.
    pub(super) fn keep(&self, blob: Counted<tempfile::NamedTempFile>) -> Result<(Digest, u64), StoreError> {
        let (file, digest, size) = blob.finish();
        let path = self.blob(digest);
        if path.exists() {
            return Ok((digest, size));
        }
        file.as_file().sync_all().map_err(io_error("sync", &path))?;
        set_readable(file.as_file()).map_err(io_error("share", &path))?;
        file.persist(&path).map_err(|e| io_error("write", &path)(e.error))?;
        let blobs = self.blobs();
        File::open(&blobs).and_then(|f| f.sync_all()).map_err(io_error("sync", &blobs))?;
        Ok((digest, size))
    }
}

/// Temporary files are private to their maker; images are read by the agent and by tools.
fn set_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o444))
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { doing, path, source }
}
