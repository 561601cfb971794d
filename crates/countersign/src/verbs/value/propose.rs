//! `countersign value propose`: another value, put up for its guardians.

use std::io::Write;

use ledger::{
    bodies::{Body, Subject},
    statement::v1::{Claim, Kind as Says, ValueProposal},
};
use model::value::Value;
use serde_json::json;

use super::{LIFE_S, Named, alike, opened, place, print_change, value_view};
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
    verbs::{Flags, Format, line, people, print_json},
};

/// Put another value up for its guardians
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    named: Named,
    /// The new value; kept beside the log, which gets its salted digest only
    #[arg(long, value_name = "VALUE")]
    to: String,
    /// Why; kept beside the log too
    #[arg(long)]
    reason: String,
    /// Sign without asking
    #[arg(long, short)]
    yes: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let rule = args.named.rule(&view)?.clone();
    let now = value_view(&view, &rule)?.in_force;
    let speaker = common.guardian(&members, &rule, Says::ValueProposal, rule.cool_off_s.saturating_add(LIFE_S))?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let new =
        Value::parse(rule.format, &args.to).because(Kind::Input, format!("this can not become {}", place(&rule)))?;
    let old = match &now {
        Some(now) => Some(opened(&view, &rule, now.value)?),
        None => None,
    };
    if old.as_ref().is_some_and(|old| old == &new) {
        return Err(Fault::new(Kind::Usage, format!("{} is that already", place(&rule))));
    }
    if common.format == Format::Text {
        print_change(out, old.as_ref(), &new)?;
    }
    people::confirm(out, args.yes, &format!("{who} proposes it as {}?", place(&rule)))?;
    let body = Body::new(new.as_str().as_bytes().to_vec())
        .ok_or_else(|| Fault::new(Kind::Unavailable, "no random bytes for the salt"))?;
    let commitment = body.commitment();
    let reason = people::reason_body(&who, Some(&args.reason))?;
    let claim = ValueProposal {
        name: rule.name.clone(),
        value: commitment,
        replaces: now.map(|now| now.proposal),
        reason: reason.as_ref().map(|said| said.body.commitment()),
    };
    let about = About {
        system: Some(rule.system.clone()),
        environment: Some(rule.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    let bodies: Vec<_> = std::iter::once(body.about(Subject::Value(commitment))).chain(reason).collect();
    let said = speaker.say(view.log(), Claim::ValueProposal(claim), about, &bodies)?;
    people::see(&mut view, said.index)?;
    let guards = |m: &&ledger::statement::v1::Member| {
        m.id != who && rule.guardians.groups.iter().any(|group| m.roles.contains(&group.role))
    };
    let guardians: Vec<&str> = members.charter().members.iter().filter(guards).map(|m| m.id.as_str()).collect();
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "proposal": said.index, "name": rule.name, "system": rule.system, "environment": rule.environment,
                     "by": who, "value": commitment, "replaces": value_view(&view, &rule)?.in_force.map(|now| now.proposal),
                     "looks_alike": alike(old.as_ref(), &new), "guardians": guardians, "cool_off_s": rule.cool_off_s }),
        );
    }
    line(out, format!("proposal {} of {}, by {who}", said.index, place(&rule)))?;
    line(out, format!("its guardians are told: {}", guardians.join(", ")))?;
    line(out, format!("they approve it with `countersign value approve {}`; each of them can cancel it", said.index))
}
