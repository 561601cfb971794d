//! Taking somebody else's image, by digest, from an OCI layout into the store; every byte of it is checked.
//!
//! Only what the digest leads to is taken. A layout is a folder of files that anybody may have made, so each file is
//! opened without following links, read up to the size that its descriptor names, and compared with its digest.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use model::Digest;
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};
use serde::de::DeserializeOwned;

use super::{
    ImageStore, StoreError,
    store::DOCUMENT_LIMIT_BYTES,
    wire::{Config, Descriptor, INDEX, Index, Layout, MANIFEST, Manifest, architecture},
};

/// One layer; registries refuse larger ones.
const LAYER_LIMIT_BYTES: u64 = 8 << 30;
/// Layers of an image; the engines stop at 128 as well.
const LAYERS_LIMIT: usize = 128;
/// Indexes within indexes.
const DEPTH_LIMIT: u32 = 4;
/// How a layer is packed: plain, gzip or zstd (image-spec `layer.md`).
const LAYER_TYPES: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];
/// Docker's older names of the same documents.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// An image that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The digest of the manifest for this machine; another than was asked for where that named an index.
    pub digest: Digest,
    /// The digests of its layers, lowest first.
    pub layers: Vec<Digest>,
    /// Bytes of all its blobs together.
    pub bytes: u64,
    /// The command that it runs unless the manifest of the system says otherwise.
    pub command: Vec<String>,
}

/// Why an image is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not a layout.
    #[error("`{path}` is not an OCI layout: {why}; make one with `skopeo copy docker://… oci:DIR`")]
    NotLayout {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// The digest is not in it.
    #[error("the layout has no image {0}: `skopeo inspect oci:DIR` prints the digests that it has")]
    NotThere(Digest),
    /// A blob is missing.
    #[error("the layout has no blob {0}, which the image needs")]
    MissingBlob(Digest),
    /// A blob is another.
    #[error("blob {wanted} of the layout has digest {found}: it was damaged or exchanged")]
    WrongDigest {
        /// The digest that it should have.
        wanted: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// A blob has another size than its descriptor.
    #[error("blob {digest} of the layout has {found} bytes, but its descriptor says {wanted}")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// The size in the descriptor.
        wanted: u64,
        /// The size of the file.
        found: u64,
    },
    /// Larger than the limit.
    #[error("blob {digest} of the layout is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// A document that is not one.
    #[error("blob {digest} of the layout is not {what}: {why}")]
    Malformed {
        /// The blob.
        digest: Digest,
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Not for this machine.
    #[error(
        "the image is for {found}, and this machine is linux/{}: take the digest of an image that has it",
        architecture()
    )]
    Platform {
        /// The platforms that it is for.
        found: String,
    },
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading failed.
    #[error("can not read `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ImageStore {
    /// Takes the image with this digest from a layout: the digest of a manifest, or of an index, of which the
    /// manifest for this machine is taken.
    pub fn import(&self, layout: &Path, digest: Digest) -> Result<Imported, ImportError> {
        let layout = OpenLayout::open(layout)?;
        let (digest, bytes) = layout.find(digest, 0)?;
        let manifest: Manifest = parse(digest, "an image manifest", &bytes)?;
        let wrong = |why: String| ImportError::Malformed { digest, what: "an image manifest", why };
        if manifest.schema_version != 2 || manifest.layers.is_empty() || manifest.layers.len() > LAYERS_LIMIT {
            return Err(wrong(format!("it needs schema version 2 and 1 to {LAYERS_LIMIT} layers")));
        }
        if let Some(layer) = manifest.layers.iter().find(|l| !LAYER_TYPES.contains(&l.media_type.as_str())) {
            return Err(wrong(format!("`{}` is not a kind of layer that can be unpacked", layer.media_type)));
        }
        let config_bytes = layout.document(manifest.config.digest, Some(manifest.config.size))?;
        let config: Config = parse(manifest.config.digest, "an image configuration", &config_bytes)?;
        if config.os != "linux" || config.architecture != architecture() {
            return Err(ImportError::Platform { found: format!("{}/{}", config.os, config.architecture) });
        }
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(wrong("its configuration counts other layers than it has".to_owned()));
        }
        let mut total = (bytes.len() + config_bytes.len()) as u64;
        // The manifest is written last: an image whose manifest is in the store is there as a whole.
        for layer in &manifest.layers {
            total += self.take_layer(&layout, layer)?;
        }
        self.put(&config_bytes[..])?;
        self.put(&bytes[..])?;
        let process = config.config;
        let command = process.entrypoint.into_iter().flatten().chain(process.cmd.into_iter().flatten()).collect();
        Ok(Imported { digest, layers: manifest.layers.iter().map(|l| l.digest).collect(), bytes: total, command })
    }

    fn take_layer(&self, layout: &OpenLayout, layer: &Descriptor) -> Result<u64, ImportError> {
        let digest = layer.digest;
        if layer.size > LAYER_LIMIT_BYTES {
            return Err(ImportError::TooLarge { digest, limit_bytes: LAYER_LIMIT_BYTES });
        }
        let file = layout.blob(digest)?;
        let found = file.metadata().map_err(|e| layout.io(digest, e))?.len();
        if found != layer.size {
            return Err(ImportError::WrongSize { digest, wanted: layer.size, found });
        }
        let mut blob = self.begin()?;
        io::copy(&mut file.take(layer.size), &mut blob).map_err(|e| layout.io(digest, e))?;
        let (found, size) = self.keep_if(blob, digest)?;
        if found != digest {
            return Err(ImportError::WrongDigest { wanted: digest, found });
        }
        Ok(size)
    }
}

