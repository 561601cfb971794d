//! A log whose disk is read-only or full when its process starts: it is opened for reading alone and served, and what is
//! said is refused with the reason.
//!
//! It writes nothing that stays: one file of a page, to learn whether there is room, which is removed at once; a crash
//! leaves it, hidden, and the next look writes over it. When the disk can be written again the process ends, and its
//! supervisor opens the log as usual.

use std::{fmt, path::Path, time::Duration};

use ledger::{
    durable::{self, DurableError},
    store::{OpenStoreError, StoreError},
};

use crate::{
    fault::{Because as _, Fault, Kind},
    log_store::{LogPlace, OpenPlace},
};

/// Between looks whether the disk can be written by now: somebody mends it by hand.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// 64 KiB: what opening a log writes beside its file at most, the index of its write-ahead log and a page.
const ROOM_BYTES: usize = 64 << 10;
/// Beside the log's file.
const PROBE: &str = ".room";
/// What to do about it.
pub(super) const HINT: &str =
    "reading goes on; make its disk writable, or make room, and it takes statements again by itself";

/// Why nothing can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnlyRead {
    ReadOnly,
    Full,
}

impl fmt::Display for OnlyRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "nothing is taken in: the disk of the log is read-only",
            Self::Full => "nothing is taken in: the disk of the log is full",
        })
    }
}

/// Opens a log for writing, or a file of one that can not be written for reading alone.
pub(super) fn open(place: &LogPlace) -> Result<(OpenPlace, Option<OnlyRead>), Fault> {
    let fault = match place.open() {
        Ok(opened) => return Ok((opened, None)),
        Err(fault) => fault,
    };
    // A database that can not be written now is not served as it was: others may write it, and it is asked again.
    let Some(file) = place.file().filter(|file| file.exists()) else { return Err(fault) };
    let Some(reason) = fault.cause::<OpenStoreError>().and_then(|error| reason(error, file)) else { return Err(fault) };
    tracing::error!("{fault}");
    let opened = place.open_read_only().map_err(|e| e.context(reason))?;
    tracing::warn!("{reason}; it is opened for reading alone");
    Ok((opened, Some(reason)))
}

/// Whether a log could not be opened because its disk can not be written. The store's own word may only be that
/// something failed: SQLite tells a missing room for its side files so.
fn reason(error: &OpenStoreError, file: &Path) -> Option<OnlyRead> {
    match error {
        OpenStoreError::Store(_, StoreError::ReadOnly) => Some(OnlyRead::ReadOnly),
        OpenStoreError::Store(_, StoreError::DiskFull) => Some(OnlyRead::Full),
        OpenStoreError::Store(_, StoreError::Failed(_)) => no_room(file),
        _ => None,
    }
}

fn no_room(file: &Path) -> Option<OnlyRead> {
    let probe = file.with_file_name(PROBE);
    let written = durable::write(&probe, &vec![0; ROOM_BYTES], 0o600);
    // What can not be removed is written over at the next look.
    drop(std::fs::remove_file(&probe));
    match written {
        Err(DurableError::Io { source, .. }) => match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Some(OnlyRead::Full),
            std::io::ErrorKind::ReadOnlyFilesystem => Some(OnlyRead::ReadOnly),
            _ => None,
        },
        _ => None,
    }
}

/// Ends this process when the log can be opened for writing, so that it is opened again.
pub(super) fn end_when_it_can_be_written(place: LogPlace) -> Result<(), Fault> {
    let look = move || {
        loop {
            std::thread::sleep(LOOK_INTERVAL);
            let Some(file) = place.file() else { return };
            if no_room(file).is_none() && place.open().is_ok() {
                tracing::info!("the log can be written again, and is opened again");
                std::process::exit(i32::from(Kind::Unavailable.exit_code()));
            }
        }
    };
    let thread = std::thread::Builder::new().name("look".to_owned()).spawn(look);
    thread.map(drop).because(Kind::Unavailable, "no thread to look at the disk")
}
