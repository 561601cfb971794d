//! `countersign report`: say that a version gave trouble. So many different people as its manifest says hold its rollout.
//!
//! The words are kept beside the log, encrypted for whoever said them; the log gets their salted digest. It refuses to
//! judge them. A crash before the log's answer loses nothing: whoever says it again still counts once.

use std::io::Write;

use gate::{Facts, Said};
use ledger::statement::v1::{Arm, Claim, Kind as Says, MilestoneKind, Proposal, Report};
use model::{ComponentName, EnvironmentName};
use serde_json::json;

use super::{
    Flags, Format,
    find::{self, Name},
    line, people, print_json, versions,
};
use crate::{
    fault::{Fault, Kind},
    say::About,
};

/// Report trouble with a version
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version: its serial, a digest, or an address of its own such as `paydesk-000042.research.example`
    #[arg(value_name = "VERSION")]
    what: String,
    /// The environment, where it runs in several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// The component, if you know
    #[arg(long)]
    component: Option<ComponentName>,
    /// What went wrong; kept beside the log, which gets its salted digest only
    #[arg(long)]
    words: String,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    if args.words.trim().is_empty() {
        return Err(Fault::new(Kind::Usage, "a report without words").hint("say what went wrong in `--words`"));
    }
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let name = match versions::of_host(common, &args.what)? {
        Some(serial) => serial.to_string(),
        None => args.what.clone(),
    };
    if let Name::Address(address) = Name::parse(&name)? {
        return Err(Fault::new(Kind::Usage, format!("several versions may answer at `{address}`")).hint(
            "name the version: `countersign versions` lists them, and `countersign release` shows what is on its way",
        ));
    }
    let proposal = find::one_proposal(view.facts(), &name, args.environment.as_ref())?;
    let (serial, environment) = (proposal.claim.serial.clone(), proposal.claim.environment.clone());
    if let Some(component) = &args.component
        && !proposal.claim.images.iter().any(|i| i.component == *component)
    {
        return Err(Fault::new(Kind::Usage, format!("{serial} has no component `{component}`")));
    }
    let arm = arm(view.facts(), proposal)?;
    let speaker = common.speaker(&members, Says::Report, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let body = people::reason_body(&who, Some(&args.words))?
        .ok_or_else(|| Fault::new(Kind::Internal, "the words were lost"))?;
    let claim = Report {
        environment: environment.clone(),
        release: proposal.claim.release,
        serial: serial.clone(),
        component: args.component.clone(),
        arm,
        words: body.body.commitment(),
    };
    let (system, release) = (serial.system().clone(), claim.release);
    let about =
        About { system: Some(system.clone()), environment: Some(environment.clone()), seen: view.seen(), nonce: None };
    let said = speaker.say(view.log(), Claim::Report(Box::new(claim)), about, &[body])?;
    people::see(&mut view, said.index)?;
    let reporters = view.facts().trouble(&system, &environment, release).reporters;
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "report": said.index, "by": who, "serial": serial, "environment": environment, "arm": arm, "reporters": reporters }),
        );
    }
    line(out, format!("trouble with {serial} in {environment}: reported by {who}, in the log as {}", said.index))?;
    match arm {
        Arm::Trial => line(out, format!("{reporters} report trouble with it that nobody has looked at yet")),
        Arm::Control => line(out, "it is the version before; this holds nothing"),
        Arm::Alone => line(out, "it is not on its way; `countersign rollback` goes back from what runs"),
    }
}

/// What the version is now. One that never ran there gave nobody trouble.
fn arm(facts: &Facts, proposal: &Said<Proposal>) -> Result<Arm, Fault> {
    let (system, environment) = (proposal.claim.serial.system(), &proposal.claim.environment);
    let of = |m: &&Said<ledger::statement::v1::Milestone>| m.claim.release == proposal.claim.release;
    if facts.milestones(system, environment).find(of).is_none() {
        return Err(Fault::new(Kind::Refused, format!("{} never ran in {environment}", proposal.claim.serial))
            .hint("`countersign versions` and `countersign release` show what runs"));
    }
    let moves = facts
        .milestones(system, environment)
        .rev()
        .find(|m| m.claim.what == MilestoneKind::Begun || m.claim.what.is_end())
        .filter(|m| m.claim.what == MilestoneKind::Begun);
    Ok(match moves {
        Some(begun) if begun.claim.release == proposal.claim.release => Arm::Trial,
        Some(_) if facts.running(system, environment).first().is_some_and(|l| l.release == proposal.claim.release) => {
            Arm::Control
        }
        _ => Arm::Alone,
    })
}
