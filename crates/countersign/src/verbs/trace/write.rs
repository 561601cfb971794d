//! The chain in words, from requirement to running instance.

use std::io::Write;

use model::{PersonId, RequirementId};

use super::{
    super::{line, show},
    chain::{BuildLink, Chain, CommitLink, ProposalLink, RunLink},
};
use crate::fault::Fault;

/// Writes all chains.
pub(super) fn write(what: &str, chains: &[Chain], out: &mut dyn Write) -> Result<(), Fault> {
    for (number, chain) in chains.iter().enumerate() {
        if number > 0 {
            line(out, "")?;
        }
        if chains.len() > 1 {
            line(out, format!("{what}, {} of {}:", number + 1, chains.len()))?;
        }
        write_chain(chain, out)?;
    }
    Ok(())
}

fn write_chain(chain: &Chain, out: &mut dyn Write) -> Result<(), Fault> {
    let requirements: Vec<&str> = chain.requirements.iter().map(RequirementId::as_str).collect();
    line(
        out,
        format!("requirement  {}", if requirements.is_empty() { "NONE".to_owned() } else { requirements.join(", ") }),
    )?;
    for commit in &chain.change.commits {
        write_commit(commit, out)?;
    }
    let c = &chain.change;
    let accepted = if c.accepted { "accepted".to_owned() } else { format!("NOT ACCEPTED {}", c.problems.join(", ")) };
    line(
        out,
        format!("change       {} at {}: {} on {}, {}", c.serial, c.index, c.commit, c.branch, accepted.trim_end()),
    )?;
    if chain.builds.is_empty() {
        line(out, "build        none")?;
    }
    for build in &chain.builds {
        write_build(build, out)?;
    }
    if chain.evidence.is_empty() {
        line(out, "evidence     none")?;
    }
    for e in &chain.evidence {
        let covers: Vec<&str> = e.covers.iter().map(RequirementId::as_str).collect();
        let covers = if covers.is_empty() { String::new() } else { format!(", covers {}", covers.join(", ")) };
        let release = e.release.map(|r| format!(" of release {}", r.short())).unwrap_or_default();
        line(out, format!("evidence     at {} by {}: {}{release}{covers}", e.index, e.by, e.says))?;
    }
    if chain.tested.fully {
        line(out, "fully tested: yes, every suite that binds passed on these images")?;
    } else {
        line(out, format!("fully tested: NO: {}", chain.tested.why_not.join("; ")))?;
    }
    if chain.proposals.is_empty() {
        line(out, "proposal     none")?;
    }
    for proposal in &chain.proposals {
        write_proposal(proposal, out)?;
    }
    if chain.runs.is_empty() {
        line(out, "runs         nowhere")?;
    }
    for run in &chain.runs {
        write_run(run, out)?;
    }
    Ok(())
}

fn write_commit(commit: &CommitLink, out: &mut dyn Write) -> Result<(), Fault> {
    let people: Vec<&str> = commit.contributors.iter().map(PersonId::as_str).collect();
    let signed = commit
        .signed_by
        .as_ref()
        .map_or_else(|| "NOT SIGNED by an enrolled key".to_owned(), |s| format!("signed by {s}"));
    let problem = commit.problem.as_ref().map(|p| format!(", PROBLEM {p}")).unwrap_or_default();
    let links: Vec<&str> = commit.requirements.iter().map(RequirementId::as_str).collect();
    let links = if links.is_empty() { "no requirement".to_owned() } else { links.join(", ") };
    line(out, format!("commit       {} for {links}, by {}, {signed}{problem}", commit.commit, people.join(", ")))
}

fn write_build(build: &BuildLink, out: &mut dyn Write) -> Result<(), Fault> {
    line(out, format!("build        {} at {} by {}", build.serial, build.index, build.by))?;
    line(out, format!("  release    {}", build.release))?;
    for image in &build.images {
        line(out, format!("  image      {} {}", image.image, image.component))?;
    }
    line(out, format!("  provenance {}", build.provenance))?;
    line(out, format!("  sbom       {}, {} locked dependencies", build.sbom, build.dependencies))
}

fn write_proposal(proposal: &ProposalLink, out: &mut dyn Write) -> Result<(), Fault> {
    let replaces = proposal.replaces.map_or_else(|| "nothing".to_owned(), |r| r.short());
    line(
        out,
        format!(
            "proposal     {} into {} by {}, replaces {replaces}",
            proposal.index, proposal.environment, proposal.by
        ),
    )?;
    for row in &proposal.story {
        let time = row.time.map_or_else(|| "no time yet".to_owned(), |t| t.to_string());
        let void = if row.void { " (void)" } else { "" };
        line(out, format!("  {:<10} at {} ({time}) by {}: {}{void}", row.kind, row.index, row.by, row.says))?;
    }
    Ok(())
}

fn write_run(run: &RunLink, out: &mut dyn Write) -> Result<(), Fault> {
    line(out, format!("runs         in {}, by statement {}", run.environment, run.index))?;
    for placed in &run.placed {
        line(out, format!("  {:<10} {} {}", placed.component.as_str(), placed.address, placed.image))?;
    }
    match &run.seen_now {
        None => line(out, "  the agent could not be asked what it sees now"),
        Some(seen) if seen.is_empty() => line(out, "  the agent sees NO instance of it now"),
        Some(seen) => {
            line(out, format!("  the agent sees {} now:", show::plural(seen.len(), "instance")))?;
            seen.iter().try_for_each(|s| line(out, format!("    {s}")))
        }
    }
}
