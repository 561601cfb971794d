//! Blobs as files: `ab/cd/abcd…` under one folder, for their owner alone.
//!
//! A crash in the middle of a put leaves the name with whole bytes or without any, and perhaps a hidden temporary file,
//! which nobody reads (see [`crate::durable`]).

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{BLOB_LIMIT_BYTES, BlobError, BlobName, Blobs};
use crate::durable::{self, DurableError};

/// Ciphertext is nobody else's business either.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Blobs in a folder.
#[derive(Debug)]
pub struct FileBlobs {
    folder: PathBuf,
    /// Folders below, whose names are known to be synced: at most 65,536, two bytes of a digest.
    synced: Mutex<BTreeSet<PathBuf>>,
}

impl FileBlobs {
    /// In this folder, which is made if it is not there; the folder above it must be there.
    pub fn open(folder: &Path) -> Result<Self, DurableError> {
        durable::create_folder(folder, FOLDER_MODE)?;
        Ok(Self { folder: folder.to_owned(), synced: Mutex::new(BTreeSet::new()) })
    }

    /// In this folder as it is, for somebody who only reads; one that is not there has no blobs.
    pub fn there(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), synced: Mutex::new(BTreeSet::new()) }
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        self.folder.join(name.path())
    }

    /// Makes the folders of a blob. A folder that is there may have been made by a thread, or a process that was killed,
    /// which has not synced its name yet: who acknowledges a blob in it does that, once.
    fn make_folders(&self, outer: &Path, inner: &Path) -> Result<(), DurableError> {
        // Only names are put into the set, each after its folder was synced, so a poisoned one holds whole data.
        let synced = || self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced().contains(inner) {
            return Ok(());
        }
        for folder in [outer, inner] {
            durable::create_folder(folder, FOLDER_MODE)?;
            durable::sync_folder_of(folder)?;
        }
        synced().insert(inner.to_owned());
        Ok(())
    }

    /// The names of one folder, in order; hidden temporary files and strangers are passed over.
    fn listed(folder: &Path) -> Result<Vec<String>, BlobError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

impl Blobs for FileBlobs {
    fn put(&self, name: &BlobName, bytes: &[u8]) -> Result<(), BlobError> {
        if bytes.len() > BLOB_LIMIT_BYTES {
            return Err(BlobError::TooLarge { name: name.clone(), bytes: bytes.len() as u64 });
        }
        let path = self.path(name);
        if let (Some(outer), Some(inner)) = (path.parent().and_then(Path::parent), path.parent()) {
            self.make_folders(outer, inner).map_err(not_written)?;
        }
        match durable::write_new(&path, bytes, FILE_MODE) {
            Ok(()) => Ok(()),
            Err(DurableError::Exists(_)) => {
                // Whoever put it first may not have synced the folder yet; who acknowledges it must have. Other bytes too
                // may be acknowledged: one body is encrypted in another way each time.
                durable::sync_folder_of(&path).map_err(not_written)?;
                match self.get(name)? {
                    Some(kept) if kept == bytes => Ok(()),
                    _ => Err(BlobError::Taken(name.clone())),
                }
            }
            Err(e) => Err(not_written(e)),
        }
    }

    fn get(&self, name: &BlobName) -> Result<Option<Vec<u8>>, BlobError> {
        let file = match fs::File::open(self.path(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let mut bytes = Vec::new();
        // One byte more than may be, so that too large is told from exactly full.
        let read = file.take(BLOB_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if read > BLOB_LIMIT_BYTES {
            return Err(BlobError::TooLarge { name: name.clone(), bytes: read as u64 });
        }
        Ok(Some(bytes))
    }

    fn exists(&self, name: &BlobName) -> Result<bool, BlobError> {
        self.path(name).try_exists().map_err(failed)
    }

    fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => durable::sync_folder_of(&path).map_err(not_written),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(of_io(e)),
        }
    }

    fn names(&self, after: Option<&BlobName>, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        let after = after.map(BlobName::path).unwrap_or_default();
        let mut names = Vec::new();
        for outer in Self::listed(&self.folder)? {
            if outer.as_str() < after.get(..2).unwrap_or_default() {
                continue;
            }
            for inner in Self::listed(&self.folder.join(&outer))? {
                let below = format!("{outer}/{inner}");
                if below.as_str() < after.get(..5).unwrap_or_default() {
                    continue;
                }
                for file in Self::listed(&self.folder.join(&below))? {
                    let path = format!("{below}/{file}");
                    if names.len() == limit {
                        return Ok(names);
                    }
                    if path > after {
                        names.extend(BlobName::of_path(&path));
                    }
                }
            }
        }
        Ok(names)
    }

    fn place(&self) -> String {
        self.folder.display().to_string()
    }
}

fn not_written(error: DurableError) -> BlobError {
    match error {
        DurableError::Io { source, .. } => of_io(source),
        other => BlobError::Failed(other.into()),
    }
}

pub(super) fn of_io(error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::Full,
        io::ErrorKind::ReadOnlyFilesystem => BlobError::ReadOnly,
        _ => failed(error),
    }
}

fn failed(error: io::Error) -> BlobError {
    BlobError::Failed(error.into())
}
