//! `countersign about`: every statement about a name, and what it rests on that none is missing.
//!
//! There is no map to trust: the list is made by reading every entry under one signed checkpoint, here, now, or by the
//! audit that kept its index. It writes nothing but the proofs that it is asked for.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use ledger::{
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    follow::WitnessPolicy,
    merkle::leaf_hash,
    note::VerifierKey,
    proof::Proof,
    statement::{Members, Statement},
    subjects::{CHARTER_CHANGES, Subjects},
    sweep::{BUNDLE, Source, Sweep},
};
use model::{Digest, Timestamp};
use serde::Serialize;

use super::{
    Flags, Format,
    audit::{self, Ended, Ground, source},
    find::Name,
    line, print_json, show,
};
use crate::{
    fault::{Because as _, Fault, Kind},
    progress::Count,
};

/// List all statements about a digest, serial, person, release, address or requirement, none missing
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A digest, serial, commit, requirement, address, person, key, environment, suite or component
    name: String,
    /// Where the log is: a folder, its file, or the address of `front`; the folder's own if not given
    #[arg(long, value_name = "DIR|FILE|URL")]
    source: Option<String>,
    /// What an audit kept (`audit --keep`): with its index only what is new is read
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Write every statement's envelope and the proof that it is in the log into this folder
    #[arg(long, value_name = "DIR")]
    proofs: Option<PathBuf>,
    /// The hash of the charter, where the folder has none or is not trusted
    #[arg(long)]
    charter: Option<Digest>,
}

/// Kinds of names that are one word, in the order in which they are tried.
const WORDS: [&str; 7] = ["person", "robot", "system", "environment", "component", "suite", "role"];
/// A cosigned checkpoint is looked for among the last so many entries.
const COSIGNED_WITHIN: u64 = 4_096;
/// Names that are offered where one has no statements.
const OFFERED: usize = 5;

/// One statement.
#[derive(Debug, Serialize)]
struct Row {
    index: u64,
    kind: String,
    by: String,
    role: String,
    /// The time of the first tick that covers it.
    time: Option<Timestamp>,
    says: String,
}

/// What is answered.
#[derive(Debug, Serialize)]
struct Answer {
    name: String,
    /// The names as the index has them.
    names: Vec<String>,
    statements: Vec<Row>,
    complete: Complete,
}

/// What it rests on that none is missing.
#[derive(Debug, Serialize)]
struct Complete {
    /// Every one of so many entries was read and hashed.
    entries: u64,
    /// So many more the log has, which the witnesses have not cosigned: they are not in the list.
    beyond: u64,
    /// They are the tree with this root.
    root: Digest,
    /// So many of them by the audit that kept its index.
    by_kept_audit: u64,
    /// Operators of witnesses that have cosigned that tree.
    witness_operators: usize,
    /// How many the charter asks for.
    witness_quorum: u32,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let copy = source::open(args.source.as_deref(), common)?;
    let source = copy.source();
    let members = audit::members(args.charter, common, &*source)?;
    let (log, witnesses) =
        ledger::reader::keys_of(members.charter()).because(Kind::Input, "the charter does not hold up")?;
    let ground = audit::whole_ground(&*source, &log)?;
    let reading = Reading { source: &*source, members: &members, log: &log, witnesses: &witnesses, ground: &ground };
    let (subjects, in_force, by_kept_audit) = reading.subjects(args.keep.as_deref(), common)?;
    let (checkpoint, operators) = reading.checkpoint()?;
    let names = names(&args.name, &subjects)?;
    let mut found: Vec<u64> = names.iter().flat_map(|name| subjects.about(name)).copied().collect();
    found.sort_unstable();
    found.dedup();
    found.retain(|index| *index < checkpoint.size());
    let mut statements = Vec::with_capacity(found.len());
    for index in found {
        let then = in_force.iter().rfind(|(from, _)| *from <= index).map_or(&members, |(_, then)| then);
        let (envelope, statement, by, proof) = reading.statement(index, then, &checkpoint)?;
        if let Some(folder) = &args.proofs {
            write_proof(folder, index, &envelope, &proof)?;
        }
        statements.push(Row {
            index,
            kind: statement.claim.kind().to_string(),
            by,
            role: statement.header.role.to_string(),
            time: subjects.covered(index),
            says: show::says(&statement.claim),
        });
    }
    let complete = Complete {
        entries: checkpoint.size(),
        beyond: ground.skeleton.size().saturating_sub(checkpoint.size()),
        root: checkpoint.root(),
        by_kept_audit: by_kept_audit.min(checkpoint.size()),
        witness_operators: operators,
        witness_quorum: in_force.last().map_or(&members, |(_, now)| now).charter().witness_quorum,
    };
    let answer = Answer { name: args.name.clone(), names, statements, complete };
    match common.format {
        Format::Json => print_json(out, &answer),
        Format::Text => answer.print(&subjects, out),
    }
}

