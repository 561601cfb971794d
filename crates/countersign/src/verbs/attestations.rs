//! `countersign attestations`: the statements about a release as files that other people's tools read: DSSE envelopes,
//! in-toto bundles, Sigstore bundles, OpenSSH signatures, tlog-proofs, and the keys and policy to check them by.
//!
//! It signs nothing and judges nothing. The folder is new, so a crash leaves one that is not complete and is made again.

mod files;

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use gate::Facts;
use ledger::{
    Verified,
    statement::{Statement, v1::Claim},
};
use serde_json::json;

use super::{
    Flags, Format,
    find::{self, Name},
    line,
    log::Proofs,
    print_json, proof, show,
};
use crate::{
    fault::{Because as _, Fault, Kind},
    view::View,
};

/// Write what was said about a release as files for other tools: in-toto, DSSE, Sigstore, OpenSSH, tlog-proof
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `paydesk-000042`, `sha256:…`, a commit, or another name of it
    release: String,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let changes = find::changes(view.facts(), &Name::parse(&args.release)?);
    let about = about(view.facts(), view.statements(), &changes.into_iter().collect());
    if about.is_empty() {
        return Err(Fault::new(Kind::Usage, format!("`{}` leads to nothing in the log", args.release))
            .hint("`countersign log` lists the statements"));
    }
    if args.out.exists() {
        return Err(Fault::new(Kind::Usage, format!("`{}` is already there", args.out.display()))
            .hint("name a folder that is to be made"));
    }
    let written = write(&view, &about, common, &args.out)?;
    match common.format {
        Format::Json => print_json(out, &json!({ "folder": args.out, "statements": about, "files": written })),
        Format::Text => {
            let count = show::plural(about.len(), "statement");
            line(out, format!("{count} in {}; README.txt there says which tool reads which file", args.out.display()))
        }
    }
}

/// The log indices of what was said about these changes.
fn about(facts: &Facts, statements: &[Verified<Statement>], changes: &BTreeSet<u64>) -> Vec<u64> {
    let proposed = |index: u64| facts.proposal(index).is_some_and(|p| changes.contains(&p.claim.change));
    let is_about = |entry: &&Verified<Statement>| match &entry.value().claim {
        Claim::Change(_) => changes.contains(&entry.index()),
        Claim::Build(c) => changes.contains(&c.change),
        Claim::Evidence(c) => changes.contains(&c.change),
        Claim::Proposal(c) => changes.contains(&c.change),
        Claim::Approval(c) => proposed(c.proposal),
        Claim::Rejection(c) => proposed(c.proposal),
        Claim::Verdict(c) => proposed(c.proposal),
        Claim::Milestone(c) => proposed(c.proposal),
        _ => false,
    };
    statements.iter().filter(is_about).map(Verified::index).collect()
}

fn write(view: &View, about: &[u64], common: &Flags, folder: &Path) -> Result<Vec<String>, Fault> {
    let members = view.facts().members();
    let proofs = Proofs::of(view)?;
    let mut files = files::Files::new(folder)?;
    files.put("policy.txt", proof::policy_of(members.charter(), None)?.to_string())?;
    files.keys(members)?;
    for index in about {
        let (envelope, receipt) = proofs.receipt(*index)?;
        let (statement, who) = ledger::statement::open(&envelope, members)
            .because(Kind::Untrue, format!("entry {index} is not a statement of this log"))?;
        let stem = files::stem(*index, statement.claim.kind(), &who);
        files.statement(&stem, &envelope, &receipt, members)?;
        if let Claim::Build(build) = &statement.claim {
            files.provenance(&stem, build.provenance, &common.layout().images())?;
        }
    }
    files.finish()
}

#[cfg(test)]
mod tests;
