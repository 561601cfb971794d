//! `countersign why`: the verdict on a proposal, recomputed here, with every reason and what it rests on.
//!
//! What the gate said is shown beside it and not believed.

use std::io::Write;

use gate::{Dossier, decide_with};
use ledger::statement::v1::{Claim, Reason, Ruling, Verdict};
use model::{Digest, EnvironmentName, Serial, Timestamp};
use serde::Serialize;

use super::{Flags, Format, compared, documents, find, line, people, print_json, show};
use crate::{
    fault::{Because as _, Fault, Kind},
    view::View,
};

/// Tell why something may be released or not
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A proposal's log index, a serial, a release digest, a commit, or an environment such as `paydesk/production`
    what: String,
    /// The environment, where a name is proposed for several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
}

/// The answer about one proposal.
#[derive(Debug, Serialize)]
struct Answer {
    proposal: u64,
    serial: Serial,
    environment: EnvironmentName,
    release: Digest,
    runs: bool,
    granted: bool,
    until: Option<Timestamp>,
    /// `until` as people write times.
    until_text: Option<String>,
    /// Over how many statements.
    size: u64,
    unwitnessed: bool,
    /// Roles of robots whose programs the charter does not list.
    any_program: Vec<model::RoleName>,
    reasons: Vec<Reason>,
    /// Whether it was put up in an emergency.
    emergency: bool,
    /// The evidence that it owes for that, once it may go.
    owes: Vec<String>,
    quorum: String,
    /// How much longer it must run in the environments before, in words.
    soak: Vec<String>,
    rests_on: Vec<show::Row>,
    gate: Option<GateSaid>,
    /// Statements of its rollout that do not follow from what was counted, by index.
    wrong: Vec<(u64, String)>,
}

/// What the gate last said.
#[derive(Debug, Serialize)]
struct GateSaid {
    index: u64,
    says: String,
    /// Whether it gave the same answer for the same reasons.
    agrees: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    find::reach(&mut view, &args.what)?;
    let facts = view.facts();
    let found = find::proposals(facts, &args.what, args.environment.as_ref())?;
    let mut answers: Vec<Answer> = Vec::new();
    for said in found {
        let (system, environment) = (said.claim.serial.system(), &said.claim.environment);
        let runs = facts.live(system, environment).first().is_some_and(|l| l.proposal == said.index);
        let told = answers.iter().any(|a| a.serial.system() == system && &a.environment == environment);
        // The newest of each environment, and what runs there: everything else is settled.
        if told && !runs {
            continue;
        }
        answers.push(answer(&view, said.index, common)?);
    }
    if common.format == Format::Json {
        return print_json(out, &answers);
    }
    for (number, answer) in answers.iter().enumerate() {
        if number > 0 {
            line(out, "")?;
        }
        write(answer, out)?;
    }
    Ok(())
}

fn answer(view: &View, proposal: u64, common: &Flags) -> Result<Answer, Fault> {
    let facts = view.facts();
    let said = find::proposal(facts, proposal)?;
    let claim = &said.claim;
    let decision = decide_with(view.policy(), facts, proposal).because(Kind::Input, "no decision")?;
    let dossier = Dossier::gather(facts, proposal)
        .ok_or_else(|| Fault::new(Kind::Usage, format!("there is no proposal at log index {proposal}")))?;
    let (until, reasons) = match &decision.verdict.ruling {
        Ruling::Granted { until } => (Some(*until), Vec::new()),
        Ruling::Refused { reasons } => (None, reasons.clone()),
    };
    let rests_on = decision
        .verdict
        .rests_on
        .iter()
        .filter_map(|index| view.statements().get(usize::try_from(*index).ok()?))
        .map(|entry| show::row(facts, entry))
        .collect();
    let gate = view.statements().iter().rev().find_map(|entry| match &entry.value().claim {
        Claim::Verdict(v) if v.proposal == proposal => {
            Some(GateSaid { index: entry.index(), says: show::verdict(v), agrees: same(v, &decision.verdict) })
        }
        _ => None,
    });
    let runs = facts.live(claim.serial.system(), &claim.environment).first().is_some_and(|l| l.proposal == proposal);
    Ok(Answer {
        proposal,
        serial: claim.serial.clone(),
        environment: claim.environment.clone(),
        release: claim.release,
        runs,
        granted: decision.is_granted(),
        until,
        until_text: until.map(|t| t.to_string()),
        size: decision.verdict.size,
        unwitnessed: decision.verdict.unwitnessed,
        any_program: facts.members().charter().roles_of_any_program().into_iter().cloned().collect(),
        reasons,
        emergency: claim.emergency,
        owes: gate::emergencies(view.policy(), facts)
            .into_iter()
            .filter(|emergency| emergency.proposal == proposal)
            .flat_map(|emergency| emergency.missing)
            .collect(),
        quorum: people::how_far(&dossier),
        soak: dossier.promotions.iter().filter_map(|p| soak_left(p, dossier.now)).collect(),
        rests_on,
        gate,
        wrong: {
            let folder = documents::folder(&common.layout());
            compared::wrong(view.statements(), proposal, &|digest| documents::release(&folder, digest))
        },
    })
}

