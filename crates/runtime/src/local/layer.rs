//! Unpacking the layers of an image into a folder (OCI image-spec 1.1, layer).
//!
//! A layer is somebody else's bytes. Names are resolved by the kernel inside the tree (`openat2`,
//! `RESOLVE_IN_ROOT`), so that no name and no symbolic link leads outside; whatever is neither file, folder
//! nor link is refused. The tree is thrown away after an error, so a crash here means nothing.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

use model::Digest;
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat},
    unistd::{linkat, symlinkat},
};
use tar::{Archive, Entry, EntryType};

use super::{
    image::{Blobs, ImageError, Layer},
    unpacked::Unpacked,
};

/// Large images of interpreters and their libraries have 150,000 files.
const ENTRIES_LIMIT: u64 = 500_000;
/// Room for an image with a large model or a JVM; far below what fills a disk unnoticed.
const BYTES_LIMIT: u64 = 8 << 30;
/// Extended headers hold a path, a link and attributes; a megabyte is a hundred times that.
const HEADER_LIMIT: u64 = 1 << 20;
/// `PATH_MAX` is 4,096, so no real path is deeper than half of it; real ones stay under 40.
const DEPTH_LIMIT: usize = 128;
/// Bytes moved at a time.
const CHUNK: usize = 64 << 10;

