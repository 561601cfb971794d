//! Heartbeats: a process notes twice a second that it lives, and others see whether it still does.
//!
//! A thread of its own writes its process id into one file, so what counts is that the process is given time and can
//! write; what it is at is in its status. Nothing is synced: after a crash nobody lives.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

/// How often a process notes it.
const INTERVAL: Duration = Duration::from_millis(500);
/// A process that has not noted it for so long is gone, hangs, or is not given any time: six chances missed.
pub const SILENT_LIMIT: Duration = Duration::from_secs(3);
/// A process that was never seen to live has this long to start: others start beside it.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Notes that this process lives, until it is dropped.
#[derive(Debug)]
pub struct Beating {
    #[expect(dead_code, reason = "the thread ends when it is gone")]
    alive: Arc<()>,
}

impl Beating {
    /// Begins, at this file.
    pub fn start(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o644).open(path)?;
        let alive = Arc::new(());
        let watched = Arc::downgrade(&alive);
        note(&file);
        std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || beat(&file, &watched))?;
        Ok(Self { alive })
    }
}

fn beat(file: &File, alive: &Weak<()>) {
    while alive.strong_count() > 0 {
        note(file);
        std::thread::sleep(INTERVAL);
    }
}

/// What can not be written is not noted, and that is what others see.
fn note(file: &File) {
    let word = format!("{:<20}\n", std::process::id());
    if let Err(error) = file.write_all_at(word.as_bytes(), 0) {
        tracing::debug!(%error, "the heartbeat could not be written");
    }
}

/// Whether another process lives, by the changes of its file: clocks that are moved change nothing.
#[derive(Debug)]
pub struct Pulse {
    path: PathBuf,
    last: Option<SystemTime>,
    changed: Instant,
    begun: Instant,
    /// How often it was seen to change; the first sight says only that somebody lived once.
    beats: u32,
}

impl Pulse {
    /// Of the process with this file. It has the whole limit from now on.
    pub fn new(path: PathBuf) -> Self {
        let now = Instant::now();
        Self { path, last: None, changed: now, begun: now, beats: 0 }
    }

    /// For how long nothing was noted.
    pub fn silent_for(&mut self) -> Duration {
        let written = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        if written.is_some() && written != self.last {
            self.last = written;
            self.beats = self.beats.saturating_add(1);
            self.changed = Instant::now();
        }
        self.changed.elapsed()
    }

    /// Whether nothing was noted for longer than [`SILENT_LIMIT`]; or since the beginning, for who never was there.
    pub fn is_silent(&mut self) -> bool {
        let limit = if self.last.is_some() { SILENT_LIMIT } else { START_LIMIT };
        self.silent_for() > limit
    }

    /// Whether it is known by now that it lives, or that it does not.
    pub fn is_settled(&self) -> bool {
        self.beats > 1 || self.begun.elapsed() > START_LIMIT
    }
}

#[cfg(test)]
mod tests;
