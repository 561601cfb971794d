//! What a person names on the command line, found in the log: proposals, changes and releases by any of their names.
//!
//! It reads facts and judges nothing. A name that fits several things is an error that lists them.

use std::net::SocketAddr;

use gate::{Facts, Said};
use ledger::statement::v1::{MilestoneKind, Proposal};
use model::{Digest, EnvironmentName, RequirementId, Serial, SystemName};

use super::people;
use crate::{
    fault::{Fault, Kind},
    view::View,
};

/// A name, by its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A log index.
    Index(u64),
    /// A digest: of an image, a release, a document.
    Digest(Digest),
    /// A serial.
    Serial(Serial),
    /// A whole commit id or at least 7 of its first hex digits.
    Commit(String),
    /// An address.
    Address(SocketAddr),
    /// A requirement.
    Requirement(RequirementId),
    /// An environment, perhaps of one system.
    Environment(Option<SystemName>, EnvironmentName),
}

/// As few hex digits of a commit as git itself shows.
const COMMIT_DIGITS: usize = 7;

impl Name {
    /// Reads a name. Digits alone are an index, unless there are so many that they are a commit's.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let hex = text.len() >= COMMIT_DIGITS
            && text.len() <= 40
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        if let Ok(digest) = Digest::from_hex(text) {
            return Ok(Self::Digest(digest));
        }
        if let Ok(serial) = text.parse() {
            return Ok(Self::Serial(serial));
        }
        if let Ok(requirement) = text.parse() {
            return Ok(Self::Requirement(requirement));
        }
        let address = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
        let address = address.split('/').next().unwrap_or_default();
        if let Ok(address) = address.parse() {
            return Ok(Self::Address(address));
        }
        // A commit that happens to be all digits is longer than any index that a log reaches.
        if hex && (text.len() > 12 || text.bytes().any(|b| b.is_ascii_lowercase())) {
            return Ok(Self::Commit(text.to_owned()));
        }
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        if let Some((system, environment)) = text.split_once('/')
            && let (Ok(system), Ok(environment)) = (system.parse(), environment.parse())
        {
            return Ok(Self::Environment(Some(system), environment));
        }
        if let Ok(environment) = text.parse() {
            return Ok(Self::Environment(None, environment));
        }
        Err(Fault::new(Kind::Usage, format!("`{text}` names nothing that the log knows")).hint(
            "name a log index, a serial such as `paydesk-000042`, a digest, a commit, a requirement such as `PAY-142`, \
             an address, or an environment such as `paydesk/production`",
        ))
    }
}

/// Reads on until what a name means is cosigned: whoever was just told an index or a serial may use it at once. What the
/// log does not have is not waited for, and neither is what comes after a name that is known.
pub fn reach(view: &mut View, text: &str) -> Result<(), Fault> {
    match Name::parse(text) {
        Ok(Name::Index(index)) if index >= view.facts().size() && view.is_ordered(index)? => people::see(view, index),
        Ok(Name::Index(_) | Name::Environment(..)) | Err(_) => Ok(()),
        Ok(_) if proposals(view.facts(), text, None).is_ok() => Ok(()),
        Ok(_) => match view.ordered()?.checked_sub(1) {
            Some(last) if last >= view.facts().size() => people::see(view, last),
            _ => Ok(()),
        },
    }
}

/// The proposals that a name means, newest first. None is an error.
pub fn proposals<'a>(
    facts: &'a Facts,
    text: &str,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<&'a Said<Proposal>>, Fault> {
    let name = Name::parse(text)?;
    let newest_first = || facts.proposals().rev().filter(|p| environment.is_none_or(|e| e == &p.claim.environment));
    let found: Vec<&Said<Proposal>> = match &name {
        Name::Index(index) => return Ok(vec![proposal(facts, *index)?]),
        Name::Serial(serial) => newest_first().filter(|p| &p.claim.serial == serial).collect(),
        Name::Digest(digest) => newest_first()
            .filter(|p| p.claim.release == *digest || p.claim.images.iter().any(|i| i.image == *digest))
            .collect(),
        Name::Environment(system, environment) => {
            if facts.members().charter().environment(environment).is_none() {
                let known: Vec<&str> = facts.members().charter().environments.iter().map(|e| e.name.as_str()).collect();
                return Err(Fault::new(Kind::Usage, format!("the charter has no environment `{environment}`"))
                    .hint(format!("it has {}", known.join(", "))));
            }
            let fits = |p: &&Said<Proposal>| {
                &p.claim.environment == environment && system.as_ref().is_none_or(|s| s == p.claim.serial.system())
            };
            newest_first().filter(fits).collect()
        }
        Name::Commit(hex) => newest_first()
            .filter(|p| facts.change(p.claim.change).is_some_and(|c| c.claim.commit.to_string().starts_with(hex)))
            .collect(),
        Name::Address(_) | Name::Requirement(_) => {
            let changes = changes(facts, &name);
            newest_first().filter(|p| changes.contains(&p.claim.change)).collect()
        }
    };
    if found.is_empty() {
        return Err(Fault::new(Kind::Usage, format!("nothing is proposed by the name `{text}`"))
            .hint("`countersign log` lists what there is, `countersign propose` puts a build up"));
    }
    Ok(found)
}

