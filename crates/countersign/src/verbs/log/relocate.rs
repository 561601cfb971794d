//! `countersign log move`: the log into another store, with not a byte of it changed.
//!
//! It writes the target, and at last into the source that the log was moved: from then on it is only read. A crash before
//! that leaves the source as it was and a target that no log opens; after it, moving again to the same place finishes.

use std::{io::Write, os::unix::fs::MetadataExt as _, path::Path};

use ledger::{
    copy::{CopyError, Place, copy_log},
    durable::Lock,
    store::Mark,
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
    // A file is in use as long as its lock is held, which the open store does; a database tells by whose turn it is.
    if let Some(file) = source.file() {
        if !file.exists() {
            return Err(Fault::new(Kind::Input, format!("there is no log at `{}`", file.display())));
        }
        drop(lock(file)?);
    }
    let from = source.open_whatever()?;
    let name = match &target {
        LogPlace::File(file) => {
            let whole = std::path::absolute(file).because(Kind::Usage, "the target has no absolute path")?;
            whole.display().to_string()
        }
        LogPlace::Database(_) => target.to_string(),
    };
    let mark = from.store.mark().because(Kind::Unavailable, "the log can not be read")?;
    let is_finishing = mark == Mark::Moved(name.clone());
    if let Some(file) = target.file().filter(|file| file.exists() && !is_finishing) {
        return Err(Fault::new(Kind::Refused, format!("there is a file at `{}` already", file.display()))
            .hint("name a file that does not exist yet"));
    }
    if let Mark::Moved(place) = mark
        && !is_finishing
    {
        return Err(told_as(CopyError::Moved(place)));
    }
    let into = target.open_whatever()?;
    let mut told = 0;
    let ends = (Place { store: &*from.store, keys: &*from.keys }, Place { store: &*into.store, keys: &*into.keys });
    let copied = copy_log(ends.0, ends.1, &log, Some(&name), |size| {
        if common.format == Format::Text && size >= told + TOLD_EVERY {
            told = size;
            // Whoever closed the output does not want to know.
            drop(line(out, format!("{size} statements")));
        }
    });
    let copied = copied.map_err(told_as);
    drop((from, into));
    for file in [&source, &target].into_iter().filter_map(LogPlace::file).filter(|file| file.exists()) {
        hand_over(file)?;
    }
    let (whole, subjects) = copied?;
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
    line(out, "bodies are where they were; at its old place the log can still be read, and does not start any more")
}

fn lock(path: &Path) -> Result<Lock, Fault> {
    Lock::take(&path.with_extension("lock")).map_err(|e| {
        Fault::from_error(Kind::Refused, e).context("the log is in use").hint("stop it first: `countersign down`")
    })
}

fn told_as(error: CopyError) -> Fault {
    let (kind, hint) = match &error {
        CopyError::NotEmpty(_) => (Kind::Refused, "name an empty database, or a file that does not exist yet"),
        CopyError::Unfinished => (Kind::Refused, "move the log that it was copied from"),
        CopyError::Moved(_) => (Kind::Refused, "move it from there, with `--from`"),
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
