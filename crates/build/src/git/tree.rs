//! Trees: the entries that git lists for a commit, and a digest over some of them.

use std::fmt;

use model::{Commit, Digest};
use sha2::{Digest as _, Sha256};

use super::GitError;

/// The id of a tree object (SHA-1, 40 lower-case hex digits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(Commit);

impl TreeId {
    pub(super) const fn of(id: Commit) -> Self {
        Self(id)
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One file, link or submodule of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) mode: String,
    pub(super) object: String,
    pub(super) path: Vec<u8>,
}

impl Entry {
    pub(super) fn is_file(&self) -> bool {
        self.mode.starts_with("100")
    }
}

/// Reads `git ls-tree -r -z`: `<mode> SP <type> SP <object> TAB <path> NUL`.
pub(super) fn parse(listed: &[u8]) -> Result<Vec<Entry>, GitError> {
    let wrong = || GitError::Output("a listing of a tree");
    let mut entries = Vec::new();
    for record in listed.split(|b| *b == 0).filter(|r| !r.is_empty()) {
        let tab = record.iter().position(|b| *b == b'\t').ok_or_else(wrong)?;
        let (head, path) = record.split_at(tab);
        let head = std::str::from_utf8(head).map_err(|_| wrong())?;
        let mut words = head.split(' ');
        let (Some(mode), Some(_), Some(object), None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(wrong());
        };
        let path = path.strip_prefix(b"\t").ok_or_else(wrong)?.to_vec();
        entries.push(Entry { mode: mode.to_owned(), object: object.to_owned(), path });
    }
    Ok(entries)
}

/// SHA-256 over `mode SP object TAB path NUL` of the chosen entries in the order of their paths.
pub(super) fn digest(entries: &[Entry], paths: &[String]) -> Digest {
    let chosen = |entry: &&Entry| {
        let below = |wanted: &String| {
            let wanted = wanted.trim_end_matches('/').as_bytes();
            wanted.is_empty()
                || entry.path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        paths.is_empty() || paths.iter().any(below)
    };
    let mut entries: Vec<&Entry> = entries.iter().filter(chosen).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = Sha256::new();
    for entry in entries {
        hash.update(format!("{} {}\t", entry.mode, entry.object));
        hash.update(&entry.path);
        hash.update([0]);
    }
    Digest::from_bytes(hash.finalize().into())
}
