//! One run of one suite: workspace, command, report, judgement, evidence.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use build::{
    git::Mirror,
    junit::REPORT_BYTES,
    sandbox::{Outcome, Phase},
    suite::{Exception, Exit, JudgeInput, Judgement, ReportFile, ReportPart, judge},
    workspace::{Source, Workspace},
};
use gate::{EXCEPTION_PERSONS, Said};
use ledger::{
    bodies::{Body, Subject},
    statement::v1::{Build, Change, Claim, EvidenceOn, SuiteFact, SuiteOn, SystemRule},
};
use model::{
    PersonId, Serial,
    manifest::{Manifest, SuiteDefinition},
};

use super::{Baseline, Tester};
use crate::{
    evidence,
    fault::{Because as _, Fault, Kind},
    processes::builder::{ecosystem, manifest_of},
    say::About,
};

/// One file of a report, as it was found.
struct Found {
    path: String,
    bytes: Vec<u8>,
    modified_ms: u64,
}

impl Tester {
    /// Runs a suite and says what it showed.
    pub(super) fn run_suite(
        &mut self,
        system: &SystemRule,
        mirror: &Mirror,
        change: &Said<Change>,
        build: Option<&Said<Build>>,
        suite: &SuiteFact,
        baseline: &Baseline,
    ) -> Result<(), Fault> {
        let manifest = manifest_of(mirror, change)?;
        let definition = manifest
            .suites
            .get(&suite.name)
            .filter(|d| d.digest().is_ok_and(|digest| digest == suite.definition))
            .ok_or_else(|| {
                Fault::new(Kind::Untrue, "the builder says another definition of the suite than the commit has")
            })?;
        let paths: Vec<String> = definition.paths.iter().cloned().collect();
        let files = mirror
            .tree_digest(change.claim.commit, &paths)
            .because(Kind::Input, "the suite's files can not be read")?;
        if files != suite.files {
            return Err(Fault::new(Kind::Untrue, "the builder says other files of the suite than the commit has"));
        }
        let mut workspace = self.workspace(system, mirror, change, &manifest, definition)?;
        let mut environment = definition.environment.clone();
        let started_ms = now_ms();
        let (on, outcome) = match suite.on {
            SuiteOn::Source => {
                let outcome = self.command(&mut workspace, definition, Phase::Offline, environment)?;
                (EvidenceOn::Source { commit: change.claim.commit }, Some(outcome))
            }
            SuiteOn::Containers => {
                let build = build.ok_or_else(|| Fault::new(Kind::Internal, "no build to start containers from"))?;
                let on = EvidenceOn::Containers { release: build.claim.release, images: build.claim.images.clone() };
                match self.start_system(&build.claim, suite.name.as_str()) {
                    Ok(system_up) => {
                        environment.extend(system_up.environment);
                        let outcome = self.command(
                            &mut workspace,
                            definition,
                            Phase::Network { netns: system_up.netns },
                            environment,
                        );
                        let still = self.still_runs(&build.claim);
                        self.stop_system()?;
                        let outcome = outcome?;
                        match still {
                            Ok(()) => (on, Some(outcome)),
                            Err(fault) => {
                                tracing::warn!("{}: {}", suite.name, fault.message());
                                (on, None)
                            }
                        }
                    }
                    Err(fault) => {
                        tracing::warn!("{}: {}", suite.name, fault.message());
                        self.stop_system()?;
                        (on, None)
                    }
                }
            }
        };
        let judged = match &outcome {
            Some(outcome) => Some(self.judge(change, definition, &workspace, started_ms, outcome, baseline)?),
            None => None,
        };
        workspace.remove().because(Kind::Unavailable, "the workspace can not be removed")?;
        self.say_evidence(system, change, suite, on, judged, baseline)
    }

    fn workspace(
        &self,
        system: &SystemRule,
        mirror: &Mirror,
        change: &Said<Change>,
        manifest: &Manifest,
        definition: &SuiteDefinition,
    ) -> Result<Workspace, Fault> {
        let declared = definition.build.as_ref().and_then(|name| manifest.builds.get(name));
        let source = Source {
            serial: Some(Serial::new(system.name.clone(), change.claim.ordinal)),
            commit: change.claim.commit,
            name: definition.name.to_string(),
            fetch: ecosystem(declared.and_then(|b| b.fetch)),
            registries: declared
                .into_iter()
                .flat_map(|b| &b.registries)
                .filter_map(|r| format!("{}:{}", r.host(), r.port()).parse().ok())
                .collect(),
        };
        Workspace::prepare(mirror, &source, &self.workshop.site, &mut self.workshop.runner(), &mut |_| {})
            .because(Kind::Input, "the workspace can not be prepared")
    }

    fn command(
        &self,
        workspace: &mut Workspace,
        definition: &SuiteDefinition,
        phase: Phase,
        environment: BTreeMap<String, String>,
    ) -> Result<Outcome, Fault> {
        let mut plan = workspace
            .plan(&self.workshop.site, phase, &definition.run, environment)
            .because(Kind::Internal, "the suite can not be planned")?;
        plan.limits.time_s = definition.timeout_s;
        self.workshop.runner()(&plan, &mut |_| {})
            .map_err(|e| Fault::new(Kind::Unavailable, e).context("the suite could not be run"))
    }

