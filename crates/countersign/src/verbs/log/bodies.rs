//! `countersign log move-bodies`: the bodies into another place, as they are: encrypted, each under its name.
//!
//! It reads the source and writes the target alone. A crash leaves some of them copied; doing it again goes on, and
//! compares what is there. Keys stay with the log, so what was erased stays erased.

use std::{
    io::Write,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

use ledger::{bodies::copy_blobs, durable::Lock, store::Turn};
use serde_json::json;

use super::super::{Flags, Format, line, print_json};
use crate::{
    blob_place::BlobPlace,
    fault::{Because as _, Fault, Kind},
    log_store::{LogPlace, OpenPlace},
    settings::Settings,
};

/// A turn lasts three seconds.
const TURN_AGAIN: Duration = Duration::from_millis(500);
const STOP_HINT: &str = "stop it first, on every host: `countersign down`";

/// Copies the bodies of this host's log to another place.
pub(super) fn run(to: &str, from: Option<&str>, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    let settings = Settings::read(&layout)?;
    let source = BlobPlace::of_host(&layout, from.or(settings.blobs.as_deref()))?;
    let target = BlobPlace::parse(to)?;
    // A log that runs keeps new bodies meanwhile, which would be left behind.
    let idle = Idle::keep(&LogPlace::of_host(&layout, &settings)?)?;
    let (source, opened) = (source.open()?, target.open()?);
    let copied = copy_blobs(&*source, &*opened).because(Kind::Unavailable, "not every body was copied; try again")?;
    idle.end()?;
    if let Some(folder) = target.folder() {
        hand_over(folder)?;
    }
    if common.format == Format::Json {
        return print_json(out, &json!({ "from": source.place(), "to": opened.place(), "bodies": copied }));
    }
    line(out, format!("copied {copied} bodies from `{}` to `{}`, byte for byte", source.place(), opened.place()))?;
    line(out, format!("now set \"blobs\": \"{to}\" in `{}`, and start the log", layout.settings().display()))
}

/// The log while nobody adds to it.
enum Idle {
    File { _lock: Lock },
    Database { ended: Sender<()>, keeping: JoinHandle<Result<(), Fault>> },
}

impl Idle {
    /// Holds a file's lock, or a database's turn.
    fn keep(place: &LogPlace) -> Result<Self, Fault> {
        if let Some(file) = place.file() {
            let lock = Lock::take(&file.with_extension("lock"))
                .map_err(|e| Fault::from_error(Kind::Refused, e).context("the log is in use").hint(STOP_HINT))?;
            return Ok(Self::File { _lock: lock });
        }
        let opened = place.open()?;
        take_turn(&opened)?;
        let (ended, end) = mpsc::channel();
        let keeping = std::thread::spawn(move || {
            while end.recv_timeout(TURN_AGAIN) == Err(RecvTimeoutError::Timeout) {
                take_turn(&opened)?;
            }
            match opened.store.shared().map(|shared| shared.end_turn()) {
                Some(Err(e)) => Err(Fault::from_error(Kind::Unavailable, e)),
                _ => Ok(()),
            }
        });
        Ok(Self::Database { ended, keeping })
    }

    /// Whether nobody could add to it all the time.
    fn end(self) -> Result<(), Fault> {
        let Self::Database { ended, keeping } = self else { return Ok(()) };
        drop(ended);
        let kept = keeping.join().unwrap_or_else(|_| Err(Fault::new(Kind::Internal, "keeping the turn broke off")));
        kept.map_err(|fault| fault.context("the log was not idle while its bodies were copied; copy again"))
    }
}

fn take_turn(opened: &OpenPlace) -> Result<(), Fault> {
    let turn = opened.store.shared().map(|shared| shared.take_turn()).transpose();
    match turn.because(Kind::Unavailable, "the log's database can not be asked")? {
        Some(Turn::Follower { holder, .. }) => {
            Err(Fault::new(Kind::Refused, format!("the log is in use by `{holder}`")).hint(STOP_HINT))
        }
        _ => Ok(()),
    }
}

/// The folder and all below belong to whoever the folder above belongs to, so that the `log` role can use what root made.
fn hand_over(folder: &Path) -> Result<(), Fault> {
    let failed = || format!("`{}` can not be given to the owner of its folder", folder.display());
    let above = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owner = std::fs::metadata(above).because(Kind::Unavailable, failed())?;
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).because(Kind::Unavailable, failed())?;
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).because(Kind::Unavailable, failed())? {
                waiting.push(entry.because(Kind::Unavailable, failed())?.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
