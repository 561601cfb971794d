//! `countersign log move`: the log into another store, with not a byte of it changed.
//!
//! It reads the source and writes the target alone. A crash leaves a target that is refused the next time; the source is
//! as it was, and stays the log until the settings say otherwise.

use std::{io::Write, os::unix::fs::MetadataExt as _, path::Path};

use ledger::{
    copy::{CopyError, copy_keys, copy_log},
    durable::Lock,
};

use super::super::{Flags, Format, line, print_json, show};
use crate::{
    fault::{Because as _, Fault, Kind},
    log_store::LogPlace,
    settings::Settings,
};

/// How often the progress is told, in entries: some seconds of work.
const TOLD_EVERY: u64 = 100_000;

/// Moves the log of this host, or of another place, into an empty one.
pub(super) fn run(to: &str, from: Option<&str>, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    let source = match from {
        Some(text) => LogPlace::parse(text)?,
        None => LogPlace::of_host(&layout, &Settings::read(&layout)?)?,
    };
    let target = LogPlace::parse(to)?;
    let members = common.members()?;
    let (log, _) = ledger::reader::keys_of(members.charter()).because(Kind::Input, "the charter does not hold up")?;
    // A file is in use as long as its lock is held; a database tells by whose turn it is.
    let _lock = source.file().map(lock).transpose()?;
    if let Some(file) = target.file().filter(|file| file.exists()) {
        return Err(Fault::new(Kind::Refused, format!("there is a file at `{}` already", file.display()))
            .hint("name a file that does not exist yet"));
    }
    let from = match &source {
        LogPlace::File(_) => source.open_read_only()?,
        LogPlace::Database(_) => source.open()?,
    };
    let into = target.open()?;
    let mut told = 0;
    let copied = copy_log(&*from.store, &*into.store, &log, |size| {
        if common.format == Format::Text && size >= told + TOLD_EVERY {
            told = size;
            // Whoever closed the output does not want to know.
            drop(line(out, format!("{size} statements")));
        }
    });
    let whole = copied.map_err(told_as)?;
    let subjects = copy_keys(&*from.keys, &*into.keys).map_err(told_as)?;
    drop(into);
    if let Some(file) = target.file() {
        hand_over(file)?;
    }
    let set = match &target {
        LogPlace::Database(_) => format!("\"store\": \"{target}\""),
        LogPlace::File(path) if *path == layout.home(crate::identity::RoleUser::Log).join(crate::log_store::FILE) => {
            "no \"store\"".to_owned()
        }
        LogPlace::File(_) => format!("\"store\": \"{target}\""),
    };
    if common.format == Format::Json {
        return print_json(
            out,
            &serde_json::json!({
                "from": source.to_string(), "to": target.to_string(), "size": whole.range.size(),
                "checkpoints": whole.checkpoints, "subjects": subjects,
                "checkpoint": String::from_utf8_lossy(&whole.checkpoint.to_bytes()),
            }),
        );
    }
    let size = usize::try_from(whole.range.size()).unwrap_or(usize::MAX);
    line(
        out,
        format!(
            "copied {} from `{source}` to `{target}`, verified there, and compared",
            show::plural(size, "statement")
        ),
    )?;
    line(out, format!("now set {set} in `{}` on every host of this log, and start it", layout.settings().display()))?;
    line(out, "bodies are where they were; never start the log at its old place again: that would be a second history")
}

fn lock(path: &Path) -> Result<Lock, Fault> {
    Lock::take(&path.with_extension("lock")).map_err(|e| {
        Fault::from_error(Kind::Refused, e).context("the log is in use").hint("stop it first: `countersign down`")
    })
}

fn told_as(error: CopyError) -> Fault {
    let (kind, hint) = match &error {
        CopyError::NotEmpty(_) => (Kind::Refused, "name an empty database, or a file that does not exist yet"),
        CopyError::SourceInUse(_) | CopyError::TargetInUse(_) => (Kind::Refused, "stop it first: `countersign down`"),
        CopyError::Source(_) => (Kind::Untrue, "`countersign audit` says more; a damaged log is kept as it is"),
        CopyError::Target(_) | CopyError::Different(_) => (Kind::Untrue, "remove the target and look at its disk"),
        CopyError::Store(_) => (Kind::Unavailable, "the log is where it was; remove the target and try again"),
    };
    Fault::from_error(kind, error).context("the log was not moved").hint(hint)
}

/// The file and its side files belong to whoever the folder belongs to, so that the `log` role can open what root made.
fn hand_over(file: &Path) -> Result<(), Fault> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let failed = || format!("`{}` can not be given to the owner of its folder", file.display());
    let owner = std::fs::metadata(folder).because(Kind::Unavailable, failed())?;
    let name = file.file_stem().unwrap_or_default();
    for entry in std::fs::read_dir(folder).because(Kind::Unavailable, failed())?.flatten() {
        let path = entry.path();
        if path.is_file() && path.file_stem() == Some(name) {
            std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid()))
                .because(Kind::Unavailable, failed())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
