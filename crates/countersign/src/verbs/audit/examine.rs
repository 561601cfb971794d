//! The examination: every kind of evidence against the log, each as far as it goes, so that one lie does not hide another.

use std::ops::Range;

use ledger::{
    check::{Damage, Evidence, check_log},
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    follow::WitnessPolicy,
    merkle::{CompactRange, TILE_WIDTH},
    note::{NoteSignature, VerifierKey},
    reader::Reader,
    statement::{Members, Statement, v1::Claim},
    store::Store,
    tick,
};
use model::{Clock as _, Digest};
use serde::Serialize;

use super::{evidence::Kept, verdicts::recompute};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    verbs::show,
};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The first log index that it is about, as closely as the evidence says.
    pub(super) index: Option<u64>,
    /// The last, if the evidence only says that it lies between.
    pub(super) up_to: Option<u64>,
    /// What.
    pub(super) what: String,
}

impl Finding {
    pub(super) const fn at(index: u64, what: String) -> Self {
        Self { index: Some(index), up_to: None, what }
    }

    fn between(place: &Range<u64>, what: String) -> Self {
        Self { index: Some(place.start), up_to: Some(place.end.saturating_sub(1)), what }
    }
}

/// What an audit found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) statements: usize,
    /// Verdicts that were recomputed.
    pub(super) verdicts: usize,
    /// Operators of witnesses that have cosigned the latest cosigned checkpoint.
    pub(super) witness_operators: usize,
    pub(super) findings: Vec<Finding>,
    pub(super) remarks: Vec<String>,
    /// What the next audit compares with.
    #[serde(skip)]
    pub(super) follower: Vec<u8>,
}

/// How far back a cosigned checkpoint is looked for.
const COSIGNED_LOOKBACK: usize = 64;

/// Examines a log. An error is that it can not be read; what is wrong with it is in the report.
pub(super) fn examine(
    store: &dyn Store,
    members: &Members,
    log: &VerifierKey,
    witnesses: &WitnessPolicy,
    kept: &Kept,
    against: Option<&dyn Store>,
) -> Result<Report, Fault> {
    let mut report = Report {
        statements: 0,
        verdicts: 0,
        witness_operators: 0,
        findings: Vec::new(),
        remarks: remarks(members)?,
        follower: Vec::new(),
    };
    let evidence = Evidence { log, witnesses, checkpoints: &kept.checkpoints, kept: kept.follower.as_ref() };
    match check_log(store, &evidence) {
        Ok(_) => {}
        Err(Damage::Store(error)) => {
            return Err(Fault::from_error(Kind::Unavailable, error).context("the log can not be read"));
        }
        Err(damage) => report.findings.push(of_damage(&damage)),
    }
    let entries = read(store)?;
    report.statements = entries.len();
    if let Some(other) = against {
        compare(&entries, &read(other)?, &mut report.findings);
    }
    let roots = roots(&entries);
    let opened = open_all(&entries, members, &mut report.findings);
    what_was_seen(&opened, &roots, members, &mut report.findings);
    cosigned(store, log, witnesses, &roots, &mut report)?;

    // Verdicts can only be recomputed over statements that hold up.
    if opened.len() == entries.len()
        && let Some(head) = store.head().because(Kind::Unavailable, "the log can not be read")?
    {
        let mut reader = Reader::unwitnessed(members.clone()).because(Kind::Input, "the charter does not hold up")?;
        match reader.advance(&entries, &head.note, SystemClock.now()) {
            Ok(statements) => {
                report.follower = reader.follower().to_bytes();
                recompute(&statements, members, &mut report)?;
            }
            Err(error) if report.findings.is_empty() => {
                report.findings.push(Finding { index: None, up_to: None, what: chain(&error) });
            }
            Err(_) => {}
        }
    }
    if report.verdicts == 0 && !report.findings.is_empty() {
        report.remarks.push("the verdicts were not recomputed: the statements under them do not hold up".to_owned());
    }
    Ok(report)
}

/// What the charter does not promise.
fn remarks(members: &Members) -> Result<Vec<String>, Fault> {
    let charter = members.charter();
    let mut remarks = Vec::new();
    if charter.demo {
        remarks.push("the charter is marked demo: its keys were made in one place, and it protects nothing".to_owned());
    }
    if charter.witness_quorum == 0 {
        remarks.push(
            "unwitnessed: no witness is asked, so whoever holds the log's key could show others another log".to_owned(),
        );
    }
    let duties = gate::duties::check(charter).because(Kind::Refused, "the charter is refused")?;
    for reach in &duties.through_hosts {
        let roles: Vec<&str> = reach.roles.iter().map(model::RoleName::as_str).collect();
        remarks.push(format!(
            "\"no one person can\" does not hold: {} reaches {} through a host",
            reach.person,
            roles.join(", ")
        ));
    }
    if duties.hold() {
        remarks.push("\"no one person can\" holds by the charter".to_owned());
    }
    Ok(remarks)
}

fn of_damage(damage: &Damage) -> Finding {
    let what = chain(damage);
    match damage {
        Damage::Entry(index, _) | Damage::Identity(index) => Finding::at(*index, what),
        Damage::Rewritten { place, .. } => Finding::between(place, what),
        Damage::Shrunk { size, .. } => Finding::at(*size, what),
        Damage::Unsigned { signed, .. } => Finding::at(*signed, what),
        Damage::Store(_) | Damage::Tile { .. } | Damage::Checkpoint { .. } => {
            Finding { index: None, up_to: None, what }
        }
    }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

fn read(store: &dyn Store) -> Result<Vec<Vec<u8>>, Fault> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    loop {
        let more =
            store.entries(entries.len() as u64, TILE_WIDTH).because(Kind::Unavailable, "the log can not be read")?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more.into_iter().map(|e| e.bytes));
    }
}

