//! `countersign audit duties`: what each person and each robot can do alone and with whom, and whether "no one person can"
//! holds.
//!
//! It prints what `gate` answers when it is asked about the charter, and judges nothing. It writes nothing.

use std::{io::Write, path::PathBuf};

use gate::duties::{Act, Profile, Report, Share, Story};
use ledger::statement::v1::Charter;
use model::{PersonId, RoleName};
use serde_json::{Value, json};

use super::super::{Flags, Format, line, print_json};
use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
    founding,
};

/// What each person and each robot can do alone and with whom, from the rules themselves
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A charter, its draft, or a founding file, instead of the charter in force; no key of a founding file is needed
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
    /// Only this person
    #[arg(long)]
    person: Option<PersonId>,
    /// What the people of a release did and held while it was on its way
    #[arg(long, value_name = "NAME", conflicts_with_all = ["charter", "person"])]
    release: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    if let Some(release) = &args.release {
        return super::passage::run(release, common, out);
    }
    let (charter, origin) = match &args.charter {
        Some(path) => (read(path)?, format!("`{}`", path.display())),
        None => in_force(common)?,
    };
    gate::duties::check(&charter).because(Kind::Refused, "the charter is refused")?;
    let mut report =
        gate::duties::report(&charter).because(Kind::Input, "it can not be said what the charter lets whom do")?;
    if let Some(person) = &args.person {
        report.profiles.retain(|p| p.persons.contains(person));
        report.profiles.iter_mut().for_each(|p| p.persons.retain(|id| id == person));
        if report.profiles.is_empty() {
            let known: Vec<&str> = charter.members.iter().map(|m| m.id.as_str()).collect();
            return Err(Fault::new(Kind::Usage, format!("the charter has no member `{person}`"))
                .hint(format!("it has {}", known.join(", "))));
        }
    }
    match common.format {
        Format::Json => print_json(out, &document(&report, &origin)),
        Format::Text => write(&report, &origin, args.person.is_some(), out),
    }
}

/// The charter in force: the log's, or the folder's where the log does not answer.
fn in_force(common: &Flags) -> Result<(Charter, String), Fault> {
    match common.view() {
        Ok(view) => {
            let origin = format!("the charter in force after {} statements", view.facts().size());
            Ok((view.facts().members().charter().clone(), origin))
        }
        Err(fault) => {
            let members = common.members()?;
            Ok((
                members.charter().clone(),
                format!("the founders' charter; the log was not asked ({})", fault.message()),
            ))
        }
    }
}

/// A charter from a file: the founders' envelopes, a draft, or a founding file.
fn read(path: &std::path::Path) -> Result<Charter, Fault> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).because(Kind::Usage, format!("`{shown}` can not be read"))?;
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if let Ok(envelope) = ledger::dsse::Envelope::parse(first.as_bytes()) {
        return Ok(charter_file::members_of(envelope.payload(), None)?.charter().clone());
    }
    if text.trim_start().starts_with('{') {
        return Ok(charter_file::members_of(text.trim_end().as_bytes(), None)?.charter().clone());
    }
    founding::Founding::parse(&text)?.rehearsed(path.parent().unwrap_or(std::path::Path::new(".")))
}

fn write(report: &Report, origin: &str, only: bool, out: &mut dyn Write) -> Result<(), Fault> {
    let people: usize = report.profiles.iter().map(|p| p.persons.len()).sum();
    line(out, format!("{origin}: {} acts, {people} people, {} robots", report.acts, report.robots.len()))?;
    for profile in &report.profiles {
        line(out, "")?;
        write_profile(profile, out)?;
    }
    if !only {
        for robot in &report.robots {
            line(out, "")?;
            line(out, format!("robot {} ({})", robot.robot, robot.role))?;
            list(out, "alone", &robot.alone)?;
        }
        line(out, "")?;
        line(out, "what takes several people:")?;
        for quorum in &report.quorums {
            let rules: Vec<&str> = quorum.why_not.iter().map(|r| r.rule.as_str()).collect();
            let sets =
                if quorum.sets.is_empty() { format!("nobody can ({})", rules.join(", ")) } else { sets(&quorum.sets) };
            let cut = if quorum.cut { "; one of many sets" } else { "" };
            line(out, format!("  {}: {sets}{cut}", quorum.act))?;
        }
        if let Some((count, of)) = report.recovery {
            let words =
                format!("  recover the charter: {count} of {of} recovery keys, whose they are is not in the charter");
            line(out, words)?;
        }
        line(out, "")?;
        line(out, "what was tried against the rules:")?;
        for row in &report.promise.rows {
            let mark = if row.holds { "held" } else { "NOT HELD" };
            line(out, format!("  {mark:<9} {}: {}", row.attack, row.found))?;
        }
    }
    let people: Vec<&PersonId> = report.profiles.iter().flat_map(|p| &p.persons).collect();
    let with_these = |s: &&Story| s.person.as_ref().is_none_or(|p| people.contains(&p));
    let others: Vec<&Story> = report.promise.broken.iter().filter(with_these).collect();
    if !others.is_empty() {
        line(out, "")?;
        line(out, "where the promise fails:")?;
        for story in others {
            line(out, format!("  {story}"))?;
        }
    }
    line(out, "")?;
    line(out, &report.promise)
}

