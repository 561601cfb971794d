//! `countersign value list`: every guarded value, what is in force, what waits, and what the log refused.
//! It opens none of them.

use std::io::Write;

use serde_json::json;

use super::{place, waits};
use crate::{
    fault::Fault,
    verbs::{Flags, Format, line, print_json},
};

/// As many refused attempts as are read at a glance; JSON has all that the log keeps.
const SHOWN_REFUSALS: usize = 10;

/// List guarded values: what is in force, and what is proposed
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub(super) fn run(_: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let values = gate::values::all(view.facts());
    let refused = view.log().refusals(0)?;
    if common.format == Format::Json {
        let rows: Vec<_> = values
            .iter()
            .map(|value| {
                let open = value.proposals.iter().filter(|s| s.state.is_open());
                let open: Vec<_> = open
                    .map(|s| json!({ "proposal": s.proposal.index, "by": s.proposal.by.to_string(), "waits_for": waits(s) }))
                    .collect();
                let now = value.in_force.as_ref();
                json!({ "name": value.rule.name, "system": value.rule.system, "environment": value.rule.environment,
                        "format": value.rule.format, "cool_off_s": value.rule.cool_off_s, "open": open,
                        "in_force": now.map(|now| json!({ "proposal": now.proposal, "value": now.value, "since": now.since })) })
            })
            .collect();
        return print_json(out, &json!({ "values": rows, "refused": refused }));
    }
    if values.is_empty() {
        return line(out, "the charter guards no values");
    }
    for value in &values {
        match &value.in_force {
            Some(now) => line(
                out,
                format!("{}: proposal {} is in force since entry {}", place(value.rule), now.proposal, now.since),
            )?,
            None => line(out, format!("{}: none is in force", place(value.rule)))?,
        }
        for standing in value.proposals.iter().filter(|s| s.state.is_open()) {
            let (index, by) = (standing.proposal.index, &standing.proposal.by);
            line(out, format!("  proposal {index} by {by}: {}", waits(standing)))?;
        }
    }
    for attempt in refused.iter().rev().take(SHOWN_REFUSALS) {
        let who = attempt.signer.as_deref().unwrap_or("somebody unknown");
        let what = attempt.value.as_ref().map_or("a value", |name| name.as_str());
        let times = if attempt.times > 1 { format!(", {} times", attempt.times) } else { String::new() };
        line(
            out,
            format!("refused at {}: {} of {what} by {who}{times}: {}", attempt.at, attempt.kind, attempt.reason),
        )?;
    }
    Ok(())
}
