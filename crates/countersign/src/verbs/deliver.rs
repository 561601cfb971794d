//! Handing over a stop: a halt, a rejection, the withdrawal of a key. To the log and to the agent, either of which may be
//! away.
//!
//! `front` hands it to both. Unless the log's receipt comes back, the stop also goes straight to the agent of this host,
//! which keeps it and writes it into the log when that is back; that the agent has it is not believed from `front`.
//! Handing it over twice is the same stop. That the log has it is believed when its receipt proves it, and told when it
//! was read there.

use std::{io::Write, time::Duration};

use hyper::{Method, StatusCode};
use ledger::{
    bodies::SubjectBody,
    dsse::{Envelope, Identity},
    log::Receipt,
    statement::Members,
};
use serde_json::Value;

use super::{Flags, line, people};
use crate::{
    fault::{Because as _, Fault, Kind},
    http::{ANSWER_TIMEOUT, Target},
    identity::RoleUser,
    log_client::{Appended, LogClient, Submission, SubmittedBody, fault_of},
    view::View,
};

/// A stop is told at once; witnesses that are there cosign within a second.
const COSIGN_TIMEOUT: Duration = Duration::from_secs(5);

const WITHHELD_HINT: &str = "the log withholds it: tell the operators of the witnesses and whoever follows the log, and see \
    that the agent has it (`countersign halt` works without the log)";

const NOBODY_HINT: &str =
    "run it on the agent's host as root, or stop the agent there with `countersign down --leave-components`";

/// Who has the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The log, under this index.
    Log(u64),
    /// The agent only; the log does not have it yet.
    Agent,
}

/// Hands a stop over. Gives who has it, and whether its reason is kept.
pub(super) fn deliver(
    common: &Flags,
    members: &Members,
    envelope: &Envelope,
    body: Option<&SubjectBody>,
) -> Result<(Taken, bool), Fault> {
    let mut kept = body.is_some();
    let mut said = through_front(common, members, envelope, &submission(envelope, body)?);
    // A reason that can not be kept stops no stop: its subject may have been erased.
    if kept && said.as_ref().is_err_and(|fault| fault.kind() == Kind::Refused) {
        kept = false;
        said = through_front(common, members, envelope, &submission(envelope, None)?);
    }
    // Only the log's receipt proves something. Whatever else `front` or the log says, the agent is asked itself.
    let said = match said {
        Ok(Taken::Log(index)) => return Ok((Taken::Log(index), kept)),
        Ok(Taken::Agent) => Fault::new(Kind::Unavailable, "front says that the agent has it; not confirmed"),
        Err(fault) => fault,
    };
    match to_agent(common, &submission(envelope, None)?) {
        Ok(()) => {
            tracing::warn!("not in the log yet: {}", said.message());
            Ok((Taken::Agent, false))
        }
        Err(direct) => {
            let words = format!("{}; and the agent of this host: {}", said.message(), direct.message());
            Err(Fault::new(said.kind(), words)
                .hint(said.hint_text().map_or_else(|| NOBODY_HINT.to_owned(), str::to_owned)))
        }
    }
}

fn submission(envelope: &Envelope, body: Option<&SubjectBody>) -> Result<Vec<u8>, Fault> {
    let text = String::from_utf8(envelope.canonical_bytes()).because(Kind::Internal, "the envelope is not text")?;
    let submission = Submission {
        envelope: serde_json::value::RawValue::from_string(text).because(Kind::Internal, "the envelope is not JSON")?,
        bodies: body.into_iter().map(SubmittedBody::of).collect(),
    };
    serde_json::to_vec(&submission).because(Kind::Internal, "the submission is not JSON")
}

fn through_front(common: &Flags, members: &Members, envelope: &Envelope, submission: &[u8]) -> Result<Taken, Fault> {
    let answer = common.front()?.ask_blocking(Method::POST, "/log/statements", submission.to_vec(), ANSWER_TIMEOUT)?;
    if answer.status == StatusCode::ACCEPTED {
        return Ok(Taken::Agent);
    }
    if !answer.status.is_success() {
        return Err(fault_of(&answer).context("it was not taken"));
    }
    let appended: Appended =
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "the log's answer does not hold up")?;
    let (log, _) =
        ledger::reader::keys_of(members.charter()).because(Kind::Input, "the charter's keys do not hold up")?;
    let Appended { index, proof, checkpoint } = appended;
    Receipt { index, proof, checkpoint: checkpoint.into_bytes() }
        .verify(envelope, &log)
        .map_err(|e| Fault::from_error(Kind::Untrue, e).context("the log says that it has it").hint(WITHHELD_HINT))?;
    Ok(Taken::Log(index))
}

fn to_agent(common: &Flags, submission: &[u8]) -> Result<(), Fault> {
    let agent = Target::Unix(common.layout().socket(RoleUser::Agent));
    let answer = agent.ask_blocking(Method::POST, "/stop", submission.to_vec(), ANSWER_TIMEOUT)?;
    if answer.status.is_success() { Ok(()) } else { Err(fault_of(&answer)) }
}

/// Whether witnesses have cosigned it within a few seconds, so that everyone who follows the log has it. An error is a log
/// that was cosigned without it.
pub(super) fn is_cosigned(common: &Flags, members: Members, index: u64, stop: Identity) -> Result<bool, Fault> {
    let seen = || -> Result<View, Fault> {
        let client = LogClient::through_front(common.front()?);
        let mut view = View::new(client, members)?;
        view.wait_for(index, COSIGN_TIMEOUT)?;
        Ok(view)
    };
    match seen() {
        Ok(view) => is_there(&view, index, stop).map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Where the log has a stop, read back from there; `None` if the agent alone has it.
pub(super) fn read_back(view: &mut View, taken: Taken, stop: Identity) -> Result<Option<u64>, Fault> {
    let Taken::Log(index) = taken else { return Ok(None) };
    people::see(view, index)?;
    is_there(view, index, stop)?;
    Ok(Some(index))
}

/// That a stop is in the log that was read: its answer alone is not believed.
fn is_there(view: &View, index: u64, stop: Identity) -> Result<(), Fault> {
    if view.facts().has_heard(stop) {
        return Ok(());
    }
    Err(Fault::new(Kind::Untrue, format!("the log said that it has it as {index}, and {index} is something else"))
        .hint(WITHHELD_HINT))
}

/// Says what follows when the agent alone has it.
pub(super) fn tell_agent_only(out: &mut dyn Write) -> Result<(), Fault> {
    line(out, "the agent writes it into the log when the log takes it, and raises an alarm if it is not there in time")
}

/// Whether the agent answers `front`. No answer is no.
pub(super) fn agent_answers(common: &Flags) -> bool {
    let asked = || -> Result<bool, Fault> {
        let answer = common.front()?.ask_blocking(Method::GET, "/api/status", Vec::new(), ANSWER_TIMEOUT)?;
        let status: Value =
            serde_json::from_slice(&answer.body).because(Kind::Unavailable, "front's answer is not JSON")?;
        Ok(status.get("agent").is_some_and(Value::is_object))
    };
    asked().unwrap_or(false)
}
