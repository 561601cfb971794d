//! What the kernel says of this process in `/proc/self/status` (proc(5)): the proof that confinement took place.
//!
//! It refuses to know how the process came to be so, and writes nothing.

use std::{fs::File, io, io::Read as _, io::Seek as _, io::SeekFrom};

use super::ConfineError;
use crate::identity::User;

/// `/proc/self/status` is about 1.5 KiB; on hosts with thousands of processors and memory nodes a few KiB more.
const MOST_BYTES: u64 = 64 * 1024;

/// `CAP_SETPCAP` of capabilities(7).
const SETPCAP_BIT: u64 = 1 << 8;

/// `Seccomp:` of a process under a filter.
const SECCOMP_FILTER: u64 = 2;

/// The file, opened while that is still allowed.
pub(super) struct Source(File);

impl Source {
    pub(super) fn open() -> Result<Self, ConfineError> {
        File::open("/proc/self/status").map(Self).map_err(failed)
    }

    /// Reads it anew.
    pub(super) fn read(&self) -> Result<Status, ConfineError> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(failed)?;
        Status::parse(&text).ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidData)))
    }
}

fn failed(source: io::Error) -> ConfineError {
    ConfineError::Step { what: "read `/proc/self/status`", source }
}

/// The lines that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) threads: u32,
    uids: [u32; 4],
    gids: [u32; 4],
    groups: Vec<u32>,
    effective: u64,
    capabilities: u64,
    pub(super) bounding: u64,
    no_new_privs: u64,
    seccomp: u64,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let numbers = |name: &str| -> Option<Vec<u32>> {
            field(name)?.split_whitespace().map(|number| number.parse().ok()).collect()
        };
        let mask = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
        let effective = mask("CapEff")?;
        Some(Self {
            threads: field("Threads")?.parse().ok()?,
            uids: numbers("Uid")?.try_into().ok()?,
            gids: numbers("Gid")?.try_into().ok()?,
            groups: numbers("Groups")?,
            effective,
            capabilities: effective | mask("CapPrm")? | mask("CapInh")? | mask("CapAmb")?,
            bounding: mask("CapBnd")?,
            no_new_privs: field("NoNewPrivs")?.parse().ok()?,
            seccomp: field("Seccomp")?.parse().ok()?,
        })
    }

    /// Whether the process may drop its bounding set.
    pub(super) fn bounding_can_be_dropped(&self) -> bool {
        self.effective & SETPCAP_BIT != 0
    }

    /// Checks that the process is confined.
    pub(super) fn check(&self, user: Option<&User>, bounding_dropped: bool) -> Result<(), ConfineError> {
        let wrong = |what| Err(ConfineError::NotEnforced { what });
        if self.threads != 1 {
            return wrong("a thread was started meanwhile");
        }
        if self.capabilities != 0 {
            return wrong("it still has capabilities");
        }
        if bounding_dropped && self.bounding != 0 {
            return wrong("programs that it starts could gain capabilities");
        }
        if self.no_new_privs != 1 {
            return wrong("programs that it starts could gain privileges");
        }
        if self.seccomp != SECCOMP_FILTER {
            return wrong("no system call filter is in force");
        }
        if let Some(user) = user {
            let mut wanted = user.groups.clone();
            wanted.sort_unstable();
            wanted.dedup();
            if self.uids != [user.uid; 4] || self.gids != [user.gid; 4] || self.groups != wanted {
                return wrong("it has other users or groups");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
