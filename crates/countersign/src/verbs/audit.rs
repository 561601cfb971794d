//! `countersign audit`: everything that the log says, verified again without asking any process.
//!
//! Hashes, signatures, who may say what, witnesses, what signers saw when they signed, and every verdict recomputed over
//! the statements that it names. It reads; what it writes is the file of `--keep`, now and then and at the end, and both
//! checkpoints where the log contradicts one that was kept. A crash loses what was audited since it kept last.

mod duties;
mod evidence;
mod examine;
mod ground;
mod passage;
mod report;
pub(super) mod source;

use std::{io::Write, path::PathBuf};

use ledger::{
    note::VerifierKey,
    statement::Members,
    sweep::{Flaw, Source, kept::Kept},
};
use model::Digest;

use super::{Flags, Format, documents, line};
use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
    progress::Count,
};

pub(super) use self::{duties::story, evidence::read_kept, examine::Ended, ground::Ground};
use self::{
    evidence::Pieces,
    examine::{Examination, KEEP_EVERY, write_kept},
};

/// Verify the whole log and recompute every verdict; needs no server
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
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
    /// Keep here how far the audit came, and go on from there: the next one audits only what is new
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Audit everything again, also what the file of `--keep` says was audited
    #[arg(long)]
    from_start: bool,
    /// The folder for checkpoints that contradict each other; beside what was kept if not given
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Release documents, each a file named by its digest; the folder's own if not given
    #[arg(long, value_name = "DIR")]
    releases: Option<PathBuf>,
    /// The hash of the charter, where the folder has none or is not trusted
    #[arg(long)]
    charter: Option<Digest>,
}

/// What else is audited than the log.
#[derive(Debug, clap::Subcommand)]
enum What {
    Duties(duties::Args),
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    if let Some(What::Duties(args)) = &args.what {
        return duties::run(args, common, out);
    }
    run_keeping(args, common, KEEP_EVERY, out)
}

fn run_keeping(args: &Args, common: &Flags, every: u64, out: &mut dyn Write) -> Result<(), Fault> {
    let copy = source::open(args.source.as_deref(), common)?;
    let source = copy.source();
    let members = members(args.charter, common, &*source)?;
    let (log, witnesses) =
        ledger::reader::keys_of(members.charter()).because(Kind::Input, "the charter does not hold up")?;
    let mut pieces = Pieces::default();
    for path in &args.checkpoint {
        pieces.read(path, &log)?;
    }
    if let Some(path) = &args.witness_state {
        pieces.read_witness(path, &log)?;
    }
    let mut kept = match &args.keep {
        Some(path) => read_kept(path, &log)?,
        None => None,
    };
    if args.from_start
        && kept.take().is_some()
        && let Some(path) = &args.keep
    {
        // Not to go on from, but it still says what the log was.
        pieces.read(path, &log)?;
    }
    let against = args.against.as_deref().map(|a| source::open(Some(a), common)).transpose()?;
    let against = against.as_ref().map(source::LogCopy::source);
    let releases = args.releases.clone().unwrap_or_else(|| documents::folder(&common.layout()));
    let documents = |digest: &Digest| documents::release(&releases, digest);
    let progress = Count::new("audited", common.format == Format::Text);
    let (report, kept, subjects) = Examination {
        source: &*source,
        members: &members,
        log: &log,
        witnesses: &witnesses,
        pieces: &pieces,
        against: against.as_deref(),
        kept,
        keep: args.keep.as_deref().map(|path| (path, every)),
        evidence: args.evidence.as_deref(),
        documents: &documents,
        progress: &progress,
    }
    .run()?;
    drop(progress);
    report.print(common.format, out)?;
    if let Some(first) = report.findings.first() {
        return Err(Fault::new(Kind::Untrue, format!("the log is not what it should be: {}", first.what))
            .hint("do not go on with this log; keep it as it is, with the checkpoints that contradict it"));
    }
    if let (Some(path), Some(kept)) = (&args.keep, kept) {
        // The index first: a crash in between leaves one that does not fit what is kept, and is made again.
        let index = subjects.to_bytes(kept.range.root());
        let beside = index_path(path);
        ledger::durable::write(&beside, &index, 0o600)
            .because(Kind::Unavailable, format!("`{}` can not be written", beside.display()))?;
        write_kept(path, &Kept { index: Some(Digest::of(&index)), ..kept })?;
        if common.format == Format::Text {
            line(out, format!("kept `{}`; the next audit goes on from it", path.display()))?;
        }
    }
    Ok(())
}

/// The index of what statements are about, beside what an audit keeps.
pub(super) fn index_path(kept: &std::path::Path) -> PathBuf {
    let mut name = kept.as_os_str().to_owned();
    name.push(".index");
    name.into()
}

/// The ground of a log of which nothing is wrong so far.
pub(super) fn whole_ground(source: &dyn Source, log: &VerifierKey) -> Result<Ground, Fault> {
    let ground = ground::find(source, log)?;
    match ground.findings.first() {
        Some(first) => Err(untrue(&first.what)),
        None if !ground.is_signed => Err(untrue("the entries do not lead to the root that the log has signed")),
        None => Ok(ground),
    }
}

/// The fault that a flaw is to whoever reads on.
pub(super) fn not_whole(flaw: &Flaw) -> Fault {
    untrue(&report::Finding::of_flaw(flaw).what)
}

fn untrue(what: &str) -> Fault {
    Fault::new(Kind::Untrue, format!("the log is not what it should be: {what}"))
        .hint("`countersign audit` tells everything that is wrong with it")
}

/// The charter: the folder's, or, by its hash, the log's own first statement.
pub(super) fn members(expected: Option<Digest>, common: &Flags, source: &dyn Source) -> Result<Members, Fault> {
    let layout = common.layout();
    if layout.charter().exists() {
        return Ok(charter_file::read(&layout, expected)?.members);
    }
    let Some(expected) = expected else {
        return Err(Fault::new(Kind::Usage, format!("there is no charter at `{}`", layout.charter().display()))
            .hint("give its hash with `--charter sha256:…`; it is what every process is started with"));
    };
    let entry = source.entries(0, 1).because(Kind::Unavailable, "the log can not be read")?.pop();
    let entry = entry.ok_or_else(|| Fault::new(Kind::Untrue, "the log is empty"))?;
    let envelope = ledger::dsse::Envelope::from_entry(&entry.bytes).because(Kind::Untrue, "entry 0 is damaged")?;
    charter_file::members_of(envelope.payload(), Some(expected))
}

#[cfg(test)]
mod tests;
