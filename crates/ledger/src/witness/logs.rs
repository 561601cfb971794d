//! Which logs a witness cosigns for: origins and the keys that are trusted for them, also from files.
//!
//! Two forms of file are read. The log list of the public witness network (`logs/v0`,
//! `transparency-dev/witness-network:log-list-format.md`), and lines `log <vkey> [<url>]` as a policy file has them (C2SP
//! tlog-policy, "Defining a log"). How often a log may ask (`qpd`) is read and not enforced.

use std::iter::Peekable;

use crate::note::{NoteKeyType, VerifierKey, VkeyError};

/// 16 MiB: forty thousand logs of four lines, as the largest public list allows for, are half of that.
const LIST_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// 1,024 bytes: an origin is a short name or URL.
const ORIGIN_LIMIT_BYTES: usize = 1024;

/// A log: its origin line, and the keys of which one must have signed.
///
/// *Invariant has-key:* there is at least one key, each of type 0x01, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedLog {
    origin: String,
    keys: Vec<VerifierKey>,
}

/// Why a list of logs is refused, or a log can not be witnessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogListError {
    /// Larger than the limit, or not UTF-8.
    #[error("a list of logs is UTF-8 of at most {LIST_LIMIT_BYTES} bytes")]
    Text,
    /// A line that says nothing here.
    #[error("line {line}: {what}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A key that does not parse.
    #[error("line {line}: the verifier key does not hold up")]
    Key {
        /// Which line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: VkeyError,
    },
    /// Not a log's key, or not an origin.
    #[error("`{0}` {1}")]
    Log(String, &'static str),
}

impl WitnessedLog {
    /// A log whose origin is the name of its key, as is usual.
    pub fn new(key: VerifierKey) -> Result<Self, LogListError> {
        let origin = key.name().to_owned();
        Self::named(&origin, key)
    }

    /// A log with this origin line.
    pub fn named(origin: &str, key: VerifierKey) -> Result<Self, LogListError> {
        let refused = |what| LogListError::Log(origin.chars().take(120).collect(), what);
        if origin.is_empty() || origin.len() > ORIGIN_LIMIT_BYTES || origin.contains(char::is_control) {
            return Err(refused("is not an origin: one line of at most 1024 bytes"));
        }
        if key.key_type() != NoteKeyType::Ed25519 {
            return Err(refused("is said to sign with a witness's key: a log's has the type 0x01"));
        }
        Ok(Self { origin: origin.to_owned(), keys: vec![key] })
    }

    /// The origin line.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The keys.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    pub(super) fn into_parts(self) -> (String, Vec<VerifierKey>) {
        (self.origin, self.keys)
    }
}

/// One log an origin, with every key that was named for it.
pub fn merge(logs: Vec<WitnessedLog>) -> Vec<WitnessedLog> {
    let mut merged: Vec<WitnessedLog> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for log in logs {
        let place = *places.entry(log.origin.clone()).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(known) => {
                for key in log.keys {
                    if !known.keys.contains(&key) {
                        known.keys.push(key);
                    }
                }
            }
            None => merged.push(log),
        }
    }
    merged
}

/// Reads a file in either form. An origin may be there several times, with another key each.
pub fn parse_list(bytes: &[u8]) -> Result<Vec<WitnessedLog>, LogListError> {
    let text = std::str::from_utf8(bytes).ok().filter(|t| t.len() <= LIST_LIMIT_BYTES).ok_or(LogListError::Text)?;
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
    let logs = if lines.next_if(|(_, line)| *line == "logs/v0").is_some() {
        network_list(&mut lines)?
    } else {
        policy_lines(&mut lines)?
    };
    Ok(merge(logs))
}

fn network_list<'a, I: Iterator<Item = (usize, &'a str)>>(
    lines: &mut Peekable<I>,
) -> Result<Vec<WitnessedLog>, LogListError> {
    let mut logs = Vec::new();
    while let Some((line, text)) = lines.next() {
        let vkey = text.strip_prefix("vkey ").ok_or(LogListError::Line { line, what: "a log begins with `vkey`" })?;
        let key = key(line, vkey)?;
        let origin = lines.next_if(|(_, l)| l.starts_with("origin ")).and_then(|(_, l)| l.strip_prefix("origin "));
        let rate = |text: &str| text.parse().is_ok_and(|n: u32| n > 0 && n < 1 << 31 && n.to_string() == text);
        if lines.next_if(|(_, l)| l.strip_prefix("qpd ").is_some_and(rate)).is_none() {
            return Err(LogListError::Line { line, what: "`qpd` with a number belongs after `vkey` and `origin`" });
        }
        if lines.next_if(|(_, l)| l.starts_with("contact ")).is_none() {
            return Err(LogListError::Line { line, what: "`contact` belongs after `qpd`" });
        }
        logs.push(match origin {
            Some(origin) => WitnessedLog::named(origin.trim(), key)?,
            None => WitnessedLog::new(key)?,
        });
    }
    Ok(logs)
}

fn policy_lines<'a, I: Iterator<Item = (usize, &'a str)>>(
    lines: &mut Peekable<I>,
) -> Result<Vec<WitnessedLog>, LogListError> {
    lines
        .map(|(line, text)| {
            let items: Vec<&str> = text.split([' ', '\t']).filter(|i| !i.is_empty()).collect();
            match items.as_slice() {
                ["log", vkey] | ["log", vkey, _] => WitnessedLog::new(key(line, vkey)?),
                _ => Err(LogListError::Line {
                    line,
                    what: "not `log <vkey> [<url>]`, nor does the file begin with `logs/v0`",
                }),
            }
        })
        .collect()
}

fn key(line: usize, text: &str) -> Result<VerifierKey, LogListError> {
    text.trim().parse().map_err(|source| LogListError::Key { line, source })
}

#[cfg(test)]
mod tests;
