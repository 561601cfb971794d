//! Standing: which suites bind a proposal, and what the log has of each.
//!
//! The tester's word is taken for what only it can know, how the cases went; whatever the log itself shows is
//! compared, and evidence that contradicts itself is none.

use std::collections::BTreeSet;

use ledger::statement::v1::{
    Build, Change, Evidence, EvidenceOn, EvidenceOutcome, Kind, Proposal, SuiteFact, SuiteKind, SuiteOn,
};
use model::{Digest, EnvironmentName, PersonId, SuiteName, Timestamp};

use crate::{
    facts::{Facts, Said},
    lineage::{Base, Ground},
};

/// How many non-contributors it takes to except a case or a suite.
pub const EXCEPTION_PERSONS: usize = 2;

/// The name under which a whole suite can be excepted: the pseudonym of no case, as ids are never empty.
pub const WHOLE_SUITE: &[u8] = b"";

/// What there is about one binding suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteStanding {
    /// The suite.
    pub suite: SuiteName,
    /// Its kind.
    pub kind: SuiteKind,
    /// What it runs on.
    pub on: SuiteOn,
    /// The evidence that it passed, if it did.
    pub passed: Option<u64>,
    /// What there is instead, in a few words.
    pub instead: Option<String>,
    /// Whether it has merely not been shown that it passes, which an emergency release may go without; what speaks against
    /// the release is never given away.
    pub is_missing: bool,
}

/// Why a suite has not passed.
enum Lack {
    /// Nothing shows that it does.
    Missing(String),
    /// Something speaks against the release, or against the evidence.
    Against(String),
}

impl From<String> for Lack {
    fn from(words: String) -> Self {
        Self::Against(words)
    }
}

impl From<&str> for Lack {
    fn from(words: &str) -> Self {
        Self::Against(words.to_owned())
    }
}

/// The suites of the release that runs in an environment which a change edits, and those that it removes, in the order
/// of their names: what a proposal of a build must tell.
pub fn edits(
    facts: &Facts,
    environment: &EnvironmentName,
    replaces: Option<Digest>,
    build: &Build,
    change: &Change,
) -> (Vec<SuiteName>, Vec<SuiteName>) {
    let system = build.serial.system();
    let now = (facts.size(), facts.running(system, environment));
    let ground = Ground::between(facts, (system, environment), (build.release, build.change), replaces, now);
    edits_over(ground.base, change)
}

pub(crate) fn edits_over(base: Base<'_>, change: &Change) -> (Vec<SuiteName>, Vec<SuiteName>) {
    let (mut edited, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for old in base.suites() {
        match change.suites.iter().find(|s| s.name == old.name) {
            None => {
                removed.insert(old.name.clone());
            }
            // What it covers may grow and shrink with the requirements; what it does is its definition and files.
            Some(new)
                if (new.kind, new.on, new.definition, new.files) != (old.kind, old.on, old.definition, old.files) =>
            {
                edited.insert(old.name.clone());
            }
            Some(_) => {}
        }
    }
    (edited.into_iter().collect(), removed.into_iter().collect())
}

/// Where the suites of a proposal stand.
pub(crate) struct Standings {
    /// Each that binds.
    pub(crate) suites: Vec<SuiteStanding>,
    /// The evidence and the exceptions that the passes rest on.
    pub(crate) rests_on: BTreeSet<u64>,
    /// When the first of those exceptions ends.
    pub(crate) ends: Timestamp,
}

/// What suites are judged over.
pub(crate) struct Judge<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) claim: &'a Proposal,
    pub(crate) ground: Ground<'a>,
    pub(crate) change: &'a Said<Change>,
    pub(crate) build: Option<&'a Said<Build>>,
    pub(crate) contributors: &'a BTreeSet<PersonId>,
    pub(crate) now: Timestamp,
}

/// Until when an exception counts, and the statements that make it.
type Leave = (Timestamp, BTreeSet<u64>);