/// Why a layer can not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the layer `{0}` is not a tar archive that can be read")]
    Read(Digest, #[source] io::Error),
    #[error(
        "the layer `{blob}` unpacks to the digest `{found}`, but the configuration names `{wanted}`; build the image again"
    )]
    Diff { blob: Digest, wanted: Digest, found: Digest },
    #[error("the entry `{name}` is refused: {why}; build the image without it")]
    Refused { name: String, why: &'static str },
    #[error("the image is over the limit of {0}; make it smaller")]
    TooLarge(&'static str),
    #[error("the entry `{name}` can not be written")]
    Write { name: String, source: io::Error },
}

/// A folder that layers are unpacked into.
pub(crate) struct Tree {
    root: OwnedFd,
    entries: u64,
    bytes: u64,
}

impl Tree {
    /// Works in this folder, which must be empty and nobody else's.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        let root = open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(Self { root, entries: 0, bytes: 0 })
    }

    /// Unpacks one layer over those before it.
    ///
    /// Two readings: the first hides what the whiteouts name, which are about lower layers wherever they
    /// stand in the archive, and checks the digest; the second writes.
    pub(crate) fn apply(&mut self, blobs: &Blobs, layer: &Layer) -> Result<(), LayerError> {
        let found = self.reading(blobs, layer, |tree, archive| {
            for entry in archive.entries().map_err(read(layer))?.raw(true) {
                tree.hide(&entry.map_err(read(layer))?)?;
            }
            Ok(())
        })?;
        if found != layer.diff {
            return Err(LayerError::Diff { blob: layer.blob, wanted: layer.diff, found });
        }
        self.reading(blobs, layer, |tree, archive| {
            for entry in archive.entries().map_err(read(layer))? {
                tree.write(&mut entry.map_err(read(layer))?, layer)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Reads a layer once, whole; returns the digest of the archive.
    fn reading(
        &mut self,
        blobs: &Blobs,
        layer: &Layer,
        work: impl FnOnce(&mut Self, &mut Archive<&mut Unpacked>) -> Result<(), LayerError>,
    ) -> Result<Digest, LayerError> {
        let mut unpacked = Unpacked::open(blobs, layer)?;
        let mut archive = Archive::new(&mut unpacked);
        let worked = work(self, &mut archive);
        let drained = io::copy(&mut unpacked, &mut io::sink());
        // A corrupt blob makes all sorts of errors; its own is the one to tell.
        let found = unpacked.finish()?;
        worked?;
        drained.map_err(read(layer))?;
        Ok(found)
    }

    /// First reading: whiteouts, and limits on what the second one will meet.
    fn hide(&mut self, entry: &Entry<'_, &mut Unpacked>) -> Result<(), LayerError> {
        self.entries += 1;
        if self.entries > ENTRIES_LIMIT {
            return Err(LayerError::TooLarge("500,000 entries"));
        }
        let kind = entry.header().entry_type();
        let extended = matches!(
            kind,
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
        );
        if extended && entry.size() > HEADER_LIMIT {
            return Err(LayerError::TooLarge("1 MiB for one extended header"));
        }
        let raw = entry.path_bytes();
        if extended || !raw.windows(4).any(|part| part == b".wh.") {
            return Ok(());
        }
        let Some((folder, name)) = split(&raw)? else { return Ok(()) };
        let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") else { return Ok(()) };
        let write = |source: io::Error| LayerError::Write { name: shown(&raw), source };
        let Some(parent) = self.find(&folder).map_err(write)? else { return Ok(()) };
        match hidden {
            b".wh..opq" => {
                let within: Vec<_> = fs::read_dir(at(&parent, OsStr::new(".")))
                    .map_err(write)?
                    .collect::<Result<_, _>>()
                    .map_err(write)?;
                for child in within {
                    remove(&parent, &child.file_name()).map_err(write)?;
                }
                Ok(())
            }
            // Notes of the storage driver that first had this convention; they hide nothing.
            other if other.starts_with(b".wh.") => Ok(()),
            b"" | b"." | b".." => Err(LayerError::Refused { name: shown(&raw), why: "a whiteout must name a file" }),
            name => remove(&parent, OsStr::from_bytes(name)).map_err(write),
        }
    }

    /// Second reading: one entry.
    fn write(&mut self, entry: &mut Entry<'_, &mut Unpacked>, layer: &Layer) -> Result<(), LayerError> {
        let raw = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let refused = |why| LayerError::Refused { name: shown(&raw), why };
        let write = |source: io::Error| LayerError::Write { name: shown(&raw), source };
        let Some((folder, name)) = split(&raw)? else { return Ok(()) };
        if name.as_bytes().starts_with(b".wh.") {
            return Ok(());
        }
        // No set-user-id bits: the component may not gain privileges anyway, so such a file is a trap at most.
        let mode = entry.header().mode().map_err(read(layer))? & 0o1777;
        let parent = self.folder(&folder).map_err(write)?;
        let target = if kind == EntryType::Link || kind == EntryType::Symlink {
            entry.link_name_bytes().ok_or_else(|| refused("a link must have a target"))?.into_owned()
        } else {
            Vec::new()
        };
        match kind {
            EntryType::Directory => make_folder(&parent, &name, mode).map_err(write),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                remove(&parent, &name).map_err(write)?;
                self.file(&parent, &name, mode, entry, layer, &raw)
            }
            EntryType::Symlink => {
                if target.is_empty() {
                    return Err(refused("a link must have a target"));
                }
                remove(&parent, &name).map_err(write)?;
                symlinkat(OsStr::from_bytes(&target), &parent, name.as_os_str()).map_err(|e| write(e.into()))
            }
            EntryType::Link => {
                let (folder, original) = split(&target)?.ok_or_else(|| refused("a hard link must name a file"))?;
                let from =
                    self.find(&folder).map_err(write)?.ok_or_else(|| refused("its hard link leads to nothing"))?;
                let stat = fstatat(&from, original.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                    .map_err(|_| refused("its hard link leads to nothing"))?;
                if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
                    return Err(refused("a hard link must lead to a file"));
                }
                if target == raw {
                    return Ok(());
                }
                remove(&parent, &name).map_err(write)?;
                linkat(&from, original.as_os_str(), &parent, name.as_os_str(), AtFlags::empty())
                    .map_err(|e| write(e.into()))
            }
            EntryType::Char | EntryType::Block => Err(refused("device nodes are not allowed in an image")),
            EntryType::Fifo => Err(refused("named pipes are not allowed in an image")),
            _ => Err(refused("its type is not known")),
        }
    }

    fn file(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        mode: u32,
        entry: &mut impl Read,
        layer: &Layer,
        raw: &[u8],
    ) -> Result<(), LayerError> {
        let write = |source: io::Error| LayerError::Write { name: shown(raw), source };
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file =
            File::from(openat(parent, name, flags, Mode::from_bits_truncate(0o600)).map_err(|e| write(e.into()))?);
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = entry.read(&mut chunk).map_err(read(layer))?;
            if length == 0 {
                break;
            }
            self.bytes += length as u64;
            if self.bytes > BYTES_LIMIT {
                return Err(LayerError::TooLarge("8 GiB unpacked"));
            }
            file.write_all(chunk.get(..length).unwrap_or_default()).map_err(write)?;
        }
        fchmod(&file, Mode::from_bits_truncate(mode)).map_err(|e| write(e.into()))
    }

    /// Makes sure that a folder is there to mount on.
    pub(crate) fn mount_point(&self, path: &str, mode: u32) -> Result<(), LayerError> {
        let write = |source: io::Error| LayerError::Write { name: path.to_owned(), source };
        let Some((folder, name)) = split(path.trim_start_matches('/').as_bytes())? else { return Ok(()) };
        let mut whole = folder.clone();
        whole.push(name.clone());
        if self.find(&whole).map_err(write)?.is_none() {
            let parent = self.folder(&folder).map_err(write)?;
            make_folder(&parent, &name, mode).map_err(write)?;
        }
        Ok(())
    }

    /// Makes sure that a small file is there; what the image has is left as it is.
    pub(crate) fn default_file(&self, path: &str, content: &[u8]) -> Result<(), LayerError> {
        let write = |source: io::Error| LayerError::Write { name: path.to_owned(), source };
        let Some((folder, name)) = split(path.trim_start_matches('/').as_bytes())? else { return Ok(()) };
        let parent = self.folder(&folder).map_err(write)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&parent, name.as_os_str(), flags, Mode::from_bits_truncate(0o644)) {
            Ok(file) => File::from(file).write_all(content).map_err(write),
            Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(write(error.into())),
        }
    }

    /// The folder, if it is there; links are followed within the tree.
    fn find(&self, folder: &[OsString]) -> io::Result<Option<OwnedFd>> {
        let path: PathBuf = std::iter::once(OsStr::new(".")).chain(folder.iter().map(OsString::as_os_str)).collect();
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        match openat2(&self.root, &path, how) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder, made if need be.
    fn folder(&self, folder: &[OsString]) -> io::Result<OwnedFd> {
        if let Some(found) = self.find(folder)? {
            return Ok(found);
        }
        let (last, above) = folder.split_last().ok_or(Errno::ENOENT)?;
        let parent = self.folder(above)?;
        make_folder(&parent, last, 0o755)?;
        self.find(folder)?.ok_or_else(|| Errno::ENOTDIR.into())
    }
}

/// Makes a folder in place of whatever else has its name, or sets the mode of the one that is there.
fn make_folder(parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<()> {
    let kind = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map(|s| SFlag::from_bits_truncate(s.st_mode) & SFlag::S_IFMT);
    if kind.is_ok_and(|kind| kind != SFlag::S_IFDIR) {
        remove(parent, name)?;
    }
    match mkdirat(parent, name, Mode::from_bits_truncate(0o700)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let made = openat(
        parent,
        name,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    Ok(fchmod(&made, Mode::from_bits_truncate(mode))?)
}

/// Removes whatever has this name, with all that is in it; links are not followed.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let path = at(parent, name);
    let removed = match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
        Ok(_) => fs::remove_file(&path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn at(parent: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name)
}

/// Folder and name of an entry; `None` for the root itself.
fn split(raw: &[u8]) -> Result<Option<(Vec<OsString>, OsString)>, LayerError> {
    let refused = |why| LayerError::Refused { name: shown(raw), why };
    if raw.starts_with(b"/") {
        return Err(refused("its path is absolute"));
    }
    if raw.contains(&0) {
        return Err(refused("its path holds a zero byte"));
    }
    let mut parts = Vec::new();
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refused("its path leads upwards")),
            part => parts.push(OsString::from_vec(part.to_vec())),
        }
    }
    if parts.len() > DEPTH_LIMIT {
        return Err(refused("its path is too deep"));
    }
    Ok(parts.pop().map(|name| (parts, name)))
}

/// A name for a message: other people's bytes, escaped and short.
fn shown(raw: &[u8]) -> String {
    /// Enough of a path to find it.
    const SHOWN: usize = 200;
    raw.iter().take(SHOWN).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

fn read(layer: &Layer) -> impl Fn(io::Error) -> LayerError + use<> {
    let blob = layer.blob;
    move |error| LayerError::Read(blob, error)
}
