//! `countersign charter`: the charter in force, what an amendment would change, and saying so.
//!
//! A person edits a file and proposes it; the log gets the edits, and everybody who consents is shown in plain words what
//! they would allow. What binds is the digest of the charter that it makes; the digest of the words is signed beside it.

mod file;
mod person;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use gate::{Differences, amendment_shown, amendment_shown_digest, amendment_state, charters_of};
use ledger::{
    charter::{Charters, Put, State, diff},
    statement::{
        Signatory,
        v1::{Amendment, Cancellation, Charter, Claim, Consent, Kind as Says},
    },
};
use model::Digest;
use serde_json::json;

use super::{Flags, Format, line, people, print_json};
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
    view::View,
};

/// The charter in force, and amendments of it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The charter in force, with every amendment that was put up
    Show {
        /// The one that was in force for the statement at this log index
        #[arg(long, value_name = "INDEX")]
        at: Option<u64>,
    },
    /// Print the charter in force as a file to edit
    Edit,
    /// Add a person to an edited file, with the digest of the addresses that the person commits under
    AddPerson(person::Person),
    /// Take in the addresses of a new person, on the builder's host
    Identities {
        /// What `add-person` wrote beside the edited file
        file: PathBuf,
    },
    /// What a file, or the amendment at a log index, would allow that is not allowed now
    Diff {
        /// An edited file, or a log index
        #[arg(value_name = "FILE|INDEX")]
        what: String,
    },
    /// Put an edited file up as an amendment
    Propose {
        /// The edited file
        file: PathBuf,
        /// Sign without asking
        #[arg(long, short)]
        yes: bool,
    },
    /// Agree to the amendment at a log index, after it is shown
    Consent {
        /// The log index of the amendment
        index: u64,
        /// Sign without asking
        #[arg(long, short)]
        yes: bool,
    },
    /// Cancel an amendment that recovery keys put up; any member may
    Cancel {
        /// The log index of the amendment
        index: u64,
        /// Why; kept beside the log, which gets its salted digest only
        #[arg(long)]
        reason: Option<String>,
        /// Sign without asking
        #[arg(long, short)]
        yes: bool,
    },
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = || common.view();
    match &args.what {
        // A file is edited wherever the person sits, also without a log.
        What::AddPerson(person) => person::add(person, out),
        What::Identities { file } => person::take_in(&view()?, &common.layout(), file, out),
        What::Show { at } => show(&view()?, *at, common, out),
        What::Edit => line(out, file::write(view()?.facts().members().charter())?.trim_end()),
        What::Diff { what } => differ(&view()?, what, common, out),
        What::Propose { file, yes } => propose(&mut view()?, file, *yes, common, out),
        What::Consent { index, yes } => consent(&mut view()?, *index, *yes, common, out),
        What::Cancel { index, reason, yes } => cancel(&mut view()?, *index, reason.as_deref(), *yes, common, out),
    }
}