/// `1 h 12 min of soak left in staging`, by the log's time; parts of a minute count as one.
fn soak_left(promotion: &gate::Promotion, now: Timestamp) -> Option<String> {
    let left_s = promotion.left_s(now)?;
    let minutes = left_s.div_ceil(60);
    let time = match (minutes / 60, minutes % 60) {
        _ if left_s < 60 => format!("{left_s} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    };
    Some(format!("{time} of soak left in {}", promotion.after))
}

/// Whether two verdicts give the same answer for the same reasons; the time until which one is granted moves on.
fn same(a: &Verdict, b: &Verdict) -> bool {
    match (&a.ruling, &b.ruling) {
        (Ruling::Granted { .. }, Ruling::Granted { .. }) => true,
        (Ruling::Refused { reasons: a }, Ruling::Refused { reasons: b }) => a == b,
        _ => false,
    }
}

fn write(a: &Answer, out: &mut dyn Write) -> Result<(), Fault> {
    let runs = if a.runs { ", which runs there" } else { "" };
    line(out, format!("proposal {}: {} into {}{runs}", a.proposal, a.serial, a.environment))?;
    match &a.until_text {
        Some(until) => line(out, format!("GRANTED until {until}"))?,
        None => line(out, format!("REFUSED for {}", show::plural(a.reasons.len(), "reason")))?,
    }
    if a.emergency {
        line(out, "put up in an EMERGENCY: before its evidence was there, for a while that ends by itself")?;
    }
    for owed in &a.owes {
        line(out, format!("  owes   {owed}"))?;
    }
    let unwitnessed = if a.unwitnessed { "; unwitnessed: the time is only the robots' own" } else { "" };
    line(out, format!("recomputed here over {} statements{unwitnessed}", a.size))?;
    if let Some(words) = gate::bundle::any_program(&a.any_program) {
        line(out, words)?;
    }
    for reason in &a.reasons {
        line(out, format!("  rule   {}", reason.rule))?;
        if !reason.found.is_empty() {
            line(out, format!("  found  {}", reason.found))?;
        }
        line(out, format!("  needed {}", reason.needed))?;
        line(out, "")?;
    }
    for (index, what) in &a.wrong {
        line(out, format!("WRONG in its rollout, statement {index}: {what}"))?;
    }
    line(out, &a.quorum)?;
    for soak in &a.soak {
        line(out, soak)?;
    }
    line(out, "it rests on:")?;
    for row in &a.rests_on {
        line(out, row)?;
    }
    match &a.gate {
        None => line(out, "the gate has said nothing about it yet"),
        Some(gate) => {
            let agrees = if gate.agrees { "the same" } else { "something else, on what it had read then" };
            line(out, format!("the gate last said {agrees}, at {}: {}", gate.index, gate.says))
        }
    }
}

#[cfg(test)]
mod tests;
