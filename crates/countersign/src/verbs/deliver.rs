//! Handing over a stop: a halt, a rejection, the withdrawal of a key. To the log and to every agent, any of which may be
//! away.
//!
//! It goes to the agent of this host and to those that the settings list, each over a connection of its own and all at the
//! same time, while `front` hands it to the log; that an agent has it is not believed from `front`. An agent keeps it and
//! writes it into the log when that is back. Handing it over twice is the same stop. That the log has it is believed when
//! its receipt proves it, and told when it was read there.

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
    log_client::{Appended, LogClient, fault_of},
    settings::Settings,
    view::View,
};

/// A stop is told at once; witnesses that are there cosign within a second.
const COSIGN_TIMEOUT: Duration = Duration::from_secs(5);

const WITHHELD_HINT: &str = "the log withholds it: tell the operators of the witnesses and whoever follows the log, and see \
    that the agent has it (`countersign halt` works without the log)";

const UNTOLD_HINT: &str = "stop those hosts' agents: run it there as root, or `countersign down --leave-components`";

/// A stop is a small statement; an agent checks it, syncs it and answers. All are asked at once, so this bounds them all.
const AGENT_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Who was handed a stop.
#[derive(Debug)]
pub(super) struct Delivered {
    /// Who has it.
    pub(super) taken: Taken,
    /// Whether its reason is kept.
    pub(super) kept: bool,
    /// The agents that do not have it from here, that of this host first, each with why.
    pub(super) untold: Vec<String>,
}

/// Hands a stop to every agent at once and, at the same time, to the log through `front`: none of them waits for another.
pub(super) fn deliver(
    common: &Flags,
    members: &Members,
    envelope: &Envelope,
    body: Option<&SubjectBody>,
) -> Result<Delivered, Fault> {
    let bare = submission(envelope, None)?;
    let here = Target::Unix(common.layout().socket(RoleUser::Agent));
    let (others, unread) = match other_agents(common) {
        Ok(others) => (others, None),
        // A list that can not be read stops no stop.
        Err(fault) => (Vec::new(), Some(format!("the other hosts' agents: {}", fault.message()))),
    };
    let agents: Vec<Target> = std::iter::once(here).chain(others).collect();
    let (told, (said, kept)) = std::thread::scope(|scope| {
        let told = scope.spawn(|| tell(&agents, &bare));
        let said = to_log(common, members, envelope, body);
        let told = told.join().unwrap_or_else(|_| Err(Fault::new(Kind::Internal, "the agents were not told")));
        (told, said)
    });
    let told = told?;
    let mut untold: Vec<String> = unread.into_iter().collect();
    // Who runs no agent here, or may not reach it, has none to tell.
    let runs_one = common.layout().socket(RoleUser::Agent).exists();
    let names = std::iter::once("this host".to_owned()).chain(agents.iter().skip(1).map(ToString::to_string));
    let all = names.zip(&told).skip(usize::from(!runs_one));
    untold.extend(all.filter_map(|(agent, said)| Some(format!("{agent}: {}", said.as_ref().err()?.message()))));
    // Only the log's receipt proves something. Whatever else `front` or the log says, the agent is asked itself.
    let said = match said {
        Ok(Taken::Log(index)) => return Ok(Delivered { taken: Taken::Log(index), kept, untold }),
        Ok(Taken::Agent) => Fault::new(Kind::Unavailable, "front says that the agent has it; not confirmed"),
        Err(fault) => fault,
    };
    let Some(direct) = told.iter().find_map(|said| said.as_ref().err()).filter(|_| told.iter().all(Result::is_err))
    else {
        // Without the log nobody is told but from here: each agent that was not goes on.
        if untold.is_empty() {
            tracing::warn!("not in the log yet: {}", said.message());
            return Ok(Delivered { taken: Taken::Agent, kept: false, untold });
        }
        let words = format!("{}; agents have it, but NOT {}", said.message(), untold.join(", "));
        return Err(Fault::new(Kind::Unavailable, words).hint(UNTOLD_HINT));
    };
    let words = format!("{}; and the agent of this host: {}", said.message(), direct.message());
    Err(Fault::new(said.kind(), words).hint(said.hint_text().map_or_else(|| NOBODY_HINT.to_owned(), str::to_owned)))
}

/// To the log, through `front`; and whether the reason is kept.
fn to_log(
    common: &Flags,
    members: &Members,
    envelope: &Envelope,
    body: Option<&SubjectBody>,
) -> (Result<Taken, Fault>, bool) {
    let give = |body: Option<&SubjectBody>| through_front(common, members, envelope, &submission(envelope, body)?);
    let said = give(body);
    // A reason that can not be kept stops no stop: its subject may have been erased.
    if body.is_some() && said.as_ref().is_err_and(|fault| fault.kind() == Kind::Refused) {
        return (give(None), false);
    }
    (said, body.is_some())
}

/// The agents of the other hosts, by this host's settings. Who has no settings has only `front`.
fn other_agents(common: &Flags) -> Result<Vec<Target>, Fault> {
    if !common.layout().settings().exists() {
        return Ok(Vec::new());
    }
    Settings::read(&common.layout())?.other_agents()
}

/// Hands a stop to agents, all at the same time; the answers are in their order.
pub(crate) fn tell(agents: &[Target], submission: &[u8]) -> Result<Vec<Result<(), Fault>>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.because(Kind::Unavailable, "no runtime for the agents")?.block_on(async {
        let asked: Vec<_> = agents
            .iter()
            .map(|agent| {
                let (agent, submission) = (agent.clone(), submission.to_vec());
                tokio::spawn(async move {
                    let answer = agent.ask(Method::POST, "/stop", submission, AGENT_TIMEOUT).await?;
                    if answer.status.is_success() { Ok(()) } else { Err(fault_of(&answer)) }
                })
            })
            .collect();
        let mut told = Vec::with_capacity(asked.len());
        for answer in asked {
            told.push(answer.await.because(Kind::Internal, "an agent was not told").and_then(|said| said));
        }
        Ok(told)
    })
}

/// Says which agents do not have it from here.
pub(super) fn tell_untold(untold: &[String], out: &mut dyn Write) -> Result<(), Fault> {
    for agent in untold {
        line(out, format!("NOT handed to the agent at {agent}; it learns of it from the log"))?;
    }
    Ok(())
}

fn submission(envelope: &Envelope, body: Option<&SubjectBody>) -> Result<Vec<u8>, Fault> {
    let bodies: Vec<SubjectBody> = body.into_iter().cloned().collect();
    crate::submission::write(envelope, &bodies).because(Kind::Internal, "the submission can not be written")
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
