//! `countersign bundle`: one file with everything that it takes to check a verdict without a network or a server.
//!
//! What is written was checked before, as whoever gets it will check it. It writes one new file; a crash leaves none or
//! all of it.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use gate::bundle::{self, BODY_LIMIT, Body, Bundle, ENTRY_LIMIT, Entry, FILE_LIMIT_BYTES, Form, Now};
use ledger::{
    Verified,
    bodies::KeptBody,
    merkle::inclusion_proof,
    statement::{
        Statement,
        v1::{Claim, Ruling},
    },
};
use model::{Digest, EnvironmentName};
use serde_json::json;

use super::{Flags, Format, find, line, print_json, show};
use crate::{
    fault::{Because as _, Fault, Kind},
    view::View,
};

/// Write one file from which anybody can check a verdict offline
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A proposal's log index, a serial, a release digest, a commit, or an environment such as `paydesk/production`
    release: String,
    /// The environment, where a name is proposed for several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// The file to make; by default the serial and the environment with `.bundle`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The verdict, by its log index; by default the last that was granted, or else the last
    #[arg(long, value_name = "INDEX")]
    verdict: Option<u64>,
    /// Only the statements that the verdict was made from, even of a log that is small enough to be carried whole
    #[arg(long)]
    selected: bool,
    /// Also the bodies that the statements commit to; what is in a bundle can not be erased any more
    #[arg(long)]
    with_bodies: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    find::reach(&mut view, &args.release)?;
    let said = find::one_proposal(view.facts(), &args.release, args.environment.as_ref())?;
    let (proposal, serial, environment) = (said.index, said.claim.serial.clone(), said.claim.environment.clone());
    let verdict = verdict(&view, proposal, args.verdict)?;
    let (bundle, left_out) = make(&view, verdict, args.selected, args.with_bodies)?;
    let text = bundle.to_text();
    let report = bundle::verify(text.as_bytes(), bundle.charter)
        .because(Kind::Untrue, "the log does not prove this verdict, and nothing was written")?;
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{serial}-{environment}.bundle")));
    write(&path, text.as_bytes())?;
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({
                "file": path, "form": bundle.form.name(), "charter": bundle.charter, "verdict": verdict,
                "granted": report.is_granted(), "entries": bundle.entries.len(), "bodies": bundle.bodies.len(),
                "bodies_left_out": left_out, "bytes": text.len(), "size": report.size, "notice": bundle.notice(),
            }),
        );
    }
    let (form, entries) = (bundle.form.name(), show::plural(bundle.entries.len(), "entry"));
    let path = path.display();
    line(out, format!("{path}: {form} bundle of {entries}, {} bytes, for the verdict at {verdict}", text.len()))?;
    if report.overtaken.is_some() {
        line(out, "the verdict was overtaken before it was in the log, and that is what the bundle proves")?;
    } else if !report.is_granted() {
        line(out, "the verdict is a refusal, and that is what the bundle proves")?;
    } else if let Now::Refused(rules) = &report.now {
        line(out, format!("by now it is refused ({}); the bundle says so too", rules.join(", ")))?;
    }
    if left_out > 0 {
        line(out, format!("{} that are not kept any more are not in it", show::plural(left_out, "body")))?;
    }
    line(out, bundle.notice())?;
    line(out, format!("check it anywhere: countersign verify {path} --charter {}", bundle.charter))
}

/// The verdict on a proposal that is asked for.
fn verdict(view: &View, proposal: u64, wanted: Option<u64>) -> Result<u64, Fault> {
    let mut found = view.statements().iter().rev().filter_map(|entry| match &entry.value().claim {
        Claim::Verdict(v) if v.proposal == proposal => {
            Some((entry.index(), matches!(v.ruling, Ruling::Granted { .. })))
        }
        _ => None,
    });
    match wanted {
        Some(wanted) => found.find(|(index, _)| *index == wanted).map(|(index, _)| index).ok_or_else(|| {
            Fault::new(Kind::Usage, format!("there is no verdict on proposal {proposal} at log index {wanted}"))
        }),
        None => {
            let all: Vec<(u64, bool)> = found.collect();
            let best = all.iter().find(|(_, is_granted)| *is_granted).or(all.first());
            best.map(|(index, _)| *index).ok_or_else(|| {
                Fault::new(Kind::Refused, format!("the gate has said nothing about proposal {proposal} yet"))
                    .hint("`countersign why` computes what it would say")
            })
        }
    }
}

