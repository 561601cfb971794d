//! `countersign silence`: alarms of some kinds are not sent out for a while. They are raised and in the log all the same,
//! and the silence is an alarm itself.

use std::io::Write;

use gate::alarms::{may_silence, reports_on};
use ledger::statement::v1::{AlarmAbout, AlarmKind, Cancellation, Claim, Kind as Says, Silence};
use model::{Clock as _, ComponentName, EnvironmentName, HostName, RoleName, SystemName};
use serde_json::json;

use super::{Flags, Format, line, people, print_json};
use crate::{
    clock::SystemClock,
    fault::{Fault, Kind},
    say::About,
};

/// Keep alarms quiet for a while, or end that
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    end: Option<Ending>,
    /// Kinds of alarm, such as `probe-failed`
    #[arg(required = true)]
    kinds: Vec<AlarmKind>,
    /// For how long: `30m`, `2h`, `1d`
    #[arg(long = "for", value_name = "TIME", required = true)]
    lasts: Option<String>,
    /// Why; kept beside the log, which gets its salted digest only
    #[arg(long, required = true)]
    reason: Option<String>,
    /// Only of this system
    #[arg(long)]
    system: Option<SystemName>,
    /// Only in this environment
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Only of this component
    #[arg(long)]
    component: Option<ComponentName>,
    /// Only of this process of Countersign
    #[arg(long)]
    process: Option<RoleName>,
    /// Only on this host
    #[arg(long)]
    host: Option<HostName>,
}

#[derive(Debug, clap::Subcommand)]
enum Ending {
    /// End a silence before its time; anybody may who may cancel
    End {
        /// Its number, as `alarms` shows it
        silence: u64,
        /// Why; kept beside the log
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    match &args.end {
        Some(Ending::End { silence, reason }) => end(*silence, reason.as_deref(), common, out),
        None => begin(args, common, out),
    }
}

fn begin(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let charter = members.charter();
    if let Some(name) = &args.system {
        people::system(&members, Some(name))?;
    }
    if let Some(name) = &args.environment {
        people::environment(&members, Some(name))?;
    }
    let lasts_s = seconds(args.lasts.as_deref().unwrap_or_default())?;
    let ends = SystemClock.now().plus_s(lasts_s);
    let speaker = common.speaker(&members, Says::Silence, people::LIFE_S.max(lasts_s))?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let body = people::reason_body(&who, args.reason.as_deref())?
        .ok_or_else(|| Fault::new(Kind::Usage, "a silence needs a reason").hint("add `--reason TEXT`"))?;
    let about = AlarmAbout {
        component: args.component.clone(),
        process: args.process.clone(),
        host: args.host.clone(),
        ..AlarmAbout::default()
    };
    let mut what = args.kinds.clone();
    what.sort_unstable();
    what.dedup();
    let claim = Silence { what, about, ends, reason: body.body.commitment() };
    // Refused here already, because in the log it would hide nothing and stand there for ever.
    may_silence(charter, speaker.role(), &claim).map_err(|e| {
        let acts: Vec<&str> = claim.what.iter().flat_map(|kind| reports_on(*kind)).map(|k| k.name()).collect();
        let hint = if acts.is_empty() {
            "docs/alarms.md, \"Silences\"".to_owned()
        } else {
            format!(
                "who silences these must be kept apart from who says {}; docs/alarms.md, \"Silences\"",
                acts.join(", ")
            )
        };
        Fault::from_error(Kind::Refused, e).context("this silence would hide nothing").hint(hint)
    })?;
    let longest_s = charter.silence.as_ref().map_or(0, |rule| rule.longest_s);
    if lasts_s > longest_s {
        return Err(Fault::new(Kind::Refused, format!("the charter lets a silence last {longest_s} s at most"))
            .hint("say a shorter one"));
    }
    let header =
        About { system: args.system.clone(), environment: args.environment.clone(), seen: view.seen(), nonce: None };
    let kinds: Vec<&str> = claim.what.iter().map(|kind| kind.name()).collect();
    let words = kinds.join(", ");
    let said = speaker.say(view.log(), Claim::Silence(Box::new(claim.clone())), header, &[body])?;
    people::see(&mut view, said.index)?;
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "silence": said.index, "what": kinds, "by": who, "ends": ends.to_string(), "about": claim.about }),
        );
    }
    line(out, format!("{who} silences {words} until {ends}; in the log as {}", said.index))?;
    line(out, "it begins with the log's next tick, and is an alarm itself, which can not be silenced")?;
    line(out, format!("`countersign silence end {}` ends it", said.index))
}

fn end(silence: u64, reason: Option<&str>, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let facts = view.facts();
    let members = facts.members().clone();
    let now = SystemClock.now();
    let Some(found) = facts.silences(now).find(|s| s.said.index == silence) else {
        return Err(Fault::new(Kind::Usage, format!("there is no silence {silence}"))
            .hint("`countersign alarms --all` lists them"));
    };
    if let Err(why) = &found.until
        && *why != gate::alarms::SilenceRefusal::NotTimed
    {
        return Err(Fault::new(Kind::Usage, format!("the silence {silence} hides nothing: {why}")));
    }
    let (system, environment) = (found.said.header.system.clone(), found.said.header.environment.clone());
    let speaker = common.speaker(&members, Says::Cancellation, people::LONG_LIFE_S)?;
    let who = people::person(&members, speaker.signer().key().id())?;
    let body = people::reason_body(&who, reason)?;
    let claim = Cancellation { of: silence, reason: body.as_ref().map(|said| said.body.commitment()) };
    let about = About { system, environment, seen: view.seen(), nonce: None };
    let bodies: Vec<_> = body.into_iter().collect();
    let said = speaker.say(view.log(), Claim::Cancellation(claim), about, &bodies)?;
    people::see(&mut view, said.index)?;
    if common.format == Format::Json {
        return print_json(out, &json!({ "cancellation": said.index, "silence": silence, "by": who }));
    }
    line(out, format!("{who} has ended the silence {silence}; in the log as {}", said.index))
}

/// `90s`, `30m`, `2h` or `1d` as seconds.
fn seconds(text: &str) -> Result<u64, Fault> {
    let wrong =
        || Fault::new(Kind::Usage, format!("`{text}` is not a length of time")).hint("write `30m`, `2h` or `1d`");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|s| *s > 0).ok_or_else(wrong)
}
