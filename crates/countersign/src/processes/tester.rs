//! The `tester` process: runs suites on the source tree and against containers started from the proposed images.
//!
//! It has a key and a user of its own, so that no one key makes both artifact and evidence. It can not build,
//! approve or deploy. A crash loses a run that is not in the log, which is made again.

mod containers;
mod run;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use build::git::Mirror;
use gate::Said;
use ledger::{
    keys::Signer,
    statement::v1::{
        Build, Change, Evidence, EvidenceOn, EvidenceOutcome, EvidenceReason, SuiteFact, SuiteOn, SystemRule,
    },
};
use model::{CaseId, Clock as _, RoleName};

use super::{Start, setback::Setback, workshop::Workshop};
use crate::{
    clock::SystemClock,
    evidence, executor,
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    log_client::LogClient,
    say::Speaker,
    status::StatusFile,
    view::View,
};

/// How often a system under test that does not start is started again.
const START_TRIES: u32 = 3;

/// Between looks at the log when it does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the process until it is ended.
pub fn run(start: Start) -> Result<(), Fault> {
    let signer: Arc<dyn Signer> = Arc::new(start.key()?);
    let members = start.charter.members.clone();
    let role: RoleName = start.role.name().parse().because(Kind::Internal, "the role's name does not parse")?;
    let speaker = Speaker::new(signer, members.hash(), role);
    let systems = members.charter().systems.clone();
    let mut status = start.confine(Workshop::confinement(&start, &systems))?;
    let workshop = Workshop::open(&start)?;
    let mut mirrors = Vec::new();
    for system in systems {
        let mirror = workshop.mirror(&system)?;
        mirrors.push((system, mirror));
    }
    let mut tester = Tester {
        view: View::new(LogClient::direct(Target::Unix(start.layout.socket(RoleUser::Log))), members)?,
        speaker,
        workshop,
        images: start.layout.images(),
        executor_socket: executor::socket(&start.layout, start.role, executor::COMPONENTS),
        failed: BTreeMap::new(),
    };
    loop {
        let mut waits = Vec::new();
        let mut troubles = Vec::new();
        for (system, mirror) in &mirrors {
            match tester.round(system, mirror, &mut status) {
                Ok(wait) => waits.push(wait),
                Err(fault) => troubles.push(format!("{}: {}", system.name, fault.message())),
            }
        }
        status.say("looking for what is not tested", waits);
        if !troubles.is_empty() {
            status.trouble(troubles.join("; "));
        }
        if tester.view.wait(Duration::from_secs(5)).is_err() {
            std::thread::sleep(PAUSE);
        }
    }
}

/// What the rounds share.
pub(crate) struct Tester {
    view: View,
    speaker: Speaker,
    workshop: Workshop,
    images: std::path::PathBuf,
    executor_socket: std::path::PathBuf,
    /// Runs that could not be made at all: change, suite, baseline.
    failed: BTreeMap<(u64, String, Option<u64>), Setback>,
}

/// What a suite is compared with: the evidence of what runs, and the cases that passed then.
struct Baseline {
    evidence: Option<u64>,
    cases: BTreeSet<CaseId>,
}

impl Tester {
    /// Runs the suites of the newest change that have not been run on it yet. Returns what it waits for.
    fn round(&mut self, system: &SystemRule, mirror: &Mirror, status: &mut StatusFile) -> Result<String, Fault> {
        self.view.refresh()?;
        let Some(change) = self.view.facts().changes(&system.name).rfind(|c| c.claim.is_accepted()).cloned() else {
            return Ok(format!("{}: a change", system.name));
        };
        let build = self.view.facts().builds().rfind(|b| b.claim.change == change.index).cloned();
        let due: Vec<SuiteFact> =
            change.claim.suites.iter().filter(|s| self.is_due(&change, build.as_ref(), s)).cloned().collect();
        let mut held_up = None;
        // What needs no build is run first, while the builder is still at it.
        for on in [SuiteOn::Source, SuiteOn::Containers] {
            for suite in due.iter().filter(|s| s.on == on) {
                if on == SuiteOn::Containers && build.is_none() {
                    continue;
                }
                let key =
                    (change.index, suite.name.to_string(), self.baseline_evidence(change.index, &system.name, suite));
                let what = format!("suite {} on change {}", suite.name, change.claim.ordinal);
                if let Some(failed) = self.failed.get(&key).filter(|f| !f.is_due(SystemClock.now())) {
                    held_up = Some(failed.fault(&what));
                    continue;
                }
                status.say(
                    format!("running {} on change {} of {}", suite.name, change.claim.ordinal, system.name),
                    Vec::new(),
                );
                mirror.fetch().because(Kind::Unavailable, "the remote can not be fetched")?;
                let baseline = self.baseline(change.index, system, suite)?;
                if let Err(fault) = self.run_suite(system, mirror, &change, build.as_ref(), suite, &baseline) {
                    let failed = Setback::after(self.failed.get(&key), &fault, SystemClock.now());
                    held_up = Some(failed.fault(&what));
                    self.failed.insert(key, failed);
                    continue;
                }
                self.failed.remove(&key);
            }
        }
        if let Some(fault) = held_up {
            return Err(fault);
        }
        let waits_for_build = build.is_none() && due.iter().any(|s| s.on == SuiteOn::Containers);
        Ok(if waits_for_build {
            format!("{}: the build of change {}", system.name, change.claim.ordinal)
        } else {
            format!("{}: a change after {}", system.name, change.claim.ordinal)
        })
    }