fn show(view: &View, at: Option<u64>, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let charters = view.facts().charters();
    let members = at.map_or_else(|| charters.members(), |index| charters.members_at(index));
    let since = charters.history().iter().rfind(|(_, m)| m.is_same(members)).map_or(0, |(from, _)| *from);
    let charter = members.charter();
    if common.format == Format::Json {
        let amendments: Vec<_> = charters.puts().map(|put| told(charters, put)).collect();
        return print_json(
            out,
            &json!({
                "log": members.hash(), "digest": members.digest(), "in_force_from": since, "charter": charter,
                "keys_that_do_not_count_yet": members.not_yet(), "amendments": amendments,
                "rest_on_withdrawn_keys": charters.by_withdrawn_keys().map(|put| put.index).collect::<Vec<_>>(),
            }),
        );
    }
    line(out, format!("charter {}, in force from statement {since} on", members.digest()))?;
    line(out, format!("of the log {} ({})", charter.log.origin, members.hash()))?;
    for member in &charter.members {
        let roles: Vec<&str> = member.roles.iter().map(model::RoleName::as_str).collect();
        line(out, format!("  {:<16} {}", member.id, roles.join(", ")))?;
        for key in &member.keys {
            let Ok(id) = ledger::statement::public_key(key).map(|key| key.id()) else { continue };
            let waits = charters.new_keys().find(|(waiting, _)| *waiting == id).map(|(_, delay)| delay);
            let counts = match waits {
                Some(delay) => match delay.until {
                    Some((until, _)) => format!(", counts from {until} on"),
                    None => format!(", counts {} s after the next tick", delay.asked_s),
                },
                None => charters.withdrawal(id).map_or_else(String::new, |at| format!(", withdrawn at {at}")),
            };
            line(out, format!("    {id}{counts}"))?;
        }
    }
    let quorum: Vec<String> = charter.amendment.groups.iter().map(|g| format!("{} of {}", g.count, g.role)).collect();
    line(out, format!("it changes by {}, never the proposer's", quorum.join(" and ")))?;
    match &charter.recovery {
        Some(r) => line(out, format!("or by {} of {} recovery keys, after {} s", r.count, r.keys.len(), r.delay_s))?,
        None => line(out, "there are no recovery keys: if that quorum is lost, the charter can not change any more")?,
    }
    for put in charters.puts() {
        line(out, format!("amendment {} by {}: {}", put.index, put.by, amendment_state(charters, put)))?;
        let here = amendment_shown_digest(charters, put.index);
        for consent in put.consents.iter().filter(|consent| Some(consent.shown) != here) {
            line(out, format!("  {} consented at {} to other words than are shown here", consent.by, consent.index))?;
        }
    }
    for put in charters.by_withdrawn_keys() {
        line(
            out,
            format!("ALARM: amendment {} rests on a key that was withdrawn since; it stays in force", put.index),
        )?;
    }
    Ok(())
}

fn told(charters: &Charters, put: &Put) -> serde_json::Value {
    let state = match &put.state {
        State::Open => "open",
        State::Waiting { .. } => "waiting",
        State::InForce { .. } => "in-force",
        State::Cancelled { .. } => "cancelled",
        State::Overtaken { .. } => "overtaken",
    };
    let here = amendment_shown_digest(charters, put.index);
    json!({
        "amendment": put.index, "by": put.by.to_string(), "state": state, "told": amendment_state(charters, put),
        "becomes": put.amendment.becomes,
        "consents": put.consents.iter().map(|c| json!({
            "index": c.index, "by": c.by.to_string(), "shown_as_here": Some(c.shown) == here,
        })).collect::<Vec<_>>(),
    })
}

/// The charter in force, and what it is compared with.
fn pair(view: &View, what: &str) -> Result<(Charter, Charter), Fault> {
    let charters = view.facts().charters();
    match what.parse::<u64>() {
        Ok(index) => {
            let put = find(charters, index)?;
            charters_of(charters, put).ok_or_else(|| {
                Fault::new(Kind::Refused, format!("the edits of the amendment at {index} fit no charter of this log"))
            })
        }
        Err(_) => Ok((charters.members().charter().clone(), file::read(Path::new(what))?)),
    }
}

fn find(charters: &Charters, index: u64) -> Result<&Put, Fault> {
    charters.put(index).ok_or_else(|| {
        let known: Vec<String> = charters.puts().map(|put| put.index.to_string()).collect();
        let hint =
            if known.is_empty() { "none was put up".to_owned() } else { format!("there are {}", known.join(", ")) };
        Fault::new(Kind::Usage, format!("there is no amendment at log index {index}")).hint(hint)
    })
}

fn differ(view: &View, what: &str, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let (from, to) = pair(view, what)?;
    let found = Differences::between(&from, &to);
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({
                "from": from.digest(), "to": to.digest(), "allows": found.allows, "takes": found.takes, "changes": found.changes,
            }),
        );
    }
    write!(out, "{found}").because(Kind::Unavailable, "the output is closed")
}

