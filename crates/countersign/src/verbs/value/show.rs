//! `countersign value show`: one guarded value with what it is now, and everything that was proposed for it.

use std::io::Write;

use serde_json::json;

use super::{Named, opened, place, value_view, waits};
use crate::{
    fault::Fault,
    verbs::{Flags, Format, line, print_json},
};

/// Show one guarded value: what it is now, and everything proposed for it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    named: Named,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let rule = args.named.rule(&view)?;
    let value = value_view(&view, rule)?;
    let guardians: Vec<String> = rule.guardians.groups.iter().map(|g| format!("{} of {}", g.count, g.role)).collect();
    let now = match &value.in_force {
        Some(now) => Some((now, opened(&view, rule, now.value)?)),
        None => None,
    };
    if common.format == Format::Json {
        let proposals: Vec<_> = value
            .proposals
            .iter()
            .map(|s| {
                json!({ "proposal": s.proposal.index, "by": s.proposal.by.to_string(), "value": s.proposal.claim.value,
                        "replaces": s.proposal.claim.replaces, "state": s.state.words(), "approvals": s.tally.counted,
                        "needed": s.tally.needed, "cool_off_left": s.cool_off.left() })
            })
            .collect();
        return print_json(
            out,
            &json!({ "name": rule.name, "system": rule.system, "environment": rule.environment, "format": rule.format,
                     "guardians": guardians, "cool_off_s": rule.cool_off_s, "proposals": proposals,
                     "in_force": now.as_ref().map(|(now, text)| json!({ "proposal": now.proposal, "since": now.since, "value": text.as_str() })) }),
        );
    }
    line(out, format!("{}: {}", place(rule), rule.format.name()))?;
    line(out, format!("guarded by {}, and then {} s", guardians.join(" and "), rule.cool_off_s))?;
    match &now {
        Some((now, text)) => {
            line(out, format!("in force: {}", text.shown()))?;
            line(out, format!("  by proposal {}, since entry {}", now.proposal, now.since))?;
        }
        None => line(out, "in force: none")?,
    }
    for standing in &value.proposals {
        let (index, by) = (standing.proposal.index, &standing.proposal.by);
        line(out, format!("proposal {index} by {by}: {}", waits(standing)))?;
    }
    Ok(())
}
