//! `countersign attest`: evidence from another CI system, under a key that the charter lists for it.
//!
//! A report is judged here by the same rules as the tester's own; an envelope of the other system is verified and judged
//! the same way. Whether evidence counts is decided by the gate.

mod foreign;
mod say;

use std::{io::Write, path::PathBuf, sync::Arc};

use build::suite::Exit;
use ledger::{
    dsse::{Envelope, ForeignEnvelope},
    keys::{PrivateKey, Scheme, Signer},
    statement::{
        Members,
        v1::{Claim, EvidenceOn, Image, Kind as Says},
    },
};
use model::{Commit, Digest, Serial, SuiteName};
use serde_json::json;

use super::{Flags, Format, line, people, print_json, role_for, show};
use crate::{
    fault::{Because as _, Fault, Kind},
    say::Speaker,
    view::View,
};

/// Put evidence of another CI system into the log
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The suite, as the manifest names it
    #[arg(long, required_unless_present = "envelope")]
    suite: Option<SuiteName>,
    /// The serial of the build or change that was tested
    #[arg(long, value_name = "SERIAL", required_unless_present = "envelope")]
    build: Option<Serial>,
    /// The JUnit XML report; may be given several times
    #[arg(long, value_name = "FILE", required_unless_present = "envelope")]
    junit: Vec<PathBuf>,
    /// With which code the command of the suite ended
    #[arg(long, required_unless_present = "envelope")]
    exit_code: Option<i32>,
    /// The source tree that was tested
    #[arg(long, conflicts_with = "release")]
    commit: Option<Commit>,
    /// The release whose containers were tested, by digest
    #[arg(long, requires = "image")]
    release: Option<Digest>,
    /// An image that was started, as `component=sha256:…`; every one of the release
    #[arg(long, value_name = "COMPONENT=DIGEST", requires = "release")]
    image: Vec<String>,
    /// The manifest at the commit that was tested
    #[arg(long, default_value = model::manifest::FILE_NAME)]
    manifest: PathBuf,
    /// A signed DSSE envelope instead: evidence of our own kind, or an in-toto test result
    #[arg(long, value_name = "FILE", conflicts_with_all = ["junit", "exit_code"])]
    envelope: Option<PathBuf>,
}

/// Evidence of another system is renewed with each change; a month is as long as a robot's statements count.
const LIFE_S: u64 = 30 * 86_400;

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    let (index, reasons) = match &args.envelope {
        Some(path) => {
            let bytes = std::fs::read(path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
            match own_kind(&bytes, &members)? {
                Some(envelope) => (view.log().append(&envelope, &[])?.index, Vec::new()),
                None => translate(args, common, &mut view, &bytes)?,
            }
        }
        None => report(args, common, &mut view)?,
    };
    people::see(&mut view, index)?;
    let said = view.facts().one_evidence(index).map(|e| (show::evidence(&e.claim), e.claim.outcome));
    let (says, outcome) = said.ok_or_else(|| Fault::new(Kind::Internal, format!("entry {index} is not evidence")))?;
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({ "evidence": index, "outcome": show::wire_name(&outcome), "says": says, "reasons": reasons }),
        );
    }
    line(out, format!("in the log as {index}: {says}"))?;
    for reason in reasons {
        line(out, format!("  {reason}"))?;
    }
    Ok(())
}

/// The signer of the robot, and the role in which it may say evidence.
fn speaker(common: &Flags, members: &Members) -> Result<(Speaker, Arc<dyn Signer>), Fault> {
    let path = common.key.as_deref().ok_or_else(|| {
        Fault::new(Kind::Usage, "no key to sign with")
            .hint("add `--key FILE`: the key that the charter lists for the other CI system")
    })?;
    let key = PrivateKey::read(Scheme::Ed25519, std::path::Path::new(path), &mut || None)
        .because(Kind::Usage, format!("the key `{path}` can not be used"))?;
    let signer: Arc<dyn Signer> = Arc::new(key);
    let who = members.holder(signer.key().id()).map_err(|e| {
        Fault::from_error(Kind::Refused, e)
            .hint("the charter must list the key for a robot whose role may say `evidence`")
    })?;
    let role = role_for(members, who, Says::Evidence)?;
    Ok((Speaker::new(signer.clone(), members.hash(), role).living(LIFE_S), signer))
}

