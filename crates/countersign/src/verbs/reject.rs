//! `countersign reject`: no to a proposal. One person is enough, and it is not taken back.
//!
//! The agent gets it as well as the log, so that a log which does not take it does not keep the release going.

use std::io::Write;

use ledger::statement::v1::{Claim, Kind as Says, Rejection};
use model::EnvironmentName;
use serde_json::json;

use super::{
    Flags, Format,
    deliver::{self, Delivered, deliver},
    find, line, people, print_json,
};
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
    find::reach(&mut view, &args.proposal)?;
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
    let envelope = speaker.sign(Claim::Rejection(rejection), about)?;
    let Delivered { taken, kept, untold } = deliver(common, &members, &envelope, body.as_ref())
        .map_err(|fault| fault.context("NOT known to be rejected"))?;
    let logged = deliver::read_back(&mut view, taken, envelope.identity())?;
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "rejection": logged, "logged": logged.is_some(), "proposal": index, "by": who, "serial": claim.serial, "untold": untold }),
        );
    }
    let what = format!("proposal {index}, {} into {}, is rejected by {who}", claim.serial, claim.environment);
    match logged {
        Some(logged) => line(out, format!("{what}, in the log as {logged}"))?,
        None => {
            line(out, format!("{what}; the agent has it, the log does not yet"))?;
            deliver::tell_agent_only(out)?;
        }
    }
    deliver::tell_untold(&untold, out)?;
    if args.reason.is_some() && !kept {
        line(out, "the reason was not kept")?;
    }
    line(out, "it can not be released any more; a new proposal is needed")
}

#[cfg(test)]
mod tests;
