//! `countersign halt`: no new step. One person is enough, and it works without the log.
//!
//! It goes through `front`, which hands it to the agent as well. Without `front` it goes straight to the agent of this
//! host, which keeps it and writes it into the log when that is back. Handing it over twice is the same halt.

use std::{io::Write, time::Duration};

use hyper::{Method, StatusCode};
use ledger::{
    bodies::SubjectBody,
    dsse::Envelope,
    statement::v1::{Claim, Halt, Kind as Says},
};
use model::{EnvironmentName, SystemName};
use serde_json::{Value, json};

use super::{Flags, Format, line, people, print_json};
use crate::{
    fault::{Because as _, Fault, Kind},
    http::{ANSWER_TIMEOUT, Target},
    identity::RoleUser,
    log_client::{Appended, LogClient, Submission, SubmittedBody, fault_of},
    say::About,
    view::View,
};

/// Halt an environment: no new step until it is resumed
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system; every one if not given
    system: Option<SystemName>,
    /// The environment; every one if not given
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Why; kept beside the log, which gets its salted digest only
    #[arg(long)]
    reason: Option<String>,
}

/// A halt is told at once; witnesses that are there cosign within a second.
const COSIGN_TIMEOUT: Duration = Duration::from_secs(5);

/// Who has the halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// The log, under this index.
    Log(u64),
    /// The agent only; the log does not answer.
    Agent,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    // Nothing of the log is read first: stopping must work when it does not answer.
    let members = common.members()?;
    if let Some(name) = &args.system {
        people::system(&members, Some(name))?;
    }
    if let Some(name) = &args.environment {
        people::environment(&members, Some(name))?;
    }
    let speaker = common.speaker(&members, Says::Halt, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let body = people::reason_body(&who, args.reason.as_deref())?;
    let claim =
        Halt { environment: args.environment.clone(), reason: body.as_ref().map(|said| said.body.commitment()) };
    let about = About { system: args.system.clone(), environment: args.environment.clone(), ..About::default() };
    let envelope = speaker.sign(Claim::Halt(claim), about)?;
    let mut kept = body.is_some();
    let submission = submission(&envelope, body.as_ref())?;

    let mut asked = through_front(common, &submission);
    // A reason that can not be kept stops no stop: its subject may have been erased.
    if let (Err(fault), true) = (&asked, kept)
        && fault.kind() == Kind::Refused
    {
        kept = false;
        asked = through_front(common, &self::submission(&envelope, None)?);
    }
    let taken = match asked {
        Ok(taken) => taken,
        Err(fault) if matches!(fault.kind(), Kind::Unavailable | Kind::Usage) => {
            to_agent(common, &submission).map_err(|direct| {
                Fault::new(
                    Kind::Unavailable,
                    format!("NOT halted: {}; and the agent of this host: {}", fault.message(), direct.message()),
                )
                .hint("run it on the agent's host as root, or stop the agent there with `countersign down --leave-components`")
            })?;
            Taken::Agent
        }
        Err(fault) => return Err(fault),
    };
    let what = match (&args.system, &args.environment) {
        (Some(s), Some(e)) => format!("{s} in {e}"),
        (Some(s), None) => format!("{s} in every environment"),
        (None, Some(e)) => e.to_string(),
        (None, None) => "every system in every environment".to_owned(),
    };
    let agent_answers = agent_answers(common);
    let cosigned = match taken {
        Taken::Log(index) => is_cosigned(common, members, index),
        Taken::Agent => false,
    };
    if common.format == Format::Json {
        let index = match taken {
            Taken::Log(index) => Some(index),
            Taken::Agent => None,
        };
        return print_json(
            out,
            &json!({ "halted": what, "by": who, "logged": index.is_some(), "halt": index, "cosigned": cosigned, "agent_answers": agent_answers }),
        );
    }
    match taken {
        Taken::Log(index) => {
            line(out, format!("{what}: halted by {who}, in the log as {index}"))?;
            if args.reason.is_some() && !kept {
                line(out, format!("the reason was not kept: what is kept about {who} was erased"))?;
            }
            if !cosigned {
                line(
                    out,
                    "no quorum of witnesses has cosigned it yet; who was handed it directly has stopped all the same",
                )?;
            }
        }
        Taken::Agent => {
            line(out, format!("{what}: halted by {who}; the agent has it, the log does not yet"))?;
            line(out, "the agent writes it into the log when the log is back")?;
            if args.reason.is_some() {
                line(out, "the reason was not kept: the agent takes the halt alone")?;
            }
        }
    }
    if taken != Taken::Agent && !agent_answers {
        line(out, "the agent of this host does not answer; it takes no step before it has read the log")?;
    }
    line(out, "what runs goes on; `countersign resume` is how people agree to go on")
}

fn submission(envelope: &Envelope, body: Option<&SubjectBody>) -> Result<Vec<u8>, Fault> {
    let text = String::from_utf8(envelope.canonical_bytes()).because(Kind::Internal, "the envelope is not text")?;
    let submission = Submission {
        envelope: serde_json::value::RawValue::from_string(text).because(Kind::Internal, "the envelope is not JSON")?,
        bodies: body.into_iter().map(SubmittedBody::of).collect(),
    };
    serde_json::to_vec(&submission).because(Kind::Internal, "the submission is not JSON")
}

fn through_front(common: &Flags, submission: &[u8]) -> Result<Taken, Fault> {
    let answer = common.front()?.ask_blocking(Method::POST, "/log/statements", submission.to_vec(), ANSWER_TIMEOUT)?;
    if answer.status == StatusCode::ACCEPTED {
        return Ok(Taken::Agent);
    }
    if !answer.status.is_success() {
        return Err(fault_of(&answer).context("the halt was not taken"));
    }
    let appended: Appended =
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "the log's answer does not hold up")?;
    Ok(Taken::Log(appended.index))
}

fn to_agent(common: &Flags, submission: &[u8]) -> Result<(), Fault> {
    let agent = Target::Unix(common.layout().socket(RoleUser::Agent));
    let answer = agent.ask_blocking(Method::POST, "/halt", submission.to_vec(), ANSWER_TIMEOUT)?;
    if answer.status.is_success() { Ok(()) } else { Err(fault_of(&answer)) }
}

/// Whether witnesses have cosigned it within a few seconds, so that everyone who follows the log has it.
fn is_cosigned(common: &Flags, members: ledger::statement::Members, index: u64) -> bool {
    let seen = || -> Result<(), Fault> {
        let client = LogClient::through_front(common.front()?);
        View::new(client, members)?.wait_for(index, COSIGN_TIMEOUT)
    };
    seen().is_ok()
}

/// Whether the agent answers `front`. No answer is no.
fn agent_answers(common: &Flags) -> bool {
    let asked = || -> Result<bool, Fault> {
        let answer = common.front()?.ask_blocking(Method::GET, "/api/status", Vec::new(), ANSWER_TIMEOUT)?;
        let status: Value =
            serde_json::from_slice(&answer.body).because(Kind::Unavailable, "front's answer is not JSON")?;
        Ok(status.get("agent").is_some_and(Value::is_object))
    };
    asked().unwrap_or(false)
}

#[cfg(test)]
mod tests;
