//! `countersign erase`: what is kept beside the log about a person, a change or a guarded value is made unreadable. It
//! takes two persons, and is not taken back.
//!
//! The verb signs one person's word. The log destroys the key when it has two; a crash in between is made good when the
//! log starts again. Every byte of the log stays, so everything still verifies.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use ledger::{
    bodies::{KeptBody, Subject},
    erasure::{Erasures, PERSONS},
    statement::{
        Signatory,
        v1::{Claim, Erasure, Kind as Says},
    },
};
use model::{Digest, PersonId};
use serde_json::json;

use super::{Flags, Format, line, people, print_json};
use crate::{
    fault::{Fault, Kind},
    log_client::SubjectState,
    say::About,
    view::View,
};

/// Erase what is kept beside the log about a person, a change or a guarded value; takes two people
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whom or what: `person:NAME` for the reasons that somebody gave, `change:INDEX` for the lists of cases of its suites,
    /// `value:sha256:…` for a guarded value that nothing uses any more, by its commitment
    subject: Subject,
    /// Why; kept beside the log, which gets its salted digest only
    #[arg(long)]
    reason: Option<String>,
    /// Sign without asking
    #[arg(long, short)]
    yes: bool,
}

/// The log looks at once; only a disk that hangs takes longer.
const ERASED_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let subject = &args.subject;
    check(&view, subject)?;
    let digest = subject.digest();
    let speaker = common.speaker(&members, Says::Erasure, people::LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    if view.log().subject(digest)? == SubjectState::Erased {
        return Err(Fault::new(Kind::Refused, format!("`{subject}` was erased before"))
            .hint("what is erased stays erased, and nothing new is kept about it"));
    }
    let readable = readable(&view, subject)?;
    if common.format == Format::Text {
        line(out, format!("{} of {subject} can be read now, and never again after this", bodies(readable.len())))?;
        for (index, name) in &readable {
            line(out, format!("{index:>6}  {name}"))?;
        }
    }
    people::confirm(out, args.yes, &format!("{who} erases {subject}? This is not taken back"))?;
    let reason = people::reason_body(&who, args.reason.as_deref())?;
    let claim = Erasure { subject: digest, reason: reason.as_ref().map(|said| said.body.commitment()) };
    let said = speaker.say(
        view.log(),
        Claim::Erasure(claim),
        About { seen: view.seen(), ..About::default() },
        &reason.into_iter().collect::<Vec<_>>(),
    )?;
    people::see(&mut view, said.index)?;

    let erasures = erasures(&view);
    let complete = erasures.complete(digest);
    let needed: Vec<PersonId> = match complete {
        Some(_) => Vec::new(),
        None => {
            let spoke: Vec<&PersonId> = erasures.waiting(digest).iter().map(|word| &word.person).collect();
            people::who_may(&members, Says::Erasure).into_iter().filter(|p| !spoke.contains(&p)).collect()
        }
    };
    if complete.is_some() {
        wait_until_erased(&view, subject)?;
    }
    if common.format == Format::Json {
        let persons: Vec<&PersonId> = match complete {
            Some(complete) => complete.persons.iter().collect(),
            None => erasures.waiting(digest).iter().map(|word| &word.person).collect(),
        };
        return print_json(
            out,
            &json!({ "erasure": said.index, "subject": subject.to_string(), "digest": digest, "persons": persons,
                     "erased": complete.is_some(), "needed_from": needed, "bodies": readable.len() }),
        );
    }
    if let Some(complete) = complete {
        let persons: Vec<&str> = complete.persons.iter().map(PersonId::as_str).collect();
        line(out, format!("{subject} is erased, as {} said, in the log as {}", persons.join(" and "), said.index))?;
        line(out, "its key is destroyed here; copies of the log's database that were made before still hold it")
    } else {
        let spoke = erasures.waiting(digest).len();
        let by: Vec<&str> = needed.iter().map(PersonId::as_str).collect();
        line(out, format!("{who} has said so, in the log as {}: {spoke} of {PERSONS} persons", said.index))?;
        let until = erasures.waiting(digest).iter().map(|word| word.expires).min().unwrap_or_default();
        line(out, format!("nothing is erased yet; one more is needed before {until}, of {}", by.join(", ")))
    }
}

