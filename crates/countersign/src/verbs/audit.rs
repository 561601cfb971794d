//! `countersign audit`: everything that the log says, verified again without asking any process.
//!
//! Hashes, signatures, who may say what, witnesses, what signers saw when they signed, and every verdict recomputed over
//! the statements that it names. It reads; the only file that it writes is the one of `--keep`. A crash loses nothing.

mod evidence;
mod examine;
mod source;
mod verdicts;

use std::{io::Write, path::PathBuf};

use ledger::statement::Members;
use model::Digest;

use super::{Flags, Format, line, print_json, show};
use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
};

use self::{
    evidence::Kept,
    examine::{Report, examine},
};

/// Verify the whole log and recompute every verdict; needs no server
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A checkpoint of this log that was kept elsewhere, or a file of `--keep`; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The state of a witness: its folder, or its file for this log
    #[arg(long, value_name = "PATH")]
    witness_state: Option<PathBuf>,
    /// Where the log is: a folder, its file, or the address of `front`; the folder's own if not given
    #[arg(long, value_name = "DIR|FILE|URL")]
    source: Option<String>,
    /// Another copy of the log, to name the first statement that differs
    #[arg(long, value_name = "DIR|FILE|URL")]
    against: Option<String>,
    /// Keep here what the next audit compares with; more telling than a checkpoint alone
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// The hash of the charter, where the folder has none or is not trusted
    #[arg(long)]
    charter: Option<Digest>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let store = source::open(args.source.as_deref(), args.charter, common)?;
    let members = members(args, common, &*store)?;
    let (log, witnesses) =
        ledger::reader::keys_of(members.charter()).because(Kind::Input, "the charter does not hold up")?;
    let mut kept = Kept::default();
    for path in &args.checkpoint {
        kept.read(path, &log)?;
    }
    if let Some(path) = &args.witness_state {
        kept.read_witness(path, &log)?;
    }
    let against = args.against.as_deref().map(|a| source::open(Some(a), args.charter, common)).transpose()?;
    let report = examine(&*store, &members, &log, &witnesses, &kept, against.as_deref())?;
    match common.format {
        Format::Json => print_json(out, &report)?,
        Format::Text => write(&report, out)?,
    }
    if let Some(first) = report.findings.first() {
        return Err(Fault::new(Kind::Untrue, format!("the log is not what it should be: {}", first.what))
            .hint("do not go on with this log; keep it as it is, with the checkpoints that contradict it"));
    }
    if let Some(path) = &args.keep {
        ledger::durable::write(path, &report.follower, 0o600)
            .because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
        if common.format == Format::Text {
            line(out, format!("kept `{}` for the next audit (`--checkpoint`)", path.display()))?;
        }
    }
    Ok(())
}

/// The charter: the folder's, or, by its hash, the log's own first statement.
fn members(args: &Args, common: &Flags, store: &dyn ledger::store::Store) -> Result<Members, Fault> {
    let layout = common.layout();
    if layout.charter().exists() {
        return Ok(charter_file::read(&layout, args.charter)?.members);
    }
    let Some(expected) = args.charter else {
        return Err(Fault::new(Kind::Usage, format!("there is no charter at `{}`", layout.charter().display()))
            .hint("give its hash with `--charter sha256:…`; it is what every process is started with"));
    };
    let entry = store.entries(0, 1).because(Kind::Unavailable, "the log can not be read")?.pop();
    let entry = entry.ok_or_else(|| Fault::new(Kind::Untrue, "the log is empty"))?;
    let envelope = ledger::dsse::Envelope::from_entry(&entry.bytes).because(Kind::Untrue, "entry 0 is damaged")?;
    charter_file::members_of(envelope.payload(), Some(expected))
}

fn write(report: &Report, out: &mut dyn Write) -> Result<(), Fault> {
    for finding in &report.findings {
        line(out, format!("WRONG {}", finding.what))?;
    }
    for remark in &report.remarks {
        line(out, format!("note: {remark}"))?;
    }
    let wrong = match report.findings.len() {
        0 => "nothing is wrong".to_owned(),
        n => format!("{} wrong", show::plural(n, "thing")),
    };
    line(
        out,
        format!(
            "audited {}, {} recomputed, {}; {wrong}",
            show::plural(report.statements, "statement"),
            show::plural(report.verdicts, "verdict"),
            show::plural(report.witness_operators, "witness operator"),
        ),
    )
}

#[cfg(test)]
mod tests;
