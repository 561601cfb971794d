//! `countersign proof`: one entry of the log for people who have no part in it. The proof is a C2SP tlog-proof file, the
//! rule by which to believe it a C2SP tlog-policy file; any tool that knows these can check, without a server.
//!
//! What is proven are the bytes of the entry, so those are written beside the proof.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use ledger::{
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    proof::Proof,
    reader::keys_of,
    statement::{Members, v1::Charter},
    tlog_policy::TlogPolicy,
};
use model::{Digest, Timestamp};
use serde_json::json;

use super::{Flags, Format, line, log, print_json};
use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
};

/// Write or check a proof that an entry is in the log, for anybody and without a server
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Write the proof of an entry (`.tlog-proof`), and the entry beside it
    Write {
        /// Its log index
        index: u64,
        /// The file to make; the entry goes to the same name with `.dsse.json`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check a proof offline, by the charter in `--dir` or by a policy file
    Check {
        /// The proof
        proof: PathBuf,
        /// The entry that it is for
        entry: PathBuf,
        /// The hash that the charter must have
        #[arg(long, value_name = "HASH", conflicts_with = "policy")]
        charter: Option<Digest>,
        /// A policy file (C2SP tlog-policy) to check by, instead of a charter
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Print the charter's log and witnesses as a policy file
    Policy {
        /// Where others reach the log, to be named in the file
        #[arg(long)]
        url: Option<String>,
    },
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    match &args.part {
        Part::Write { index, out: path } => write(*index, path, common, out),
        Part::Check { proof, entry, charter, policy } => {
            let rule = match policy {
                Some(path) => Rule::Policy(read_policy(path)?),
                None => Rule::Charter(Box::new(charter_file::read(&common.layout(), *charter)?.members)),
            };
            check(proof, entry, &rule, common, out)
        }
        Part::Policy { url } => {
            let policy = policy_of(common.members()?.charter(), url.clone())?;
            match common.format {
                Format::Text => write!(out, "{policy}").because(Kind::Unavailable, "the output is closed"),
                Format::Json => print_json(out, &json!({ "policy": policy.to_string() })),
            }
        }
    }
}

/// The charter's log, witnesses and quorum as a policy.
pub(super) fn policy_of(charter: &Charter, url: Option<String>) -> Result<TlogPolicy, Fault> {
    let (log, rule) = keys_of(charter).because(Kind::Input, "the charter does not hold up")?;
    let urls: BTreeMap<String, String> = charter.witnesses.iter().map(|w| (w.vkey.clone(), w.url.clone())).collect();
    Ok(TlogPolicy::of(log, url, &rule, &urls))
}

fn write(index: u64, path: &Path, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let size = view.facts().size();
    if index >= size {
        return Err(Fault::new(Kind::Usage, format!("the log has {size} statements; {index} is beyond them")));
    }
    let (envelope, receipt) = log::receipt(&view, index)?;
    let proof = Proof::of_receipt(&receipt).because(Kind::Internal, "the receipt is not a proof")?;
    let entry = path.with_extension("dsse.json");
    for (path, bytes) in [(&entry, envelope.canonical_bytes()), (&path.to_owned(), proof.to_bytes())] {
        ledger::durable::write_new(path, &bytes, 0o644)
            .because(Kind::Usage, format!("`{}` can not be written", path.display()))?;
    }
    match common.format {
        Format::Json => print_json(out, &json!({ "index": index, "proof": path, "entry": entry })),
        Format::Text => {
            line(out, format!("{} proves that {} is entry {index}", path.display(), entry.display()))?;
            line(out, "check it with `countersign proof check`, or give both away with `countersign proof policy`")
        }
    }
}

enum Rule {
    Charter(Box<Members>),
    Policy(TlogPolicy),
}

fn check(proof: &Path, entry: &Path, rule: &Rule, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let read = |path: &Path| std::fs::read(path).because(Kind::Usage, format!("`{}` can not be read", path.display()));
    let parsed = Proof::parse(&read(proof)?).because(Kind::Input, format!("`{}` is not a proof", proof.display()))?;
    let bytes = read(entry)?;
    // An envelope that somebody wrote with other spaces is the same statement; the log has it in the one form.
    let envelope = Envelope::parse(&bytes).ok();
    let bytes = envelope.as_ref().map_or(bytes, Envelope::canonical_bytes);
    let untrue = |e: ledger::proof::UnprovenError| {
        Fault::from_error(Kind::Untrue, e).hint("do not believe this entry; ask for another proof, and keep this one")
    };
    let (checkpoint, cosigned, by) = match rule {
        Rule::Policy(policy) => {
            let checkpoint = parsed.verify_under(&bytes, policy).map_err(untrue)?;
            let times = policy.cosigned(&checkpoint).because(Kind::Untrue, "a cosignature does not hold up")?;
            let cosigned = times.into_iter().map(|(name, time)| (name.to_owned(), time)).collect();
            (checkpoint, cosigned, None)
        }
        Rule::Charter(members) => {
            let (log, witnesses) = keys_of(members.charter()).because(Kind::Input, "the charter does not hold up")?;
            let checkpoint = parsed.verify(&bytes, &log, &witnesses).map_err(untrue)?;
            let times = witnesses.times(&checkpoint).because(Kind::Untrue, "a cosignature does not hold up")?;
            let cosigned = times.into_iter().map(|(name, time)| (name.to_owned(), time)).collect();
            let envelope =
                envelope.ok_or_else(|| Fault::new(Kind::Input, format!("`{}` is not an envelope", entry.display())))?;
            let (statement, who) = ledger::statement::open(&envelope, members)
                .because(Kind::Untrue, "the entry is in the log, and is not a statement of this charter's")?;
            (checkpoint, cosigned, Some(format!("{} by {who}", statement.claim.kind())))
        }
    };
    report(&parsed, &checkpoint, &cosigned, by.as_deref(), common, out)
}

fn report(
    proof: &Proof,
    checkpoint: &SignedCheckpoint,
    cosigned: &BTreeMap<String, Timestamp>,
    by: Option<&str>,
    common: &Flags,
    out: &mut dyn Write,
) -> Result<(), Fault> {
    let origin = &checkpoint.checkpoint().origin;
    if common.format == Format::Json {
        let document = json!({
            "log": origin, "index": proof.index(), "size": checkpoint.size(), "root": checkpoint.root(),
            "cosigned": cosigned, "statement": by, "extra_is_unauthenticated": proof.extra().is_some(),
        });
        return print_json(out, &document);
    }
    line(out, format!("entry {} of {} in the log {origin}", proof.index(), checkpoint.size()))?;
    for (name, time) in cosigned {
        line(out, format!("cosigned by {name} at {time}"))?;
    }
    if cosigned.is_empty() {
        line(out, "cosigned by nobody: whoever holds the log's key could have another log with the same name")?;
    }
    match by {
        Some(by) => line(out, format!("signed: {by}"))?,
        None => line(out, "who signed the entry was not checked: a policy file names logs and witnesses only")?,
    }
    if proof.extra().is_some() {
        line(out, "the file has extra data, which nobody vouches for")?;
    }
    Ok(())
}

fn read_policy(path: &Path) -> Result<TlogPolicy, Fault> {
    let shown = format!("`{}`", path.display());
    let bytes = std::fs::read(path).because(Kind::Usage, format!("{shown} can not be read"))?;
    TlogPolicy::parse(&bytes).because(Kind::Input, format!("{shown} is not a policy"))
}

#[cfg(test)]
mod tests;