impl Judge<'_> {
    /// Every suite that binds.
    pub(crate) fn standings(&self) -> Standings {
        let mut all = Standings { suites: Vec::new(), rests_on: BTreeSet::new(), ends: Timestamp::from_unix(u64::MAX) };
        for suite in self.change.claim.suites.iter().filter(|s| s.kind != SuiteKind::Smoke) {
            let (passed, instead, is_missing) = match self.result(suite) {
                Ok((index, leaves)) => {
                    all.rests_on.insert(index);
                    leaves.into_iter().for_each(|leave| all.rest_on(leave));
                    (Some(index), None, false)
                }
                Err(Lack::Missing(words)) => (None, Some(words), true),
                Err(Lack::Against(words)) => (None, Some(words), false),
            };
            all.suites.push(SuiteStanding {
                suite: suite.name.clone(),
                kind: suite.kind,
                on: suite.on,
                passed,
                instead,
                is_missing,
            });
        }
        for old in self.ground.base.suites().iter().filter(|s| s.kind != SuiteKind::Smoke) {
            if self.change.claim.suites.iter().any(|s| s.name == old.name && s.kind != SuiteKind::Smoke) {
                continue;
            }
            match self.excepted(&old.name, Digest::of(WHOLE_SUITE)) {
                Some(leave) => all.rest_on(leave),
                None => all.suites.push(SuiteStanding {
                    suite: old.name.clone(),
                    kind: old.kind,
                    on: old.on,
                    passed: None,
                    instead: Some("binds since the release before, and the change removes it".to_owned()),
                    is_missing: false,
                }),
            }
        }
        all
    }

    fn excepted(&self, suite: &SuiteName, case: Digest) -> Option<Leave> {
        let what = (self.claim.serial.system(), suite, case);
        self.facts.excepted_until(what, self.contributors, self.now, EXCEPTION_PERSONS)
    }

    /// The evidence that a suite passed on what is proposed, with the exceptions that it needs; or what there is instead.
    fn result(&self, suite: &SuiteFact) -> Result<(u64, Vec<Leave>), Lack> {
        let facts = self.facts;
        // A failure sticks to what it was seen on, whichever change it was said about: running again until green is
        // not testing.
        let system = Some(self.claim.serial.system());
        let of_suite = |e: &&Said<Evidence>| e.claim.suite == suite.name && e.header.system.as_ref() == system;
        let on_source = facts.failures_on_source(&self.change.claim.commit).find(of_suite);
        let on_containers = facts.failures_on_release(self.claim.release).find(of_suite);
        if let Some(failed) = on_source.into_iter().chain(on_containers).min_by_key(|e| e.index) {
            let t = failed.claim.totals;
            let all = u64::from(t.failed) + u64::from(t.passed) + u64::from(t.skipped);
            return Err(format!("failed, {} of {all} cases", t.failed).into());
        }
        let about = |e: &&Said<Evidence>| e.claim.suite == suite.name && self.is_about(&e.claim, suite.on);
        let mut all = facts.evidence(self.claim.change).filter(about);
        // What was compared with what came since shows nothing about a release that ran before it.
        let then = self
            .ground
            .came
            .and_then(|_| facts.evidence(self.claim.change).filter(about).rfind(|e| self.is_of_then(e)));
        let Some(last) = then.or_else(|| all.next_back()) else {
            let elsewhere = facts.evidence(self.claim.change).any(|e| e.claim.suite == suite.name);
            let words = if elsewhere { "only tested on something else" } else { "not run" };
            return Err(Lack::Missing(words.to_owned()));
        };
        let e = &last.claim;
        if e.outcome != EvidenceOutcome::Passed {
            let why: Vec<String> = e.reasons.iter().map(|r| format!("{r:?}")).collect();
            return Err(Lack::Missing(format!(
                "not tested ({}), {} missing, {} skipped",
                why.join(", "),
                e.missing.len(),
                e.totals.skipped
            )));
        }
        if e.totals.failed > 0 || !e.reasons.is_empty() || !e.missing.is_empty() {
            return Err("the evidence says that it passed, and why it did not".into());
        }
        if e.definition != suite.definition || e.files != suite.files || e.kind != suite.kind {
            return Err("tested with another definition".into());
        }
        if !facts.may_say(&last.header.role, Kind::Evidence)
            || self.build.is_none_or(|b| b.key == last.key || b.by == last.by)
        {
            return Err("tested by the one who built it".into());
        }
        if e.totals.passed == 0 {
            return Err("no case passed".into());
        }
        let cases: BTreeSet<Digest> = e.excepted.iter().copied().collect();
        if (e.totals.skipped as usize) > cases.len() {
            return Err(format!("{} cases skipped, {} excepted", e.totals.skipped, cases.len()).into());
        }
        let leaves: Vec<Leave> = cases.iter().filter_map(|case| self.excepted(&suite.name, *case)).collect();
        if leaves.len() < cases.len() {
            let unbacked = cases.len() - leaves.len();
            let words = format!("{unbacked} exceptions that two persons who did not contribute do not back any more");
            return Err(words.into());
        }
        self.check_baseline(last)?;
        Ok((last.index, leaves))
    }

    /// Whether evidence is about exactly what is proposed.
    fn is_about(&self, evidence: &Evidence, on: SuiteOn) -> bool {
        match (&evidence.on, on) {
            (EvidenceOn::Source { commit }, SuiteOn::Source) => *commit == self.change.claim.commit,
            (EvidenceOn::Containers { release, images }, SuiteOn::Containers) => {
                *release == self.claim.release && *images == self.claim.images
            }
            _ => false,
        }
    }

    /// Whether the run of a release that ran here before was compared with what it replaced then.
    fn is_of_then(&self, evidence: &Said<Evidence>) -> bool {
        let base = evidence.claim.baseline.and_then(|index| self.facts.one_evidence(index));
        let mut builds = base.into_iter().flat_map(|base| self.facts.builds_of(base.claim.change));
        match evidence.claim.baseline {
            Some(_) => builds.any(|build| Some(build.claim.release) == self.ground.replaces),
            None => !self.has_cases(&evidence.claim.suite),
        }
    }

    /// Whether what is replaced has cases of a suite.
    fn has_cases(&self, suite: &SuiteName) -> bool {
        let passed = |e: &&Said<Evidence>| e.claim.suite == *suite && e.claim.outcome == EvidenceOutcome::Passed;
        let mut builds = self.ground.replaces.into_iter().flat_map(|release| self.facts.builds_as(release));
        builds.any(|b| self.facts.evidence(b.claim.change).any(|e| passed(&e)))
    }

    /// The cases that bind are those of what runs: a run that was compared with nothing, or with something that never
    /// ran, does not show that no case was removed.
    fn check_baseline(&self, evidence: &Said<Evidence>) -> Result<(), String> {
        let (facts, claim, suite) = (self.facts, self.claim, &evidence.claim.suite);
        let passed = |e: &&Said<Evidence>| e.claim.suite == *suite && e.claim.outcome == EvidenceOutcome::Passed;
        match evidence.claim.baseline {
            Some(index) => {
                let system = claim.serial.system();
                let ran = |release| {
                    let mut environments = facts.members().charter().environments.iter();
                    release != claim.release
                        && (self.ground.replaces == Some(release)
                            || environments.any(|e| facts.running(system, &e.name).holds(release)))
                };
                let base = facts.one_evidence(index).filter(passed).filter(|e| e.index < evidence.index);
                let runs = |change| facts.builds_of(change).any(|b| ran(b.claim.release));
                if base.is_some_and(|e| runs(e.claim.change)) {
                    Ok(())
                } else {
                    Err("compared with the cases of something that does not run".to_owned())
                }
            }
            None => {
                if self.has_cases(suite) {
                    Err("not compared with the cases of what runs".to_owned())
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl Standings {
    /// No change, no suites.
    pub(crate) fn none() -> Self {
        Self { suites: Vec::new(), rests_on: BTreeSet::new(), ends: Timestamp::from_unix(u64::MAX) }
    }

    fn rest_on(&mut self, (until, said): Leave) {
        self.ends = until.min(self.ends);
        self.rests_on.extend(said);
    }
}

#[cfg(test)]
mod tests;
