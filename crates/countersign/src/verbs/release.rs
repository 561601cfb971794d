//! `countersign release`: what would be released now, and its way until it is live or gone back.
//!
//! It starts nothing: the agent rolls out whatever is granted, whoever asks. This shows it.

mod page;

use std::{io::Write, time::Duration};

use model::{EnvironmentName, SystemName};
use serde_json::json;

use super::{
    Flags, Format,
    follow::{End, decide, follow, reasons},
    line, people, print_json, show,
};
use crate::{
    fault::{Fault, Kind},
    view::View,
};

/// Show what is released now, and follow it until it is live or gone back
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// The system; the charter's only one if not given
    system: Option<SystemName>,
    /// The environment; the charter's only one if not given
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Seconds to wait for the end; 0 only shows
    #[arg(long, default_value_t = WAIT_S)]
    wait_s: u64,
}

/// What else is to be seen of releases.
#[derive(Debug, clap::Subcommand)]
enum What {
    Show(page::Args),
}

/// A rollout of a system with a watch of some minutes.
const WAIT_S: u64 = 900;

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    if let Some(What::Show(args)) = &args.what {
        return page::run(args, common, out);
    }
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let system = people::system(&members, args.system.as_ref())?;
    let environment = people::environment(&members, args.environment.as_ref())?;
    let (index, release, serial) = {
        let facts = view.facts();
        let newest = facts
            .proposals()
            .rfind(|p| p.claim.environment == environment && p.claim.serial.system() == &system)
            .ok_or_else(|| {
                Fault::new(Kind::Refused, format!("nothing of {system} is proposed for {environment}"))
                    .hint("`countersign propose SERIAL --environment …` puts a build up")
            })?;
        (newest.index, newest.claim.release, newest.claim.serial.clone())
    };
    let runs = view.facts().live(&system, &environment).first().cloned();
    if let Some(live) = runs.as_ref().filter(|l| l.proposal == index) {
        return ended(
            &mut view,
            index,
            &End::Live,
            common,
            out,
            format!("{serial} runs in {environment} since statement {}", live.index),
        );
    }
    let decision = decide(&view, index)?;
    let is_spent = view.facts().spent(index);
    if !decision.is_granted() && is_spent.is_none() {
        return Err(refused(&view, index, &format!("{serial} into {environment} (proposal {index}) is not granted")));
    }
    if common.format == Format::Text {
        let runs = runs.map_or_else(|| "nothing".to_owned(), |l| l.serial.to_string());
        line(
            out,
            format!(
                "{environment}: {runs} runs, {} is granted (proposal {index})",
                show::release(view.facts(), release)
            ),
        )?;
    }
    let end = follow(&mut view, index, index, Duration::from_secs(args.wait_s), common.format, out)?;
    ended(&mut view, index, &end, common, out, format!("{serial} runs in {environment}"))
}

fn refused(view: &View, proposal: u64, words: &str) -> Fault {
    let why = decide(view, proposal).map(|d| reasons(&d)).unwrap_or_default();
    Fault::new(Kind::Refused, format!("{words}: {}", why.join("; ")))
        .hint(format!("`countersign why {proposal}` shows all of it"))
}

fn ended(
    view: &mut View,
    proposal: u64,
    end: &End,
    common: &Flags,
    out: &mut dyn Write,
    live: String,
) -> Result<(), Fault> {
    let name = match end {
        End::Live => "live",
        End::WentBack(_) => "went-back",
        End::Stuck => "stuck",
        End::Refused => "refused",
        End::TimedOut => "under-way",
    };
    if common.format == Format::Json {
        let placed = view.statements().iter().rev().find_map(|s| match &s.value().claim {
            ledger::statement::v1::Claim::Milestone(m) if m.proposal == proposal && !m.placed.is_empty() => {
                Some(m.placed.clone())
            }
            _ => None,
        });
        print_json(out, &json!({ "proposal": proposal, "end": name, "placed": placed }))?;
    }
    match end {
        End::Live if common.format == Format::Text => line(out, live),
        End::Live => Ok(()),
        End::WentBack(what) => Err(Fault::new(
            Kind::Refused,
            format!("proposal {proposal} {}", show::milestone(*what)),
        )
        .hint(format!(
            "what was before runs again; `countersign trace {proposal}` tells what happened, and a new change is needed"
        ))),
        End::Stuck => Err(Fault::new(Kind::Refused, format!("proposal {proposal} is stuck: a person decides"))
            .hint("`countersign status` shows the way out")),
        End::Refused => Err(refused(view, proposal, &format!("proposal {proposal} is not granted any more"))),
        End::TimedOut => Err(Fault::new(Kind::Unavailable, format!("proposal {proposal} is still on its way"))
            .hint("`countersign status` shows what it waits for; `countersign release` follows it again")),
    }
}

#[cfg(test)]
mod tests;