fn write_profile(p: &Profile, out: &mut dyn Write) -> Result<(), Fault> {
    let roles = if p.roles.is_empty() { "no role".to_owned() } else { words(&p.roles) };
    line(out, format!("{} ({roles})", words(&p.persons)))?;
    list(out, "alone", &p.alone)?;
    for (at, (act, with)) in p.with.iter().enumerate() {
        let label = if at == 0 { "with" } else { "" };
        line(out, format!("  {label:<9} {}: {}", act, sets(with)))?;
    }
    for (at, through) in p.through.iter().enumerate() {
        let label = if at == 0 { "through" } else { "" };
        let by = match &through.host {
            Some(host) => format!("whose key is on {host}"),
            None => "which is controlled".to_owned(),
        };
        let acts = if through.acts.is_empty() { "nothing".to_owned() } else { words(&through.acts) };
        line(out, format!("  {label:<9} the robot {}, {by}: {acts}", through.robot))?;
    }
    Ok(())
}

fn list(out: &mut dyn Write, label: &str, acts: &[Act]) -> Result<(), Fault> {
    if acts.is_empty() {
        return line(out, format!("  {label:<9} nothing"));
    }
    for (at, act) in acts.iter().enumerate() {
        line(out, format!("  {:<9} {act}", if at == 0 { label } else { "" }))?;
    }
    Ok(())
}

fn words<T: ToString>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn sets(sets: &[Vec<Share>]) -> String {
    let share = |(role, count): &Share| match role {
        Some(role) => format!("{count} {role}"),
        None if *count == 1 => "1 person who may say so".to_owned(),
        None => format!("{count} persons who may say so"),
    };
    let set = |set: &Vec<Share>| set.iter().map(share).collect::<Vec<_>>().join(" and ");
    sets.iter().map(set).collect::<Vec<_>>().join(", or ")
}

fn document(report: &Report, origin: &str) -> Value {
    let acts = |acts: &[Act]| -> Vec<String> { acts.iter().map(Act::to_string).collect() };
    let set = |set: &Vec<Share>| -> Value {
        let share = |(role, count): &Share| json!({ "role": role.as_ref().map(RoleName::as_str), "persons": count });
        set.iter().map(share).collect()
    };
    let sets = |sets: &[Vec<Share>]| -> Value { sets.iter().map(set).collect() };
    let people: Vec<Value> = report
        .profiles
        .iter()
        .map(|p| {
            json!({
                "persons": p.persons, "roles": p.roles, "alone": acts(&p.alone), "hosts": p.hosts,
                "with": p.with.iter().map(|(act, with)| json!({ "act": act.to_string(), "others": sets(with) })).collect::<Vec<_>>(),
                "through": p.through.iter()
                    .map(|t| json!({ "robot": t.robot, "host": t.host, "acts": acts(&t.acts) })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let robots: Vec<Value> =
        report.robots.iter().map(|r| json!({ "robot": r.robot, "role": r.role, "alone": acts(&r.alone) })).collect();
    let quorums: Vec<Value> = report
        .quorums
        .iter()
        .map(|q| {
            let why_not: Vec<&str> = q.why_not.iter().map(|r| r.rule.as_str()).collect();
            json!({ "act": q.act.to_string(), "sets": sets(&q.sets), "cut": q.cut, "refused_by": why_not })
        })
        .collect();
    let rows: Vec<Value> =
        report.promise.rows.iter().map(|r| json!({ "attack": r.attack, "holds": r.holds, "found": r.found })).collect();
    let broken: Vec<Value> = report.promise.broken.iter().map(story).collect();
    json!({
        "charter": origin, "acts": report.acts, "people": people, "robots": robots, "quorums": quorums,
        "recovery": report.recovery.map(|(count, of)| json!({ "count": count, "keys": of })),
        "tried": rows, "holds": report.promise.holds(), "fails": broken,
    })
}

/// A counter-example as a document.
pub(crate) fn story(story: &Story) -> Value {
    let steps: Vec<String> = story.links.iter().map(ToString::to_string).collect();
    json!({ "person": story.person, "steps": steps, "so": story.so })
}

#[cfg(test)]
mod tests;