fn propose(view: &mut View, path: &Path, yes: bool, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let members = view.facts().members().clone();
    let charter = file::read(path)?;
    let edits =
        diff(members.charter(), &charter).because(Kind::Refused, "this is no amendment of the charter in force")?;
    if edits.is_empty() {
        return Err(Fault::new(Kind::Usage, "the file says what is in force already").hint("edit it first"));
    }
    gate::duties::check(&charter).because(Kind::Refused, "this charter would be refused")?;
    let amendment = Amendment { from: members.digest(), becomes: charter.digest(), edits };
    let speaker = common.speaker(&members, Says::Amendment, people::LIFE_S)?;
    let by = members.holder(speaker.signer().key().id()).because(Kind::Refused, "the key is nobody's")?.clone();
    let is_recovery = by == Signatory::Recovery;
    view.facts()
        .charters()
        .result(&amendment, is_recovery)
        .because(Kind::Refused, "this amendment could not come into force")?;
    let found = Differences::between(members.charter(), &charter);
    if common.format == Format::Text {
        write!(out, "{found}").because(Kind::Unavailable, "the output is closed")?;
    }
    people::confirm(out, yes, &format!("{by} proposes it?"))?;
    let about = About { seen: view.seen(), ..About::default() };
    let said = speaker.say(view.log(), Claim::Amendment(Box::new(amendment.clone())), about, &[])?;
    people::see(view, said.index)?;
    let charters = view.facts().charters();
    let put = find(charters, said.index)?;
    if common.format == Format::Json {
        return print_json(out, &told(charters, put));
    }
    line(out, format!("proposed by {by}, in the log as {}; becomes {}", said.index, amendment.becomes))?;
    line(out, amendment_state(charters, put))?;
    line(out, format!("the others read it and agree with `countersign charter consent {}`", said.index))
}

fn consent(view: &mut View, index: u64, yes: bool, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let members = view.facts().members().clone();
    let charters = view.facts().charters();
    let put = find(charters, index)?;
    let becomes = put.amendment.becomes;
    let text = amendment_shown(charters, index).ok_or_else(|| {
        Fault::new(Kind::Refused, format!("the edits of the amendment at {index} fit no charter of this log"))
    })?;
    let speaker = common.speaker(&members, Says::Consent, people::LIFE_S)?;
    let by = members.holder(speaker.signer().key().id()).because(Kind::Refused, "the key is nobody's")?.clone();
    if common.format == Format::Text {
        line(out, text.trim_end())?;
    }
    people::confirm(out, yes, &format!("{by} agrees?"))?;
    let claim = Consent { amendment: index, becomes, shown: Digest::of(text.as_bytes()) };
    let about = About { seen: view.seen(), ..About::default() };
    let said = speaker.say(view.log(), Claim::Consent(claim), about, &[])?;
    people::see(view, said.index)?;
    let charters = view.facts().charters();
    let put = find(charters, index)?;
    if common.format == Format::Json {
        return print_json(out, &told(charters, put));
    }
    line(out, format!("agreed to by {by}, in the log as {}", said.index))?;
    line(out, format!("amendment {index}: {}", amendment_state(charters, put)))
}

fn cancel(
    view: &mut View,
    index: u64,
    reason: Option<&str>,
    yes: bool,
    common: &Flags,
    out: &mut dyn Write,
) -> Result<(), Fault> {
    let members = view.facts().members().clone();
    find(view.facts().charters(), index)?;
    let speaker = common.speaker(&members, Says::Cancellation, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    people::confirm(out, yes, &format!("{who} cancels the amendment at {index}? This is not taken back"))?;
    let body = people::reason_body(&who, reason)?;
    let claim = Cancellation { of: index, reason: body.as_ref().map(|said| said.body.commitment()) };
    let about = About { seen: view.seen(), ..About::default() };
    let said = speaker.say(view.log(), Claim::Cancellation(claim), about, body.as_slice())?;
    people::see(view, said.index)?;
    let charters = view.facts().charters();
    let put = find(charters, index)?;
    if common.format == Format::Json {
        return print_json(out, &told(charters, put));
    }
    line(out, format!("amendment {index}: {}", amendment_state(charters, put)))
}

#[cfg(test)]
mod tests;
