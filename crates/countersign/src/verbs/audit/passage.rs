//! `countersign audit duties --release`: who did what for a release, in which roles, and whether one person ever stood on
//! both sides while it was on its way.
//!
//! It asks the log through `front` and verifies it; it judges nothing itself.

use std::io::Write;

use gate::duties::{Passage, Passenger};
use ledger::statement::v1::Charter;
use model::{EnvironmentName, Serial};
use serde_json::{Value, json};

use super::super::{Flags, Format, find, line, print_json};
use crate::{
    fault::{Fault, Kind},
    view::View,
};

/// Tells the passage of what a name means, for each environment that it was put up for the newest.
pub(super) fn run(name: &str, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let facts = view.facts();
    let charters = charters(&view);
    let mut told = Vec::new();
    for said in find::proposals(facts, name, None)? {
        let place = (said.claim.serial.clone(), said.claim.environment.clone());
        if told.iter().any(|(known, _)| known == &place) {
            continue;
        }
        let passage = gate::duties::passage(facts, &charters, said.index)
            .ok_or_else(|| Fault::new(Kind::Usage, format!("there is no proposal at log index {}", said.index)))?;
        told.push((place, passage));
    }
    if common.format == Format::Json {
        let all: Vec<Value> = told.iter().map(|(place, passage)| document(place, passage)).collect();
        return print_json(out, &all);
    }
    for (at, ((serial, environment), passage)) in told.iter().enumerate() {
        if at > 0 {
            line(out, "")?;
        }
        write(&format!("{serial} into {environment}"), passage, out)?;
    }
    Ok(())
}

/// Every charter of the log, each with the log index from which on it was in force.
fn charters(view: &View) -> Vec<(u64, &Charter)> {
    view.facts().charters().history().iter().map(|(from, members)| (*from, members.charter())).collect()
}

fn write(what: &str, p: &Passage, out: &mut dyn Write) -> Result<(), Fault> {
    let end = if p.is_live { format!("live at {}", p.to) } else { format!("not live after {} statements", p.to) };
    line(out, format!("{what}: proposal {}, from its first change at {} to {end}", p.proposal, p.from))?;
    let since: Vec<String> = p.charters.iter().map(u64::to_string).collect();
    line(out, format!("charters in force meanwhile: from {}", since.join(", from ")))?;
    for person in &p.people {
        line(out, "")?;
        write_person(person, out)?;
    }
    line(out, "")?;
    match p.people.iter().find(|person| !person.both_sides.is_empty()) {
        None => line(out, "no one person stood on both sides"),
        Some(person) => line(out, format!("{} stood on both sides: {}", names(person), person.both_sides.join("; "))),
    }
}

fn names(p: &Passenger) -> String {
    p.ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" alias ")
}

fn write_person(p: &Passenger, out: &mut dyn Write) -> Result<(), Fault> {
    let roles: Vec<&str> = p.roles.keys().map(model::RoleName::as_str).collect();
    let roles =
        if roles.is_empty() { "no role in reach".to_owned() } else { format!("in reach: {}", roles.join(", ")) };
    line(out, format!("{} ({roles})", names(p)))?;
    for deed in &p.deeds {
        let role = deed.role.as_ref().map(|r| format!(" as {r}")).unwrap_or_default();
        line(out, format!("  at {:<6} {}{role}", deed.index, deed.part))?;
    }
    for both in &p.both_sides {
        line(out, format!("  BOTH SIDES {both}"))?;
    }
    Ok(())
}

fn document((serial, environment): &(Serial, EnvironmentName), p: &Passage) -> Value {
    let people: Vec<Value> = p
        .people
        .iter()
        .map(|person| {
            let deeds: Vec<Value> = person
                .deeds
                .iter()
                .map(|d| json!({ "at": d.index, "did": d.part.to_string(), "as": d.as_person, "role": d.role }))
                .collect();
            json!({ "ids": person.ids, "did": deeds, "roles": person.roles, "both_sides": person.both_sides })
        })
        .collect();
    json!({
        "serial": serial, "environment": environment, "proposal": p.proposal, "from": p.from, "to": p.to, "live": p.is_live, "charters": p.charters,
        "people": people, "holds": p.holds(),
    })
}
