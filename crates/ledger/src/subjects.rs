//! What statements are about: from each to the names by which people ask, also those that follow from statements that it
//! refers to.
//!
//! An approval names a proposal, and so is about its release, its images, its commit and its requirements; evidence is
//! about the change that it was made of; a resume is about what was halted. Persons, keys and roles of signers are names
//! too. It refuses to know which statements count: a name's list is complete, void and expired ones included.
//!
//! *Invariant in-order:* `lists` hold log indices in growing order, each once.

use std::collections::{BTreeMap, HashMap};

use model::{Digest, Timestamp};

use crate::{
    Verified,
    charter::Charters,
    statement::{
        Members, Signatory, Statement,
        v1::{Claim, EvidenceOn, Image},
    },
};

/// The first line of a file.
const HEADER: &str = "countersign-index/v2";

/// The name under which stands everything that can have changed who is in force.
pub const CHARTER_CHANGES: &str = "charter changes";

/// Statements by what they are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    size: u64,
    numbers: HashMap<String, u32>,
    lists: Vec<Vec<u64>>,
    /// What changes, builds, proposals and halts are about, for the statements that refer to them.
    things: BTreeMap<u64, Vec<u32>>,
    /// For each tick that moves time on: how many entries it covers, and the earliest time of its witnesses.
    ticks: Vec<(u64, Timestamp)>,
}

/// A statement that is not the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the statement at index {expected}, got {found}")]
pub struct OutOfOrder {
    /// The index that comes next.
    pub expected: u64,
    /// The index that came.
    pub found: u64,
}

/// The names that a statement gives by itself: those of things, which statements that refer to it inherit, and those of
/// whoever had a part in it.
struct Own {
    things: Vec<String>,
    parts: Vec<String>,
    /// Statements that it refers to.
    refers: Vec<u64>,
    /// Whether others refer to it.
    is_thing: bool,
}

impl Subjects {
    /// No statements yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many statements were taken.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many names there are.
    pub fn names(&self) -> usize {
        self.numbers.len()
    }

    /// Takes the next statement, with the members in force there.
    pub fn take(&mut self, entry: &Verified<Statement>, members: &Members) -> Result<(), OutOfOrder> {
        let index = entry.index();
        if index != self.size {
            return Err(OutOfOrder { expected: self.size, found: index });
        }
        let own = own(entry, members);
        let mut things: Vec<u32> = own.things.into_iter().map(|name| self.number(name)).collect();
        for other in own.refers {
            things.extend(self.things.get(&other).into_iter().flatten());
        }
        things.sort_unstable();
        things.dedup();
        let parts: Vec<u32> = own.parts.into_iter().map(|name| self.number(name)).collect();
        for number in things.iter().chain(&parts) {
            if let Some(list) = self.lists.get_mut(*number as usize)
                && list.last() != Some(&index)
            {
                list.push(index);
            }
        }
        if let Claim::Tick(claim) = &entry.value().claim
            && let Some(tick) = entry.tick()
        {
            let time = tick.times.iter().min().copied().unwrap_or(claim.at);
            if self.ticks.last().is_none_or(|(covers, last)| *covers < tick.size && *last <= time) {
                self.ticks.push((tick.size, time));
            }
        }
        if own.is_thing {
            self.things.insert(index, things);
        }
        self.size += 1;
        Ok(())
    }

