//! Steps 6 to 8: what attackers with stolen keys can not do, and how it is found.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    executor,
    fault::{Because as _, Fault, Kind},
    identity::{ROLES_GROUP, RoleUser},
};

use super::{Play, Refused, expect};
use crate::demo::{
    forger,
    stage::VERB_LIMIT,
    watcher::{Offered, Watcher},
};

/// The agent looks four times a second and writes its word each time. Words of so many different seconds after a forgery
/// mean that it has had every chance.
const SECONDS: usize = 4;
/// They take five seconds on a quiet machine.
const LOOKS_LIMIT: Duration = Duration::from_secs(60);
/// The witness is asked at once, and the agent reads its log at once.
const CAUGHT_LIMIT: Duration = Duration::from_secs(60);
/// Processes that start again, and read the whole log again.
const AGAIN_LIMIT: Duration = Duration::from_secs(60);

/// What is kept elsewhere of an honest log.
pub(super) struct Kept {
    /// A cosigned checkpoint, as anybody can fetch it.
    checkpoint: PathBuf,
    /// What `audit --keep` wrote: more telling.
    audit: PathBuf,
}

impl Play<'_, '_> {
    /// Somebody outside keeps a checkpoint while all is well.
    pub(super) fn keep_checkpoint(&mut self) -> Result<Kept, Fault> {
        let elsewhere = self.stage.dir.join("elsewhere");
        fs::create_dir_all(&elsewhere).because(Kind::Unavailable, "no folder for what is kept elsewhere")?;
        let kept = Kept { checkpoint: elsewhere.join("checkpoint"), audit: elsewhere.join("audit") };
        let note = self.watcher.view().log().cosigned()?;
        let note = note.ok_or_else(|| Fault::new(Kind::Internal, "the log has no cosigned checkpoint"))?;
        self.stage.write(&kept.checkpoint, &note, 0o644)?;
        let file = kept.audit.to_string_lossy().into_owned();
        let ran = self.stage.program.run(&["audit", "--keep", &file], VERB_LIMIT)?.well()?;
        self.teller
            .saw(format!("an auditor outside checks the whole log and keeps a checkpoint: {}", last_line(&ran.out)))?;
        Ok(kept)
    }

    /// 6. An image behind the gate's back, and the stolen gate key.
    pub(super) fn stolen_key(&mut self, refused: &Refused) -> Result<Vec<u64>, Fault> {
        self.teller.step("6. An image slipped to the agent, and a verdict with the stolen gate key, start nothing")?;
        let (layout, began) = (self.stage.layout(), Instant::now());
        let before = self.watcher.instances()?;
        let (index, proposal) = (refused.unapproved.index, &refused.unapproved.proposal);
        let runs = self.watcher.refresh()?.facts().live(proposal.serial.system(), &proposal.environment);
        let honest =
            runs.first().map(|l| l.release).ok_or_else(|| Fault::new(Kind::Internal, "nothing runs by the log"))?;
        let slipped = forger::slip_in(&layout, honest, "web")?;
        self.teller.does(format!(
            "an attacker who owns the folder of images puts one there, with a release {} that names it",
            slipped.short()
        ))?;

        let socket = executor::socket(&layout, RoleUser::Agent, executor::COMPONENTS);
        let mut command = self.stage.program.command(&["demo", "--knock", &socket.to_string_lossy()]);
        command.uid(RoleUser::Builder.uid()).gid(ROLES_GROUP);
        let knocked =
            self.stage.program.finish(command, "demo --knock".to_owned(), VERB_LIMIT)?.refused(Kind::Refused)?;
        self.teller.saw(format!(
            "as the builder's user, the agent's executor is out of reach: {}",
            knocked.err.lines().next().unwrap_or_default()
        ))?;

        let mut forged = Vec::new();
        for (release, what) in
            [(proposal.release, "the release that nobody approved"), (slipped, "the slipped release")]
        {
            let at = forger::verdict(&layout, self.watcher.view(), index, proposal, release)?;
            self.teller.does(format!(
                "the attacker signs a verdict with the gate's own key: {what} is granted; statement {at}"
            ))?;
            forged.push(at);
        }
        let last = forged.last().copied().unwrap_or_default();
        self.looked(last)?;
        let after = self.watcher.instances()?;
        expect(before == after, || format!("something else runs: {before:?} was, {after:?} is"))?;
        let begun = self.watcher.milestones(index);
        expect(begun.is_empty(), || format!("the agent did something about it: {begun:?}"))?;
        self.teller.saw(format!(
            "the agent has read them, recomputed the verdict, and runs the same {} instances as before",
            after.len()
        ))?;
        let name = index.to_string();
        let why = self.stage.program.run(&["why", &name, "--format", "json"], VERB_LIMIT)?.well()?.json()?;
        expect(why.pointer("/0/granted") == Some(&Value::Bool(false)), || format!("`why` says otherwise: {why}"))?;
        let reasons = why.pointer("/0/reasons").and_then(Value::as_array).into_iter().flatten();
        let rules: Vec<&str> = reasons.filter_map(|r| r.get("rule").and_then(Value::as_str)).collect();
        self.teller.saw(format!("`why {name}` recomputes it too: refused by {}", rules.join(", ")))?;
        let failed = self.traffic.failed(began, Instant::now());
        expect(failed.is_empty(), || format!("{} payments failed meanwhile: {:?}", failed.len(), failed.first()))?;
        self.teller.proves("neither who owns the images nor who holds the gate's key can start anything");
        Ok(forged)
    }

