//! `countersign rollback`: order the return to the release that ran immediately before. One person is enough.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use ledger::statement::v1::{Claim, Kind as Says, MilestoneKind, Rollback};
use model::{Digest, EnvironmentName, SystemName};
use serde_json::json;

use super::{Flags, Format, line, people, print_json, show};
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
    view::View,
};

/// Go back to the release that ran before
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system; the charter's only one if not given
    system: Option<SystemName>,
    /// The environment; the charter's only one if not given
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Order it without asking
    #[arg(long, short)]
    yes: bool,
    /// Seconds to wait until the release before runs again; 0 only orders it
    #[arg(long, default_value_t = 0)]
    wait_s: u64,
}

/// One look at the log at least this often.
const LOOK: Duration = Duration::from_secs(2);

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let system = people::system(&members, args.system.as_ref())?;
    let environment = people::environment(&members, args.environment.as_ref())?;
    let live = view.facts().live(&system, &environment);
    let [from, to] = match live.as_slice() {
        [] => return Err(Fault::new(Kind::Refused, format!("nothing of {system} runs in {environment}"))),
        [only] => {
            return Err(Fault::new(
                Kind::Refused,
                format!("{} is the first release of {system} in {environment}; nothing ran before it", only.serial),
            )
            .hint("release a corrected change; `countersign halt` stops everything meanwhile"));
        }
        [from, to, ..] => [from.clone(), to.clone()],
    };
    let leave = gate::may_return(view.policy(), view.facts(), &system, &environment, to.release).map_err(|e| {
        Fault::from_error(Kind::Refused, e)
            .hint("release a corrected change; the charter forbids that one to run again")
    })?;
    let speaker = common.speaker(&members, Says::Rollback, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    if common.format == Format::Text {
        line(out, format!("{system} in {environment}: from {} back to {}", from.serial, to.serial))?;
        if leave.alarm() {
            line(
                out,
                format!("ALARM: {} would be refused today; the charter lets it run again all the same", to.serial),
            )?;
        }
        line(out, format!("{} will need a new change to be released again", from.serial))?;
    }
    people::confirm(out, args.yes, &format!("{who} orders it?"))?;
    let claim = Rollback { environment: environment.clone(), from: from.release, to: to.release };
    let about =
        About { system: Some(system.clone()), environment: Some(environment.clone()), seen: view.seen(), nonce: None };
    let said = speaker.say(view.log(), Claim::Rollback(claim), about, &[])?;
    people::see(&mut view, said.index)?;
    let runs_again = wait(&mut view, said.index, to.release, args.wait_s, common.format, out)?;
    if common.format == Format::Json {
        print_json(
            out,
            &json!({ "rollback": said.index, "by": who, "from": from.serial, "to": to.serial, "alarm": leave.alarm(), "runs_again": runs_again }),
        )?;
    } else {
        line(out, format!("ordered by {who}, in the log as {}", said.index))?;
        if runs_again {
            line(out, format!("{} runs again", to.serial))?;
        }
    }
    if args.wait_s > 0 && !runs_again {
        return Err(Fault::new(Kind::Unavailable, format!("{} does not run again after {} s", to.serial, args.wait_s))
            .hint("`countersign status` shows what the agent waits for"));
    }
    Ok(())
}

/// Waits until the agent says that the release runs.
fn wait(
    view: &mut View,
    order: u64,
    to: Digest,
    wait_s: u64,
    format: Format,
    out: &mut dyn Write,
) -> Result<bool, Fault> {
    let deadline = Instant::now() + Duration::from_secs(wait_s);
    let mut at = usize::try_from(order).unwrap_or(usize::MAX).saturating_add(1);
    loop {
        for entry in view.statements().get(at..).unwrap_or_default() {
            let Claim::Milestone(m) = &entry.value().claim else { continue };
            if format == Format::Text {
                let row = show::row(view.facts(), entry);
                line(out, format!("{:>6}  {}", row.index, row.says))?;
                out.flush().because(Kind::Unavailable, "the output is closed")?;
            }
            if m.what == MilestoneKind::Live && m.release == to {
                return Ok(true);
            }
        }
        at = at.max(view.statements().len());
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        view.wait(left.min(LOOK))?;
    }
}

#[cfg(test)]
mod tests;
