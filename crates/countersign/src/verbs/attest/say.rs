//! From a report of another system to evidence: the suite as it binds, the same judgement, the same comparison with the
//! cases that passed at what runs.

use std::{
    collections::BTreeSet,
    io::Read as _,
    path::{Path, PathBuf},
};

use build::{
    junit::REPORT_BYTES,
    suite::{CaseList, Exception, Exit, JudgeInput, Judgement, ReportFile as Found, ReportPart, judge},
};
use gate::{EXCEPTION_PERSONS, Facts, Said};
use ledger::{
    bodies::{Body, Subject},
    statement::v1::{Build, Change, Claim, Evidence, EvidenceOn, EvidenceOutcome, SuiteFact, SuiteOn},
};
use model::{
    CaseId, Digest, PersonId, Serial, SuiteName,
    manifest::{Manifest, SuiteDefinition},
};

use crate::{
    evidence,
    fault::{Because as _, Fault, Kind},
    say::{About, Speaker},
    view::View,
};

/// A file of a report.
pub(super) struct ReportFile {
    /// For people.
    pub(super) path: String,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

/// What was tested and by which suite, as the log and the manifest have it.
pub(super) struct Tested {
    pub(super) change: Said<Change>,
    pub(super) build: Option<Said<Build>>,
    suite: SuiteFact,
    definition: SuiteDefinition,
    baseline: Option<u64>,
    cases: BTreeSet<CaseId>,
}

impl Tested {
    /// Finds it. The manifest must be the one of the change.
    pub(super) fn find(view: &View, serial: &Serial, suite: &SuiteName, manifest: &Path) -> Result<Self, Fault> {
        let facts = view.facts();
        let change = facts
            .changes(serial.system())
            .rfind(|c| c.claim.ordinal == serial.ordinal() && c.claim.is_accepted())
            .cloned()
            .ok_or_else(|| Fault::new(Kind::Usage, format!("the log has no accepted change `{serial}`")))?;
        let fact = change.claim.suites.iter().find(|s| &s.name == suite).cloned().ok_or_else(|| {
            let known: Vec<&str> = change.claim.suites.iter().map(|s| s.name.as_str()).collect();
            Fault::new(Kind::Usage, format!("{serial} has no suite `{suite}`"))
                .hint(format!("it has {}", known.join(", ")))
        })?;
        let bytes =
            std::fs::read(manifest).because(Kind::Usage, format!("`{}` can not be read", manifest.display()))?;
        if Digest::of(&bytes) != change.claim.manifest {
            return Err(Fault::new(Kind::Refused, format!("`{}` is not the manifest of {serial}", manifest.display()))
                .hint(format!("check commit {} out, or name its manifest with `--manifest`", change.claim.commit)));
        }
        let parsed = Manifest::parse_bytes(&bytes).because(Kind::Input, "the manifest does not hold up")?;
        let definition = parsed
            .manifest
            .suites
            .get(suite)
            .filter(|d| d.digest().is_ok_and(|digest| digest == fact.definition))
            .cloned()
            .ok_or_else(|| {
                Fault::new(
                    Kind::Untrue,
                    format!("the builder says another definition of `{suite}` than the manifest has"),
                )
            })?;
        let build = facts.builds().rfind(|b| b.claim.change == change.index).cloned();
        let baseline = baseline(facts, serial, suite);
        let cases = match baseline {
            Some(index) => passed_then(view, index)?,
            None => BTreeSet::new(),
        };
        Ok(Self { change, build, suite: fact, definition, baseline, cases })
    }
}

/// The passing evidence of what runs, as the tester chooses it.
fn baseline(facts: &Facts, serial: &Serial, suite: &SuiteName) -> Option<u64> {
    let live = facts
        .members()
        .charter()
        .environments
        .iter()
        .filter_map(|e| facts.live(serial.system(), &e.name).into_iter().next())
        .max_by_key(|l| l.index)?;
    let change = facts.proposal(live.proposal)?.claim.change;
    facts
        .evidence(change)
        .rfind(|e| &e.claim.suite == suite && e.claim.outcome == EvidenceOutcome::Passed)
        .map(|e| e.index)
}

fn passed_then(view: &View, index: u64) -> Result<BTreeSet<CaseId>, Fault> {
    let cases = view.facts().one_evidence(index).and_then(|e| e.claim.cases);
    let cases = cases
        .ok_or_else(|| Fault::new(Kind::Untrue, format!("the evidence at log index {index} has no list of cases")))?;
    let body = evidence::list_of(view.log().body(cases)?, index)?;
    Ok(CaseList::from_bytes(&body).because(Kind::Untrue, "the list of cases does not hold up")?.baseline())
}

/// Reads report files, within the limit of one report.
pub(super) fn read_reports(paths: &[PathBuf]) -> Result<Vec<ReportFile>, Fault> {
    let mut files = Vec::new();
    let mut total = 0_u64;
    for path in paths {
        let can_not = || format!("`{}` can not be read", path.display());
        let file = std::fs::File::open(path).because(Kind::Usage, can_not())?;
        let mut bytes = Vec::new();
        // One byte more than is taken, so that too large is told from exactly full.
        let limit = (REPORT_BYTES as u64 + 1).saturating_sub(total);
        file.take(limit).read_to_end(&mut bytes).because(Kind::Usage, can_not())?;
        total += bytes.len() as u64;
        files.push(ReportFile { path: path.display().to_string(), bytes });
    }
    Ok(files)
}

/// Judges and says it. Returns the log index and every reason why it does not count.
pub(super) fn say(
    view: &View,
    speaker: &Speaker,
    tested: &Tested,
    on: EvidenceOn,
    files: &[ReportFile],
    exit: Exit,
) -> Result<(u64, Vec<String>), Fault> {
    check_on(tested, &on)?;
    let facts = view.facts();
    let now = facts.time().map(|t| t.latest).unwrap_or_default();
    // When the other system started and wrote is its own word; only what is in the report can be judged here.
    let parts: Vec<ReportPart<'_>> =
        files.iter().map(|f| ReportPart { path: &f.path, bytes: &f.bytes, modified_ms: 0 }).collect();
    let exceptions = exceptions(facts, tested);
    let judged = judge(&JudgeInput {
        definition: &tested.definition,
        report: Found::Found(&parts),
        started_ms: 0,
        exit,
        exceptions: &exceptions,
        now,
        baseline: &tested.cases,
    });
    let mut bodies = Vec::new();
    let mut cases = None;
    if let Some(list) = &judged.cases {
        let bytes = list.to_bytes().because(Kind::Internal, "the list of cases can not be written")?;
        let body = Body::new(bytes).ok_or_else(|| Fault::new(Kind::Unavailable, "no random bytes for a salt"))?;
        cases = Some(body.commitment());
        bodies.push(body.about(Subject::Change(tested.change.index)));
    }
    let evidence = evidence(tested, on, &judged, cases);
    let system = tested.change.claim.system.clone();
    let about = About { system: Some(system), seen: view.seen(), ..About::default() };
    let said = speaker.say(view.log(), Claim::Evidence(Box::new(evidence)), about, &bodies)?;
    Ok((said.index, judged.reasons.iter().map(|r| format!("{r}; {}", r.hint())).collect()))
}

/// What is said to have been tested must be what the log has, of the kind that the suite is for.
fn check_on(tested: &Tested, on: &EvidenceOn) -> Result<(), Fault> {
    match (on, tested.suite.on) {
        (EvidenceOn::Source { commit }, SuiteOn::Source) if *commit == tested.change.claim.commit => Ok(()),
        (EvidenceOn::Source { commit }, SuiteOn::Source) => Err(Fault::new(
            Kind::Refused,
            format!("commit {commit} is not the one of the change, which is {}", tested.change.claim.commit),
        )),
        (EvidenceOn::Containers { release, images }, SuiteOn::Containers) => {
            let build =
                tested.build.as_ref().ok_or_else(|| Fault::new(Kind::Refused, "the change has no build in the log"))?;
            let mut built = build.claim.images.clone();
            built.sort();
            if *release == build.claim.release && *images == built {
                Ok(())
            } else {
                Err(Fault::new(
                    Kind::Refused,
                    format!("that is not the release {} with every image of its build", build.claim.release),
                )
                .hint("`countersign trace SERIAL` prints both"))
            }
        }
        (_, SuiteOn::Source) => {
            Err(Fault::new(Kind::Refused, format!("`{}` runs on the source tree", tested.suite.name))
                .hint("add `--commit`"))
        }
        (_, SuiteOn::Containers) => Err(Fault::new(
            Kind::Refused,
            format!("`{}` runs on containers; a source tree says nothing of them", tested.suite.name),
        )
        .hint("add `--release` and an `--image` for every component")),
    }
}

fn exceptions(facts: &Facts, tested: &Tested) -> Vec<Exception> {
    let contributors: BTreeSet<PersonId> =
        tested.change.claim.commits.iter().flat_map(|c| c.contributors.iter().cloned()).collect();
    let now = facts.time().map(|t| t.latest).unwrap_or_default();
    let (system, suite) = (&tested.change.claim.system, &tested.suite.name);
    facts
        .exceptions()
        .filter(|e| &e.claim.suite == suite)
        .filter(|e| facts.excepted(system, suite, e.claim.case, &contributors, now).len() >= EXCEPTION_PERSONS)
        .map(|e| Exception { case: e.claim.case, until: e.claim.ends })
        .collect()
}

fn evidence(tested: &Tested, on: EvidenceOn, judged: &Judgement, cases: Option<Digest>) -> Evidence {
    let run = evidence::Run { change: tested.change.index, suite: &tested.suite, baseline: tested.baseline };
    evidence::of(&run, on, Some(judged), cases)
}