    /// Waits until the agent has looked often enough at a log with this statement in it.
    fn looked(&mut self, index: u64) -> Result<(), Fault> {
        self.watcher.until(self.teller, "the statement under a cosigned checkpoint", AGAIN_LIMIT, |w| {
            Ok((w.view().facts().size() > index).then_some(()))
        })?;
        // Each look writes the agent's word anew; whole seconds are what it tells.
        let mut seen = std::collections::BTreeSet::new();
        self.watcher.until(self.teller, "the agent's looks", LOOKS_LIMIT, |w| {
            seen.insert(w.word("agent")?.get("at").and_then(Value::as_u64));
            Ok((seen.len() > SECONDS).then_some(()))
        })
    }

    /// 7. The past, rewritten by who holds the database and the log key.
    pub(super) fn rewritten_past(&mut self, refused: &Refused, kept: &Kept, forged: &[u64]) -> Result<(), Fault> {
        self.teller.step(
            "7. An old statement is rewritten with the database and the log key: witness, agent and audit catch it",
        )?;
        self.traffic.stop();
        let layout = self.stage.layout();
        let origin = self.watcher.view().reader().members().charter().log.origin.clone();
        self.stage.down_without_components()?;
        let honest = forger::rewrite(&layout, &origin, refused.failed)?;
        self.teller.does(format!(
            "statement {} said that a test failed; now it says that all passed, signed with the tester's",
            refused.failed
        ))?;
        self.teller.does("stolen key too; every hash after it is made anew, and the log's key signs the result")?;
        self.stage.up_without_waiting()?;

        let witness = self.trouble("log", "did not cosign")?;
        self.teller.saw(format!("the log's process: {witness}"))?;
        let agent = self.trouble("agent", "do not continue")?;
        self.teller.saw(format!("the agent: {agent}"))?;

        let words = |file: &Path| file.to_string_lossy().into_owned();
        let (checkpoint, audit, copy) = (words(&kept.checkpoint), words(&kept.audit), words(&honest));
        let mut findings = Vec::new();
        for more in [
            vec!["--checkpoint", &checkpoint],
            vec!["--checkpoint", &audit],
            vec!["--checkpoint", &audit, "--against", &copy],
        ] {
            let mut all = vec!["audit", "--format", "json"];
            all.extend(more.iter().copied());
            let ran = self.stage.program.run(&all, VERB_LIMIT)?.refused(Kind::Untrue)?;
            let report = ran.json()?;
            findings = report.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
            let closest = findings.iter().filter(|f| covers(f, refused.failed)).min_by_key(|f| width(f));
            let what = closest.and_then(|f| f.get("what")).and_then(Value::as_str);
            let what = what.ok_or_else(|| {
                Fault::new(Kind::Internal, format!("no finding names statement {}: {report}", refused.failed))
            })?;
            let flags: Vec<&str> = more.iter().filter(|w| w.starts_with("--")).copied().collect();
            self.teller.saw(format!("audit {}: {what}", flags.join(" ")))?;
        }
        let exact = findings.iter().any(|f| covers(f, refused.failed) && width(f) == 0);
        expect(exact, || format!("beside a copy, the very statement is not named: {findings:?}"))?;
        self.teller.saw(format!("beside a copy of the log, the very statement is named: {}", refused.failed))?;

        self.teller.does("the honest log is put back")?;
        self.stage.down_without_components()?;
        forger::restore(&layout, &honest)?;
        self.stage.up()?;
        self.watcher = Watcher::new(self.stage.places.front, self.stage.members()?)?;
        self.watcher.until(self.teller, "the honest log's checkpoint", AGAIN_LIMIT, |w| {
            let word = w.word("agent")?;
            let trusted = word.get("trouble").is_none_or(Value::is_null);
            Ok((trusted && w.view().facts().size() > 0 && w.instances().is_ok_and(|i| !i.is_empty())).then_some(()))
        })?;
        let ran = self
            .stage
            .program
            .run(&["audit", "--format", "json", "--checkpoint", &audit], VERB_LIMIT)?
            .refused(Kind::Untrue)?;
        let report = ran.json()?;
        let findings = report.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        let only_forged =
            !findings.is_empty() && findings.iter().all(|f| index(f, "index").is_some_and(|i| forged.contains(&i)));
        expect(only_forged, || format!("the honest log has other findings than the forged verdicts: {report}"))?;
        for finding in &findings {
            self.teller.quote(finding.get("what").and_then(Value::as_str).unwrap_or_default())?;
        }
        self.teller.saw("the audit of the honest log finds the verdicts with the stolen key, and nothing else")?;
        self.traffic.start()?;
        let from = Instant::now();
        let traffic = &self.traffic;
        self.watcher.until(self.teller, "payments", AGAIN_LIMIT, |_| {
            Ok((traffic.booked_since(from) >= super::SETTLED_PAYMENTS).then_some(()))
        })?;
        self.traffic.stop();
        let books = self.traffic.compare()?;
        expect(books.wrong.is_empty(), || format!("the books are wrong: {:?}", books.wrong))?;
        self.teller.saw(format!("the same components still serve: {} payments in all, each once", books.in_books))?;
        self.teller.proves("who holds the database and the log's key can not rewrite the past unseen: witness, agent and audit name the place");
        Ok(())
    }

