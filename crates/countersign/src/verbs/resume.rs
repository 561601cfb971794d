//! `countersign resume`: one person's word that it may go on after a halt. Starting again takes more than one.

use std::io::Write;

use ledger::statement::v1::{Claim, Kind as Says, Resume};
use model::{EnvironmentName, SystemName};
use serde_json::json;

use super::{Flags, Format, line, people, print_json};
use crate::{
    fault::{Fault, Kind},
    say::About,
};

/// Agree to go on after a halt
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system; the charter's only one if not given
    system: Option<SystemName>,
    /// The environment; the charter's only one if not given
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let system = people::system(&members, args.system.as_ref())?;
    let environment = people::environment(&members, args.environment.as_ref())?;
    let halt = view
        .facts()
        .halted(&system, &environment)
        .ok_or_else(|| Fault::new(Kind::Refused, format!("{system} is not halted in {environment}")))?;
    let (index, by) = (halt.index, halt.by.to_string());
    let halted_system = halt.header.system.clone();
    let speaker = common.speaker(&members, Says::Resume, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let about = About { system: halted_system, environment: Some(environment.clone()), seen: view.seen(), nonce: None };
    let said = speaker.say(view.log(), Claim::Resume(Resume { halt: index }), about, &[])?;
    people::see(&mut view, said.index)?;
    let left = view.facts().halted(&system, &environment).map(|h| h.index);
    let needed: u32 =
        members.charter().environment(&environment).map_or(0, |r| r.resume.groups.iter().map(|g| g.count).sum());
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "resume": said.index, "halt": index, "by": who, "resumed": left.is_none(), "still_halted_by": left, "needed": needed }),
        );
    }
    line(
        out,
        format!(
            "{who} agrees that {system} goes on in {environment} after halt {index} by {by}; in the log as {}",
            said.index
        ),
    )?;
    match left {
        None => line(out, "it goes on"),
        Some(same) if same == index => {
            line(out, format!("still halted: {needed} different people of the roles that the charter names must agree"))
        }
        Some(other) => line(out, format!("still halted: halt {other} is in force as well")),
    }
}

#[cfg(test)]
mod tests;
