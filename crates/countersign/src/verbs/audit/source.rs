//! Where an auditor gets the log from: its file, read only, or what a server hands out as C2SP tlog-tiles names it.
//!
//! Nothing of it is believed here. It writes nothing.

use std::{path::Path, sync::Arc};

use ledger::{
    checkpoint::Checkpoint,
    merkle::{TILE_WIDTH, TilePath, unbundle},
    note::{Note, NoteSignature},
    store::{SqliteStore, Store, StoreError, StoredCheckpoint},
    sweep::{Found, Source, StoreSource},
};

use crate::{
    fault::{Fault, Kind},
    http::Target,
    identity::RoleUser,
    layout::Layout,
    log_client::LogClient,
    log_store::{FILE, LogPlace},
    settings::Settings,
    verbs::Flags,
};

/// A copy of a log.
pub(in crate::verbs) enum LogCopy {
    /// In a file or a database.
    File(Arc<dyn Store>),
    /// Behind an address.
    Server(Server),
}

impl LogCopy {
    /// To read from.
    pub(in crate::verbs) fn source(&self) -> Box<dyn Source + '_> {
        match self {
            Self::File(store) => Box::new(StoreSource(&**store)),
            Self::Server(server) => Box::new(server),
        }
    }
}

/// Opens a log: the one named, else the one behind `--server`, else the folder's.
pub(in crate::verbs) fn open(source: Option<&str>, common: &Flags) -> Result<LogCopy, Fault> {
    match source {
        Some(url) if url.starts_with("http://") || url.starts_with("unix:") => server(&Target::parse(url)?),
        Some(url) if url.contains("://") => Ok(LogCopy::File(LogPlace::parse(url)?.open_read_only()?.store)),
        Some(path) => file(Path::new(path)),
        None => match (&common.server, Settings::read(&common.layout()).ok().and_then(|s| s.store)) {
            (Some(address), _) => server(&Target::parse(address)?),
            (None, Some(place)) => open(Some(&place), common),
            (None, None) => file(common.layout().root()),
        },
    }
}

/// The store of a file, of a folder with one, or of a whole folder of Countersign's.
fn file(path: &Path) -> Result<LogCopy, Fault> {
    let own = Layout::new(path).home(RoleUser::Log).join(FILE);
    let candidates = [own, path.join(FILE), path.to_owned()];
    let found = candidates.iter().find(|p| p.is_file()).ok_or_else(|| {
        Fault::new(Kind::Usage, format!("there is no log at `{}`", path.display()))
            .hint("name the folder of Countersign, its log's file, or the address of `front` with `--source`")
    })?;
    let store = SqliteStore::open_read_only(found).map_err(|e| {
        Fault::from_error(Kind::Unavailable, e).hint("read it as root, or copy the file with its `-wal` beside it")
    })?;
    Ok(LogCopy::File(Arc::new(store)))
}

/// A server, with the checkpoints that it had when it was asked first: what comes later is for the next audit.
pub(in crate::verbs) struct Server {
    client: LogClient,
    checkpoints: Vec<StoredCheckpoint>,
    size: u64,
}

fn server(target: &Target) -> Result<LogCopy, Fault> {
    let client = LogClient::through_front(target.clone());
    // The cosigned one first: it is never larger than the head that is asked for after it.
    let mut checkpoints = Vec::new();
    for note in client.cosigned()?.into_iter().chain([client.head()?]) {
        let size = size_of(&note)
            .ok_or_else(|| Fault::new(Kind::Untrue, "what the server hands out as a checkpoint is none"))?;
        checkpoints.push(StoredCheckpoint { size, note });
    }
    checkpoints.sort_by_key(|c| c.size);
    let size = checkpoints.last().map_or(0, |c| c.size);
    Ok(LogCopy::Server(Server { client, checkpoints, size }))
}

/// The size that a note's text names.
fn size_of(note: &[u8]) -> Option<u64> {
    let note = Note::parse(note).ok()?;
    note.text().parse::<Checkpoint>().ok().map(|c| c.size)
}

impl Server {
    fn get(&self, path: TilePath) -> Result<Option<Vec<u8>>, StoreError> {
        self.client.resource(path).map_err(|fault| StoreError::Failed(fault.message().into()))
    }
}

impl Source for &Server {
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        Ok(self.checkpoints.last().cloned())
    }

    fn entries(&self, from: u64, limit: usize) -> Result<Vec<Found>, StoreError> {
        let width = TILE_WIDTH as u64;
        let mut found: Vec<Found> = Vec::new();
        while found.len() < limit && from + (found.len() as u64) < self.size {
            let next = from + found.len() as u64;
            let (index, skip) = (next / width, usize::try_from(next % width).unwrap_or(0));
            let here = usize::try_from((self.size - index * width).min(width)).unwrap_or(TILE_WIDTH);
            let Some(bytes) = self.get(TilePath::Entries { index, width: here })? else { break };
            let entries = unbundle(&bytes).map_err(|e| StoreError::Failed(e.into()))?;
            let before = found.len();
            found.extend(entries.into_iter().skip(skip).map(|bytes| Found { bytes, stored_as: None }));
            if found.len() == before {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(TilePath::Hashes { level, index, width })
    }

    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        Ok(self.checkpoints.iter().filter(|c| c.size >= from_size).take(limit).cloned().collect())
    }

    fn cosignatures(&self, _: u64) -> Result<Vec<NoteSignature>, StoreError> {
        // They are on the notes.
        Ok(Vec::new())
    }

    fn is_local(&self) -> bool {
        false
    }
}
