//! `countersign halt`: no new step. One person is enough, and it works without the log.
//!
//! It goes through `front`, which hands it to the agent as well. Without `front` it goes straight to the agent of this
//! host, which keeps it and writes it into the log when that is back. Handing it over twice is the same halt.

use std::io::Write;

use ledger::statement::v1::{Claim, Halt, Kind as Says};
use model::{EnvironmentName, SystemName};
use serde_json::json;

use super::{
    Flags, Format,
    deliver::{self, Delivered, Taken, deliver},
    line, people, print_json,
};
use crate::{fault::Fault, say::About};

/// Halt an environment: no new step until it is resumed
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system; every one if not given
    system: Option<SystemName>,
    /// The environment; every one if not given
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Why; kept beside the log, which gets its salted digest only
    #[arg(long)]
    reason: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    // Nothing of the log is read first, if the first charter knows who signs: stopping must work when it does not answer.
    let members = common.members_with_signer()?;
    if let Some(name) = &args.system {
        people::system(&members, Some(name))?;
    }
    if let Some(name) = &args.environment {
        people::environment(&members, Some(name))?;
    }
    let speaker = common.speaker(&members, Says::Halt, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let body = people::reason_body(&who, args.reason.as_deref())?;
    let claim =
        Halt { environment: args.environment.clone(), reason: body.as_ref().map(|said| said.body.commitment()) };
    let about = About { system: args.system.clone(), environment: args.environment.clone(), ..About::default() };
    let envelope = speaker.sign(Claim::Halt(claim), about)?;
    let Delivered { taken, kept, untold } =
        deliver(common, &members, &envelope, body.as_ref()).map_err(|fault| fault.context("NOT known to be halted"))?;
    let what = match (&args.system, &args.environment) {
        (Some(s), Some(e)) => format!("{s} in {e}"),
        (Some(s), None) => format!("{s} in every environment"),
        (None, Some(e)) => e.to_string(),
        (None, None) => "every system in every environment".to_owned(),
    };
    let agent_answers = deliver::agent_answers(common);
    let cosigned = match taken {
        Taken::Log(index) => deliver::is_cosigned(common, members, index, envelope.identity())?,
        Taken::Agent => false,
    };
    if common.format == Format::Json {
        let index = match taken {
            Taken::Log(index) => Some(index),
            Taken::Agent => None,
        };
        return print_json(
            out,
            &json!({ "halted": what, "by": who, "logged": index.is_some(), "halt": index, "cosigned": cosigned, "agent_answers": agent_answers, "untold": untold }),
        );
    }
    match taken {
        Taken::Log(index) => {
            line(out, format!("{what}: halted by {who}, in the log as {index}"))?;
            if args.reason.is_some() && !kept {
                line(out, format!("the reason was not kept: what is kept about {who} was erased"))?;
            }
            if !cosigned {
                line(
                    out,
                    "no quorum of witnesses has cosigned it yet; who was handed it directly has stopped all the same",
                )?;
            }
        }
        Taken::Agent => {
            line(out, format!("{what}: halted by {who}; the agent has it, the log does not yet"))?;
            deliver::tell_agent_only(out)?;
            if args.reason.is_some() {
                line(out, "the reason was not kept: the agent takes the halt alone")?;
            }
        }
    }
    deliver::tell_untold(&untold, out)?;
    if taken != Taken::Agent && !agent_answers {
        line(out, "the agent of this host does not answer; it takes no step before it has read the log")?;
    }
    line(out, "what runs goes on; `countersign resume` is how people agree to go on")
}

#[cfg(test)]
mod tests;
