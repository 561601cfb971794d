//! `countersign ship`: from a pushed commit to a proposal: wait for build and suites, and say how each went.

use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};

use ledger::statement::v1::{EvidenceOutcome, SuiteKind};
use model::Commit;
use serde_json::{Value, json};

use crate::{
    fault::{Because as _, Fault, Kind},
    progress::Progress,
    verbs::{Flags, Format, line, print_json},
    view::View,
};

/// Wait until a pushed commit is built, tested and proposed
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The commit; HEAD of the repository here if not given
    commit: Option<Commit>,
    /// Seconds to wait at most
    #[arg(long, default_value_t = 1_800)]
    wait_s: u64,
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let commit = match args.commit {
        Some(commit) => commit,
        None => head()?,
    };
    let mut view = common.view()?;
    let mut progress = Progress::new();
    let deadline = Instant::now() + Duration::from_secs(args.wait_s);
    loop {
        if let Some(proposal) = look(&view, commit)? {
            drop(progress);
            return told(&view, proposal, common, out);
        }
        let words = doing(common)?;
        if let Some(failed) = words.iter().find(|w| w.contains("the build of change") && w.contains("failed")) {
            return Err(Fault::new(Kind::Input, failed)
                .hint("mend it and push again; `output/builder.log` has the whole story"));
        }
        progress.say(&words.join("; "));
        if Instant::now() > deadline {
            return Err(Fault::new(
                Kind::Unavailable,
                format!("{} is not proposed after {} s", commit.short(), args.wait_s),
            )
            .hint("`countersign status` shows what each process waits for"));
        }
        view.wait(LOOK)?;
    }
}

fn head() -> Result<Commit, Fault> {
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .output()
        .because(Kind::Usage, "git can not be asked for HEAD")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| {
        Fault::new(Kind::Usage, "there is no git repository here").hint("run it in the repository, or name the commit")
    })
}

/// The proposal of a commit, if there is one; a fault if the commit was refused.
fn look(view: &View, commit: Commit) -> Result<Option<u64>, Fault> {
    let facts = view.facts();
    for system in &facts.members().charter().systems {
        let Some(change) = facts.changes(&system.name).rfind(|c| c.claim.commit == commit) else { continue };
        if !change.claim.is_accepted() {
            let mut why: Vec<String> = change.claim.problems.iter().map(|p| format!("{p:?}")).collect();
            why.extend(
                change.claim.commits.iter().filter_map(|c| Some(format!("{}: {:?}", c.commit.short(), c.problem?))),
            );
            return Err(Fault::new(Kind::Refused, format!("{} is refused: {}", commit.short(), why.join(", "))).hint(
                "the branch has to go on from the last accepted commit, each commit signed by the person that it names",
            ));
        }
        return Ok(facts.proposals().rfind(|p| p.claim.change == change.index).map(|p| p.index));
    }
    Ok(None)
}

/// What builder and tester say of themselves.
fn doing(common: &Flags) -> Result<Vec<String>, Fault> {
    let answer =
        common.front()?.ask_blocking(hyper::Method::GET, "/api/status", Vec::new(), Duration::from_secs(10))?;
    let status: Value =
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "front's status does not hold up")?;
    let mut words = Vec::new();
    for process in status.get("processes").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| process.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if ["builder", "tester"].contains(&text("role").as_str()) {
            let trouble = text("trouble");
            words.push(if trouble.is_empty() { format!("{}: {}", text("role"), text("doing")) } else { trouble });
        }
    }
    Ok(words)
}

fn told(view: &View, proposal: u64, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let facts = view.facts();
    let said = facts.proposal(proposal).ok_or_else(|| Fault::new(Kind::Internal, "the proposal is gone"))?;
    let evidence: Vec<_> = facts.evidence(said.claim.change).collect();
    if common.format == Format::Json {
        let suites: Vec<Value> = evidence
            .iter()
            .map(|e| json!({ "suite": e.claim.suite, "outcome": e.claim.outcome, "index": e.index }))
            .collect();
        return print_json(
            out,
            &json!({ "proposal": proposal, "serial": said.claim.serial, "release": said.claim.release,
                     "environment": said.claim.environment, "suites": suites }),
        );
    }
    line(out, format!("{} is built as {}", said.claim.serial, said.claim.release))?;
    for e in evidence {
        let kind = if e.claim.kind == SuiteKind::Smoke { " (smoke)" } else { "" };
        let outcome = match e.claim.outcome {
            EvidenceOutcome::Passed => "passed",
            EvidenceOutcome::Failed => "failed",
            EvidenceOutcome::NotTested => "not tested",
        };
        let t = e.claim.totals;
        line(
            out,
            format!(
                "suite {}{kind}: {outcome}, {} passed, {} failed, {} skipped",
                e.claim.suite, t.passed, t.failed, t.skipped
            ),
        )?;
    }
    line(out, format!("proposed into {} at log index {proposal}", said.claim.environment))?;
    line(out, format!("next: `countersign approve {proposal} --key FILE` by the people that the charter asks for"))
}
