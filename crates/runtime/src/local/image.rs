//! Reading an OCI image by the digest of its manifest from a blob store (OCI image-spec 1.1, image-layout).
//!
//! Every blob is checked against its digest and size while it is read. Refuses to know registries and tags.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use model::Digest;
use nix::libc;
use oci_spec::image::{ImageConfiguration, ImageManifest};
use sha2::{Digest as _, Sha256};

/// Registries refuse manifests over 4 MiB (OCI distribution-spec, "Pushing Manifests"); a configuration is no larger.
const DOCUMENT_LIMIT: u64 = 4 << 20;
/// Overlay file systems stop at 128 layers or less, so nobody makes more.
const LAYERS_LIMIT: usize = 128;

/// What of an image's configuration applies to a component that gives no command of its own, or beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) digest: Option<Digest>,
    pub(crate) layers: Vec<Layer>,
    /// Entry point and command, joined.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) folder: Option<String>,
}

/// One layer: the compressed blob, and the digest of the tar archive within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) blob: Digest,
    pub(crate) bytes: u64,
    pub(crate) packing: Packing,
    pub(crate) diff: Digest,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Why an image can not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("the blob `{0}` is not in the image store; fetch or build the image again")]
    Missing(Digest),
    #[error("the blob `{0}` can not be read")]
    Io(Digest, #[source] io::Error),
    #[error("the blob `{blob}` is corrupt: its content has the digest `{found}`; fetch or build the image again")]
    Corrupt { blob: Digest, found: Digest },
    #[error("the blob `{blob}` has {found} bytes where {wanted} were promised; fetch or build the image again")]
    Size { blob: Digest, wanted: u64, found: u64 },
    #[error("the blob `{0}` is over the limit of {1} bytes")]
    TooLarge(Digest, u64),
    #[error("`{0}` is an index of several platforms; name the manifest of one of them: {1}")]
    Index(Digest, String),
    #[error("`{0}` is not an OCI image {1}: {2}")]
    Form(Digest, &'static str, String),
}

/// An OCI blob store: `<folder>/blobs/sha256/<hex>`.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.join("blobs").join("sha256") }
    }

    /// A reader that checks size and digest at the end.
    pub(crate) fn open(&self, blob: Digest, bytes: u64) -> Result<Checked<File>, ImageError> {
        let path = self.folder.join(blob.hex());
        // A blob is a plain file: a link could point at a file that is changed between two readings.
        match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path) {
            Ok(file) => Ok(Checked { source: file, hash: Sha256::new(), blob, wanted: bytes, found: 0 }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ImageError::Missing(blob)),
            Err(error) => Err(ImageError::Io(blob, error)),
        }
    }

    /// A whole small blob, checked; without a promised size only the limit holds.
    fn document(&self, blob: Digest, bytes: Option<u64>) -> Result<Vec<u8>, ImageError> {
        if bytes.is_some_and(|bytes| bytes > DOCUMENT_LIMIT) {
            return Err(ImageError::TooLarge(blob, DOCUMENT_LIMIT));
        }
        let mut reader = self.open(blob, bytes.unwrap_or(DOCUMENT_LIMIT))?;
        let mut content = Vec::new();
        let read = reader.by_ref().take(DOCUMENT_LIMIT + 1).read_to_end(&mut content);
        let found = reader.found;
        match bytes {
            None if found > DOCUMENT_LIMIT => return Err(ImageError::TooLarge(blob, DOCUMENT_LIMIT)),
            Some(wanted) if found > wanted => return Err(ImageError::Size { blob, wanted, found }),
            _ => {}
        }
        read.map_err(|e| ImageError::Io(blob, e))?;
        reader.wanted = bytes.unwrap_or(found);
        reader.finish()?;
        Ok(content)
    }
}

/// Counts and hashes what passes through.
pub(crate) struct Checked<R> {
    source: R,
    hash: Sha256,
    blob: Digest,
    wanted: u64,
    found: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.found += read as u64;
        if self.found > self.wanted {
            return Err(io::Error::other("longer than promised"));
        }
        Ok(read)
    }
}