    fn number(&mut self, name: String) -> u32 {
        // Names are at most a few for each statement, and statements are fewer than that by far.
        let next = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.lists.push(Vec::new());
        }
        number
    }

    /// The indices of all statements about a name, in order; none if there are none.
    pub fn about(&self, name: &str) -> &[u64] {
        self.numbers.get(name).and_then(|n| self.lists.get(*n as usize)).map_or(&[], Vec::as_slice)
    }

    /// The time of the first tick that covers an entry; none before there is one.
    pub fn covered(&self, index: u64) -> Option<Timestamp> {
        self.ticks.get(self.ticks.partition_point(|(covers, _)| *covers <= index)).map(|(_, time)| *time)
    }

    /// The names that begin like this, in order, at most `limit`.
    pub fn beginning_with(&self, text: &str, limit: usize) -> Vec<&str> {
        let mut found: Vec<&str> = self.numbers.keys().map(String::as_str).filter(|n| n.starts_with(text)).collect();
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// As a file, bound to the tree whose entries it lists:
    ///
    /// ```text
    /// countersign-index/v2
    /// <entries>
    /// <root of the tree over them>
    /// <name>\t<index> <how many later> <how many later> …      a line a name, in order
    /// @<index>\t<line> <line> …                                what a statement that others refer to is about
    /// !<entries covered>\t<seconds since 1970>                 a tick
    /// ```
    pub fn to_bytes(&self, root: Digest) -> Vec<u8> {
        let mut out = format!("{HEADER}\n{}\n{root}\n", self.size);
        let sorted: BTreeMap<&str, u32> = self.numbers.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        let mut lines = vec![0_usize; self.lists.len()];
        for (line, (name, number)) in sorted.into_iter().enumerate() {
            out.push_str(name);
            let mut before = 0;
            for (index, mark) in self.list(number).iter().zip(std::iter::once('\t').chain(std::iter::repeat(' '))) {
                out.push(mark);
                out.push_str(&(index - before).to_string());
                before = *index;
            }
            out.push('\n');
            if let Some(place) = lines.get_mut(number as usize) {
                *place = line;
            }
        }
        for (index, things) in &self.things {
            let lines: Vec<String> =
                things.iter().filter_map(|n| lines.get(*n as usize)).map(ToString::to_string).collect();
            out.push_str(&format!("@{index}\t{}\n", lines.join(" ")));
        }
        for (covers, time) in &self.ticks {
            out.push_str(&format!("!{covers}\t{}\n", time.unix()));
        }
        out.into_bytes()
    }

    /// Reads a file of [`Subjects::to_bytes`]; `None` if it is none of the tree with this size and root. That nothing is
    /// missing from it only who wrote it knows.
    pub fn from_bytes(bytes: &[u8], size: u64, root: Digest) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut lines = text.split('\n');
        if lines.next()? != HEADER || lines.next()? != size.to_string() || lines.next()? != root.to_string() {
            return None;
        }
        let mut read = Self { size, ..Self::default() };
        for line in lines {
            let (name, rest) = line.split_once('\t')?;
            let numbers = rest.split(' ').filter(|n| !n.is_empty()).map(str::parse);
            if let Some(index) = name.strip_prefix('@') {
                let things = numbers.collect::<Result<Vec<u64>, _>>().ok()?;
                let things = things.into_iter().map(|n| u32::try_from(n).ok()).collect::<Option<_>>()?;
                read.things.insert(index.parse().ok()?, things);
            } else if let Some(covers) = name.strip_prefix('!') {
                read.ticks.push((covers.parse().ok()?, Timestamp::from_unix(rest.parse().ok()?)));
            } else {
                let mut list: Vec<u64> = Vec::new();
                for later in numbers {
                    let later: u64 = later.ok()?;
                    list.push(list.last().map_or(Some(later), |last| last.checked_add(later))?);
                }
                let number = u32::try_from(read.lists.len()).ok()?;
                read.numbers.insert(name.to_owned(), number);
                read.lists.push(list);
            }
        }
        Some(read)
    }

    fn list(&self, number: u32) -> &[u64] {
        self.lists.get(number as usize).map_or(&[], Vec::as_slice)
    }
}