/// The root over the first entries, for every number of them.
fn roots(entries: &[Vec<u8>]) -> Vec<Digest> {
    let mut range = CompactRange::new();
    let mut roots = vec![range.root()];
    for entry in entries {
        range.push_entry(entry);
        roots.push(range.root());
    }
    roots
}

/// The first statement in which two copies differ.
fn compare(ours: &[Vec<u8>], theirs: &[Vec<u8>], findings: &mut Vec<Finding>) {
    let words = |entry: &[u8]| {
        let envelope = Envelope::from_entry(entry).ok()?;
        let statement = Statement::from_bytes(envelope.payload()).ok()?;
        Some(format!("{} by {}: {}", statement.claim.kind(), envelope.signer().short(), show::says(&statement.claim)))
    };
    let differs = ours.iter().zip(theirs).position(|(a, b)| a != b);
    if let Some(at) = differs
        && let (Some(a), Some(b)) = (ours.get(at), theirs.get(at))
    {
        let say = |entry: &[u8]| words(entry).unwrap_or_else(|| "not a statement".to_owned());
        findings.push(Finding::at(
            at as u64,
            format!("entry {at} is not the one in the other copy: here `{}`, there `{}`", say(a), say(b)),
        ));
    }
}

/// Opens every entry under the charter, up to the first that is not a statement of this log.
fn open_all(entries: &[Vec<u8>], members: &Members, findings: &mut Vec<Finding>) -> Vec<Statement> {
    let mut opened = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let statement = Envelope::from_entry(entry)
            .map_err(|e| chain(&e))
            .and_then(|envelope| ledger::statement::open(&envelope, members).map_err(|e| chain(&e)));
        match statement {
            Ok((statement, _)) => opened.push(statement),
            Err(why) => {
                findings
                    .push(Finding::at(index as u64, format!("entry {index} is not a statement of this log: {why}")));
                break;
            }
        }
    }
    opened
}

/// Every statement names the checkpoint that its signer had seen, and every tick one that witnesses cosigned. Whoever
/// rewrites history would have to have all of them signed again by everyone.
fn what_was_seen(opened: &[Statement], roots: &[Digest], members: &Members, findings: &mut Vec<Finding>) {
    let mut seen: Vec<(u64, Digest, usize, &str)> = Vec::new();
    for (index, statement) in opened.iter().enumerate() {
        if let Some(s) = &statement.header.seen {
            seen.push((s.size, s.root, index, "its signer had seen"));
        }
        if let Claim::Tick(claim) = &statement.claim {
            match tick::open(&claim.checkpoint, members.charter()) {
                Some(t) => seen.push((t.size, t.root, index, "its checkpoint vouches for")),
                None => findings.push(Finding::at(
                    index as u64,
                    format!("the tick at {index} carries a checkpoint that the log and its witnesses did not sign"),
                )),
            }
        }
    }
    seen.sort_by_key(|(size, ..)| *size);
    let mut agreed = 0;
    for (size, root, index, how) in seen {
        let there = usize::try_from(size).ok().and_then(|s| roots.get(s));
        if there == Some(&root) && size <= index as u64 {
            agreed = size;
            continue;
        }
        let place = agreed..size;
        let what = if size > index as u64 {
            format!("entry {index} names a checkpoint over {size} statements, which is later than itself")
        } else {
            format!(
                "entries {agreed} to {} are not those that {how} when entry {index} was signed: history was rewritten",
                size.saturating_sub(1)
            )
        };
        findings.push(Finding::between(&place, what));
        return;
    }
}

/// The latest checkpoint that enough operators of witnesses have cosigned.
fn cosigned(
    store: &dyn Store,
    log: &VerifierKey,
    witnesses: &WitnessPolicy,
    roots: &[Digest],
    report: &mut Report,
) -> Result<(), Fault> {
    if !witnesses.is_witnessed() {
        return Ok(());
    }
    let unreadable = "the log can not be read";
    for size in store.cosigned_sizes(COSIGNED_LOOKBACK).because(Kind::Unavailable, unreadable)? {
        let stored =
            store.checkpoints(size, 1).because(Kind::Unavailable, unreadable)?.pop().filter(|c| c.size == size);
        let Some(mut checkpoint) = stored.and_then(|c| SignedCheckpoint::open(&c.note, log).ok()) else { continue };
        for text in store.cosignatures(size).because(Kind::Unavailable, unreadable)? {
            NoteSignature::parse_lines(&text).unwrap_or_default().into_iter().for_each(|s| checkpoint.add(s));
        }
        let fits = usize::try_from(size).ok().and_then(|s| roots.get(s)) == Some(&checkpoint.root());
        if !fits || !witnesses.is_met_by(&checkpoint) {
            continue;
        }
        report.witness_operators = witnesses.times(&checkpoint).map(|t| t.len()).unwrap_or(0);
        let left = (report.statements as u64).saturating_sub(size);
        if left > 0 {
            report.remarks.push(format!(
                "the last {} are not cosigned by the quorum of witnesses yet",
                show::plural(usize::try_from(left).unwrap_or(usize::MAX), "statement")
            ));
        }
        return Ok(());
    }
    report.findings.push(Finding {
        index: None,
        up_to: None,
        what: "no checkpoint of these entries is cosigned by the quorum of witnesses that the charter asks for"
            .to_owned(),
    });
    Ok(())
}
