//! Trust policies as files (C2SP tlog-policy): which logs, which witnesses, and which of them must have cosigned. Others'
//! tools read the same file, so a charter's rule can be checked by a program that knows nothing of charters.
//!
//! It refuses to know what the URLs are for. It judges checkpoints and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use model::Timestamp;

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    follow::WitnessPolicy,
    note::{NoteError, NoteKeyType, VerifierKey, VkeyError},
};

/// 1 MiB: a policy of 1,024 lines with long URLs is a tenth of that.
pub const POLICY_LIMIT_BYTES: usize = 1024 * 1024;
/// 1,024 logs, witnesses and groups together; the specification recommends at least 32 of each.
const LINE_LIMIT: usize = 1024;
/// The predefined name of the quorum that asks for nobody.
const NONE: &str = "none";

/// A log of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    /// Its key; the name is the origin.
    pub vkey: VerifierKey,
    /// Where it is, if the file says so.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PolicyWitness {
    name: String,
    vkey: VerifierKey,
    url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    count: usize,
    members: Vec<String>,
}

/// A parsed policy.
///
/// *Invariant one-way:* a group's members and the quorum are names of earlier lines, and a name is a member at most
/// once, so that each witness counts in one way only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogPolicy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// `None` is `quorum none`.
    quorum: Option<String>,
}

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFileError {
    /// Larger than the limit.
    #[error("a policy has at most {LINE_LIMIT} definitions in {POLICY_LIMIT_BYTES} bytes")]
    TooLarge,
    /// Not UTF-8, or with control characters.
    #[error("a policy is UTF-8 without control characters but tab and newline, its last line ended")]
    Characters,
    /// A line that defines nothing.
    #[error("line {line}: {what}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key does not parse.
    #[error("line {line}: the verifier key does not hold up")]
    Key {
        /// Which line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: VkeyError,
    },
    /// A name that is defined twice, or not at all before it is used.
    #[error("line {line}: `{name}` {what}")]
    Name {
        /// Which line, from 1.
        line: usize,
        /// The name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No quorum line.
    #[error("there is no line `quorum`")]
    Quorum,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogPolicyError {
    /// None of the logs' keys has signed it.
    #[error("the checkpoint is not of a log in the policy")]
    Log(#[source] Option<CheckpointError>),
    /// A known witness's signature that does not verify.
    #[error("a cosignature of a known witness does not verify")]
    Cosignature(#[from] NoteError),
    /// Too few have cosigned.
    #[error("the quorum `{0}` of the policy has not cosigned the checkpoint")]
    Quorum(String),
}

impl TlogPolicy {
    /// The rule of a log's key and its witnesses: a group for each operator, of which any witness will do, and the
    /// quorum over the operators. Names stand for nothing outside of the file.
    pub fn of(log: VerifierKey, url: Option<String>, rule: &WitnessPolicy, urls: &BTreeMap<String, String>) -> Self {
        let mut names = BTreeSet::from([NONE.to_owned()]);
        let mut by_operator: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut witnesses = Vec::new();
        for witness in rule.witnesses() {
            let name = free_name(&mut names, witness.vkey.name());
            by_operator.entry(&witness.operator).or_default().push(name.clone());
            let url = urls.get(&witness.vkey.to_string()).filter(|u| is_word(u)).cloned();
            witnesses.push(PolicyWitness { name, vkey: witness.vkey.clone(), url });
        }
        let mut groups = Vec::new();
        let mut members = Vec::new();
        for (operator, names_of_witnesses) in by_operator {
            match names_of_witnesses.as_slice() {
                [only] => members.push(only.clone()),
                _ => {
                    let name = free_name(&mut names, &format!("operator-{operator}"));
                    members.push(name.clone());
                    groups.push(Group { name, count: 1, members: names_of_witnesses });
                }
            }
        }
        let quorum = rule.is_witnessed().then(|| free_name(&mut names, "quorum"));
        if let Some(name) = &quorum {
            groups.push(Group { name: name.clone(), count: rule.quorum(), members });
        }
        let url = url.filter(|u| is_word(u));
        Self { logs: vec![PolicyLog { vkey: log, url }], witnesses, groups, quorum }
    }

    /// Parses a file (tlog-policy, "Policy file syntax and structure").
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyFileError> {
        if bytes.len() > POLICY_LIMIT_BYTES {
            return Err(PolicyFileError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| PolicyFileError::Characters)?;
        let fine = |b: u8| matches!(b, b'\t' | b'\n' | 0x20..=0x7e | 0x80..);
        if !text.bytes().all(fine) || !(text.is_empty() || text.ends_with('\n')) {
            return Err(PolicyFileError::Characters);
        }
        let mut reading = Reading::default();
        for (line, text) in (1..).zip(text.lines()) {
            let items: Vec<&str> = text.split([' ', '\t']).filter(|i| !i.is_empty()).collect();
            if items.first().is_some_and(|i| !i.starts_with('#')) {
                reading.take(line, &items)?;
            }
        }
        let quorum = reading.quorum.ok_or(PolicyFileError::Quorum)?;
        let Reading { logs, witnesses, groups, .. } = reading;
        Ok(Self { logs, witnesses, groups, quorum })
    }

    /// The logs.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// Opens a checkpoint that one of the logs has signed and the quorum has cosigned.
    pub fn open(&self, note: &[u8]) -> Result<SignedCheckpoint, TlogPolicyError> {
        let mut last = None;
        let opened = self.logs.iter().find_map(|log| match SignedCheckpoint::open(note, &log.vkey) {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                last = Some(error);
                None
            }
        });
        let checkpoint = opened.ok_or(TlogPolicyError::Log(last))?;
        let cosigned = self.cosigned(&checkpoint)?;
        match &self.quorum {
            Some(name) if !self.is_met(name, &cosigned) => Err(TlogPolicyError::Quorum(name.clone())),
            _ => Ok(checkpoint),
        }
    }

    /// When each witness cosigned, by the name in the file.
    pub fn cosigned(&self, checkpoint: &SignedCheckpoint) -> Result<BTreeMap<&str, Timestamp>, TlogPolicyError> {
        let mut times = BTreeMap::new();
        for witness in &self.witnesses {
            if let Some(time) = checkpoint.note().cosigned_at(&witness.vkey)? {
                times.insert(witness.name.as_str(), time);
            }
        }
        Ok(times)
    }

    /// Ends: members are names of earlier lines (*one-way*), and each is a member only once.
    fn is_met(&self, name: &str, cosigned: &BTreeMap<&str, Timestamp>) -> bool {
        match self.groups.iter().find(|g| g.name == name) {
            Some(group) => group.members.iter().filter(|m| self.is_met(m, cosigned)).count() >= group.count,
            None => cosigned.contains_key(name),
        }
    }
}

impl fmt::Display for TlogPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = |url: &Option<String>| url.as_ref().map(|u| format!(" {u}")).unwrap_or_default();
        self.logs.iter().try_for_each(|l| writeln!(f, "log {}{}", l.vkey, url(&l.url)))?;
        self.witnesses.iter().try_for_each(|w| writeln!(f, "witness {} {}{}", w.name, w.vkey, url(&w.url)))?;
        self.groups.iter().try_for_each(|g| writeln!(f, "group {} {} {}", g.name, g.count, g.members.join(" ")))?;
        writeln!(f, "quorum {}", self.quorum.as_deref().unwrap_or(NONE))
    }
}

#[derive(Default)]
struct Reading {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<Option<String>>,
    names: BTreeSet<String>,
    members: BTreeSet<String>,
}

impl Reading {
    fn take(&mut self, line: usize, items: &[&str]) -> Result<(), PolicyFileError> {
        let wrong = |what| PolicyFileError::Line { line, what };
        if self.logs.len() + self.witnesses.len() + self.groups.len() >= LINE_LIMIT {
            return Err(PolicyFileError::TooLarge);
        }
        match items {
            ["log", vkey, url @ ..] if url.len() < 2 => {
                let vkey = key(line, vkey, NoteKeyType::Ed25519)?;
                if self.logs.iter().any(|l| l.vkey.key().id() == vkey.key().id()) {
                    return Err(wrong("the key of this log is listed twice"));
                }
                self.logs.push(PolicyLog { vkey, url: url.first().map(|u| (*u).to_owned()) });
            }
            ["witness", name, vkey, url @ ..] if url.len() < 2 => {
                let vkey = key(line, vkey, NoteKeyType::Cosignature)?;
                if self.witnesses.iter().any(|w| w.vkey.key().id() == vkey.key().id()) {
                    return Err(wrong("the key of this witness is listed twice"));
                }
                self.define(line, name)?;
                let url = url.first().map(|u| (*u).to_owned());
                self.witnesses.push(PolicyWitness { name: (*name).to_owned(), vkey, url });
            }
            ["group", name, count, members @ ..] if !members.is_empty() => {
                let count = match *count {
                    "all" => members.len(),
                    "any" => 1,
                    number => number
                        .parse()
                        .ok()
                        .filter(|n: &usize| n.to_string() == number && (1..=members.len()).contains(n))
                        .ok_or_else(|| wrong("a group asks for `all`, `any`, or from 1 up to all of its members"))?,
                };
                for member in members {
                    self.is_defined(line, member)?;
                    if !self.members.insert((*member).to_owned()) {
                        return Err(name_fault(line, member, "is a member already"));
                    }
                }
                self.define(line, name)?;
                let members = members.iter().map(|m| (*m).to_owned()).collect();
                self.groups.push(Group { name: (*name).to_owned(), count, members });
            }
            ["quorum", name] => {
                if self.quorum.is_some() {
                    return Err(wrong("there is a quorum already"));
                }
                if *name != NONE {
                    self.is_defined(line, name)?;
                }
                self.quorum = Some(Some((*name).to_owned()).filter(|n| n != NONE));
            }
            _ => {
                return Err(wrong(
                    "not `log <vkey> [<url>]`, `witness <name> <vkey> [<url>]`, `group <name> <k> <name>…` or \
                     `quorum <name>`",
                ));
            }
        }
        Ok(())
    }

    fn define(&mut self, line: usize, name: &str) -> Result<(), PolicyFileError> {
        if name == NONE {
            return Err(name_fault(line, name, "is predefined"));
        }
        if self.names.insert(name.to_owned()) { Ok(()) } else { Err(name_fault(line, name, "is defined already")) }
    }

    fn is_defined(&self, line: usize, name: &str) -> Result<(), PolicyFileError> {
        if self.names.contains(name) { Ok(()) } else { Err(name_fault(line, name, "is not defined on a line before")) }
    }
}

fn key(line: usize, text: &str, wanted: NoteKeyType) -> Result<VerifierKey, PolicyFileError> {
    let vkey: VerifierKey = text.parse().map_err(|source| PolicyFileError::Key { line, source })?;
    if vkey.key_type() == wanted {
        Ok(vkey)
    } else {
        Err(PolicyFileError::Line {
            line,
            what: "the key is of the other type: logs sign with 0x01, witnesses with 0x04",
        })
    }
}

fn name_fault(line: usize, name: &str, what: &'static str) -> PolicyFileError {
    PolicyFileError::Name { line, name: name.chars().take(120).collect(), what }
}

/// What can stand as one item on a line.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The name as one word, numbered if it is taken.
fn free_name(taken: &mut BTreeSet<String>, wish: &str) -> String {
    let wish: String = wish.chars().map(|c| if c.is_whitespace() || c.is_control() { '-' } else { c }).collect();
    // A name on the list can be taken only as often as there are names.
    let name = (1..=taken.len() + 1)
        .map(|n| if n == 1 { wish.clone() } else { format!("{wish}-{n}") })
        .find(|name| !name.is_empty() && !taken.contains(name))
        .unwrap_or(wish);
    taken.insert(name.clone());
    name
}

#[cfg(test)]
mod tests;
