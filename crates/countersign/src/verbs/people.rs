//! What the verbs by which people speak share: who signs, what is asked first, how far a quorum is.
//!
//! A crash between signing and the log's answer loses nothing: who says the same again says a new statement, and a
//! quorum counts people.

use std::{
    io::{BufRead as _, IsTerminal as _, Write},
    time::Duration,
};

use gate::Dossier;
use ledger::{
    bodies::{Body, Subject, SubjectBody},
    statement::{Members, v1::Kind as Says},
};
use model::{EnvironmentName, PersonId, SystemName};

use crate::{
    fault::{Because as _, Fault, Kind},
    view::View,
};

/// What people say about a release counts a week, as long as the approvals of a charter that says nothing else.
pub const LIFE_S: u64 = 7 * 86_400;
/// Stopping and withdrawing count as long as a statement may: nothing starts again by the passing of time.
pub const LONG_LIFE_S: u64 = 365 * 86_400;
/// A statement is cosigned within a second when the witnesses are there.
pub const COSIGN_TIMEOUT: Duration = Duration::from_secs(30);
/// A reason is read by people.
const REASON_BYTES: usize = 16 * 1024;

/// Who signs with a key, and that it is a person.
pub fn person(members: &Members, key: model::KeyId) -> Result<PersonId, Fault> {
    use ledger::statement::Signatory;
    match members.holder(key) {
        Ok(Signatory::Person(id)) => Ok(id.clone()),
        Ok(robot) => Err(Fault::new(Kind::Refused, format!("{robot} can not decide: only people may"))
            .hint("sign with your own key")),
        Err(e) => {
            Err(Fault::from_error(Kind::Refused, e).hint("sign with a key that the charter lists for you (`--key`)"))
        }
    }
}

/// Asks on a terminal; without one, only `--yes` goes on.
pub fn confirm(out: &mut dyn Write, yes: bool, question: &str) -> Result<(), Fault> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Fault::new(Kind::Usage, "nobody can be asked here").hint("read what is shown, and add `--yes`"));
    }
    let closed = "the output is closed";
    write!(out, "{question} [y/N] ").because(Kind::Unavailable, closed)?;
    out.flush().because(Kind::Unavailable, closed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).because(Kind::Usage, "the answer can not be read")?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Fault::new(Kind::Refused, "nothing was signed"))
    }
}

/// A person's reason as a body beside the log, salted. It is erased with the person who gave it.
pub fn reason_body(who: &PersonId, reason: Option<&str>) -> Result<Option<SubjectBody>, Fault> {
    let Some(text) = reason else { return Ok(None) };
    if text.len() > REASON_BYTES {
        return Err(Fault::new(
            Kind::Usage,
            format!("a reason of {} bytes; {REASON_BYTES} are kept at most", text.len()),
        )
        .hint("say where the long text is"));
    }
    let body = Body::new(text.as_bytes().to_vec())
        .ok_or_else(|| Fault::new(Kind::Unavailable, "no random bytes for the salt"))?;
    Ok(Some(body.about(Subject::Person(who.clone()))))
}

/// The system that is meant: the one named, or the only one of the charter.
pub fn system(members: &Members, named: Option<&SystemName>) -> Result<SystemName, Fault> {
    let systems = &members.charter().systems;
    let known = || systems.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    match (named, systems.as_slice()) {
        (Some(name), _) if members.charter().system(name).is_some() => Ok(name.clone()),
        (Some(name), _) => {
            Err(Fault::new(Kind::Usage, format!("the charter has no system `{name}`"))
                .hint(format!("it has {}", known())))
        }
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(Fault::new(Kind::Usage, "which system?").hint(format!("the charter has {}", known()))),
    }
}

/// The environment that is meant: the one named, or the only one of the charter.
pub fn environment(members: &Members, named: Option<&EnvironmentName>) -> Result<EnvironmentName, Fault> {
    let environments = &members.charter().environments;
    let known = || environments.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", ");
    match (named, environments.as_slice()) {
        (Some(name), _) if members.charter().environment(name).is_some() => Ok(name.clone()),
        (Some(name), _) => Err(Fault::new(Kind::Usage, format!("the charter has no environment `{name}`"))
            .hint(format!("it has {}", known()))),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(Fault::new(Kind::Usage, "which environment?")
            .hint(format!("add `--environment`; the charter has {}", known()))),
    }
}

/// How far the quorum of a proposal is, in one line.
pub fn how_far(dossier: &Dossier<'_>) -> String {
    let tally = &dossier.tally;
    let who: Vec<&str> = tally.persons.iter().map(PersonId::as_str).collect();
    let by = if who.is_empty() { String::new() } else { format!(" ({})", who.join(", ")) };
    if tally.needed == u32::MAX {
        "nobody can approve here: the quorum names no one".to_owned()
    } else if tally.is_met() {
        format!("{} of {} approvals{by}: the quorum is met", tally.counted, tally.needed)
    } else {
        format!("{} of {} approvals{by}; {} more needed", tally.counted, tally.needed, tally.needed - tally.counted)
    }
}

/// Reads until an entry is cosigned, so that what follows is told from the log and not from hope.
pub fn see(view: &mut View, index: u64) -> Result<(), Fault> {
    view.wait_for(index, COSIGN_TIMEOUT)
        .map_err(|f| f.context(format!("the statement is in the log as {index}, but not cosigned yet")))
}

/// The people whose roles may say a kind.
pub fn who_may(members: &Members, kind: Says) -> Vec<PersonId> {
    let charter = members.charter();
    let may = |m: &&ledger::statement::v1::Member| m.roles.iter().any(|r| charter.may_say(r, kind));
    charter.members.iter().filter(may).map(|m| m.id.clone()).collect()
}
