//! `countersign propose`: put a build that is there up for an environment, as a person.
//!
//! It computes what the gate will compare: what is replaced, and which suites the change edits or removes. The release
//! document is read to tell how many approvals the manifest asks for; it is kept beside the images.

use std::io::Write;

use ledger::statement::v1::{Claim, Kind as Says, Proposal};
use model::{Digest, EnvironmentName, release::Release};
use serde_json::json;

use super::{
    Flags, Format,
    find::Name,
    follow::{decide, reasons},
    line, people, print_json, show,
};
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
    view::View,
};

/// Put a build up for an environment
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The serial or the release digest of the build
    build: String,
    /// The environment; the charter's only one if not given
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// The release document, where the folder does not have it
    #[arg(long, value_name = "FILE")]
    release_document: Option<std::path::PathBuf>,
    /// Put it up before its evidence is there; it takes the charter's quorum for emergencies, and the evidence is owed
    #[arg(long, requires = "reason")]
    emergency: bool,
    /// Why; kept beside the log, which gets its salted digest only
    #[arg(long)]
    reason: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let environment = people::environment(&members, args.environment.as_ref())?;
    let mut claim = proposal(&view, &args.build, environment, |digest| document(common, args, digest))?;
    let rule = members.charter().environment(&claim.environment);
    let speaker = common.speaker(&members, Says::Proposal, rule.map_or(people::LIFE_S, |r| r.approval_s))?;
    let body = people::reason_body(&people::person(&members, speaker.signer().key().id())?, args.reason.as_deref())?;
    claim.reason = body.as_ref().map(|said| said.body.commitment());
    if args.emergency {
        if rule.is_none_or(|rule| rule.emergency.is_none()) {
            return Err(Fault::new(
                Kind::Refused,
                format!("the charter has no rule for emergencies in `{}`", claim.environment),
            )
            .hint("propose it ordinarily; `emergency` in the charter's environment is what allows it"));
        }
        claim.emergency = true;
    }
    let about = About {
        system: Some(claim.serial.system().clone()),
        environment: Some(claim.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    let said = speaker.say(view.log(), Claim::Proposal(Box::new(claim.clone())), about, body.as_slice())?;
    people::see(&mut view, said.index)?;
    let decision = decide(&view, said.index)?;
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({
                "proposal": said.index, "environment": claim.environment, "serial": claim.serial, "release": claim.release,
                "replaces": claim.replaces, "emergency": claim.emergency, "edited_suites": claim.edited_suites, "removed_suites": claim.removed_suites,
                "waits_for": reasons(&decision),
            }),
        );
    }
    line(out, format!("proposal {}: {} into {}", said.index, claim.serial, claim.environment))?;
    if claim.emergency {
        line(
            out,
            "EMERGENCY: it may go before its evidence is there; the next ordinary release waits for that evidence",
        )?;
    }
    line(out, format!("release {}", claim.release))?;
    line(
        out,
        match claim.replaces {
            Some(old) => format!("replaces {}", show::release(view.facts(), old)),
            None => "replaces nothing: this is the first release there".to_owned(),
        },
    )?;
    for value in &claim.values {
        line(out, format!("guarded value {} as in force by proposal {}", value.name, value.proposal))?;
    }
    for suite in &claim.edited_suites {
        line(out, format!("EDITS the suite {suite}; its approvers are shown that"))?;
    }
    for suite in &claim.removed_suites {
        line(out, format!("REMOVES the suite {suite}; it binds until two persons except it"))?;
    }
    for reason in reasons(&decision) {
        line(out, format!("not granted yet: {reason}"))?;
    }
    line(out, format!("people approve it with `countersign approve {}`", said.index))
}

/// The proposal of a build into an environment, as the log stands.
fn proposal(
    view: &View,
    name: &str,
    environment: EnvironmentName,
    read: impl Fn(Digest) -> Result<Release, Fault>,
) -> Result<Proposal, Fault> {
    let facts = view.facts();
    let build = match Name::parse(name)? {
        Name::Serial(serial) => facts.builds().rfind(|b| b.claim.serial == serial),
        Name::Digest(digest) => facts.builds().rfind(|b| b.claim.release == digest),
        Name::Index(index) => facts.build(index),
        _ => return Err(Fault::new(Kind::Usage, format!("`{name}` is not a serial or a release digest"))),
    };
    let build = build.ok_or_else(|| {
        let known: Vec<String> = facts.builds().rev().take(3).map(|b| b.claim.serial.to_string()).collect();
        let hint = if known.is_empty() {
            "nothing was built yet".to_owned()
        } else {
            format!("the last builds are {}", known.join(", "))
        };
        Fault::new(Kind::Usage, format!("there is no build by the name `{name}`")).hint(hint)
    })?;
    let b = &build.claim;
    let system = b.serial.system();
    let release = read(b.release)?;
    let wants = release.environment(&environment).ok_or_else(|| {
        let known: Vec<&str> = release.environments.iter().map(|e| e.name.as_str()).collect();
        Fault::new(Kind::Refused, format!("the manifest of {} does not say how it goes into `{environment}`", b.serial))
            .hint(format!("it has {}", if known.is_empty() { "no environment".to_owned() } else { known.join(", ") }))
    })?;
    let change = facts
        .change(b.change)
        .ok_or_else(|| Fault::new(Kind::Refused, format!("the change of {} does not stand any more", b.serial)))?;
    let replaces = facts.live(system, &environment).first().map(|l| l.release);
    if replaces == Some(b.release) {
        let fault = Fault::new(Kind::Refused, format!("{} runs in {environment} already", b.serial));
        return Err(fault.hint(
            "where a guarded value has changed, the builder makes a new release of the same commit by itself; propose that",
        ));
    }
    let (edited_suites, removed_suites) = gate::edits(facts, &environment, replaces, b, &change.claim);
    let (values, missing) = gate::values::given(facts, system, &environment, &change.claim.values);
    if let Some(name) = missing.first() {
        return Err(Fault::new(
            Kind::Refused,
            format!("{} reads the guarded value `{name}`, and none is in force in `{environment}`", b.serial),
        )
        .hint(format!(
            "`countersign value propose {name} --to VALUE --reason …` puts one up; its guardians approve it"
        )));
    }
    Ok(Proposal {
        approvals: wants.approvals,
        environment,
        release: b.release,
        serial: b.serial.clone(),
        build: build.index,
        change: b.change,
        images: b.images.clone(),
        replaces,
        edited_suites,
        removed_suites,
        values,
        emergency: false,
        reason: None,
    })
}

/// The release document, checked against its digest.
fn document(common: &Flags, args: &Args, digest: Digest) -> Result<Release, Fault> {
    let path = match &args.release_document {
        Some(path) => path.clone(),
        None => common.layout().images().join("blobs/sha256").join(digest.hex()),
    };
    let bytes = std::fs::read(&path).map_err(|e| {
        Fault::from_error(Kind::Usage, e)
            .context(format!("the release document `{}` can not be read", path.display()))
            .hint("run this on the builder's host, or give the document with `--release-document FILE`")
    })?;
    if Digest::of(&bytes) != digest {
        return Err(Fault::new(Kind::Untrue, format!("`{}` is not the release document {digest}", path.display())));
    }
    Release::from_bytes(&bytes).because(Kind::Input, format!("the release document {digest} can not be read"))
}

#[cfg(test)]
mod tests;
