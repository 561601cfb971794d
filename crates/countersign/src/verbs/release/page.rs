//! `countersign release show`: what happened to one release and why, in words, or as one page with plots.
//!
//! The page is one file without scripts and without anything from a network: whoever has it can read it, print it and
//! keep it. It is computed here from the log; what the agent says to follow from its counts is computed again first. The file
//! is written durably; a crash leaves the old one or the new one.

mod tale;
mod words;
mod write;

use std::{io::Write, path::PathBuf};

use model::{Digest, EnvironmentName};

use super::super::{Flags, Format, documents, find, line, print_json};
use crate::fault::{Because as _, Fault, Kind};

/// Show what happened to one release, and why
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A serial, a proposal's log index, a release digest, a commit, or an environment such as `paydesk/production`
    what: String,
    /// The environment, where it was proposed for several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Write a page with plots here: one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Release documents, each a file named by its digest; the folder's own if not given
    #[arg(long, value_name = "DIR")]
    releases: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let view = common.view()?;
    let said = find::one_proposal(view.facts(), &args.what, args.environment.as_ref())?;
    let folder = args.releases.clone().unwrap_or_else(|| documents::folder(&common.layout()));
    let tale = tale::Tale::gather(&view, said, &|digest: &Digest| documents::release(&folder, digest));
    if let Some(path) = &args.html {
        let page = write::page(&tale);
        ledger::durable::write(path, page.as_bytes(), 0o644)
            .because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
        return match common.format {
            Format::Text => line(out, format!("wrote `{}`: {}", path.display(), words::headline(&tale))),
            Format::Json => print_json(out, &tale),
        };
    }
    if common.format == Format::Json {
        return print_json(out, &tale);
    }
    line(out, words::headline(&tale))?;
    for sentence in words::story(&tale) {
        line(out, sentence)?;
    }
    for step in &tale.steps {
        let time = step.time.map_or_else(|| "-".to_owned(), |t| t.to_string());
        line(out, format!("{:>6}  {time:<20}  {}", step.index, step.what))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
