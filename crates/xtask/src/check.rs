//! `cargo xtask check`: every rule of the house that a program can check, a file a rule.
//!
//! A rule is a function from a [`Tree`] (the files as a value) to findings, tested on trees made in memory. The checks
//! that are other programs' (format, clippy, cargo-deny, shellcheck) are in [`programs`]. Nothing is changed.
//!
//! To add a rule: a file here with `NAME` and `check`, its tests beside, and a line in [`RULES`].

mod attributes;
mod auditor;
mod doc_links;
mod edges;
mod finding;
#[cfg(test)]
mod fixture;
mod globs;
mod length;
mod machine_paths;
mod manifests;
mod module_docs;
mod names;
mod orphans;
mod programs;
mod pure_rooms;
mod sleeps;
mod snapshots;
mod source;
mod tree;
mod unfinished;

use std::io::Write;

use anyhow::Context as _;

use finding::{Finding, Level};
use tree::Tree;

/// How much is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speed {
    /// What needs no compiling: a second.
    Fast,
    /// Everything.
    Full,
}

type Rule = fn(&Tree) -> Vec<Finding>;

/// The rules that look at files alone.
const RULES: &[Rule] = &[
    attributes::check,
    doc_links::check,
    globs::check,
    length::check,
    machine_paths::check,
    manifests::check,
    module_docs::check,
    names::check,
    orphans::check,
    pure_rooms::check,
    sleeps::check,
    snapshots::check,
    unfinished::check,
];

/// Checks the repository and writes a line a finding. True if nothing is wrong (warnings are not).
///
/// # Errors
/// If the tree can not be read, or a program not started, or nothing written.
pub(crate) fn run(speed: Speed, out: &mut dyn Write) -> anyhow::Result<bool> {
    let root = tree::root()?;
    let tree = Tree::read(&root).context("can not read the files of the repository")?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.extend(edges::check(&programs::metadata(&root)?)?);
    findings.extend(auditor::check(&programs::auditor_tree(&root)?));
    findings.extend(programs::format(&root, &tree)?);
    write_all(&mut findings, out)?;
    if speed == Speed::Full {
        // These write more than a line while they run; theirs follow the others.
        let mut found = programs::scripts(&root, &tree)?;
        found.extend(programs::deny(&root)?);
        found.extend(programs::clippy(&root)?);
        write_all(&mut found, out)?;
        findings.append(&mut found);
    }
    let wrong = findings.iter().filter(|finding| finding.level == Level::Wrong).count();
    let warned = findings.len() - wrong;
    writeln!(out, "check: {} files, {wrong} wrong, {warned} warned", tree.len())?;
    Ok(wrong == 0)
}

fn write_all(findings: &mut [Finding], out: &mut dyn Write) -> std::io::Result<()> {
    findings.sort();
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    out.flush()
}
