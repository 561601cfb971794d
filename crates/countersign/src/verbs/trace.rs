//! `countersign trace`: from any name of a thing to the whole chain, from requirement to running instance and back.
//!
//! Everything comes from the log's leaves but for the agent's word on what runs this moment, which is shown as that.

mod chain;
mod write;

use std::io::Write;

use hyper::Method;
use serde_json::Value;

use super::{
    Flags, Format,
    find::{self, Name},
    print_json, versions,
};
use crate::{
    fault::{Because as _, Fault, Kind},
    http::ANSWER_TIMEOUT,
};

/// Trace a digest, serial, commit, address or requirement from requirement to running instance
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `paydesk-000042`, `sha256:…`, a commit, `127.0.0.1:8088`, `paydesk-000042.research.example`, `PAY-142`, a log index, or `paydesk/production`
    what: String,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let name = match versions::of_host(common, &args.what)? {
        Some(serial) => Name::Serial(serial),
        None => Name::parse(&args.what)?,
    };
    let view = common.view()?;
    let changes = find::changes(view.facts(), &name);
    if changes.is_empty() {
        return Err(Fault::new(Kind::Usage, format!("`{}` leads to nothing in the log", args.what))
            .hint("`countersign log` lists the statements, `countersign status` where things run"));
    }
    let agent = agent(common);
    let chains: Vec<chain::Chain> = changes
        .iter()
        .filter_map(|index| chain::of_change(view.facts(), view.statements(), *index, agent.as_ref()))
        .collect();
    if common.format == Format::Json {
        return print_json(out, &serde_json::json!({ "traced": args.what, "chains": chains }));
    }
    write::write(&args.what, &chains, out)
}

/// What the agent says runs, if it can be asked.
fn agent(common: &Flags) -> Option<Value> {
    let asked = || -> Result<Value, Fault> {
        let answer = common.front()?.ask_blocking(Method::GET, "/api/status", Vec::new(), ANSWER_TIMEOUT)?;
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "front's answer is not JSON")
    };
    asked().ok()?.get("agent").filter(|a| a.is_object()).cloned()
}

#[cfg(test)]
mod tests;