/// The bundle, and how many bodies are not kept any more.
fn make(view: &View, verdict: u64, selected: bool, with_bodies: bool) -> Result<(Bundle, usize), Fault> {
    let reader = view.reader();
    let checkpoint =
        reader.checkpoint().ok_or_else(|| Fault::new(Kind::Unavailable, "the log has no checkpoint yet"))?;
    let note = String::from_utf8(checkpoint.to_bytes()).because(Kind::Internal, "the checkpoint is not text")?;
    let (size, members) = (checkpoint.size(), reader.members());
    let mut entries = Vec::new();
    let mut form = Form::Whole;
    if !selected && size <= ENTRY_LIMIT as u64 {
        entries = whole(view, size)?;
    }
    if entries.is_empty() {
        form = Form::Selected;
        let chosen = bundle::select(members, view.policy(), view.statements(), verdict)
            .because(Kind::Untrue, "the statements of this verdict can not be told from the others")?;
        if chosen.len() > ENTRY_LIMIT {
            let many = chosen.len();
            return Err(Fault::new(
                Kind::Refused,
                format!("the verdict was made from {many} statements, and a bundle has at most {ENTRY_LIMIT}"),
            ));
        }
        for index in chosen {
            let bytes = view.log().entries(index)?.into_iter().next();
            let bytes = bytes.ok_or_else(|| Fault::new(Kind::Untrue, format!("the log does not hand out {index}")))?;
            let proof = inclusion_proof(reader.history(), index, size)
                .because(Kind::Internal, "the tree that was read makes no proof")?;
            entries.push(Entry { index, proof, bytes });
        }
    }
    let carried: BTreeSet<u64> = entries.iter().map(|e| e.index).collect();
    let statements = view.statements().iter().filter(|s| carried.contains(&s.index()));
    let (bodies, left_out) = if with_bodies { bodies(view, statements)? } else { (Vec::new(), 0) };
    Ok((Bundle { form, charter: members.hash(), verdict, entries, bodies, note }, left_out))
}

/// Every entry; none if they are too large for a file.
fn whole(view: &View, size: u64) -> Result<Vec<Entry>, Fault> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes_left = FILE_LIMIT_BYTES / 2;
    while (entries.len() as u64) < size {
        let from = entries.len() as u64;
        let more = view.log().entries(from)?;
        if more.is_empty() {
            return Err(Fault::new(Kind::Untrue, format!("{size} entries were signed and the log hands out {from}")));
        }
        for (index, bytes) in (from..size).zip(more) {
            match bytes_left.checked_sub(bytes.len()) {
                Some(left) => bytes_left = left,
                None => return Ok(Vec::new()),
            }
            entries.push(Entry { index, proof: Vec::new(), bytes });
        }
    }
    Ok(entries)
}

/// The bodies that statements commit to and the log still keeps, and how many it does not.
fn bodies<'a>(
    view: &View,
    statements: impl Iterator<Item = &'a Verified<Statement>>,
) -> Result<(Vec<Body>, usize), Fault> {
    let commitments: BTreeSet<Digest> = statements
        .filter_map(|s| match &s.value().claim {
            Claim::Rejection(c) => c.reason,
            Claim::Halt(c) => c.reason,
            Claim::Evidence(c) => c.cases,
            _ => None,
        })
        .collect();
    if commitments.len() > BODY_LIMIT {
        let many = commitments.len();
        return Err(Fault::new(
            Kind::Refused,
            format!("there are {many} bodies, and a bundle has at most {BODY_LIMIT}"),
        )
        .hint("leave `--with-bodies` out, or add `--selected`"));
    }
    let (mut bodies, mut left_out) = (Vec::new(), 0);
    for commitment in commitments {
        match view.log().body(commitment)? {
            KeptBody::Kept(body) => bodies.push(Body::of([&body.salt[..], &body.bytes].concat())),
            KeptBody::Erased | KeptBody::Missing => left_out += 1,
        }
    }
    Ok((bodies, left_out))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    ledger::durable::write_new(path, bytes, 0o644)
        .because(Kind::Usage, format!("`{}` can not be written", path.display()))
        .map_err(|fault| fault.hint("name another file with `--out`; none is written over"))
}

#[cfg(test)]
mod tests;