fn own(entry: &Verified<Statement>, members: &Members) -> Own {
    let statement = entry.value();
    let header = &statement.header;
    let mut parts = vec![format!("key {}", entry.key()), format!("role {}", header.role)];
    if let Some(signer) = entry.by() {
        parts.extend(signer.persons().iter().map(|p| format!("person {p}")));
        if let Signatory::Robot { id, .. } = &**signer {
            parts.push(format!("robot {id}"));
        }
    }
    if Charters::concerns(&statement.claim) && !matches!(statement.claim, Claim::Tick(_)) {
        parts.push(CHARTER_CHANGES.to_owned());
    }
    parts.extend(header.system.iter().map(|s| format!("system {s}")));
    parts.extend(header.environment.iter().map(|e| format!("environment {e}")));
    if let (Some(system), Some(environment)) = (&header.system, &header.environment) {
        parts.push(format!("environment {system}/{environment}"));
    }
    let mut own = Own { things: Vec::new(), parts, refers: Vec::new(), is_thing: false };
    own.claim(&statement.claim);
    match &statement.claim {
        // A halt, and what refers to it, is about each place that it halts.
        Claim::Halt(c) => {
            let charter = members.charter();
            let everywhere = charter.environments.iter().map(|e| &e.name).filter(|_| c.environment.is_none());
            let systems: Vec<_> =
                charter.systems.iter().map(|s| &s.name).filter(|s| header.system.iter().all(|h| h == *s)).collect();
            for environment in c.environment.iter().chain(everywhere) {
                own.thing("environment", environment);
                systems.iter().for_each(|system| own.thing("environment", format!("{system}/{environment}")));
            }
        }
        // Taking a key away is about whose it is.
        Claim::KeyWithdrawal(c) => {
            if let Ok(whose) = members.holder(c.key) {
                whose.persons().iter().for_each(|p| own.part("person", p));
                if let Signatory::Robot { id, .. } = whose {
                    own.part("robot", id);
                }
            }
        }
        _ => {}
    }
    own
}

impl Own {
    fn thing(&mut self, kind: &str, name: impl std::fmt::Display) {
        self.things.push(format!("{kind} {name}"));
    }

    fn part(&mut self, kind: &str, name: impl std::fmt::Display) {
        self.parts.push(format!("{kind} {name}"));
    }

    fn images(&mut self, images: &[Image]) {
        for image in images {
            self.thing("digest", image.image);
            self.part("component", &image.component);
        }
    }

