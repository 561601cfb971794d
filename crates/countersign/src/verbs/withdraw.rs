//! `countersign withdraw`: a key is not believed any more, from a log index on. It is not taken back.
//!
//! The agent gets it as well as the log, and takes no step that rests on the key, whether the log has it or not.

use std::io::Write;

use ledger::statement::{
    Members,
    v1::{Claim, KeyWithdrawal, Kind as Says},
};
use model::KeyId;
use serde_json::json;

use super::{
    Flags, Format,
    deliver::{self, Delivered, deliver},
    line, people, print_json, show,
};
use crate::{
    fault::{Fault, Kind},
    say::About,
    view::View,
};

/// Withdraw a key: what it signed from an index on is void
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The key: its id, `SHA256:…` as ssh-keygen prints it, or the person or robot that has only one
    // A name of its own: `key` is the flag that says with which one to sign.
    #[arg(id = "withdrawn", value_name = "KEY")]
    key: String,
    /// The first log index that is void
    #[arg(long, value_name = "INDEX")]
    void_from: u64,
    /// Sign without asking
    #[arg(long, short)]
    yes: bool,
}

/// Statements that are shown; the rest is counted.
const SHOWN: usize = 10;

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let key = key(&members, &args.key)?;
    let holder = members.holder(key).map_or_else(|_| "nobody in the charter".to_owned(), ToString::to_string);
    let size = view.facts().size();
    if args.void_from > size {
        return Err(Fault::new(
            Kind::Usage,
            format!("the log has {size} statements; {} is beyond them", args.void_from),
        )
        .hint(format!("`--void-from {size}` voids nothing that was said so far")));
    }
    let speaker = common.speaker(&members, Says::KeyWithdrawal, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let void: Vec<_> = view.statements().iter().filter(|s| s.key() == key && s.index() >= args.void_from).collect();
    if common.format == Format::Text {
        line(out, format!("the key {} of {holder} is withdrawn from statement {} on", key.short(), args.void_from))?;
        line(
            out,
            format!(
                "{} it signed since become void; bad news that it told stands",
                show::plural(void.len(), "statement")
            ),
        )?;
        for entry in void.iter().take(SHOWN) {
            line(out, show::row(view.facts(), entry))?;
        }
        if void.len() > SHOWN {
            line(out, format!("        and {} more", void.len() - SHOWN))?;
        }
    }
    let voided = void.len();
    let before = granted(&view);
    people::confirm(out, args.yes, &format!("{who} withdraws it? This is not taken back"))?;
    let claim = KeyWithdrawal { key, void_from: args.void_from };
    let envelope = speaker.sign(Claim::KeyWithdrawal(claim), About { seen: view.seen(), ..About::default() })?;
    let Delivered { taken, untold, .. } =
        deliver(common, &members, &envelope, None).map_err(|fault| fault.context("NOT known to be withdrawn"))?;
    let logged = deliver::read_back(&mut view, taken, envelope.identity())?;
    let lost = if logged.is_some() { lost(&view, &before) } else { Vec::new() };
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "verdicts_withdrawn": lost, "withdrawal": logged, "logged": logged.is_some(), "key": key, "holder": holder, "void_from": args.void_from, "void": voided, "by": who, "untold": untold }),
        );
    }
    deliver::tell_untold(&untold, out)?;
    match logged {
        Some(index) => {
            line(out, format!("withdrawn by {who}, in the log as {index}"))?;
            for words in &lost {
                line(out, words)?;
            }
            let by = view.facts().charters().by_withdrawn_keys();
            by.map(|put| put.index).try_for_each(|at| {
                line(out, format!("ALARM: amendment {at} rests on a withdrawn key; amendments stay in force"))
            })
        }
        None => {
            line(out, format!("withdrawn by {who}; the agent has it, the log does not yet"))?;
            deliver::tell_agent_only(out)
        }
    }
}

/// The proposals that are granted.
fn granted(view: &View) -> Vec<u64> {
    let is_granted = |index: &u64| {
        gate::decide_with(view.policy(), view.facts(), *index).is_ok_and(|decision| decision.is_granted())
    };
    view.facts().proposals().map(|p| p.index).filter(is_granted).collect()
}

/// Which of them are not any more, and where what they let in runs.
fn lost(view: &View, before: &[u64]) -> Vec<String> {
    let facts = view.facts();
    let now = granted(view);
    let mut lines = Vec::new();
    for index in before.iter().filter(|index| !now.contains(index)) {
        let Some(said) = facts.any_proposal(*index) else { continue };
        let claim = &said.claim;
        let runs = facts.running(claim.serial.system(), &claim.environment).holds_proposal(*index);
        let places = if runs { crate::processes::gate::addresses(facts, *index, claim) } else { Vec::new() };
        let places =
            if places.is_empty() { "it runs nowhere".to_owned() } else { format!("it runs at {}", places.join(", ")) };
        lines
            .push(format!("the verdict on {} into {} is withdrawn with it; {places}", claim.serial, claim.environment));
    }
    lines
}

/// The key that is meant.
fn key(members: &Members, text: &str) -> Result<KeyId, Fault> {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if let Some(encoded) = text.strip_prefix("SHA256:")
        && let Ok(bytes) = BASE64_STANDARD_NO_PAD.decode(encoded)
        && let Ok(bytes) = <[u8; 32]>::try_from(bytes)
        && let Ok(id) = model::Digest::from_bytes(bytes).to_string().parse()
    {
        return Ok(id);
    }
    let held: Vec<KeyId> = members
        .keys()
        .filter(|(_, who)| match who {
            ledger::statement::Signatory::Person(id) => id.as_str() == text,
            ledger::statement::Signatory::Robot { id, .. } => id.as_str() == text,
            ledger::statement::Signatory::Recovery => false,
        })
        .map(|(id, _)| id)
        .collect();
    match held.as_slice() {
        [only] => Ok(*only),
        [] => Err(Fault::new(Kind::Usage, format!("`{text}` is no key, and nobody of that name is in the charter"))
            .hint("write `sha256:` and 64 hex digits, or `SHA256:…` as `ssh-keygen -l` prints it")),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Fault::new(Kind::Usage, format!("`{text}` has {} keys", several.len()))
                .hint(format!("name one of {}", ids.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests;