    fn judge(
        &self,
        change: &Said<Change>,
        definition: &SuiteDefinition,
        workspace: &Workspace,
        started_ms: u64,
        outcome: &Outcome,
        baseline: &Baseline,
    ) -> Result<Judgement, Fault> {
        let found = reports(workspace.dir(), definition);
        let parts: Vec<ReportPart<'_>> = found
            .iter()
            .flatten()
            .map(|f| ReportPart { path: &f.path, bytes: &f.bytes, modified_ms: f.modified_ms })
            .collect();
        let report = match &found {
            Err(why) => ReportFile::Unreadable(why),
            Ok(files) if files.is_empty() => ReportFile::Missing,
            Ok(_) => ReportFile::Found(&parts),
        };
        let exit = if outcome.timed_out {
            Exit::TimedOut
        } else {
            Exit::Code(if outcome.succeeded() { 0 } else { outcome.exit.max(1) })
        };
        let exceptions = self.exceptions(change, definition);
        Ok(judge(&JudgeInput {
            definition,
            report,
            started_ms,
            exit,
            exceptions: &exceptions,
            now: self.view.facts().time().map(|t| t.latest).unwrap_or_default(),
            baseline: &baseline.cases,
        }))
    }

    /// The exceptions that two persons who did not contribute back. The gate asks again.
    fn exceptions(&self, change: &Said<Change>, definition: &SuiteDefinition) -> Vec<Exception> {
        let facts = self.view.facts();
        let contributors: BTreeSet<PersonId> =
            change.claim.commits.iter().flat_map(|c| c.contributors.iter().cloned()).collect();
        let now = facts.time().map(|t| t.latest).unwrap_or_default();
        facts
            .exceptions()
            .filter(|e| e.claim.suite == definition.name)
            .filter(|e| {
                facts.excepted(&change.claim.system, &definition.name, e.claim.case, &contributors, now).len()
                    >= EXCEPTION_PERSONS
            })
            .map(|e| Exception { case: e.claim.case, until: e.claim.ends })
            .collect()
    }

    fn say_evidence(
        &mut self,
        system: &SystemRule,
        change: &Said<Change>,
        suite: &SuiteFact,
        on: EvidenceOn,
        judged: Option<Judgement>,
        baseline: &Baseline,
    ) -> Result<(), Fault> {
        let mut bodies = Vec::new();
        let mut cases = None;
        if let Some(list) = judged.as_ref().and_then(|j| j.cases.as_ref()) {
            let bytes = list.to_bytes().because(Kind::Internal, "the list of cases can not be written")?;
            let body = Body::new(bytes).ok_or_else(|| Fault::new(Kind::Unavailable, "no random bytes for a salt"))?;
            cases = Some(body.commitment());
            bodies.push(body.about(Subject::Change(change.index)));
        }
        for reason in judged.iter().flat_map(|j| &j.reasons) {
            tracing::warn!("{}: {reason}", suite.name);
        }
        let run = evidence::Run { change: change.index, suite, baseline: baseline.evidence };
        let evidence = evidence::of(&run, on, judged.as_ref(), cases);
        let about = About { system: Some(system.name.clone()), seen: self.view.seen(), ..About::default() };
        let said = self.speaker.say(self.view.log(), Claim::Evidence(Box::new(evidence)), about, &bodies)?;
        self.view.wait_for(said.index, super::super::COSIGN_TIMEOUT)
    }
}

/// Milliseconds since 1970, by the clock that stamps files.
fn now_ms() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with the times of files, which have this clock's milliseconds"
    )]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The report files that the run left. Links are not followed: a suite must not have us read something else.
fn reports(workspace: &Path, definition: &SuiteDefinition) -> Result<Vec<Found>, String> {
    let place = definition.report_place();
    let folder = workspace.join(place.folder());
    let real = match folder.canonicalize() {
        Ok(real) => real,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.to_string()),
    };
    if !real.starts_with(workspace.canonicalize().map_err(|e| e.to_string())?) {
        return Err("its folder is a link out of the workspace".to_owned());
    }
    let mut found = Vec::new();
    let mut total = 0;
    for entry in std::fs::read_dir(&real).map_err(|e| e.to_string())? {
        let entry = entry.map_err(|e| e.to_string())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !place.takes(&name) {
            continue;
        }
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(entry.path())
            .map_err(|e| format!("{name}: {e}"))?;
        let meta = file.metadata().map_err(|e| format!("{name}: {e}"))?;
        if !meta.is_file() {
            return Err(format!("{name} is not a regular file"));
        }
        let mut bytes = Vec::new();
        // One byte more than is read, so that a file at the limit and one above it differ.
        let limit = (REPORT_BYTES as u64 + 1).saturating_sub(total);
        std::io::Read::read_to_end(&mut std::io::Read::take(file, limit), &mut bytes)
            .map_err(|e| format!("{name}: {e}"))?;
        total += bytes.len() as u64;
        let modified_ms =
            meta.mtime().max(0).unsigned_abs() * 1000 + meta.mtime_nsec().max(0).unsigned_abs() / 1_000_000;
        found.push(Found { path: format!("{}/{name}", place.folder()), bytes, modified_ms });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
