//! What a process says of itself for `countersign status`: what it does, what it waits for, what it has counted; and that
//! it lives ([`heartbeat`]).
//!
//! Each process writes its own files and reads nobody's. A crash leaves the last word, whose time shows its age.

pub mod heartbeat;

use std::{collections::BTreeMap, path::PathBuf};

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
    /// What it has counted since it started, for its metrics; names of OpenMetrics without `countersign_` and `_total`.
    #[serde(default)]
    pub counted: BTreeMap<String, u64>,
    /// What there is of something now, in the same way.
    #[serde(default)]
    pub measured: BTreeMap<String, u64>,
}

/// Writes the word of one process.
#[derive(Debug)]
pub struct StatusFile {
    path: PathBuf,
    last: Status,
    /// Notes that the process lives, for as long as this is kept.
    beating: Option<heartbeat::Beating>,
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
            counted: BTreeMap::new(),
            measured: BTreeMap::new(),
        };
        let mut file = Self { path: layout.status(role), last, beating: None };
        file.beat(true);
        file.write();
        file
    }

    /// Notes from now on that the process lives, or no longer: one that runs and can not do what it is there for is as
    /// good as gone, and the others are to say so.
    pub fn beat(&mut self, works: bool) {
        if !works {
            self.beating = None;
        } else if self.beating.is_none() {
            self.beating = heartbeat::Beating::start(&self.path.with_file_name("heartbeat"))
                .inspect_err(|error| tracing::error!("nobody can see that this process lives: {error}"))
                .ok();
        }
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
        self.add("troubles", 1);
        self.last.trouble = Some(words);
        self.write();
    }

    /// Says how much there is of something now; written with the next word.
    pub fn measure(&mut self, name: &str, number: u64) {
        self.last.measured.insert(name.to_owned(), number);
    }

    /// Adds to what is counted since the start; written with the next word.
    pub fn add(&mut self, name: &str, more: u64) {
        let number = self.last.counted.entry(name.to_owned()).or_default();
        *number = number.saturating_add(more);
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
