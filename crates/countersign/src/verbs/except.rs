//! `countersign except`: leave for one case of a suite not to be run for a while. It takes two persons who did not
//! contribute, an owner and an end.

use std::io::Write;

use ledger::statement::v1::{Claim, Exception, Kind as Says};
use model::{CaseId, Clock as _, Digest, PersonId, SuiteName, SystemName, Timestamp};
use serde_json::json;

use super::{Flags, Format, line, people, print_json, show};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    say::About,
};

/// Except a case of a suite, for a while
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The suite
    suite: SuiteName,
    /// The case as the report names it: class and name joined by ` › `
    #[arg(required_unless_present = "whole_suite")]
    case: Option<String>,
    /// The suite as a whole, which a change removes
    #[arg(long, conflicts_with = "case")]
    whole_suite: bool,
    /// Who owns putting it right
    #[arg(long)]
    owner: PersonId,
    /// When it ends: `2027-01-31`, or with a time `2027-01-31T12:00:00Z`
    #[arg(long, value_name = "DATE")]
    ends: String,
    /// The system; the charter's only one if not given
    #[arg(long)]
    system: Option<SystemName>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let system = people::system(&members, args.system.as_ref())?;
    if members.charter().member(&args.owner).is_none() {
        return Err(Fault::new(Kind::Usage, format!("the charter has no person `{}`", args.owner)));
    }
    let ends = date(&args.ends)?;
    let now = SystemClock.now();
    if ends <= now {
        return Err(
            Fault::new(Kind::Usage, format!("`{}` is over", args.ends)).hint("an exception is for the time to come")
        );
    }
    if ends > now.plus_s(people::LONG_LIFE_S) {
        return Err(Fault::new(Kind::Usage, format!("`{}` is more than a year away", args.ends))
            .hint("nothing is excepted for ever"));
    }
    let case = match &args.case {
        Some(text) => text.parse::<CaseId>().because(Kind::Usage, "this names no case")?.pseudonym(),
        None => Digest::of(gate::WHOLE_SUITE),
    };
    let known = view.facts().changes(&system).flat_map(|c| &c.claim.suites).any(|s| s.name == args.suite);
    if !known {
        let names: std::collections::BTreeSet<&str> =
            view.facts().changes(&system).flat_map(|c| &c.claim.suites).map(|s| s.name.as_str()).collect();
        return Err(Fault::new(Kind::Usage, format!("{system} has no suite `{}`", args.suite)).hint(format!(
            "it has {}",
            if names.is_empty() { "none yet".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") }
        )));
    }
    let speaker = common.speaker(&members, Says::Exception, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let claim = Exception { suite: args.suite.clone(), case, owner: args.owner.clone(), ends };
    let about = About { system: Some(system.clone()), seen: view.seen(), ..About::default() };
    let said = speaker.say(view.log(), Claim::Exception(claim), about, &[])?;
    people::see(&mut view, said.index)?;
    let log_time = view.facts().time().map_or(now, |t| t.latest);
    let persons = view.facts().excepted(&system, &args.suite, case, &std::collections::BTreeSet::new(), log_time);
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({
                "exception": said.index, "suite": args.suite, "case": case, "owner": args.owner, "ends": ends.to_string(),
                "said_by": persons, "needed": gate::EXCEPTION_PERSONS,
            }),
        );
    }
    let what = args.case.as_deref().unwrap_or("the whole suite");
    line(
        out,
        format!(
            "{who} excepts {what} of {} until {ends}, owned by {}; in the log as {}",
            args.suite, args.owner, said.index
        ),
    )?;
    let names: Vec<&str> = persons.iter().map(PersonId::as_str).collect();
    let counted = format!("said so far by {} ({})", show::plural(persons.len(), "person"), names.join(", "));
    if persons.len() >= gate::EXCEPTION_PERSONS {
        line(out, format!("{counted}: it counts for changes to which none of them contributed"))
    } else {
        line(
            out,
            format!("{counted}: {} must say exactly the same, with the same owner and end", gate::EXCEPTION_PERSONS),
        )
    }
}

/// A day, which begins at midnight UTC, or a moment (RFC 3339).
fn date(text: &str) -> Result<Timestamp, Fault> {
    let wrong = || {
        Fault::new(Kind::Usage, format!("`{text}` is not a date")).hint("write `2027-01-31`, or `2027-01-31T12:00:00Z`")
    };
    let moment: jiff::Timestamp = match text.parse() {
        Ok(moment) => moment,
        Err(_) => {
            let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
            format!("{day}T00:00:00Z").parse().map_err(|_| wrong())?
        }
    };
    u64::try_from(moment.as_second()).map(Timestamp::from_unix).map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
