//! `countersign status`: the processes and what each waits for, what runs where, and what the charter promises.
//!
//! It asks `front`. Where that does not answer it reads the words that the processes left, and says so.

use std::{io::Write, path::Path};

use hyper::Method;
use ledger::statement::Members;
use model::{Clock as _, ComponentName, Digest, EnvironmentName, Serial, Timestamp, route::EdgeCounts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Flags, Format,
    alarms::{self, FiringRow, SilenceRow},
    line, print_json, show,
};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    http::ANSWER_TIMEOUT,
    layout::Layout,
    status::Status,
    supervise::{self, STARTED},
    view::View,
};

/// Show the processes, what they wait for, and what runs
#[derive(Debug, clap::Args)]
pub struct Args {}

/// What `status` tells.
#[derive(Debug, Serialize)]
struct Picture {
    charter: Option<Digest>,
    demo: bool,
    unwitnessed: bool,
    /// Roles of robots whose programs the charter does not list.
    any_program: Vec<model::RoleName>,
    /// Why "no one person can" does not hold, the shortest counter-example first; empty if it does.
    fails: Vec<Value>,
    /// The same as a line.
    promise: String,
    duties_hold: bool,
    front: Option<String>,
    /// Why `front` was not asked, or the log not read.
    trouble: Vec<String>,
    statements: Option<u64>,
    log_time: Option<Timestamp>,
    /// Alarms that fire.
    alarms: Vec<FiringRow>,
    /// Silences in force.
    silences: Vec<SilenceRow>,
    processes: Vec<Process>,
    releases: Vec<Running>,
    edge: Option<EdgeCounts>,
}

/// A process's own word, as far as it has one.
#[derive(Debug, Serialize)]
struct Process {
    role: String,
    pid: Option<u32>,
    runs: bool,
    age_s: Option<u64>,
    doing: String,
    waits: Vec<String>,
    trouble: Option<String>,
    confined: Option<String>,
}

