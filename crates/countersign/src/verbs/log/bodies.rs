//! `countersign log move-bodies`: the bodies into another place, as they are: encrypted, each under its name.
//!
//! It reads the source and writes the target alone. A crash leaves some of them copied; doing it again goes on, and
//! compares what is there. Keys stay with the log, so what was erased stays erased.

use std::{io::Write, os::unix::fs::MetadataExt as _, path::Path};

use ledger::{bodies::copy_blobs, durable::Lock};
use serde_json::json;

use super::super::{Flags, Format, line, print_json};
use crate::{
    blob_place::BlobPlace,
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    settings::Settings,
};

/// Copies the bodies of this host's log to another place.
pub(super) fn run(to: &str, from: Option<&str>, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    let settings = Settings::read(&layout)?;
    let source = BlobPlace::of_host(&layout, from.or(settings.blobs.as_deref()))?;
    let target = BlobPlace::parse(to)?;
    // A log that runs keeps new bodies meanwhile, which would be left behind.
    let _lock = Lock::take(&layout.home(RoleUser::Log).join("log.lock")).map_err(|e| {
        Fault::from_error(Kind::Refused, e).context("the log is in use").hint("stop it first: `countersign down`")
    })?;
    let (source, opened) = (source.open()?, target.open()?);
    let copied = copy_blobs(&*source, &*opened).because(Kind::Unavailable, "not every body was copied; try again")?;
    if let Some(folder) = target.folder() {
        hand_over(folder)?;
    }
    if common.format == Format::Json {
        return print_json(out, &json!({ "from": source.place(), "to": opened.place(), "bodies": copied }));
    }
    line(out, format!("copied {copied} bodies from `{}` to `{}`, byte for byte", source.place(), opened.place()))?;
    line(out, format!("now set \"blobs\": \"{to}\" in `{}`, and start the log", layout.settings().display()))
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
