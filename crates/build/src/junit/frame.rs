//! The elements that are open while a report is read, and what each has gathered when it closes.

use model::{CaseId, RequirementId};

use super::{
    Case, Contradiction, Counted, Outcome,
    error::{JunitProblem, plain},
    values,
};

/// One open element.
pub(super) enum Frame {
    /// `<testsuites>` or `<testsuite>`.
    Suite(SuiteFrame),
    /// `<testcase>`.
    Case(Box<CaseFrame>),
    /// `<system-out>` or `<system-err>` of a case.
    Output(String),
    /// `<property>` of a case, with its name and what stands in it.
    Property {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// `<properties>` of a case.
    Properties,
    /// Anything else; what is in it is not read.
    Other,
}

/// What a suite says and what it has.
#[derive(Default)]
pub(super) struct SuiteFrame {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) tests: Option<u64>,
    pub(super) failures: Option<u64>,
    pub(super) errors: Option<u64>,
    pub(super) skipped: Option<u64>,
    /// Cases directly in it.
    pub(super) direct: Tally,
    /// Cases in it at any depth.
    pub(super) all: Tally,
}

/// Cases by outcome.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    cases: u64,
    failing: u64,
    skipped: u64,
    /// Cases that were tried more than once. Surefire's counts are of the last round only, and so less than the cases.
    retried: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.failing += other.failing;
        self.skipped += other.skipped;
        self.retried += other.retried;
    }

    pub(super) fn of(outcome: Outcome, retried: bool) -> Self {
        Self {
            cases: 1,
            failing: u64::from(outcome.is_failing()),
            skipped: u64::from(outcome == Outcome::Skipped),
            retried: u64::from(retried),
        }
    }

    /// A suite that failed as a whole, outside its cases.
    pub(super) const fn whole_suite_failed() -> Self {
        Self { cases: 0, failing: 1, skipped: 0, retried: 0 }
    }
}

impl SuiteFrame {
    pub(super) fn take(&mut self, tally: Tally, direct: bool) {
        self.all.add(tally);
        if direct {
            self.direct.add(tally);
        }
    }

    /// Counts that contradict the cases. A suite may count the cases directly in it or all below.
    pub(super) fn contradictions(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let mut contradict = |what, said: u64, is: u64| {
            found.push(Contradiction { line: self.line, suite: plain(&self.name), what, said, found: is });
        };
        if let Some(said) = self.tests {
            let fits =
                said == self.all.cases || said == self.direct.cases || (self.all.retried > 0 && said < self.all.cases);
            if !fits {
                contradict(Counted::Tests, said, self.all.cases);
            }
        }
        // What kind of failure a case had is counted in many ways; that there is none where some are counted is not.
        let failures = self.failures.unwrap_or(0).saturating_add(self.errors.unwrap_or(0));
        if failures > 0 && self.all.failing == 0 {
            contradict(Counted::Failures, failures, 0);
        }
        if let Some(said) = self.skipped.filter(|said| *said > self.all.skipped) {
            contradict(Counted::Skipped, said, self.all.skipped);
        }
        found
    }
}

/// What a case has shown so far.
#[derive(Default)]
pub(super) struct CaseFrame {
    pub(super) class: String,
    pub(super) name: String,
    pub(super) status: Option<Outcome>,
    pub(super) time_ms: Option<u64>,
    pub(super) failed: bool,
    pub(super) broken: bool,
    pub(super) skipped: bool,
    /// Tries that failed before one that passed.
    pub(super) flaky: bool,
    /// Tries that failed after the first that did.
    pub(super) rerun: bool,
    pub(super) properties: Vec<(String, String)>,
    pub(super) output: String,
}

/// A case whose id may still be that of another.
pub(super) struct ReadCase {
    pub(super) case: Case,
    pub(super) retried: bool,
    pub(super) not_requirements: Vec<(CaseId, String)>,
}

impl CaseFrame {
    /// The worst that was shown counts.
    fn outcome(&self) -> Outcome {
        let shown = if self.broken {
            Outcome::Error
        } else if self.failed || self.rerun {
            Outcome::Failed
        } else if self.skipped {
            Outcome::Skipped
        } else if self.flaky {
            Outcome::Flaky
        } else {
            Outcome::Passed
        };
        shown.max(self.status.unwrap_or(Outcome::Passed))
    }

    /// The case; `suite` stands for its class if it has none.
    pub(super) fn close(self, suite: &str) -> Result<ReadCase, JunitProblem> {
        if self.name.trim().is_empty() && self.class.trim().is_empty() {
            return Err(JunitProblem::Unnamed);
        }
        let class = if self.class.trim().is_empty() { suite } else { &self.class };
        let id = values::case_id(class, &self.name).map_err(|_| JunitProblem::Unnamed)?;
        let written = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut requirements = std::collections::BTreeSet::<RequirementId>::new();
        let mut not_requirements = Vec::new();
        for (name, value) in written.chain(values::properties_in(&self.output)) {
            if values::names_requirements(name) {
                let (known, unknown) = values::requirements(value);
                requirements.extend(known);
                not_requirements.extend(unknown.into_iter().map(|text| (id.clone(), text)));
            }
        }
        let case = Case { id, outcome: self.outcome(), time_ms: self.time_ms, requirements };
        Ok(ReadCase { case, retried: self.flaky || self.rerun, not_requirements })
    }
}