impl Answer {
    fn print(&self, subjects: &Subjects, out: &mut dyn Write) -> Result<(), Fault> {
        for row in &self.statements {
            let time = row.time.map_or_else(|| "-".to_owned(), |t| t.to_string());
            line(
                out,
                format!("{:>7}  {time:<20}  {:<14} {:<16} {:<15} {}", row.index, row.kind, row.by, row.role, row.says),
            )?;
        }
        let Complete { entries, beyond, root, by_kept_audit, witness_operators, witness_quorum } = &self.complete;
        let count = show::plural(self.statements.len(), "statement");
        line(out, format!("{count} about {}, and none is missing:", self.names.join(", ")))?;
        let kept = match by_kept_audit {
            0 => String::new(),
            n => format!(" ({n} of them by the audit that kept its index)"),
        };
        line(
            out,
            format!("each of the {entries} entries under the root {root} was read and hashed{kept}, none skipped"),
        )?;
        line(
            out,
            match (witness_quorum, witness_operators) {
                (0, _) => "unwitnessed: whoever holds the log's key could show others another log".to_owned(),
                (_, 0) => "no witness has cosigned that root yet".to_owned(),
                (quorum, n) => {
                    format!("{} cosigned it; the charter asks for {quorum}", show::plural(*n, "witness operator"))
                }
            },
        )?;
        if *beyond > 0 {
            let what = if *beyond == 1 { "entry that is" } else { "entries that are" };
            line(out, format!("the log has {beyond} more {what} not cosigned, and not in this list"))?;
        }
        if self.statements.is_empty() {
            let start: String = self.name.chars().take(3).collect();
            let near: Vec<&str> =
                WORDS.iter().flat_map(|kind| subjects.beginning_with(&format!("{kind} {start}"), OFFERED)).collect();
            if !near.is_empty() {
                line(out, format!("there are statements about {}", near.join(", ")))?;
            }
        }
        Ok(())
    }
}

/// The names of the index that a name on the command line means: those that have statements, or, if none has, those that
/// it could be.
fn names(text: &str, subjects: &Subjects) -> Result<Vec<String>, Fault> {
    let mut names: Vec<String> = match Name::parse(text) {
        Ok(Name::Digest(digest)) => ["digest", "key"].iter().map(|kind| format!("{kind} {digest}")).collect(),
        Ok(Name::Serial(serial)) => vec![format!("serial {serial}")],
        Ok(Name::Requirement(id)) => vec![format!("requirement {id}")],
        Ok(Name::Address(address)) => vec![format!("address {address}")],
        Ok(Name::Commit(hex)) => {
            let found = subjects.beginning_with(&format!("commit {hex}"), 2);
            match found.as_slice() {
                [] => vec![format!("commit {hex}")],
                [one] => vec![(*one).to_owned()],
                _ => {
                    return Err(Fault::new(Kind::Usage, format!("`{text}` begins several commits"))
                        .hint("give more of its digits"));
                }
            }
        }
        Ok(Name::Index(_)) => {
            return Err(Fault::new(Kind::Usage, format!("`{text}` is an index, not a name"))
                .hint("`countersign log show` prints the statement at an index"));
        }
        Ok(Name::Environment(Some(system), environment)) => vec![format!("environment {system}/{environment}")],
        Ok(Name::Environment(None, _)) => WORDS.iter().map(|kind| format!("{kind} {text}")).collect(),
        Err(fault) => {
            // `person ada` says which of the things of that name is meant.
            let known = text.split_once(' ').is_some_and(|(kind, _)| WORDS.contains(&kind) || kind == "key");
            if !known {
                return Err(fault);
            }
            vec![text.to_owned()]
        }
    };
    let has_some = names.iter().any(|name| !subjects.about(name).is_empty());
    if has_some {
        names.retain(|name| !subjects.about(name).is_empty());
    }
    Ok(names)
}

