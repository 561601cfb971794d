//! `countersign retire`: order the end of a version that runs beside the latest one, once nobody uses it.
//!
//! It looks who is there before anybody signs, and refuses while somebody is. The agent looks again when it acts, and the
//! order counts for a short while only.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use ledger::statement::v1::{Claim, Kind as Says, MilestoneKind, Retirement};
use model::{EnvironmentName, Serial};
use serde_json::json;

use super::{Flags, Format, line, people, print_json, versions};
use crate::{
    fault::{Fault, Kind},
    say::About,
};

/// Retire a version that nobody uses any more
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version, such as `guestbook-000012`
    serial: Serial,
    /// The environment, where it runs in several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Order it without asking
    #[arg(long, short)]
    yes: bool,
    /// Seconds to wait until it is gone; 0 only orders it
    #[arg(long, default_value_t = 0)]
    wait_s: u64,
}

/// How long the order counts: a version must not go on the word of somebody who looked long ago.
const ORDER_LIFE_S: u64 = 600;
/// One look at the log at least this often.
const LOOK: Duration = Duration::from_secs(2);

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let environment = versions::known(&members, args.environment.as_ref())?;
    let (place, row) = versions::beside(common, &args.serial, environment.as_ref())?;
    if !row.held_by.is_empty() {
        return Err(Fault::new(
            Kind::Refused,
            format!("{} is still used in {}: {}", row.serial, place.environment, row.held_by.join("; ")),
        )
        .hint("ask its clients to move; `countersign versions` shows who they are and how long each counts"));
    }
    let speaker = common.speaker(&members, Says::Retirement, ORDER_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    if common.format == Format::Text {
        line(out, format!("{} in {}: nobody uses it", row.serial, place.environment))?;
        for address in &row.addresses {
            line(out, format!("  it will no longer be reached at {}", address.name))?;
        }
        line(out, format!("it can come back under a new verdict: `countersign propose {}`", row.serial))?;
    }
    people::confirm(out, args.yes, &format!("{who} retires it?"))?;
    let claim = Retirement { environment: place.environment.clone(), release: row.release, serial: row.serial.clone() };
    let about = About {
        system: Some(place.system.clone()),
        environment: Some(place.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    let said = speaker.say(view.log(), Claim::Retirement(claim), about, &[])?;
    people::see(&mut view, said.index)?;
    let until = Instant::now() + Duration::from_secs(args.wait_s);
    let retired = loop {
        let is_end =
            |m: &ledger::statement::v1::Milestone| m.what == MilestoneKind::Retired && m.release == row.release;
        let milestones = view.facts().milestones(&place.system, &place.environment);
        if milestones.rev().any(|m| m.index > said.index && is_end(&m.claim)) {
            break true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        view.wait(left.min(LOOK))?;
    };
    if common.format == Format::Json {
        print_json(out, &json!({ "retirement": said.index, "by": who, "serial": row.serial, "retired": retired }))?;
    } else {
        line(out, format!("ordered by {who}, in the log as {}", said.index))?;
        if retired {
            line(out, format!("{} is retired", row.serial))?;
        }
    }
    if args.wait_s > 0 && !retired {
        return Err(Fault::new(Kind::Unavailable, format!("{} still runs after {} s", row.serial, args.wait_s))
            .hint("somebody may have come meanwhile: `countersign versions` shows who"));
    }
    Ok(())
}