    /// Waits until a process says that something is wrong, in words that contain these.
    fn trouble(&mut self, role: &str, words: &str) -> Result<String, Fault> {
        let waited = self.watcher.until(self.teller, "the alarm", CAUGHT_LIMIT, |w| {
            // While it starts, front does not answer.
            let said = w.word(role).unwrap_or_default();
            let trouble = said.get("trouble").and_then(Value::as_str).unwrap_or_default();
            Ok(trouble.contains(words).then(|| trouble.to_owned()))
        });
        waited.map_err(|fault| fault.context(format!("the {role} should have noticed")))
    }

    /// 8. From an address back to the requirement.
    pub(super) fn trace(&mut self, live: &Offered) -> Result<(), Fault> {
        self.teller.step("8. From a running address back to the requirement")?;
        let address = self.stage.places.public.to_string();
        let json = self.stage.program.run(&["trace", &address, "--format", "json"], VERB_LIMIT)?.well()?.json()?;
        let chain = json.get("chains").map(ToString::to_string).unwrap_or_default();
        for part in ["PAY-142", &live.proposal.serial.to_string(), "ada", "cora", "dan"] {
            expect(chain.contains(part), || format!("the chain does not name {part}: {chain}"))?;
        }
        let ran = self.stage.program.run(&["trace", &address], VERB_LIMIT)?.well()?;
        self.teller.quote(&ran.out)?;
        self.teller.saw(format!("{address} is {}, for the requirement PAY-142", live.proposal.serial))?;
        self.teller.proves(
            "every running address leads back to release, approvals, evidence, build, commit, author and requirement",
        );
        Ok(())
    }
}

/// Tries to reach an executor, as whoever runs this. A refusal is what is hoped for.
pub fn knock(socket: &Path) -> Result<(), Fault> {
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Fault::from_error(Kind::Refused, error).context(format!("`{}` can not be reached", socket.display())))
        }
    }
}

fn index(finding: &Value, name: &str) -> Option<u64> {
    finding.get(name).and_then(Value::as_u64)
}

/// Whether a finding names a statement, or a stretch with it.
fn covers(finding: &Value, statement: u64) -> bool {
    match (index(finding, "index"), index(finding, "up_to")) {
        (Some(from), Some(to)) => (from..=to).contains(&statement),
        (Some(only), None) => only == statement,
        _ => false,
    }
}

/// How many statements a finding leaves open beside the first.
fn width(finding: &Value) -> u64 {
    let from = index(finding, "index").unwrap_or_default();
    index(finding, "up_to").map_or(0, |to| to.saturating_sub(from))
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().rev().find(|l| l.starts_with("audited")).unwrap_or_else(|| text.trim_end())
}
