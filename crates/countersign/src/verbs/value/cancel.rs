//! `countersign value cancel`: one guardian's no to a change of a value that is not in force yet.

use std::io::Write;

use ledger::statement::v1::{Cancellation, Claim, Kind as Says};
use serde_json::json;

use super::{find_proposal, place};
use crate::{
    fault::{Fault, Kind},
    say::About,
    verbs::{Flags, Format, line, people, print_json},
};

/// Stop a proposed value; one guardian is enough
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log index of the proposal
    proposal: u64,
    /// Why; kept beside the log, which gets its salted digest only
    #[arg(long)]
    reason: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let rule = {
        let (value, standing) = find_proposal(&view, args.proposal)?;
        if !standing.state.is_open() {
            return Err(Fault::new(Kind::Refused, format!("proposal {} {}", args.proposal, standing.state.words()))
                .hint("what is in force is replaced by another proposal, and not cancelled"));
        }
        value.rule.clone()
    };
    let speaker = common.guardian(&members, &rule, Says::Cancellation, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let reason = people::reason_body(&who, args.reason.as_deref())?;
    let claim = Cancellation { of: args.proposal, reason: reason.as_ref().map(|said| said.body.commitment()) };
    let about = About {
        system: Some(rule.system.clone()),
        environment: Some(rule.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    let said = speaker.say(view.log(), Claim::Cancellation(claim), about, reason.as_slice())?;
    people::see(&mut view, said.index)?;
    let (_, standing) = find_proposal(&view, args.proposal)?;
    let is_cancelled = matches!(standing.state, gate::values::State::Cancelled(_));
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "cancellation": said.index, "proposal": args.proposal, "by": who, "cancelled": is_cancelled,
                     "state": standing.state.words() }),
        );
    }
    line(out, format!("said by {who}, in the log as {}", said.index))?;
    let what = format!("proposal {} of {}", args.proposal, place(&rule));
    if is_cancelled {
        line(out, format!("{what} is cancelled; it takes a new proposal"))
    } else {
        Err(Fault::new(Kind::Refused, format!("{what} is not cancelled: it {}", standing.state.words()))
            .hint("only those who guard the value can cancel it, before it is in force"))
    }
}
