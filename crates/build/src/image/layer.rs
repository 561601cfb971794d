//! The layer of an image: collecting files of a workspace and writing them as a tar in one fixed way.
//!
//! Entries are sorted, owned by 0:0, have the time of the commit, and only two modes: executable or not. Files are
//! opened without following links, because the build that made them is not trusted to have left none.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use model::{Digest, Timestamp};
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};
use tar::{EntryType, Header};

use super::{ImageError, ImageFile, ImagePlan, store::ImageStore};
use crate::hashing::Counted;

/// All files of an image together. Debug builds of large programs have some hundred MiB.
const IMAGE_LIMIT_BYTES: u64 = 8 << 30;
/// Entries of an image; a whole distribution has a tenth of it.
const ENTRIES_LIMIT: usize = 500_000;
/// Folders that runtimes mount on; the root is read-only, so they must be there.
const MOUNT_POINTS: [&str; 6] = ["/dev", "/etc", "/proc", "/run", "/sys", "/tmp"];
/// What runtimes mount single files on: names of the host, resolvers and users.
const MOUNT_FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// One entry of an image.
#[derive(Debug)]
pub(super) enum Entry {
    Folder { mode: u32 },
    File { source: Source, executable: bool, bytes: u64 },
    Link { target: PathBuf },
}

/// Where the content of a file is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In the workspace.
    Workspace(PathBuf),
    /// On this machine.
    Host(PathBuf),
    /// Nothing in it.
    Empty,
}

/// The entries of an image by path.
pub(super) struct Tree {
    workspace: File,
    pub(super) entries: BTreeMap<String, Entry>,
    component: String,
    bytes: u64,
}

/// A written layer.
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) files: Vec<ImageFile>,
}

impl Tree {
    pub(super) fn collect(workspace: &Path, plan: &ImagePlan) -> Result<Self, ImageError> {
        if plan.files.is_empty() {
            return Err(ImageError::Empty(plan.component.clone()));
        }
        let opened = File::open(workspace).map_err(io_error("open", workspace))?;
        let mut tree =
            Self { workspace: opened, entries: BTreeMap::new(), component: plan.component.clone(), bytes: 0 };
        for (target, source) in &plan.files {
            let target = target_path(target)?;
            let relative = source_path(source)?;
            tree.add(workspace, &relative, &target, source)?;
        }
        for point in MOUNT_POINTS.iter().map(|p| (*p).to_owned()).chain(plan.mount_points.iter().cloned()) {
            let path = target_path(&point)?;
            tree.folder(&path, if point == "/tmp" { 0o1777 } else { 0o755 })?;
        }
        for path in MOUNT_FILES {
            if !tree.entries.contains_key(path) {
                tree.insert(path, Entry::File { source: Source::Empty, executable: false, bytes: 0 })?;
            }
        }
        Ok(tree)
    }

    fn add(&mut self, workspace: &Path, relative: &Path, target: &str, shown: &str) -> Result<(), ImageError> {
        let missing = || ImageError::Missing { component: self.component.clone(), source_path: shown.to_owned() };
        // Opening without following links tells also whether a part of the path before the last is one.
        let opened =
            if relative.as_os_str().is_empty() { Ok(()) } else { self.open(relative, OFlag::O_PATH).map(drop) };
        if opened.is_err() {
            return Err(missing());
        }
        let path = workspace.join(relative);
        let meta = fs::symlink_metadata(&path).map_err(|_| missing())?;
        if meta.is_dir() {
            if target != "/" {
                self.folder(target, 0o755)?;
            }
            let mut names = Vec::new();
            for entry in fs::read_dir(&path).map_err(io_error("list", &path))? {
                names.push(entry.map_err(io_error("list", &path))?.file_name());
            }
            names.sort();
            for name in names {
                let name_text = name.to_str().ok_or_else(|| ImageError::Target(name.to_string_lossy().into_owned()))?;
                let below = format!("{}/{name_text}", target.trim_end_matches('/'));
                self.add(workspace, &relative.join(&name), &below, shown)?;
            }
            return Ok(());
        }
        if meta.is_symlink() {
            let link = fs::read_link(&path).map_err(io_error("read the link", &path))?;
            return self.insert(target, Entry::Link { target: link });
        }
        if !meta.is_file() {
            return Err(ImageError::Kind(path));
        }
        let executable = meta.permissions().mode() & 0o111 != 0;
        self.insert(
            target,
            Entry::File { source: Source::Workspace(relative.to_path_buf()), executable, bytes: meta.size() },
        )
    }

    /// A folder with those above it; one that is there already keeps its mode. Where a link stands that a folder
    /// is wanted at, as on merged systems, the link stays.
    pub(super) fn folder(&mut self, path: &str, mode: u32) -> Result<(), ImageError> {
        self.parents(path)?;
        match self.entries.get(path) {
            None => self.put(path, Entry::Folder { mode }),
            Some(Entry::Folder { .. } | Entry::Link { .. }) => Ok(()),
            Some(Entry::File { .. }) => Err(ImageError::Twice(path.to_owned())),
        }
    }