    fn claim(&mut self, claim: &Claim) {
        match claim {
            Claim::Charter(c) => {
                c.members.iter().for_each(|m| self.part("person", &m.id));
                c.robots.iter().for_each(|r| self.part("robot", &r.id));
                c.systems.iter().for_each(|s| self.part("system", &s.name));
                c.environments.iter().for_each(|e| self.part("environment", &e.name));
            }
            Claim::Tick(_) => {}
            Claim::Change(c) => {
                self.is_thing = true;
                self.thing("commit", c.commit);
                self.thing("serial", model::Serial::new(c.system.clone(), c.ordinal));
                self.part("digest", c.manifest);
                c.values.iter().for_each(|v| self.part("value", v));
                for commit in &c.commits {
                    self.thing("commit", commit.commit);
                    commit.requirements.iter().for_each(|r| self.thing("requirement", r));
                    commit.contributors.iter().for_each(|p| self.part("person", p));
                    commit.key.iter().for_each(|k| self.part("key", k));
                }
                for suite in &c.suites {
                    self.part("suite", &suite.name);
                    suite.covers.iter().for_each(|r| self.part("requirement", r));
                    self.part("digest", suite.definition);
                    self.part("digest", suite.files);
                }
            }
            Claim::Build(c) => {
                self.is_thing = true;
                self.refers.push(c.change);
                self.thing("serial", &c.serial);
                self.thing("digest", c.release);
                self.images(&c.images);
                self.part("digest", c.provenance);
                self.part("digest", c.sbom);
            }
            Claim::Evidence(c) => {
                self.refers.push(c.change);
                self.part("suite", &c.suite);
                self.part("digest", c.definition);
                self.part("digest", c.files);
                c.cases.iter().for_each(|d| self.part("digest", d));
                c.excepted.iter().chain(&c.missing).for_each(|d| self.part("digest", d));
                c.covers.iter().for_each(|r| self.part("requirement", r));
                match &c.on {
                    EvidenceOn::Source { commit } => self.thing("commit", commit),
                    EvidenceOn::Containers { release, images } => {
                        self.thing("digest", release);
                        self.images(images);
                    }
                }
            }
            Claim::Proposal(c) => {
                self.is_thing = true;
                self.refers.extend([c.change, c.build]);
                self.thing("serial", &c.serial);
                self.thing("digest", c.release);
                self.images(&c.images);
                c.replaces.iter().for_each(|d| self.part("digest", d));
                c.edited_suites.iter().chain(&c.removed_suites).for_each(|s| self.part("suite", s));
                for value in &c.values {
                    self.refers.push(value.proposal);
                    self.part("value", &value.name);
                    self.part("digest", value.value);
                }
            }
            Claim::Approval(c) => {
                self.refers.push(c.proposal);
                self.thing("digest", c.release);
                c.replaces.iter().for_each(|d| self.part("digest", d));
                self.part("digest", c.shown);
            }
            Claim::Rejection(c) => {
                self.refers.push(c.proposal);
                self.thing("digest", c.release);
                c.reason.iter().for_each(|d| self.part("digest", d));
            }
            Claim::Verdict(c) => {
                self.refers.push(c.proposal);
                self.thing("serial", &c.serial);
                self.thing("digest", c.release);
                self.part("digest", c.policy);
            }
            Claim::Milestone(c) => {
                self.refers.push(c.proposal);
                self.thing("serial", &c.serial);
                self.thing("digest", c.release);
                c.other.iter().for_each(|d| self.part("digest", d));
                c.component.iter().for_each(|n| self.part("component", n));
                for placed in &c.placed {
                    self.part("address", placed.address);
                    self.part("digest", placed.image);
                }
            }
            Claim::Analysis(c) => {
                self.refers.push(c.proposal);
                self.thing("serial", &c.serial);
                self.thing("digest", c.release);
                self.part("digest", c.other);
                c.metrics.iter().for_each(|m| self.part("component", &m.component));
            }
            Claim::Halt(c) => {
                self.is_thing = true;
                c.reason.iter().for_each(|d| self.part("digest", d));
            }
            Claim::Resume(c) => self.refers.push(c.halt),
            Claim::Retirement(c) => {
                self.thing("serial", &c.serial);
                self.thing("digest", c.release);
            }
            Claim::Report(c) => {
                self.thing("serial", &c.serial);
                self.thing("digest", c.release);
                self.part("digest", c.words);
                c.component.iter().for_each(|name| self.part("component", name));
            }
            Claim::Rollback(c) => {
                self.thing("digest", c.from);
                self.thing("digest", c.to);
            }
            Claim::Exception(c) => {
                self.part("suite", &c.suite);
                self.part("digest", c.case);
                self.part("person", &c.owner);
            }
            Claim::KeyWithdrawal(c) => self.part("key", c.key),
            Claim::Amendment(c) => {
                self.is_thing = true;
                self.thing("digest", c.becomes);
            }
            Claim::Consent(c) => {
                self.refers.push(c.amendment);
                self.thing("digest", c.becomes);
                self.part("digest", c.shown);
            }
            Claim::Cancellation(c) => {
                self.refers.push(c.of);
                c.reason.iter().for_each(|d| self.part("digest", d));
            }
            Claim::ValueProposal(c) => {
                self.is_thing = true;
                self.thing("value", &c.name);
                self.thing("digest", c.value);
                self.refers.extend(c.replaces);
                c.reason.iter().for_each(|d| self.part("digest", d));
            }
            Claim::ValueApproval(c) => {
                self.refers.push(c.proposal);
                self.thing("value", &c.name);
                self.thing("digest", c.value);
                self.part("digest", c.shown);
            }
            Claim::Alarm(c) => {
                self.is_thing = true;
                self.refers.extend(c.about.statement);
                c.about.component.iter().for_each(|n| self.part("component", n));
                c.about.value.iter().for_each(|n| self.part("value", n));
            }
            Claim::Acknowledgement(c) => self.refers.push(c.alarm),
            Claim::Silence(c) => {
                self.is_thing = true;
                self.refers.extend(c.about.statement);
                c.about.component.iter().for_each(|n| self.part("component", n));
                c.about.value.iter().for_each(|n| self.part("value", n));
                self.part("digest", c.reason);
            }
            Claim::Erasure(c) => {
                self.part("digest", c.subject);
                c.reason.iter().for_each(|d| self.part("digest", d));
            }
        }
    }
}

#[cfg(test)]
mod tests;