/// An envelope of our own kind, if it is one.
fn own_kind(bytes: &[u8], members: &Members) -> Result<Option<Envelope>, Fault> {
    let Ok(envelope) = Envelope::parse(bytes) else { return Ok(None) };
    if ledger::statement::Statement::from_bytes(envelope.payload()).is_err() {
        return Ok(None);
    }
    let (statement, _) =
        ledger::statement::open(&envelope, members).because(Kind::Refused, "the envelope is not acceptable")?;
    match statement.claim {
        Claim::Evidence(_) => Ok(Some(envelope)),
        other => Err(Fault::new(Kind::Refused, format!("this is a {}, not evidence", other.kind()))),
    }
}

fn report(args: &Args, common: &Flags, view: &mut View) -> Result<(u64, Vec<String>), Fault> {
    let (speaker, _) = speaker(common, view.facts().members())?;
    let needed = |what: &str| Fault::new(Kind::Usage, format!("`{what}` is needed with a report"));
    let suite = args.suite.as_ref().ok_or_else(|| needed("--suite"))?;
    let serial = args.build.as_ref().ok_or_else(|| needed("--build"))?;
    let exit = args.exit_code.ok_or_else(|| needed("--exit-code"))?;
    let tested = say::Tested::find(view, serial, suite, &args.manifest)?;
    let on = match (args.commit, args.release) {
        (Some(commit), None) => EvidenceOn::Source { commit },
        (None, Some(release)) => EvidenceOn::Containers { release, images: images(&args.image)? },
        _ => {
            return Err(Fault::new(Kind::Usage, "what was tested?")
                .hint("add `--commit` for a source tree, or `--release` with an `--image` for every component"));
        }
    };
    let files = say::read_reports(&args.junit)?;
    say::say(view, &speaker, &tested, on, &files, Exit::Code(exit))
}

/// An envelope that the robot's own tool made: verified by its key, then judged as a report.
fn translate(args: &Args, common: &Flags, view: &mut View, bytes: &[u8]) -> Result<(u64, Vec<String>), Fault> {
    let envelope = ForeignEnvelope::parse(bytes).because(Kind::Input, "this is not a DSSE envelope")?;
    let (speaker, signer) = speaker(common, view.facts().members())?;
    if !envelope.is_signed_by(signer.key()) {
        return Err(Fault::new(
            Kind::Untrue,
            "the envelope is not signed by the key that the charter lists for this robot",
        )
        .hint("the CI system signs with its own Ed25519 key, and the same key is given with `--key`"));
    }
    let result = foreign::TestResult::parse(&envelope)?;
    let suite = args.suite.as_ref().ok_or_else(|| {
        Fault::new(Kind::Usage, "which suite is the test result of?").hint("add `--suite NAME --build SERIAL`")
    })?;
    let serial = args
        .build
        .as_ref()
        .ok_or_else(|| Fault::new(Kind::Usage, "which build was tested?").hint("add `--build SERIAL`"))?;
    let tested = say::Tested::find(view, serial, suite, &args.manifest)?;
    let on = result.on(&tested)?;
    let file = say::ReportFile { path: "the test result".to_owned(), bytes: result.junit() };
    say::say(view, &speaker, &tested, on, &[file], result.exit())
}

/// `component=sha256:…`
fn images(given: &[String]) -> Result<Vec<Image>, Fault> {
    let mut images = given
        .iter()
        .map(|text| {
            let (component, image) = text.split_once('=').ok_or_else(|| {
                Fault::new(Kind::Usage, format!("`{text}` is not an image")).hint("write `component=sha256:…`")
            })?;
            Ok(Image {
                component: component.parse().because(Kind::Usage, "an image's component")?,
                image: image.parse().because(Kind::Usage, "an image's digest")?,
            })
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    images.sort();
    Ok(images)
}

#[cfg(test)]
mod tests;
