//! `countersign log`: the statements, one a line, or one of them whole with the proof that it is in the log; and moving
//! the log.

mod bodies;
mod relocate;

use std::io::Write;

use ledger::{
    bodies::KeptBody,
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    log::Receipt,
    merkle::{Nodes, inclusion_proof, leaf_hash, node_hash},
    note::VerifierKey,
};
use model::Digest;
use serde_json::{Value, json};

use super::{Flags, Format, line, print_json, show};
use crate::{
    fault::{Because as _, Fault, Kind},
    log_client::{LONG_POLL, LogClient},
    view::View,
};

/// List the statements of the log, show one, or move the log into another store
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// The first log index; the last statements if not given
    #[arg(long)]
    from: Option<u64>,
    /// At most so many
    #[arg(long, default_value_t = LIMIT)]
    limit: usize,
    /// Only this kind, such as `verdict`
    #[arg(long)]
    kind: Option<String>,
    /// Go on printing what is new
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Print one statement as it was signed, with its inclusion receipt
    Show {
        /// Its log index
        index: u64,
    },
    /// Move the stopped log into another store, changing no byte of it
    Move {
        /// Where to: `postgres://…`, or a file that does not exist yet
        #[arg(long, value_name = "URL|FILE")]
        to: String,
        /// Where from; where this host keeps its log if not given
        #[arg(long, value_name = "URL|FILE")]
        from: Option<String>,
    },
    /// Copy the bodies of the stopped log to another place, byte for byte
    MoveBodies {
        /// Where to: `s3://…`, or a folder
        #[arg(long, value_name = "URL|FOLDER")]
        to: String,
        /// Where from; where this host keeps them if not given
        #[arg(long, value_name = "URL|FOLDER")]
        from: Option<String>,
    },
}

/// As many lines as a person reads.
const LIMIT: usize = 50;

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    match &args.part {
        Some(Part::Show { index }) => show_one(*index, common, out),
        Some(Part::Move { to, from }) => relocate::run(to, from.as_deref(), common, out),
        Some(Part::MoveBodies { to, from }) => bodies::run(to, from.as_deref(), common, out),
        None => list(args, common, out),
    }
}

fn list(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    if let Some(kind) = &args.kind
        && !ledger::statement::v1::Kind::ALL.iter().any(|k| k.name() == kind)
    {
        let known: Vec<&str> = ledger::statement::v1::Kind::ALL.iter().map(|k| k.name()).collect();
        return Err(Fault::new(Kind::Usage, format!("`{kind}` is not a kind of statement"))
            .hint(format!("there are {}", known.join(", "))));
    }
    let fits = |row: &show::Row| args.kind.as_ref().is_none_or(|k| k == &row.kind);
    let rows: Vec<show::Row> = {
        let facts = view.facts();
        let all = view.statements().iter().map(|s| show::row(facts, s)).filter(fits);
        match args.from {
            Some(from) => all.filter(|r| r.index >= from).take(args.limit).collect(),
            None => {
                let all: Vec<_> = all.collect();
                let skip = all.len().saturating_sub(args.limit);
                all.into_iter().skip(skip).collect()
            }
        }
    };
    if common.format == Format::Json && !args.follow {
        return print_json(out, &json!({ "size": view.facts().size(), "statements": rows }));
    }
    for row in &rows {
        print(row, common.format, out)?;
    }
    if !args.follow {
        let size = view.facts().size();
        return line(
            out,
            format!("{} of {}", rows.len(), show::plural(usize::try_from(size).unwrap_or(usize::MAX), "statement")),
        );
    }
    out.flush().because(Kind::Unavailable, "the output is closed")?;
    loop {
        let from = view.wait(LONG_POLL)?;
        for row in view.statements().iter().skip(from).map(|s| show::row(view.facts(), s)).filter(fits) {
            print(&row, common.format, out)?;
        }
        out.flush().because(Kind::Unavailable, "the output is closed")?;
    }
}

/// One row on one line; in JSON one document a line, so that a program can read on.
fn print(row: &show::Row, format: Format, out: &mut dyn Write) -> Result<(), Fault> {
    match format {
        Format::Text => line(out, row),
        Format::Json => line(out, serde_json::to_string(row).because(Kind::Internal, "the row is not JSON")?),
    }
}

