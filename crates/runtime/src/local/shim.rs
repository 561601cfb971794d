//! The process beside each instance: it runs `runc` in the foreground, keeps the log within its limit, and
//! writes down the exit code. It outlives the executor, so nothing is lost when that is killed.
//!
//! It is a few lines for the host's own shell, given its arguments as such and never as text, and starts nothing
//! before it is told to: an executor that dies before it has written down whom it started has started nobody.

use std::{
    fs, io,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{
    command::{self, PATH, Tools},
    process::ProcessId,
};
use crate::driver::{Doing as _, DriverError, failed};

/// A log file of this size becomes `log.1`; with what is read before that is noticed a log is twice two files of
/// this size at most: hours of a talkative server.
const LOG_LIMIT_BYTES: u64 = 2 << 20;
/// What of a log a message shows.
const SHOWN: usize = 600;

/// 1: runc; 2: its state folder; 3: the container's id; 4: the size that a log file is put aside at.
///
/// `dd` writes what it has read at once, and reads 512 times 4 KiB at most, so a file grows by 2 MiB before its size
/// is looked at. If nothing can be written the output is thrown away: a full disk is no reason to end a component.
const SCRIPT: &str = r#"
IFS= read -r word && [ "$word" = go ] || exit 125
exec </dev/null
: >log
{
    "$1" --root "$2" --log runc.log --log-format json run --keep --bundle . --pid-file pid "$3" 2>&1
    echo "$?" >exit.new && sync exit.new && mv exit.new exit
} | {
    size=0
    while dd of=log bs=4096 count=512 oflag=append conv=notrunc status=none; do
        now=$(stat -c %s log)
        [ "$now" -gt "$size" ] || exit 0
        size=$now
        if [ "$size" -ge "$4" ]; then
            mv log log.1 && : >log && size=0 || break
        fi
    done
    exec cat >/dev/null
}
"#;

/// A shim that waits for the word.
pub(crate) struct Waiting {
    child: Child,
    pub(crate) process: ProcessId,
}

/// Starts a shim for the bundle in this folder.
pub(crate) fn prepare(tools: &Tools, folder: &Path, engine: &Path, id: &str) -> Result<Waiting, DriverError> {
    let what = || format!("the process beside `{id}` can not be started");
    let child = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "countersign-shim"])
        .arg(command::found(&tools.runc)?)
        .arg(engine)
        .arg(id)
        .arg(LOG_LIMIT_BYTES.to_string())
        .env_clear()
        .env("PATH", PATH)
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing(what)?;
    let pid = i32::try_from(child.id()).doing(what)?;
    let process = ProcessId::of(pid).doing(what)?.ok_or_else(|| failed(what(), "it ended at once"))?;
    Ok(Waiting { child, process })
}

impl Waiting {
    /// Tells it to start the container; returns the child to be waited for some time.
    pub(crate) fn go(mut self) -> io::Result<Child> {
        if let Some(mut stdin) = self.child.stdin.take() {
            stdin.write_all(b"go\n")?;
        }
        Ok(self.child)
    }
}

/// The exit code, once the container has ended and the shim has written it down.
pub(crate) fn exit_code(folder: &Path) -> Option<i32> {
    fs::read_to_string(folder.join("exit")).ok()?.trim().parse().ok()
}

/// The pid of the container's first process, once there is one.
pub(crate) fn pid(folder: &Path) -> Option<i32> {
    fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok()
}

/// The end of what runc and the component said, for a message.
pub(crate) fn last_words(folder: &Path) -> String {
    let runc = fs::read_to_string(folder.join("runc.log")).unwrap_or_default();
    let message = runc
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|entry| entry.get("level").and_then(serde_json::Value::as_str) == Some("error"))
        .filter_map(|entry| entry.get("msg").and_then(serde_json::Value::as_str).map(str::to_owned))
        .next_back();
    let text = message.unwrap_or_else(|| {
        String::from_utf8_lossy(&fs::read(folder.join("log")).unwrap_or_default()).trim().to_owned()
    });
    let from = text.floor_char_boundary(text.len().saturating_sub(SHOWN));
    text.get(from..).unwrap_or_default().to_owned()
}
