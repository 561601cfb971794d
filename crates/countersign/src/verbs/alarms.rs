//! `countersign alarms`: what fires, who has seen it, and which silences there are.

use std::io::Write;

use gate::{Facts, alarms::Condition};
use ledger::statement::v1::AlarmAbout;
use model::{Clock as _, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{Flags, Format, line, print_json};
use crate::{clock::SystemClock, fault::Fault};

/// Show the alarms that fire, who has seen them, and the silences
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Silences that are over, or never counted, as well
    #[arg(long)]
    all: bool,
}

/// An alarm that fires, as `alarms` and `status` show it.
#[derive(Clone, Debug, Serialize)]
pub struct FiringRow {
    /// The log index of its beginning.
    pub alarm: u64,
    /// What it says.
    pub what: &'static str,
    /// What it is about, in words.
    pub about: String,
    /// The first log time that covers its beginning.
    pub since: Option<Timestamp>,
    /// Who has seen it.
    pub acknowledged_by: Option<String>,
    /// The log index of a silence over it.
    pub silenced_by: Option<u64>,
}

/// A silence, as `alarms` and `status` show it.
#[derive(Clone, Debug, Serialize)]
pub struct SilenceRow {
    /// Its log index.
    pub silence: u64,
    /// Who said it.
    pub by: String,
    /// The kinds of alarm.
    pub what: Vec<&'static str>,
    /// Of what, in words.
    pub about: String,
    /// Until when it hides, if it does.
    pub until: Option<Timestamp>,
    /// Why it hides nothing, if it does not.
    pub refused: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let (firing, silences) = (firing(view.facts()), silences(view.facts(), args.all));
    if common.format == Format::Json {
        return print_json(out, &json!({ "firing": firing, "silences": silences }));
    }
    if firing.is_empty() {
        line(out, "no alarm fires")?;
    }
    for row in &firing {
        line(out, row)?;
    }
    for row in &silences {
        line(out, row)?;
    }
    if firing.iter().any(|row| row.acknowledged_by.is_none()) {
        line(out, "say that you have seen one with `countersign acknowledge NUMBER`")?;
    }
    Ok(())
}

/// The alarms that fire.
pub fn firing(facts: &Facts) -> Vec<FiringRow> {
    let row = |firing: gate::alarms::Firing| FiringRow {
        alarm: firing.index,
        what: firing.condition.what.name(),
        about: about(&firing.condition),
        since: facts.covered(firing.index).map(|t| t.earliest),
        acknowledged_by: firing.acknowledged.map(|(who, _)| who.to_string()),
        silenced_by: firing.silenced,
    };
    facts.firing(SystemClock.now()).into_iter().map(row).collect()
}

/// The silences in force and those that wait for a tick; every other one as well if `all`.
pub fn silences(facts: &Facts, all: bool) -> Vec<SilenceRow> {
    let row = |silencing: gate::alarms::Silencing<'_>| {
        let said = silencing.said;
        let scope = Condition {
            what: ledger::statement::v1::AlarmKind::Silenced,
            system: said.header.system.clone(),
            environment: said.header.environment.clone(),
            about: said.claim.about.clone(),
        };
        SilenceRow {
            silence: said.index,
            by: said.by.to_string(),
            what: said.claim.what.iter().map(|kind| kind.name()).collect(),
            about: about(&scope),
            until: silencing.until.as_ref().ok().copied(),
            refused: silencing.until.as_ref().err().map(ToString::to_string),
        }
    };
    let waits =
        |s: &gate::alarms::Silencing<'_>| s.until.is_ok() || s.until == Err(gate::alarms::SilenceRefusal::NotTimed);
    facts.silences(SystemClock.now()).filter(|s| all || waits(s)).map(row).collect()
}

/// What something is about, in a few words; nothing for all of Countersign.
pub fn about(condition: &Condition) -> String {
    let AlarmAbout { component, process, host, value, statement } = &condition.about;
    let words = [
        condition.system.as_ref().map(ToString::to_string),
        condition.environment.as_ref().map(|e| format!("in {e}")),
        component.as_ref().map(|c| format!("component {c}")),
        process.as_ref().map(|p| format!("process {p}")),
        host.as_ref().map(|h| format!("on {h}")),
        value.as_ref().map(|v| format!("value {v}")),
        statement.map(|s| format!("statement {s}")),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl std::fmt::Display for FiringRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.since.map(|t| format!(" since {t}")).unwrap_or_default();
        let seen = self.acknowledged_by.as_ref().map(|who| format!(", seen by {who}")).unwrap_or_default();
        let silenced = self.silenced_by.map(|index| format!(", SILENCED by {index}")).unwrap_or_default();
        write!(f, "ALARM {} {} {}{since}{seen}{silenced}", self.alarm, self.what, self.about)
    }
}

impl std::fmt::Display for SilenceRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = if self.about.is_empty() { "anything" } else { &self.about };
        write!(f, "SILENCE {} by {}: {} of {about}", self.silence, self.by, self.what.join(", "))?;
        match (&self.until, &self.refused) {
            (Some(until), _) => write!(f, ", until {until}"),
            (None, Some(why)) => write!(f, ", hides nothing: {why}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
