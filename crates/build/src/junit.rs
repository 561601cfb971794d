//! JUnit XML as tools really write it, read into cases with outcomes.
//!
//! There is no standard: this reads what cargo-nextest, pytest, jest-junit, Maven Surefire, Gradle, GoogleTest and
//! CTest write (the common part is described in <https://github.com/testmoapp/junitxml>). Reading is liberal in what
//! does not matter (missing counts, order of attributes, unknown elements, nesting) and refuses what could hide
//! something (document types and entities, a cut-off file, a status that is not known, an unnamed case).
//! It knows nothing of suites, exceptions or releases: `suite` judges.
//!
//! Two decisions make ids stable:
//! - A case is its class and its name. Where there is no class the name of the innermost suite stands for it.
//! - Cases of one id are told apart by ` #2`, ` #3` after sorting them by outcome, passed first. So the order in
//!   which a parallel runner wrote them makes no difference, and no duplicate hides another.

mod error;
mod frame;
mod read;
mod values;

pub use error::{JunitError, JunitProblem};

use model::{CaseId, RequirementId};
use std::collections::BTreeSet;

/// Bytes of a report. The largest public ones, of Hadoop and Chromium with all output kept, have 40 to 50 MB.
pub const REPORT_BYTES: usize = 64 * 1024 * 1024;
/// Cases of a report: five times the largest public suites.
pub const CASES: usize = 200_000;
/// Elements within each other. Nested suites reach 6 in practice.
const DEPTH: usize = 64;
/// Attributes of one element; they are compared with each other, so their number squared is the cost.
const ATTRIBUTES: usize = 64;
/// Bytes of one case's output that are searched for properties; what stands behind is not found, and covers nothing.
const OUTPUT_BYTES: usize = 1024 * 1024;

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The cases, in the order of their ids; no id is there twice.
    pub cases: Vec<Case>,
    /// Where the report's own counts contradict its cases.
    pub contradictions: Vec<Contradiction>,
    /// What was given as a requirement of a case and is no requirement id. It covers nothing.
    pub not_requirements: Vec<(CaseId, String)>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Class and name.
    pub id: CaseId,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds that it took; `None` if the report does not say.
    pub time_ms: Option<u64>,
    /// The requirements that the case itself names.
    pub requirements: BTreeSet<RequirementId>,
}

/// How a case ended, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// At the first try.
    Passed,
    /// After at least one try that did not.
    Flaky,
    /// Not run, or run and expected to fail.
    Skipped,
    /// A check did not hold.
    Failed,
    /// It broke before or beside its checks.
    Error,
}

impl Outcome {
    /// Whether the case passed in the end.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Passed | Self::Flaky)
    }

    /// Whether the case failed in the end.
    pub const fn is_failing(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }

    /// As people and wire forms write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Flaky => "flaky",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Error => "error",
        }
    }
}

/// A count of a suite that its cases contradict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The line of the suite.
    pub line: usize,
    /// The name of the suite.
    pub suite: String,
    /// What is counted.
    pub what: Counted,
    /// What the suite says.
    pub said: u64,
    /// What is there.
    pub found: u64,
}

/// What a suite counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Cases.
    Tests,
    /// Cases that failed or broke.
    Failures,
    /// Cases that were not run.
    Skipped,
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.what {
            Counted::Tests => "cases",
            Counted::Failures => "failures and errors",
            Counted::Skipped => "skipped cases",
        };
        write!(f, "line {}: the suite `{}` says {} {what} but has {}", self.line, self.suite, self.said, self.found)
    }
}

/// Reads a report that is one file.
///
/// # Errors
/// If it is not XML that can be read safely and whole, or not a report.
pub fn parse(bytes: &[u8]) -> Result<Report, JunitError> {
    parse_all(&[bytes]).map_err(|(_, error)| error)
}

/// Reads a report that is several files, as Surefire and Gradle write one a class. The order of the files makes no
/// difference.
///
/// # Errors
/// The number of the first file that can not be read, from 0, and why; also if all of them together are too many.
pub fn parse_all(files: &[&[u8]]) -> Result<Report, (usize, JunitError)> {
    let mut whole = Report { cases: Vec::new(), contradictions: Vec::new(), not_requirements: Vec::new() };
    let mut bytes = 0_usize;
    for (number, file) in files.iter().enumerate() {
        let too_many = |problem| (number, JunitError { line: 1, problem });
        bytes = bytes.saturating_add(file.len());
        if bytes > REPORT_BYTES {
            return Err(too_many(JunitProblem::TooLarge { found: bytes, limit: REPORT_BYTES }));
        }
        let part = read::read(file).map_err(|error| (number, error))?;
        whole.cases.extend(part.cases);
        whole.contradictions.extend(part.contradictions);
        whole.not_requirements.extend(part.not_requirements);
        if whole.cases.len() > CASES {
            return Err(too_many(JunitProblem::TooMany { what: "cases", limit: CASES }));
        }
    }
    whole.cases = read::told_apart(whole.cases);
    whole.not_requirements.sort();
    Ok(whole)
}

#[cfg(test)]
mod tests;