/// An open layout; everything in it is opened from here.
struct OpenLayout {
    root: File,
    path: PathBuf,
}

impl OpenLayout {
    fn open(path: &Path) -> Result<Self, ImportError> {
        let not = |why: String| ImportError::NotLayout { path: path.to_path_buf(), why };
        let root = File::open(path).map_err(|e| not(e.to_string()))?;
        let layout = Self { root, path: path.to_path_buf() };
        let bytes = layout.file("oci-layout").map_err(|_| not("there is no file `oci-layout`".to_owned()))?;
        let version: Layout =
            serde_json::from_slice(&bytes).map_err(|e| not(format!("`oci-layout` can not be read: {e}")))?;
        if version.image_layout_version != "1.0.0" {
            return Err(not(format!("its version is `{}`", version.image_layout_version)));
        }
        Ok(layout)
    }

    fn file(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.beneath(Path::new(name))?.take(DOCUMENT_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > DOCUMENT_LIMIT_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    fn beneath(&self, path: &Path) -> io::Result<File> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let file = File::from(openat2(&self.root, path, how)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
    }

    fn blob(&self, digest: Digest) -> Result<File, ImportError> {
        let path = Path::new("blobs/sha256").join(digest.hex());
        self.beneath(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => ImportError::MissingBlob(digest),
            _ => self.io(digest, e),
        })
    }

    /// A document with the digest that it is asked for by.
    fn document(&self, digest: Digest, size: Option<u64>) -> Result<Vec<u8>, ImportError> {
        let file = self.blob(digest)?;
        let found = file.metadata().map_err(|e| self.io(digest, e))?.len();
        if found > DOCUMENT_LIMIT_BYTES {
            return Err(ImportError::TooLarge { digest, limit_bytes: DOCUMENT_LIMIT_BYTES });
        }
        if let Some(wanted) = size.filter(|wanted| *wanted != found) {
            return Err(ImportError::WrongSize { digest, wanted, found });
        }
        let mut bytes = Vec::new();
        file.take(DOCUMENT_LIMIT_BYTES).read_to_end(&mut bytes).map_err(|e| self.io(digest, e))?;
        let found = Digest::of(&bytes);
        if found == digest { Ok(bytes) } else { Err(ImportError::WrongDigest { wanted: digest, found }) }
    }

    /// The manifest that a digest leads to, and its digest.
    fn find(&self, digest: Digest, depth: u32) -> Result<(Digest, Vec<u8>), ImportError> {
        let bytes = match self.document(digest, None) {
            Err(ImportError::MissingBlob(_)) if depth == 0 => return Err(ImportError::NotThere(digest)),
            read => read?,
        };
        // Which of the two it is says its media type, or without one, its content.
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            media_type: Option<String>,
            manifests: Option<serde_json::Value>,
        }
        let kind: Kind = parse(digest, "an image manifest or index", &bytes)?;
        let is_index = match kind.media_type.as_deref() {
            Some(INDEX | DOCKER_INDEX) => true,
            Some(MANIFEST | DOCKER_MANIFEST) => false,
            None => kind.manifests.is_some(),
            Some(other) => {
                return Err(ImportError::Malformed {
                    digest,
                    what: "an image manifest or index",
                    why: format!("its media type is `{other}`"),
                });
            }
        };
        if !is_index {
            return Ok((digest, bytes));
        }
        let index: Index = parse(digest, "an image index", &bytes)?;
        if depth >= DEPTH_LIMIT {
            return Err(ImportError::Malformed {
                digest,
                what: "an image index",
                why: "indexes are nested too deeply".to_owned(),
            });
        }
        let fits =
            |d: &&Descriptor| d.platform.as_ref().is_none_or(|p| p.os == "linux" && p.architecture == architecture());
        match index.manifests.iter().find(fits) {
            Some(chosen) => self.find(chosen.digest, depth + 1),
            None => {
                let found = index.manifests.iter().filter_map(|d| d.platform.as_ref());
                let found: Vec<String> = found.map(|p| format!("{}/{}", p.os, p.architecture)).collect();
                Err(ImportError::Platform { found: found.join(", ") })
            }
        }
    }

    fn io(&self, digest: Digest, source: io::Error) -> ImportError {
        ImportError::Io { path: self.path.join("blobs/sha256").join(digest.hex()), source }
    }
}

fn parse<T: DeserializeOwned>(digest: Digest, what: &'static str, bytes: &[u8]) -> Result<T, ImportError> {
    serde_json::from_slice(bytes).map_err(|e| ImportError::Malformed { digest, what, why: e.to_string() })
}