    /// A file or a link, at a place where there is nothing yet.
    pub(super) fn insert(&mut self, path: &str, entry: Entry) -> Result<(), ImageError> {
        self.parents(path)?;
        if self.entries.contains_key(path) || path == "/" {
            return Err(ImageError::Twice(path.to_owned()));
        }
        self.put(path, entry)
    }

    fn parents(&mut self, path: &str) -> Result<(), ImageError> {
        let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).collect();
        for at in slashes {
            let above = path.get(..at).unwrap_or_default();
            match self.entries.get(above) {
                Some(Entry::Folder { .. }) => {}
                // Writing through a link would put the file somewhere else than where it was wanted.
                Some(_) => return Err(ImageError::Twice(above.to_owned())),
                None => self.put(above, Entry::Folder { mode: 0o755 })?,
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &str, entry: Entry) -> Result<(), ImageError> {
        let too_large = |limit: String| ImageError::TooLarge { component: self.component.clone(), limit };
        if let Entry::File { bytes, .. } = &entry {
            self.bytes += bytes;
        }
        if self.bytes > IMAGE_LIMIT_BYTES {
            return Err(too_large(format!("{} MiB", IMAGE_LIMIT_BYTES >> 20)));
        }
        if self.entries.len() >= ENTRIES_LIMIT {
            return Err(too_large(format!("{ENTRIES_LIMIT} files and folders")));
        }
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Opens what a file's content is read from.
    pub(super) fn reader(&self, source: &Source) -> Result<Box<dyn Read>, ImageError> {
        match source {
            Source::Empty => Ok(Box::new(io::empty())),
            Source::Host(path) => Ok(Box::new(File::open(path).map_err(io_error("read", path))?)),
            Source::Workspace(path) => Ok(Box::new(self.open(path, OFlag::O_RDONLY).map_err(io_error("read", path))?)),
        }
    }

    fn open(&self, relative: &Path, flags: OFlag) -> io::Result<File> {
        // A link as the last part is opened as itself (O_PATH); content is never read through one, and a pipe must not
        // keep us waiting.
        let (no_links, more) = if flags.contains(OFlag::O_PATH) {
            (ResolveFlag::empty(), OFlag::empty())
        } else {
            (ResolveFlag::RESOLVE_NO_SYMLINKS, OFlag::O_NONBLOCK)
        };
        let how = OpenHow::new()
            .flags(flags | more | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS | no_links)
            .mode(Mode::empty());
        Ok(File::from(openat2(&self.workspace, relative, how)?))
    }

    /// Writes the layer into the store.
    pub(super) fn write(&self, store: &ImageStore, plan: &ImagePlan, time: Timestamp) -> Result<Layer, ImageError> {
        let written = |path: &str| {
            let path = PathBuf::from(path);
            move |source| ImageError::Io { doing: "write to the layer", path, source }
        };
        let mut builder = tar::Builder::new(store.begin()?);
        let mut files = Vec::new();
        for (path, entry) in &self.entries {
            let name = path.trim_start_matches('/');
            let mut header = Header::new_gnu();
            header.set_mtime(time.unix());
            header.set_uid(0);
            header.set_gid(0);
            match entry {
                Entry::Folder { mode } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_size(0);
                    builder.append_data(&mut header, format!("{name}/"), io::empty()).map_err(written(path))?;
                }
                Entry::Link { target } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    builder.append_link(&mut header, name, target).map_err(written(path))?;
                }
                Entry::File { source, executable, bytes } => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_mode(if *executable { 0o755 } else { 0o644 });
                    header.set_size(*bytes);
                    let mut content = Content { from: self.reader(source)?.take(*bytes), to: Counted::new(io::sink()) };
                    builder.append_data(&mut header, name, &mut content).map_err(written(path))?;
                    let (_, digest, read) = content.to.finish();
                    if read != *bytes {
                        let source = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter");
                        return Err(written(path)(source));
                    }
                    files.push(ImageFile { path: path.clone(), digest, bytes: *bytes });
                }
            }
        }
        let blob = builder.into_inner().map_err(written(&plan.component))?;
        let (digest, bytes) = store.keep(blob)?;
        Ok(Layer { digest, bytes, files })
    }
}

/// Reads on and keeps the digest of what was read.
struct Content<R> {
    from: R,
    to: Counted<io::Sink>,
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.to.write_all(buffer.get(..n).unwrap_or_default())?;
        Ok(n)
    }
}

fn target_path(text: &str) -> Result<String, ImageError> {
    let wrong = || ImageError::Target(text.to_owned());
    let path = Path::new(text);
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || text.contains(['\0', '\n']) || text.split('/').any(|p| p == ".") {
        return Err(wrong());
    }
    let joined = path.components().collect::<PathBuf>();
    joined.to_str().map(str::to_owned).ok_or_else(wrong)
}

fn source_path(text: &str) -> Result<PathBuf, ImageError> {
    let path = Path::new(text);
    let plain = path.components().all(|c| matches!(c, Component::CurDir | Component::Normal(_)));
    if text.is_empty() || !plain || text.contains('\0') {
        return Err(ImageError::Source(text.to_owned()));
    }
    Ok(path.components().filter(|c| matches!(c, Component::Normal(_))).collect())
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_path_buf();
    move |source| ImageError::Io { doing, path, source }
}