/// Only what the log knows can be erased, and not what the next release is compared with.
fn check(view: &View, subject: &Subject) -> Result<(), Fault> {
    let facts = view.facts();
    match subject {
        Subject::Person(id) if facts.members().charter().member(id).is_some() => Ok(()),
        Subject::Person(id) => Err(Fault::new(Kind::Usage, format!("the charter has no person `{id}`"))),
        Subject::Value(commitment) => check_value(view, *commitment),
        Subject::Change(index) if facts.change(*index).is_none() => {
            Err(Fault::new(Kind::Usage, format!("the statement {index} is not a change"))
                .hint("`countersign log --kind change` lists them"))
        }
        Subject::Change(index) => {
            let charter = facts.members().charter();
            let places = charter.systems.iter().flat_map(|s| charter.environments.iter().map(move |e| (s, e)));
            let runs = places
                .filter_map(|(s, e)| facts.live(&s.name, &e.name).into_iter().next())
                .filter_map(|live| facts.proposal(live.proposal))
                .any(|proposal| proposal.claim.change == *index);
            if !runs {
                return Ok(());
            }
            Err(Fault::new(Kind::Refused, format!("the release of change {index} runs now")).hint(
                "the next one is compared with its lists of cases; erase it when another release has replaced it",
            ))
        }
    }
}

/// A value that is in force, or that something runs with, is needed to start it again.
fn check_value(view: &View, commitment: Digest) -> Result<(), Fault> {
    let facts = view.facts();
    if !facts.value_proposals().any(|said| said.claim.value == commitment) {
        return Err(Fault::new(Kind::Usage, format!("no guarded value was proposed with the commitment {commitment}"))
            .hint("`countersign value list` names them"));
    }
    let charter = facts.members().charter();
    let is_in_force =
        gate::values::all(facts).iter().any(|value| value.in_force.as_ref().is_some_and(|now| now.value == commitment));
    let places = charter.systems.iter().flat_map(|s| charter.environments.iter().map(move |e| (s, e)));
    let runs = places
        .filter_map(|(s, e)| facts.live(&s.name, &e.name).into_iter().next())
        .filter_map(|live| facts.proposal(live.proposal))
        .any(|proposal| proposal.claim.values.iter().any(|given| given.value == commitment));
    if !is_in_force && !runs {
        return Ok(());
    }
    Err(Fault::new(Kind::Refused, format!("the guarded value with the commitment {commitment} is used now"))
        .hint("components that are started again need it; erase it when another one has replaced it"))
}

/// The bodies of a subject that can be read now: the index of the statement, and what it is of it.
fn readable(view: &View, subject: &Subject) -> Result<Vec<(u64, &'static str)>, Fault> {
    let members = view.facts().members();
    let mut readable = Vec::new();
    for entry in view.statements() {
        let is_about = match subject {
            Subject::Person(id) => matches!(members.holder(entry.key()), Ok(Signatory::Person(by)) if by == id),
            Subject::Change(index) => matches!(&entry.value().claim, Claim::Evidence(c) if c.change == *index),
            Subject::Value(value) => matches!(&entry.value().claim, Claim::ValueProposal(c) if c.value == *value),
        };
        let is_its_own = |commitment: Digest| match (subject, &entry.value().claim) {
            (Subject::Value(value), _) => commitment == *value,
            // What is proposed goes with the value, and only the reason with the person.
            (Subject::Person(_), Claim::ValueProposal(c)) => commitment != c.value,
            _ => true,
        };
        for (name, commitment) in is_about.then(|| entry.value().claim.commitments()).into_iter().flatten() {
            if is_its_own(commitment) && matches!(kept(view, commitment)?, KeptBody::Kept(_)) {
                readable.push((entry.index(), name));
            }
        }
    }
    Ok(readable)
}

fn kept(view: &View, commitment: Digest) -> Result<KeptBody, Fault> {
    view.log().body(commitment)
}

/// The erasures that a view has read.
pub(super) fn erasures(view: &View) -> Erasures {
    let mut erasures = Erasures::new();
    for entry in view.statements() {
        if Erasures::KINDS.contains(&entry.value().claim.kind())
            && let Some(by) = entry.by()
        {
            let members = view.facts().members_at(entry.index());
            erasures.push(entry.index(), entry.key(), members, by, entry.value());
        }
    }
    erasures
}

fn wait_until_erased(view: &View, subject: &Subject) -> Result<(), Fault> {
    let start = Instant::now();
    while view.log().subject(subject.digest())? != SubjectState::Erased {
        if start.elapsed() > ERASED_TIMEOUT {
            return Err(Fault::new(
                Kind::Unavailable,
                format!("two persons have erased `{subject}`, but its key is not destroyed yet"),
            )
            .hint("`countersign status` tells what the log waits for; it goes on trying"));
        }
        // The log destroys the key before it takes in much else; waiting for its growth would wait too long.
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn bodies(count: usize) -> String {
    if count == 1 { "1 body".to_owned() } else { format!("{count} bodies") }
}

#[cfg(test)]
mod tests;
