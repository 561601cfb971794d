//! `countersign acknowledge`: one person has seen an alarm. It goes on firing, and nobody is told of it again.

use std::io::Write;

use ledger::statement::v1::{Acknowledgement, Claim, Kind as Says};
use model::Clock as _;
use serde_json::json;

use super::{Flags, Format, alarms, line, people, print_json};
use crate::{
    clock::SystemClock,
    fault::{Fault, Kind},
    say::About,
};

/// Say that you have seen an alarm: nobody is told of it again
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its number, as `alarms` shows it
    alarm: u64,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let facts = view.facts();
    let firing = facts.firing(SystemClock.now()).into_iter().find(|f| f.index == args.alarm);
    let Some(firing) = firing else {
        let why = match facts.alarm(args.alarm) {
            Some(said) if said.claim.firing => format!("the alarm {} is over", args.alarm),
            _ => format!("there is no alarm {}", args.alarm),
        };
        return Err(Fault::new(Kind::Usage, why).hint("`countersign alarms` lists those that fire"));
    };
    let members = facts.members().clone();
    let speaker = common.speaker(&members, Says::Acknowledgement, people::LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let about = About {
        system: firing.condition.system.clone(),
        environment: firing.condition.environment.clone(),
        seen: view.seen(),
        nonce: None,
    };
    let claim = Claim::Acknowledgement(Acknowledgement { alarm: args.alarm });
    let said = speaker.say(view.log(), claim, about, &[])?;
    people::see(&mut view, said.index)?;
    let what = firing.condition.what.name();
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "acknowledgement": said.index, "alarm": args.alarm, "what": what, "by": who }),
        );
    }
    let about = alarms::about(&firing.condition);
    line(out, format!("{who} has seen {what} {about}; in the log as {}", said.index))?;
    line(out, "it fires until its cause is gone; nobody is told of it again")
}
