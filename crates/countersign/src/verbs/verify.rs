//! `countersign verify`: checks a bundle with nothing but the hash of the charter: no network, no server, no state.

use std::{
    io::{Read as _, Write},
    path::PathBuf,
};

use gate::bundle::{self, FILE_LIMIT_BYTES, Form, Now, Report, VerifyError};
use ledger::statement::v1::Ruling;
use model::Digest;
use serde_json::{Value, json};

use super::{Flags, Format, print_json};
use crate::fault::{Because as _, Fault, Kind};

/// Check a bundle offline: signatures, places in the log, witnesses, persons, and that the verdict follows
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    file: PathBuf,
    /// The hash of the charter, from somebody whom you believe and not from who gave you the file
    #[arg(long, value_name = "HASH")]
    charter: Digest,
    /// Accept only a bundle from which nothing was left out
    #[arg(long)]
    whole: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let shown = args.file.display();
    let mut bytes = Vec::new();
    // One byte more than may be there, so that a file without end is not read to its end.
    std::fs::File::open(&args.file)
        .and_then(|file| file.take(FILE_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes))
        .because(Kind::Usage, format!("`{shown}` can not be read"))?;
    let report = bundle::verify(&bytes, args.charter).map_err(|error| {
        let (kind, hint) = match &error {
            VerifyError::Bundle(_) => (Kind::Input, "docs/bundle.md has the form of the file"),
            VerifyError::Version(_) => (Kind::Input, "check it with the release of Countersign that has this version"),
            _ => (Kind::Untrue, "do not believe it; keep the file, and ask who gave it to you for another"),
        };
        Fault::from_error(kind, error).context(format!("`{shown}` proves nothing")).hint(hint)
    })?;
    match common.format {
        Format::Json => print_json(out, &document(&report))?,
        Format::Text => write!(out, "{report}").because(Kind::Unavailable, "the output is closed")?,
    }
    if args.whole && report.form != Form::Whole {
        return Err(Fault::new(Kind::Refused, "the bundle has only what the verdict was made from")
            .hint("ask for a whole one, or audit the log: what is not in the file could speak against the verdict"));
    }
    if report.is_granted() {
        return Ok(());
    }
    Err(Fault::new(Kind::Refused, "the bundle holds up, and what it proves is a refusal")
        .hint("`needed` of each reason says what would satisfy it"))
}

fn document(report: &Report) -> Value {
    let v = &report.verdict;
    let ruling = |ruling: &Ruling| match ruling {
        Ruling::Granted { until } => json!({ "granted": true, "until": until }),
        Ruling::Refused { reasons } => json!({ "granted": false, "reasons": reasons }),
    };
    let approvers: Vec<Value> = report
        .approvers
        .iter()
        .map(|a| json!({ "person": a.person, "role": a.role, "key": a.key, "index": a.index }))
        .collect();
    let witnesses: Vec<Value> =
        report.witnesses.iter().map(|(operator, time)| json!({ "operator": operator, "time": time })).collect();
    let answer = |now: &Now| match now {
        Now::Granted(until) => json!({ "granted": true, "until": until }),
        Now::Refused(rules) => json!({ "granted": false, "rules": rules }),
        Now::NoAnswer => json!({ "granted": false, "rules": [] }),
        Now::Unknown(None) => Value::Null,
        Now::Unknown(Some((index, said))) => json!({ "said": said, "index": index }),
    };
    json!({
        "form": report.form.name(), "proves": report.proves(), "notice": report.notice,
        "entries": report.entries, "bodies": report.bodies,
        "charter": report.charter, "demo": report.demo, "any_program": report.any_program,
        "duties_hold": report.duties.hold(),
        "log": report.origin, "size": report.size, "time": report.time,
        "witnessed": report.is_witnessed(), "witnesses": witnesses, "witness_quorum": report.witness_quorum,
        "verdict": {
            "index": report.index, "by": report.gate, "ruling": ruling(&v.ruling), "release": v.release,
            "serial": v.serial, "environment": v.environment, "proposal": v.proposal, "size": v.size,
            "decide": v.decide, "at": v.at,
        },
        "approvers": approvers, "contributors": report.contributors, "as_of_size": answer(&report.now),
        "overtaken": report.overtaken.as_ref().map(answer),
    })
}

#[cfg(test)]
mod tests;
