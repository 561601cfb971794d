//! `countersign value approve`: a guardian's yes to exactly one change of a value, after seeing it.
//!
//! Both values are fetched here and checked against what the log commits to, so that what is shown is what is signed.

use std::io::Write;

use gate::values::State;
use ledger::statement::v1::{Claim, Kind as Says, ValueApproval};
use model::Digest;
use serde_json::json;

use super::{LIFE_S, alike, find_proposal, opened, place, print_change, waits};
use crate::{
    fault::{Fault, Kind},
    say::About,
    verbs::{Flags, Format, line, people, print_json},
};

/// Look at a proposed value, and sign yes to exactly that
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log index of the proposal
    proposal: u64,
    /// Sign without asking; read what is shown all the same
    #[arg(long, short)]
    yes: bool,
    /// Sign although it is known that it will not count, to see it refused
    #[arg(long)]
    even_if_it_will_not_count: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let (rule, claim, state, proposer, replaced) = {
        let (value, standing) = find_proposal(&view, args.proposal)?;
        let replaced = standing.proposal.claim.replaces.and_then(|index| view.facts().value_proposal(index));
        let proposer = standing.proposal.by.persons().to_vec();
        (
            value.rule.clone(),
            standing.proposal.claim.clone(),
            standing.state,
            proposer,
            replaced.map(|old| old.claim.value),
        )
    };
    let speaker = common.guardian(&members, &rule, Says::ValueApproval, rule.cool_off_s.saturating_add(LIFE_S))?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let objection = if proposer.contains(&who) {
        Some(format!("{who} proposed it"))
    } else {
        (!state.is_open() || state == State::Stale).then(|| format!("it {}", state.words()))
    };
    if let Some(objection) = objection.as_ref().filter(|_| !args.even_if_it_will_not_count) {
        return Err(Fault::new(Kind::Refused, format!("this approval would not count: {objection}"))
            .hint("a value that has changed meanwhile takes a new proposal, and nobody approves their own"));
    }
    let text = gate::values::value_shown(view.facts(), args.proposal)
        .ok_or_else(|| Fault::new(Kind::Refused, format!("proposal {} can not be shown", args.proposal)))?;
    let shown = Digest::of(text.as_bytes());
    let new = opened(&view, &rule, claim.value)?;
    let old = match replaced {
        Some(commitment) => Some(opened(&view, &rule, commitment)?),
        None => None,
    };
    if common.format == Format::Text {
        line(out, text.trim_end())?;
        print_change(out, old.as_ref(), &new)?;
        line(out, format!("what is shown above has the digest {shown}"))?;
    }
    people::confirm(out, args.yes, &format!("{who} approves it as {}?", place(&rule)))?;
    let approval = ValueApproval {
        proposal: args.proposal,
        name: claim.name.clone(),
        value: claim.value,
        replaces: claim.replaces,
        shown,
    };
    let about = About {
        system: Some(rule.system.clone()),
        environment: Some(rule.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    let said = speaker.say(view.log(), Claim::ValueApproval(approval), about, &[])?;
    people::see(&mut view, said.index)?;
    let (_, standing) = find_proposal(&view, args.proposal)?;
    let unfit = standing.unfit.get(&said.index);
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "approval": said.index, "proposal": args.proposal, "by": who, "shown": shown,
                     "counts": unfit.is_none(), "why_not": unfit.map(|unfit| unfit.words()),
                     "approvals": standing.tally.counted, "needed": standing.tally.needed,
                     "looks_alike": alike(old.as_ref(), &new), "notes": new.notes(), "state": standing.state.words() }),
        );
    }
    line(out, format!("signed by {who}, in the log as {}", said.index))?;
    if let Some(unfit) = unfit {
        return line(out, format!("it does not count: {}", unfit.words()));
    }
    line(out, waits(&standing))
}
