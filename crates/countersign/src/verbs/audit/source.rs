//! Where an auditor gets the log from: its file, read only, or everything that a server hands out.

use std::path::Path;

use ledger::{
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    merkle::{Edge, leaf_hash},
    store::{Batch, MemoryStore, SqliteStore, Store, StoredEntry},
};
use model::Digest;

use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    layout::Layout,
    log_client::LogClient,
    verbs::Flags,
};

const FILE: &str = "log.sqlite3";

/// Opens a log: the one named, else the one behind `--server`, else the folder's.
pub(super) fn open(source: Option<&str>, charter: Option<Digest>, common: &Flags) -> Result<Box<dyn Store>, Fault> {
    match source {
        Some(url) if url.starts_with("http://") || url.starts_with("unix:") => {
            download(&Target::parse(url)?, charter, common)
        }
        Some(path) => file(Path::new(path)),
        None => match &common.server {
            Some(server) => download(&Target::parse(server)?, charter, common),
            None => file(common.layout().root()),
        },
    }
}

/// The store of a file, of a folder with one, or of a whole folder of Countersign's.
fn file(path: &Path) -> Result<Box<dyn Store>, Fault> {
    let own = Layout::new(path).home(RoleUser::Log).join(FILE);
    let candidates = [own, path.join(FILE), path.to_owned()];
    let found = candidates.iter().find(|p| p.is_file()).ok_or_else(|| {
        Fault::new(Kind::Usage, format!("there is no log at `{}`", path.display()))
            .hint("name the folder of Countersign, its log's file, or the address of `front` with `--source`")
    })?;
    let store = SqliteStore::open_read_only(found).map_err(|e| {
        Fault::from_error(Kind::Unavailable, e).hint("read it as root, or copy the file with its `-wal` beside it")
    })?;
    Ok(Box::new(store))
}

/// Everything that a server hands out, as a store in memory. Nothing of it is believed here.
fn download(server: &Target, charter: Option<Digest>, common: &Flags) -> Result<Box<dyn Store>, Fault> {
    let client = LogClient::through_front(server.clone());
    let members = match charter {
        // Somebody who has only the hash: the log's own first entry is the charter, or it is not this log.
        Some(hash) if !common.layout().charter().exists() => {
            let first = client.entries(0)?.into_iter().next().unwrap_or_default();
            let envelope =
                Envelope::from_entry(&first).because(Kind::Untrue, "the log does not begin with a charter")?;
            charter_file::members_of(envelope.payload(), Some(hash))?
        }
        _ => common.members()?,
    };
    let (log, _) = ledger::reader::keys_of(members.charter()).because(Kind::Input, "the charter does not hold up")?;
    let opened = |note: &[u8]| {
        SignedCheckpoint::open(note, &log).because(Kind::Untrue, "the server's checkpoint is not the log's")
    };
    let cosigned = client.cosigned()?.map(|note| opened(&note)).transpose()?;
    let head = opened(&client.head()?)?;
    let store = MemoryStore::new();
    let mut edge = Edge::new();
    for checkpoint in cosigned.iter().chain([&head]) {
        take(&client, &store, &mut edge, checkpoint)?;
    }
    Ok(Box::new(store))
}

/// Fetches entries up to a checkpoint and commits them under it.
fn take(client: &LogClient, store: &MemoryStore, edge: &mut Edge, checkpoint: &SignedCheckpoint) -> Result<(), Fault> {
    let first = edge.size();
    let mut entries = Vec::new();
    while edge.size() < checkpoint.size() {
        let mut more = client.entries(edge.size())?;
        more.truncate(usize::try_from(checkpoint.size() - edge.size()).unwrap_or(usize::MAX));
        if more.is_empty() {
            break;
        }
        for bytes in more {
            let index = edge.size();
            let envelope = Envelope::from_entry(&bytes).because(Kind::Untrue, format!("entry {index} is damaged"))?;
            edge.push(leaf_hash(&bytes));
            entries.push(StoredEntry { identity: envelope.identity(), bytes });
        }
    }
    let batch = Batch { first, entries, tiles: edge.take_changed(), note: checkpoint.to_bytes(), ..Batch::default() };
    store.commit(&batch).because(Kind::Untrue, "the server's entries do not follow each other")?;
    for signature in checkpoint.note().signatures().iter().filter(|s| s.name() != checkpoint.checkpoint().origin) {
        store
            .add_cosignature(checkpoint.size(), signature.name(), &signature.to_string())
            .because(Kind::Internal, "a cosignature can not be kept")?;
    }
    Ok(())
}