/// The one proposal that a name means: the newest, if all are for one environment.
pub fn one_proposal<'a>(
    facts: &'a Facts,
    text: &str,
    environment: Option<&EnvironmentName>,
) -> Result<&'a Said<Proposal>, Fault> {
    let found = proposals(facts, text, environment)?;
    let first =
        found.first().ok_or_else(|| Fault::new(Kind::Usage, format!("nothing is proposed by the name `{text}`")))?;
    if found.iter().any(|p| {
        p.claim.environment != first.claim.environment || p.claim.serial.system() != first.claim.serial.system()
    }) {
        let all: Vec<String> =
            found.iter().map(|p| format!("{} ({} into {})", p.index, p.claim.serial, p.claim.environment)).collect();
        return Err(Fault::new(Kind::Usage, format!("`{text}` fits several proposals: {}", all.join(", ")))
            .hint("name one by its index, or add `--environment`"));
    }
    Ok(*first)
}

/// The proposal at an index.
pub fn proposal(facts: &Facts, index: u64) -> Result<&Said<Proposal>, Fault> {
    facts.proposal(index).ok_or_else(|| {
        Fault::new(Kind::Usage, format!("there is no proposal at log index {index}"))
            .hint("`countersign log` lists the statements; a proposal by a withdrawn key is none")
    })
}

/// The changes (by log index, newest first) that a name leads to.
pub fn changes(facts: &Facts, name: &Name) -> Vec<u64> {
    let systems = || facts.members().charter().systems.iter();
    let all = || systems().flat_map(|s| facts.changes(&s.name));
    let mut found: Vec<u64> = match name {
        Name::Index(index) => {
            let of_proposal = facts.proposal(*index).map(|p| p.claim.change);
            let of_build = facts.build(*index).map(|b| b.claim.change);
            let of_evidence = facts.one_evidence(*index).map(|e| e.claim.change);
            let itself = facts.change(*index).map(|c| c.index);
            of_proposal.or(of_build).or(of_evidence).or(itself).into_iter().collect()
        }
        Name::Digest(digest) => facts
            .builds()
            .filter(|b| {
                b.claim.release == *digest
                    || b.claim.provenance == *digest
                    || b.claim.sbom == *digest
                    || b.claim.images.iter().any(|i| i.image == *digest)
            })
            .map(|b| b.claim.change)
            .collect(),
        Name::Serial(serial) => {
            facts.changes(serial.system()).filter(|c| c.claim.ordinal == serial.ordinal()).map(|c| c.index).collect()
        }
        Name::Commit(hex) => all()
            .filter(|c| {
                c.claim.commit.to_string().starts_with(hex)
                    || c.claim.commits.iter().any(|f| f.commit.to_string().starts_with(hex))
            })
            .map(|c| c.index)
            .collect(),
        Name::Requirement(id) => {
            all().filter(|c| c.claim.commits.iter().any(|f| f.requirements.contains(id))).map(|c| c.index).collect()
        }
        Name::Address(address) => of_releases(facts, &releases_at(facts, *address)),
        Name::Environment(system, environment) => {
            let live: Vec<Digest> = systems()
                .filter(|s| system.as_ref().is_none_or(|name| name == &s.name))
                .filter_map(|s| facts.live(&s.name, environment).first().map(|l| l.release))
                .collect();
            of_releases(facts, &live)
        }
    };
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.dedup();
    found
}

fn of_releases(facts: &Facts, releases: &[Digest]) -> Vec<u64> {
    facts.builds().filter(|b| releases.contains(&b.claim.release)).map(|b| b.claim.change).collect()
}

/// The releases that run at an address by the agents' word; if none does now, the last that did.
fn releases_at(facts: &Facts, address: SocketAddr) -> Vec<Digest> {
    let charter = facts.members().charter();
    let mut now = Vec::new();
    let mut before: Option<(u64, Digest)> = None;
    for system in &charter.systems {
        for environment in &charter.environments {
            let live = facts.live(&system.name, &environment.name);
            for said in facts.milestones(&system.name, &environment.name) {
                let m = &said.claim;
                if m.what != MilestoneKind::Live || !m.placed.iter().any(|p| p.address == address) {
                    continue;
                }
                if live.first().is_some_and(|l| l.index == said.index) {
                    now.push(m.release);
                } else if before.is_none_or(|(index, _)| index < said.index) {
                    before = Some((said.index, m.release));
                }
            }
        }
    }
    if now.is_empty() { before.map(|(_, release)| release).into_iter().collect() } else { now }
}

#[cfg(test)]
mod tests;