impl<R: Read> Checked<R> {
    /// Reads what is left, and says whether everything was what the digest promised.
    pub(crate) fn finish(mut self) -> Result<(), ImageError> {
        let blob = self.blob;
        let read = if self.found <= self.wanted { io::copy(&mut self, &mut io::sink()) } else { Ok(0) };
        if self.found > self.wanted {
            return Err(ImageError::Size { blob, wanted: self.wanted, found: self.found });
        }
        read.map_err(|e| ImageError::Io(blob, e))?;
        let found = Digest::from_bytes(self.hash.finalize().into());
        if found != blob {
            return Err(ImageError::Corrupt { blob, found });
        }
        if self.found != self.wanted {
            return Err(ImageError::Size { blob, wanted: self.wanted, found: self.found });
        }
        Ok(())
    }
}

/// Reads manifest and configuration; the layers are read when they are unpacked.
pub(crate) fn read(blobs: &Blobs, manifest: Digest) -> Result<Image, ImageError> {
    let bytes = blobs.document(manifest, None)?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| ImageError::Form(manifest, "manifest", e.to_string()))?;
    if let Some(platforms) = value.get("manifests").and_then(serde_json::Value::as_array) {
        return Err(ImageError::Index(manifest, platforms_shown(platforms)));
    }
    let form = |what, why: String| ImageError::Form(manifest, what, why);
    let parsed: ImageManifest = serde_json::from_value(value).map_err(|e| form("manifest", e.to_string()))?;
    let config_digest = digest_of(parsed.config().digest().as_ref()).map_err(|e| form("manifest", e))?;
    let config_bytes = blobs.document(config_digest, Some(parsed.config().size()))?;
    let config: ImageConfiguration = serde_json::from_slice(&config_bytes)
        .map_err(|e| ImageError::Form(config_digest, "configuration", e.to_string()))?;
    let diffs = config.rootfs().diff_ids();
    if diffs.len() != parsed.layers().len() {
        return Err(form(
            "manifest",
            format!("{} layers, but the configuration names {}", parsed.layers().len(), diffs.len()),
        ));
    }
    if diffs.len() > LAYERS_LIMIT {
        return Err(form("manifest", format!("{} layers are more than {LAYERS_LIMIT}", diffs.len())));
    }
    let mut layers = Vec::new();
    for (descriptor, diff) in parsed.layers().iter().zip(diffs) {
        let media = descriptor.media_type().to_string();
        layers.push(Layer {
            blob: digest_of(descriptor.digest().as_ref()).map_err(|e| form("manifest", e))?,
            bytes: descriptor.size(),
            packing: packing(&media)
                .ok_or_else(|| form("manifest", format!("a layer of the type `{media}` is not known")))?,
            diff: digest_of(diff).map_err(|e| form("configuration", e))?,
        });
    }
    let run = config.config().clone().unwrap_or_default();
    let mut command = run.entrypoint().clone().unwrap_or_default();
    command.extend(run.cmd().clone().unwrap_or_default());
    Ok(Image {
        digest: Some(manifest),
        layers,
        command,
        environment: run.env().clone().unwrap_or_default(),
        folder: run.working_dir().clone().filter(|folder| !folder.is_empty()),
    })
}

fn digest_of(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|e: model::DigestError| e.to_string())
}

/// Layer types of OCI image-spec 1.1 and of Docker's image manifest version 2, schema 2.
fn packing(media: &str) -> Option<Packing> {
    match media {
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
            Some(Packing::Plain)
        }
        "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Some(Packing::Gzip)
        }
        "application/vnd.oci.image.layer.v1.tar+zstd" => Some(Packing::Zstd),
        _ => None,
    }
}

fn platforms_shown(platforms: &[serde_json::Value]) -> String {
    /// An index of a popular image has a dozen; a line of a log has room for them.
    const SHOWN: usize = 16;
    let text = |value: &serde_json::Value, pointer: &str| {
        value.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or("?").to_owned()
    };
    let rows: Vec<String> = platforms
        .iter()
        .take(SHOWN)
        .map(|p| format!("{}/{} `{}`", text(p, "/platform/os"), text(p, "/platform/architecture"), text(p, "/digest")))
        .collect();
    rows.join(", ")
}
