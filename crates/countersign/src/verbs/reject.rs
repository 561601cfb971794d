//! `countersign reject`: no to a proposal. One person is enough, and it is not taken back.

use std::io::Write;

use ledger::statement::v1::{Claim, Kind as Says, Rejection};
use model::EnvironmentName;
use serde_json::json;

use super::{Flags, Format, find, line, people, print_json};
use crate::{fault::Fault, say::About};

/// Reject a proposal
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The proposal: its log index, or the serial
    proposal: String,
    /// The environment, where a serial is proposed for several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Why; kept beside the log, which gets its salted digest only
    #[arg(long)]
    reason: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let proposal = find::one_proposal(view.facts(), &args.proposal, args.environment.as_ref())?;
    let (index, claim) = (proposal.index, proposal.claim.clone());
    let speaker = common.speaker(&members, Says::Rejection, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let body = people::reason_body(&who, args.reason.as_deref())?;
    let rejection =
        Rejection { proposal: index, release: claim.release, reason: body.as_ref().map(|said| said.body.commitment()) };
    let about = About {
        system: Some(claim.serial.system().clone()),
        environment: Some(claim.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    let bodies: Vec<_> = body.into_iter().collect();
    let said = speaker.say(view.log(), Claim::Rejection(rejection), about, &bodies)?;
    people::see(&mut view, said.index)?;
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "rejection": said.index, "proposal": index, "by": who, "serial": claim.serial }),
        );
    }
    line(
        out,
        format!(
            "proposal {index}, {} into {}, is rejected by {who}, in the log as {}",
            claim.serial, claim.environment, said.index
        ),
    )?;
    line(out, "it can not be released any more; a new proposal is needed")
}

#[cfg(test)]
mod tests;
