//! What a process says of itself for `countersign status`: what it does and what it waits for.
//!
//! Each process writes its own file and reads nobody's. A crash leaves the last word, whose time shows its age.

use std::path::PathBuf;

use model::{Clock as _, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{clock::SystemClock, identity::RoleUser, layout::Layout};

/// One process's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Which process.
    pub role: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// When it wrote this.
    pub at: Timestamp,
    /// What it does now.
    pub doing: String,
    /// What it waits for.
    pub waits: Vec<String>,
    /// What went wrong last, if anything did since it last went right.
    pub trouble: Option<String>,
    /// How it is confined.
    pub confined: String,
}

/// Writes the word of one process.
#[derive(Debug)]
pub struct StatusFile {
    path: PathBuf,
    last: Status,
}

impl StatusFile {
    /// For a process that starts now.
    pub fn new(layout: &Layout, role: RoleUser, confined: String) -> Self {
        let now = SystemClock.now();
        let last = Status {
            role: role.name().to_owned(),
            pid: std::process::id(),
            since: now,
            at: now,
            doing: "starting".to_owned(),
            waits: Vec::new(),
            trouble: None,
            confined,
        };
        let mut file = Self { path: layout.status(role), last };
        file.write();
        file
    }

    /// Says what it does and waits for.
    pub fn say(&mut self, doing: impl Into<String>, waits: Vec<String>) {
        self.last.doing = doing.into();
        self.last.waits = waits;
        self.last.trouble = None;
        self.write();
    }

    /// Says what went wrong.
    pub fn trouble(&mut self, words: impl Into<String>) {
        let words = words.into();
        tracing::warn!("{words}");
        self.last.trouble = Some(words);
        self.write();
    }

    fn write(&mut self) {
        self.last.at = SystemClock.now();
        let Ok(bytes) = serde_json::to_vec_pretty(&self.last) else { return };
        // Not durable: it is for looking at, and a lost one is written again within seconds.
        let draft = self.path.with_extension("draft");
        #[expect(clippy::disallowed_methods, reason = "a torn or lost status file is harmless")]
        let written = std::fs::write(&draft, bytes).and_then(|()| std::fs::rename(&draft, &self.path));
        if let Err(error) = written {
            tracing::debug!(%error, "the status could not be written");
        }
    }
}