fn show_one(index: u64, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let size = view.facts().size();
    let entry = usize::try_from(index)
        .ok()
        .and_then(|i| view.statements().get(i))
        .ok_or_else(|| Fault::new(Kind::Usage, format!("the log has {size} statements; {index} is beyond them")))?;
    let (envelope, receipt) = receipt(&view, index)?;
    let statement: Value =
        serde_json::from_slice(envelope.payload()).because(Kind::Internal, "the statement is not JSON")?;
    let raw: Value =
        serde_json::from_slice(&envelope.canonical_bytes()).because(Kind::Internal, "the envelope is not JSON")?;
    let checkpoint =
        String::from_utf8(receipt.checkpoint.clone()).because(Kind::Internal, "the checkpoint is not text")?;
    let mut bodies = Vec::new();
    for (name, commitment) in entry.value().claim.commitments() {
        bodies.push(body(name, &view.log().body(commitment)));
    }
    let document = json!({
        "row": show::row(view.facts(), entry),
        "statement": statement,
        "bodies": bodies,
        "envelope": raw,
        "receipt": { "index": receipt.index, "proof": receipt.proof, "checkpoint": checkpoint },
    });
    print_json(out, &document)
}

/// What is kept beside the log for one field of a statement. That it can not be had is shown too, and hides nothing else.
fn body(name: &str, kept: &Result<KeptBody, Fault>) -> Value {
    match kept {
        Ok(KeptBody::Kept(body)) => match std::str::from_utf8(&body.bytes) {
            Ok(text) => json!({ "of": name, "state": "kept", "text": text }),
            Err(_) => json!({ "of": name, "state": "kept", "bytes": body.bytes.len() }),
        },
        Ok(KeptBody::Erased) => json!({ "of": name, "state": "erased" }),
        Ok(KeptBody::Missing) => json!({ "of": name, "state": "not kept" }),
        Err(fault) => json!({ "of": name, "state": "not readable", "trouble": fault.message() }),
    }
}

/// The envelope of a statement, and the proof that it is under the checkpoint that the view accepted.
pub(super) fn receipt(view: &View, index: u64) -> Result<(Envelope, Receipt), Fault> {
    Proofs::of(view)?.receipt(index)
}

/// Every entry under the checkpoint that a view accepted, to prove any of them.
pub(super) struct Proofs {
    log: VerifierKey,
    checkpoint: SignedCheckpoint,
    entries: Vec<Vec<u8>>,
    leaves: Vec<Digest>,
}

impl Proofs {
    /// Reads the entries.
    pub(super) fn of(view: &View) -> Result<Self, Fault> {
        let checkpoint = view.reader().checkpoint().cloned();
        let checkpoint = checkpoint.ok_or_else(|| Fault::new(Kind::Unavailable, "there is no checkpoint yet"))?;
        let entries = entries(view.log(), &checkpoint)?;
        let leaves = entries.iter().map(|e| leaf_hash(e)).collect();
        Ok(Self { log: view.reader().follower().log().clone(), checkpoint, entries, leaves })
    }

    /// An entry and its proof. Both are checked here, as anyone can.
    pub(super) fn receipt(&self, index: u64) -> Result<(Envelope, Receipt), Fault> {
        let proof = inclusion_proof(&Leaves(&self.leaves), index, self.checkpoint.size())
            .map_err(|Missing| Fault::new(Kind::Untrue, "the log does not hand out all of its entries"))?;
        let entry = usize::try_from(index)
            .ok()
            .and_then(|i| self.entries.get(i))
            .ok_or_else(|| Fault::new(Kind::Untrue, "the entry is gone"))?;
        let envelope =
            Envelope::from_entry(entry).because(Kind::Untrue, format!("entry {index} is not an envelope"))?;
        let receipt = Receipt { index, proof, checkpoint: self.checkpoint.to_bytes() };
        receipt.verify(&envelope, &self.log).because(Kind::Untrue, "the receipt does not hold up")?;
        Ok((envelope, receipt))
    }
}

fn entries(log: &LogClient, checkpoint: &SignedCheckpoint) -> Result<Vec<Vec<u8>>, Fault> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < checkpoint.size() {
        let more = log.entries(entries.len() as u64)?;
        if more.is_empty() {
            return Err(Fault::new(
                Kind::Untrue,
                format!("the log hands out {} of {} entries", entries.len(), checkpoint.size()),
            ));
        }
        entries.extend(more);
    }
    entries.truncate(usize::try_from(checkpoint.size()).unwrap_or(usize::MAX));
    Ok(entries)
}

/// Hashes of subtrees, computed from the entries' own.
struct Leaves<'a>(&'a [Digest]);

/// An entry that is not there.
#[derive(Debug)]
struct Missing;

impl Nodes for Leaves<'_> {
    type Error = Missing;

    fn node(&self, level: u32, index: u64) -> Result<Digest, Missing> {
        let Some(below) = level.checked_sub(1) else {
            return usize::try_from(index).ok().and_then(|i| self.0.get(i)).copied().ok_or(Missing);
        };
        let (left, right) = (self.node(below, index * 2)?, self.node(below, index * 2 + 1)?);
        Ok(node_hash(&left, &right))
    }
}

#[cfg(test)]
mod tests;