    /// Whether a suite has no evidence on this change that can count: none on these images, or one that was compared
    /// with something that does not run any more. A failure is not tried again.
    fn is_due(&self, change: &Said<Change>, build: Option<&Said<Build>>, suite: &SuiteFact) -> bool {
        let system = &change.claim.system;
        let baseline = self.baseline_evidence(change.index, system, suite);
        let facts = self.view.facts();
        let runs =
            facts.members().charter().environments.iter().any(|e| {
                facts.live(system, &e.name).iter().any(|l| build.is_some_and(|b| b.claim.release == l.release))
            });
        let mut not_started = 0;
        !facts.evidence(change.index).any(|e| {
            let about = match (&e.claim.on, suite.on) {
                (EvidenceOn::Source { .. }, SuiteOn::Source) => true,
                (EvidenceOn::Containers { release, .. }, SuiteOn::Containers) => {
                    build.is_some_and(|b| b.claim.release == *release)
                }
                _ => false,
            };
            if e.claim.suite != suite.name || e.claim.definition != suite.definition || !about {
                return false;
            }
            // What did not even start says little; it is tried a few times, and then a person should look.
            if e.claim.reasons == [EvidenceReason::NotStarted] {
                not_started += 1;
                return not_started >= START_TRIES;
            }
            // An exception that was signed after the run may be what it lacked.
            let lacked = e.claim.outcome == EvidenceOutcome::NotTested
                && facts.exceptions().any(|x| x.claim.suite == suite.name && x.index > e.index);
            if lacked {
                return false;
            }
            e.claim.outcome == EvidenceOutcome::Failed || e.claim.baseline == baseline || runs
        })
    }

    /// The passing evidence of what runs for a suite of this name, the newest where several environments differ. A change
    /// that runs itself, as after an emergency, is compared with what ran before it.
    fn baseline_evidence(&self, change: u64, system: &model::SystemName, suite: &SuiteFact) -> Option<u64> {
        let facts = self.view.facts();
        let environments = &facts.members().charter().environments;
        let changes = environments.iter().filter_map(|e| {
            let of_another = |proposal| facts.proposal(proposal).map(|p| p.claim.change).filter(|c| *c != change);
            facts.live(system, &e.name).iter().find_map(|live| Some((live.index, of_another(live.proposal)?)))
        });
        let (_, change) = changes.max()?;
        facts
            .evidence(change)
            .rfind(|e| e.claim.suite == suite.name && e.claim.outcome == EvidenceOutcome::Passed)
            .map(|e| e.index)
    }

    fn baseline(&self, change: u64, system: &SystemRule, suite: &SuiteFact) -> Result<Baseline, Fault> {
        let Some(index) = self.baseline_evidence(change, &system.name, suite) else {
            return Ok(Baseline { evidence: None, cases: BTreeSet::new() });
        };
        let cases = self.view.facts().one_evidence(index).and_then(|e: &Said<Evidence>| e.claim.cases);
        let cases = cases.ok_or_else(|| {
            Fault::new(Kind::Untrue, format!("the evidence at log index {index} has no list of cases"))
        })?;
        let body = evidence::list_of(self.view.log().body(cases)?, index)?;
        let list =
            build::suite::CaseList::from_bytes(&body).because(Kind::Untrue, "the list of cases does not hold up")?;
        Ok(Baseline { evidence: Some(index), cases: list.baseline() })
    }
}