/// Who is in force from which index on.
type InForce = Vec<(u64, Members)>;

struct Reading<'a> {
    source: &'a dyn Source,
    members: &'a Members,
    log: &'a VerifierKey,
    witnesses: &'a WitnessPolicy,
    ground: &'a Ground,
}

impl Reading<'_> {
    /// What every entry is about, who is in force from which index on, and how many entries are from a kept index.
    fn subjects(&self, keep: Option<&Path>, common: &Flags) -> Result<(Subjects, InForce, u64), Fault> {
        let mut subjects = match keep {
            Some(path) => self.kept(path)?,
            None => Subjects::new(),
        };
        let from_index = subjects.size();
        let mut in_force = vec![(0, self.members.clone())];
        let progress = Count::new("read", common.format == Format::Text);
        progress.of(self.ground.skeleton.size());
        // Who is in force follows from the first entry on, if anything ever changed it.
        let is_first = subjects.about(CHARTER_CHANGES).is_empty();
        let sweep = Sweep {
            source: self.source,
            members: self.members,
            log: self.log,
            witnesses: self.witnesses,
            skeleton: &self.ground.skeleton,
            is_signed: true,
            verified: from_index,
            from: if is_first { from_index / BUNDLE } else { 0 },
            threads: ledger::sweep::cores(),
        };
        sweep.run::<(), Ended>(&|_| (), |part| {
            if let Some(flaw) = part.flaws.first() {
                return Err(Ended::Fault(audit::not_whole(flaw)));
            }
            for said in &part.said {
                if !in_force.last().is_some_and(|(_, members)| members.is_same(&said.members)) {
                    in_force.push((said.entry.index(), said.members.clone()));
                }
            }
            for said in part.said.iter().filter(|s| s.entry.index() >= from_index) {
                subjects
                    .take(&said.entry, &said.members)
                    .map_err(|e| Ended::Fault(Fault::from_error(Kind::Internal, e)))?;
            }
            progress.at(part.end);
            Ok(())
        })?;
        Ok((subjects, in_force, from_index))
    }

    /// The index of an audit, if it fits what was kept with it and this log goes on from there.
    fn kept(&self, path: &Path) -> Result<Subjects, Fault> {
        let Some(kept) = audit::read_kept(path, self.log)? else { return Ok(Subjects::new()) };
        let unreadable = "the log can not be read";
        let here =
            self.ground.skeleton.range_at(self.source, kept.range.size()).because(Kind::Unavailable, unreadable)?;
        if here.as_ref() != Some(&kept.range) || kept.charter != self.members.hash() {
            return Err(Fault::new(
                Kind::Untrue,
                format!("the log does not go on from what `{}` kept", path.display()),
            )
            .hint("`countersign audit --keep` tells where they differ, and keeps both checkpoints"));
        }
        let index = audit::index_path(path);
        let bytes = std::fs::read(&index).ok().filter(|bytes| kept.index == Some(Digest::of(bytes)));
        let read = bytes.and_then(|bytes| Subjects::from_bytes(&bytes, kept.range.size(), kept.range.root()));
        Ok(read.unwrap_or_else(|| {
            tracing::warn!("`{}` is not the index that was kept; everything is read", index.display());
            Subjects::new()
        }))
    }

    /// The newest checkpoint that the quorum has cosigned, with how many did; otherwise the newest.
    fn checkpoint(&self) -> Result<(SignedCheckpoint, usize), Fault> {
        let unreadable = "the log can not be read";
        let head = self.ground.head.clone().ok_or_else(|| Fault::new(Kind::Unavailable, "the log is empty"))?;
        let from = head.size().saturating_sub(COSIGNED_WITHIN);
        let limit = usize::try_from(COSIGNED_WITHIN).unwrap_or(usize::MAX);
        let stored = self.source.checkpoints(from, limit).because(Kind::Unavailable, unreadable)?;
        for found in stored.iter().rev().filter(|c| c.size <= head.size()) {
            let Ok(mut checkpoint) = SignedCheckpoint::open(&found.note, self.log) else { continue };
            let lines = self.source.cosignatures(found.size).because(Kind::Unavailable, unreadable)?;
            lines.into_iter().for_each(|l| checkpoint.add(l));
            let range = self.ground.skeleton.range_at(self.source, checkpoint.size());
            let fits = range.because(Kind::Unavailable, unreadable)?.map(|r| r.root()) == Some(checkpoint.root());
            if fits && self.witnesses.is_witnessed() && self.witnesses.is_met_by(&checkpoint) {
                let operators = self.witnesses.times(&checkpoint).map_or(0, |t| t.len());
                return Ok((checkpoint, operators));
            }
        }
        Ok((head, 0))
    }

    /// One statement, read again, with the proof that it is under the checkpoint.
    fn statement(
        &self,
        index: u64,
        members: &Members,
        checkpoint: &SignedCheckpoint,
    ) -> Result<(Envelope, Statement, String, Proof), Fault> {
        let unreadable = "the log can not be read";
        let found = self.source.entries(index, 1).because(Kind::Unavailable, unreadable)?.pop();
        let entry = found.ok_or_else(|| Fault::new(Kind::Untrue, format!("entry {index} is missing")))?;
        let proof = self.ground.skeleton.inclusion_proof(self.source, index, checkpoint.size());
        let (leaf, hashes) = proof
            .because(Kind::Unavailable, unreadable)?
            .ok_or_else(|| Fault::new(Kind::Untrue, format!("entry {index} can not be proven")))?;
        if leaf_hash(&entry.bytes) != leaf {
            return Err(Fault::new(Kind::Untrue, format!("entry {index} was changed")));
        }
        let envelope = Envelope::from_entry(&entry.bytes).because(Kind::Untrue, format!("entry {index} is damaged"))?;
        let (statement, by) = ledger::statement::open(&envelope, members)
            .because(Kind::Untrue, format!("entry {index} is not a statement of this log"))?;
        let proof = Proof::new(index, hashes, None, checkpoint.to_bytes())
            .because(Kind::Internal, "the proof can not be written")?;
        Ok((envelope, statement, by.to_string(), proof))
    }
}

/// Writes `INDEX.dsse.json` and `INDEX.tlog-proof`.
fn write_proof(folder: &Path, index: u64, envelope: &Envelope, proof: &Proof) -> Result<(), Fault> {
    let failed = || format!("the proofs can not be written to `{}`", folder.display());
    ledger::durable::create_folder(folder, 0o755).because(Kind::Unavailable, failed())?;
    let write = |name: String, bytes: &[u8]| {
        ledger::durable::write(&folder.join(name), bytes, 0o644).because(Kind::Unavailable, failed())
    };
    write(format!("{index}.dsse.json"), &envelope.canonical_bytes())?;
    write(format!("{index}.tlog-proof"), &proof.to_bytes())
}

#[cfg(test)]
mod tests;
