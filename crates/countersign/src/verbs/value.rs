//! `countersign value`: guarded values, and how they change.
//!
//! The values are kept beside the log; a proposal commits to one, and guardians sign the digest of a text that names
//! exactly that. Each verb here signs one statement or none; a crash in between loses nothing that was answered.

mod approve;
mod cancel;
mod list;
mod propose;
mod show;

use std::io::Write;

use gate::values::{Standing, ValueView};
use ledger::{bodies::KeptBody, statement::v1::ValueRule};
use model::{
    Digest, EnvironmentName, SystemName, ValueName,
    value::{Likeness, Value},
};

use super::{Flags, line};
use crate::{
    fault::{Because as _, Fault, Kind},
    view::View,
};

/// A week beyond the cool-off: guardians have that long to look, and nothing proposed comes into force much later.
const LIFE_S: u64 = 7 * 86_400;

/// Change where money goes: guarded values, by their guardians alone
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Propose(propose::Args),
    Approve(approve::Args),
    Cancel(cancel::Args),
    List(list::Args),
    Show(show::Args),
}

/// Which guarded value, for the verbs that name one.
#[derive(Debug, clap::Args)]
struct Named {
    /// The value's name in the charter
    name: ValueName,
    /// The system, where several have a value of that name
    #[arg(long)]
    system: Option<SystemName>,
    /// The environment, where the value is guarded in several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    match &args.verb {
        Verb::Propose(args) => propose::run(args, common, out),
        Verb::Approve(args) => approve::run(args, common, out),
        Verb::Cancel(args) => cancel::run(args, common, out),
        Verb::List(args) => list::run(args, common, out),
        Verb::Show(args) => show::run(args, common, out),
    }
}

impl Named {
    /// The charter's rule for it.
    fn rule<'a>(&self, view: &'a View) -> Result<&'a ValueRule, Fault> {
        let rules = &view.facts().members().charter().values;
        let fits = |r: &&ValueRule| {
            r.name == self.name
                && self.system.as_ref().is_none_or(|s| s == &r.system)
                && self.environment.as_ref().is_none_or(|e| e == &r.environment)
        };
        let mut found = rules.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(rule), None) => Ok(rule),
            (Some(_), Some(_)) => Err(Fault::new(Kind::Usage, format!("`{}` is guarded in several places", self.name))
                .hint("add `--environment`, and `--system` where there are several")),
            (None, _) => {
                let known: Vec<String> = rules.iter().map(place).collect();
                Err(Fault::new(Kind::Usage, format!("the charter guards no value `{}` there", self.name)).hint(
                    if known.is_empty() {
                        "it guards none at all; docs/values.md says how a charter does".to_owned()
                    } else {
                        format!("it guards {}", known.join(", "))
                    },
                ))
            }
        }
    }
}

fn place(rule: &ValueRule) -> String {
    format!("{} of {} in {}", rule.name, rule.system, rule.environment)
}

/// The view of a rule's value.
fn value_view<'a>(view: &'a View, rule: &ValueRule) -> Result<ValueView<'a>, Fault> {
    gate::values::one(view.facts(), &rule.system, &rule.environment, &rule.name)
        .ok_or_else(|| Fault::new(Kind::Usage, format!("the charter does not guard {}", place(rule))))
}

/// A proposal of a value by its log index, with the value that it is of.
fn find_proposal(view: &View, index: u64) -> Result<(ValueView<'_>, Standing<'_>), Fault> {
    for value in gate::values::all(view.facts()) {
        if let Some(standing) = value.proposals.iter().find(|s| s.proposal.index == index) {
            let standing = standing.clone();
            return Ok((value, standing));
        }
    }
    Err(Fault::new(Kind::Usage, format!("the statement {index} proposes no guarded value, or does not stand any more"))
        .hint("`countersign value list` names the proposals that wait"))
}

/// A value as it is kept beside the log, checked against its commitment and its format.
fn opened(view: &View, rule: &ValueRule, commitment: Digest) -> Result<Value, Fault> {
    let kept = match view.log().body(commitment)? {
        KeptBody::Kept(body) => body,
        KeptBody::Erased => return Err(Fault::new(Kind::Refused, "the value was erased, so nobody can look at it")),
        KeptBody::Missing => {
            return Err(Fault::new(Kind::Refused, "the value is not kept beside the log, so nobody can look at it"));
        }
    };
    let text = String::from_utf8(kept.bytes).because(Kind::Untrue, "the value is no text")?;
    Value::parse_kept(rule.format, &text)
        .because(Kind::Refused, format!("what is kept does not fit the charter's format for {}", place(rule)))
}

/// What a person is shown of a change: both values below each other, what was checked, and in what they look alike.
fn print_change(out: &mut dyn Write, old: Option<&Value>, new: &Value) -> Result<(), Fault> {
    let likeness = old.map(|old| Likeness::of(old, new));
    match old {
        Some(old) => line(out, format!("old  {}", old.as_str()))?,
        None => line(out, "old  none: it is the first value")?,
    }
    line(out, format!("new  {}", new.as_str()))?;
    if let Some(likeness) = &likeness
        && !likeness.marks.trim_end().is_empty()
    {
        line(out, format!("     {}", likeness.marks.trim_end()))?;
    }
    line(out, format!("new is {}", new.format().name()))?;
    for note in new.notes() {
        line(out, format!("  {note}"))?;
    }
    for alike in likeness.iter().flat_map(|likeness| &likeness.alike) {
        line(out, format!("LOOKS ALIKE: {alike}"))?;
    }
    Ok(())
}

/// The same for programs: the ways in which they look alike.
fn alike(old: Option<&Value>, new: &Value) -> Vec<String> {
    let likeness = old.map(|old| Likeness::of(old, new));
    likeness.iter().flat_map(|likeness| &likeness.alike).map(ToString::to_string).collect()
}

/// What a proposal waits for, in words.
fn waits(standing: &Standing<'_>) -> String {
    use gate::values::State;
    let tally = &standing.tally;
    match standing.state {
        State::Open => format!("{} of {} guardians", tally.counted, tally.needed),
        State::CoolingOff => format!(
            "{} of {} guardians; cools off {}",
            tally.counted,
            tally.needed,
            standing.cool_off.left().unwrap_or_default()
        ),
        state => state.words(),
    }
}

#[cfg(test)]
mod tests;