/// What runs of one system in one environment.
#[derive(Debug, Serialize)]
struct Running {
    system: model::SystemName,
    environment: EnvironmentName,
    serial: Option<Serial>,
    release: Option<Digest>,
    proposal: Option<u64>,
    halted_by: Option<u64>,
    /// The evidence that what runs owes, as it went in an emergency.
    owes: Vec<String>,
    doing: Option<String>,
    waits: Vec<String>,
    instances: Vec<Instance>,
    exposed: Vec<Exposed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Instance {
    component: ComponentName,
    serial: Serial,
    address: Value,
    image: Value,
    state: Value,
}

#[derive(Debug, Serialize)]
struct Exposed {
    component: String,
    address: String,
}

/// A word that is older is of a process that hangs or is gone; each writes at least once a second or two.
const OLD_S: u64 = 30;

/// Runs the verb.
pub fn run(_: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    let members = common.members()?;
    let answer = front(common);
    // What the charter in force promises; the first one's where the log can not be read.
    let view = answer.is_ok().then(|| common.view());
    let mut picture = match &view {
        Some(Ok(view)) => promise(view.facts().members())?,
        _ => promise(&members)?,
    };
    let agent = match &answer {
        Ok(status) => {
            picture.front = Some(common.front()?.to_string());
            let words = status.get("processes").and_then(Value::as_array).cloned().unwrap_or_default();
            picture.processes = words.into_iter().map(|w| process(&w, true)).collect();
            picture.edge = status.get("edge").and_then(|e| serde_json::from_value(e.clone()).ok());
            status.get("agent").cloned()
        }
        Err(fault) => {
            picture.trouble.push(fault.message());
            picture.processes = left_words(&layout);
            None
        }
    };
    match view {
        Some(Ok(view)) => {
            releases(&view, agent.as_ref(), &mut picture);
            let by = view.facts().charters().by_withdrawn_keys();
            picture.trouble.extend(by.map(|put| {
                format!("ALARM: amendment {} rests on a key that was withdrawn since; it stays in force", put.index)
            }));
        }
        Some(Err(fault)) => picture.trouble.push(fault.message()),
        None => {}
    }
    match common.format {
        Format::Json => print_json(out, &picture)?,
        Format::Text => write(&picture, out)?,
    }
    match answer {
        Ok(_) => Ok(()),
        Err(fault) => {
            let hint = match supervise::holder(&layout) {
                None => "nothing was started from this folder; `countersign up` starts it".to_owned(),
                Some(pid) => {
                    format!("`countersign up` runs as process {pid}; see `{}`", layout.root().join("output").display())
                }
            };
            Err(fault.hint(hint))
        }
    }
}

fn promise(members: &Members) -> Result<Picture, Fault> {
    let charter = members.charter();
    let duties = gate::duties::check(charter).because(Kind::Refused, "the charter is refused")?;
    Ok(Picture {
        charter: Some(members.hash()),
        demo: charter.demo,
        unwitnessed: charter.witness_quorum == 0,
        any_program: charter.roles_of_any_program().into_iter().cloned().collect(),
        duties_hold: duties.hold(),
        fails: duties.promise.broken.iter().map(super::audit::story).collect(),
        promise: duties.promise.to_string(),
        front: None,
        trouble: Vec::new(),
        statements: None,
        log_time: None,
        alarms: Vec::new(),
        silences: Vec::new(),
        processes: Vec::new(),
        releases: Vec::new(),
        edge: None,
    })
}

fn front(common: &Flags) -> Result<Value, Fault> {
    let answer = common.front()?.ask_blocking(Method::GET, "/api/status", Vec::new(), ANSWER_TIMEOUT)?;
    if !answer.status.is_success() {
        return Err(crate::log_client::fault_of(&answer));
    }
    serde_json::from_slice(&answer.body).because(Kind::Unavailable, "front's answer is not JSON")
}

/// A process's word. `live` is whether it was told by somebody who runs; else the process itself is looked for.
fn process(word: &Value, live: bool) -> Process {
    match serde_json::from_value::<Status>(word.clone()) {
        Ok(status) => Process {
            // A process of another host is not in this host's table; its word must be young then.
            runs: Path::new("/proc").join(status.pid.to_string()).exists()
                || live && SystemClock.now().since_s(status.at) <= OLD_S,
            role: status.role,
            pid: Some(status.pid),
            age_s: Some(SystemClock.now().since_s(status.at)),
            doing: status.doing,
            waits: status.waits,
            trouble: status.trouble,
            confined: Some(status.confined),
        },
        Err(_) => {
            let text = |name: &str| word.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
            Process {
                role: text("role"),
                pid: None,
                runs: false,
                age_s: None,
                doing: text("doing"),
                waits: Vec::new(),
                trouble: None,
                confined: None,
            }
        }
    }
}

/// The words that processes left in the folder.
fn left_words(layout: &Layout) -> Vec<Process> {
    STARTED
        .into_iter()
        .map(|role| {
            let word =
                std::fs::read(layout.status(role)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let unsaid = serde_json::json!({ "role": role.name(), "doing": "has left no word" });
            process(&word.unwrap_or(unsaid), false)
        })
        .collect()
}

fn releases(view: &View, agent: Option<&Value>, picture: &mut Picture) {
    let facts = view.facts();
    let charter = facts.members().charter();
    picture.alarms = alarms::firing(facts);
    picture.silences = alarms::silences(facts, false);
    picture.statements = Some(facts.size());
    picture.log_time = facts.time().map(|t| t.latest);
    let emergencies = gate::emergencies(view.policy(), facts);
    for system in &charter.systems {
        for environment in &charter.environments {
            let live = facts.live(&system.name, &environment.name).into_iter().next();
            let of_agent = agent.and_then(|a| a.get(format!("{} in {}", system.name, environment.name)));
            let list =
                |name: &str| of_agent.and_then(|a| a.get(name)).and_then(Value::as_array).cloned().unwrap_or_default();
            let exposed =
                of_agent.and_then(|a| a.get("expose")).and_then(Value::as_object).cloned().unwrap_or_default();
            picture.releases.push(Running {
                system: system.name.clone(),
                environment: environment.name.clone(),
                serial: live.as_ref().map(|l| l.serial.clone()),
                release: live.as_ref().map(|l| l.release),
                proposal: live.as_ref().map(|l| l.proposal),
                halted_by: facts.halted(&system.name, &environment.name).map(|h| h.index),
                owes: emergencies
                    .iter()
                    .filter(|e| e.runs && e.system == system.name && e.environment == environment.name)
                    .flat_map(|e| e.missing.iter().cloned())
                    .collect(),
                doing: of_agent.and_then(|a| a.get("doing")).and_then(Value::as_str).map(str::to_owned),
                waits: list("waits").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                instances: list("instances").into_iter().filter_map(|i| serde_json::from_value(i).ok()).collect(),
                exposed: exposed
                    .into_iter()
                    .map(|(component, address)| Exposed {
                        component,
                        address: address.as_str().unwrap_or("?").to_owned(),
                    })
                    .collect(),
            });
        }
    }
}

fn write(p: &Picture, out: &mut dyn Write) -> Result<(), Fault> {
    if let Some(charter) = p.charter {
        line(out, format!("charter {charter}"))?;
    }
    if p.demo {
        line(out, "marked demo: its keys were made in one place, and it protects nothing")?;
    }
    if p.unwitnessed {
        line(out, "unwitnessed: whoever holds the log's key could rewrite it unseen")?;
    }
    if let Some(words) = gate::bundle::any_program(&p.any_program) {
        line(out, words)?;
    }
    line(out, &p.promise)?;
    match (&p.front, p.statements) {
        (Some(front), Some(size)) => {
            let time = p.log_time.map_or_else(|| "no time yet".to_owned(), |t| t.to_string());
            line(out, format!("front {front}, {size} cosigned statements, log time {time}"))?;
        }
        (Some(front), None) => line(out, format!("front {front}"))?,
        (None, _) => line(out, "front does not answer; these are the last words that the processes left")?,
    }
    for trouble in &p.trouble {
        line(out, format!("TROUBLE {trouble}"))?;
    }
    for row in &p.alarms {
        line(out, row)?;
    }
    for row in &p.silences {
        line(out, row)?;
    }
    line(out, "")?;
    for process in &p.processes {
        write_process(process, out)?;
    }
    for running in &p.releases {
        line(out, "")?;
        write_running(running, p.edge.as_ref(), out)?;
    }
    Ok(())
}

fn write_process(p: &Process, out: &mut dyn Write) -> Result<(), Fault> {
    let state = match (p.runs, p.age_s) {
        (true, Some(age)) if age > OLD_S => format!(" (said {} ago)", show::duration(age)),
        (true, _) => String::new(),
        (false, Some(age)) => format!(" (NOT RUNNING; said {} ago)", show::duration(age)),
        (false, None) => String::new(),
    };
    line(out, format!("{:<8} {}{state}", p.role, p.doing))?;
    for wait in &p.waits {
        line(out, format!("         waits for {wait}"))?;
    }
    if let Some(trouble) = &p.trouble {
        line(out, format!("         TROUBLE {trouble}"))?;
    }
    if let Some(confined) = &p.confined {
        line(out, format!("         {confined}"))?;
    }
    Ok(())
}

fn write_running(r: &Running, edge: Option<&EdgeCounts>, out: &mut dyn Write) -> Result<(), Fault> {
    let runs = match (&r.serial, r.release, r.proposal) {
        (Some(serial), Some(release), Some(proposal)) => {
            format!("{serial} runs (release {}, proposal {proposal})", release.short())
        }
        _ => "nothing runs".to_owned(),
    };
    line(out, format!("{} in {}: {runs}", r.system, r.environment))?;
    if let Some(halt) = r.halted_by {
        line(
            out,
            format!("  HALTED by statement {halt}; `countersign resume {} --environment {}`", r.system, r.environment),
        )?;
    }
    if !r.owes.is_empty() {
        line(
            out,
            format!("  went in an EMERGENCY, and blocks the next release until there is: {}", r.owes.join("; ")),
        )?;
    }
    if let Some(doing) = &r.doing {
        line(out, format!("  agent: {doing}"))?;
    }
    for wait in &r.waits {
        line(out, format!("  waits for {wait}"))?;
    }
    for exposed in &r.exposed {
        line(out, format!("  {} at {}", exposed.component, exposed.address))?;
    }
    for i in &r.instances {
        let address = i.address.as_str().unwrap_or("no address");
        line(out, format!("  {:<14} {} at {address}: {}", i.component.as_str(), i.serial, state(&i.state)))?;
    }
    for v in edge.iter().flat_map(|e| &e.versions).filter(|v| v.serial.system() == &r.system) {
        line(
            out,
            format!(
                "  edge: {:<8} {} {} requests, {} failed, {} in flight, {} held, {} clients",
                v.component.as_str(),
                v.serial,
                v.requests,
                v.errors,
                v.in_flight,
                v.held,
                v.clients
            ),
        )?;
    }
    let of_it = |component: &model::ComponentName| r.instances.iter().any(|i| i.component == *component);
    for s in edge.iter().flat_map(|e| &e.surges).filter(|s| of_it(&s.component)) {
        for class in s.classes.iter().filter(|class| class.shed_lately > 0) {
            line(
                out,
                format!(
                    "  edge: {:<8} SHEDS {}: {} in the last 10 s; {} at once, {} in flight, {} wait",
                    s.component.as_str(),
                    class.class,
                    class.shed_lately,
                    s.limit,
                    s.in_flight,
                    class.waiting
                ),
            )?;
        }
    }
    for c in edge.iter().flat_map(|e| &e.cut).filter(|c| c.serial.system() == &r.system) {
        line(
            out,
            format!(
                "  edge: {:<8} {} {} sessions CUT, the last at {}",
                c.component.as_str(),
                c.serial,
                c.sessions,
                c.last
            ),
        )?;
    }
    Ok(())
}

/// The state of an instance as one word: the name of its variant.
fn state(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
