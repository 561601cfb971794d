//! This program's own verbs, run as a user runs them.
//!
//! It knows how a program ends and what it printed, and nothing of what that means.

use std::{
    io::Read,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::fault::{Because as _, Fault, Kind};

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The program and the folder that its verbs are about.
#[derive(Clone, Debug)]
pub struct Program {
    exe: PathBuf,
    dir: PathBuf,
    interrupted: Arc<AtomicBool>,
}

/// How a verb ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The words, for messages.
    pub words: String,
    /// The exit code; none if it was killed.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// That it ended well.
    pub fn well(self) -> Result<Self, Fault> {
        if self.code == Some(0) { Ok(self) } else { Err(self.unexpected("to end well")) }
    }

    /// That it ended with this kind of fault.
    pub fn refused(self, kind: Kind) -> Result<Self, Fault> {
        if self.code == Some(i32::from(kind.exit_code())) {
            Ok(self)
        } else {
            Err(self.unexpected(&format!("to end with {} ({})", kind.exit_code(), kind.name())))
        }
    }

    /// Its standard output as JSON.
    pub fn json(&self) -> Result<Value, Fault> {
        serde_json::from_str(&self.out).because(Kind::Internal, format!("`{}` did not print JSON", self.words))
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let code = self.code.map_or_else(|| "was killed".to_owned(), |c| format!("ended with {c}"));
        Fault::new(Kind::Internal, format!("`{}` {code}, and was {wanted}\n{}{}", self.words, self.out, self.err))
    }
}

impl Program {
    /// This very program, about this folder.
    pub fn new(dir: &Path, interrupted: Arc<AtomicBool>) -> Result<Self, Fault> {
        let exe = std::env::current_exe().because(Kind::Internal, "the program does not know its own path")?;
        Ok(Self { exe, dir: dir.to_owned(), interrupted })
    }

    /// A command of it, in a process group of its own so that Ctrl-C reaches only us.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.exe);
        command.args(words).arg("--dir").arg(&self.dir).stdin(Stdio::null()).process_group(0);
        command.env_remove("SSH_AUTH_SOCK").env("RUST_LOG", "warn");
        command
    }

    /// Runs a verb to its end, at most this long.
    pub fn run(&self, words: &[&str], limit: Duration) -> Result<Ran, Fault> {
        self.finish(self.command(words), words.join(" "), limit)
    }

    /// Runs a command to its end, at most this long.
    pub fn finish(&self, mut command: Command, words: String, limit: Duration) -> Result<Ran, Fault> {
        let words = format!("countersign {words}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .because(Kind::Unavailable, format!("`{words}` can not be started"))?;
        let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let status = self.wait(&mut child, limit);
        let read = |thread: JoinHandle<String>| thread.join().unwrap_or_default();
        match status? {
            Some(status) => Ok(Ran { words, code: status.code(), out: read(out), err: read(err) }),
            None => Err(Fault::new(
                Kind::Unavailable,
                format!("`{words}` did not end within {} s\n{}{}", limit.as_secs(), read(out), read(err)),
            )),
        }
    }

    /// Waits for the end; kills it when the time is over or somebody wants us to end.
    fn wait(&self, child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, Fault> {
        let deadline = Instant::now() + limit;
        let broken = "a program can not be waited for";
        loop {
            if let Some(status) = child.try_wait().because(Kind::Unavailable, broken)? {
                return Ok(Some(status));
            }
            let interrupted = self.interrupted.load(Ordering::SeqCst);
            if interrupted || Instant::now() > deadline {
                child.kill().because(Kind::Unavailable, "a program can not be killed")?;
                child.wait().because(Kind::Unavailable, broken)?;
                return if interrupted { Err(super::teller::interrupted()) } else { Ok(None) };
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Reads in a thread, so that a program that prints much is never stuck. What a child that outlives it prints is not
/// waited for: `up --detach` gives its own output away.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A torn pipe gives what came before.
            drop(pipe.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
