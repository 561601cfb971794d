//! Judging one run of a suite: whether what it was about counts as tested, and if not, every reason why.
//!
//! `judge` is a pure function of what the tester saw: the report file, the exit of the command, the definition of
//! the suite, the exceptions in force and the cases that passed at the last approved release. It refuses to know
//! where the suite ran, who granted an exception and what the verdict on the release will be.
//!
//! Anything that is missing, contradicts itself or is not known means: not tested.

mod case_list;
mod reason;

pub use case_list::{CaseList, CaseListError, ListedCase};
pub use reason::{Kind, Reason};

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use model::{CaseId, Digest, RequirementId, Timestamp, manifest::SuiteDefinition};

use crate::junit::{self, Outcome, Report};

/// Milliseconds that a file's time may lie before the start that was read from the clock just before: file systems
/// stamp with the kernel's coarse clock, which is up to one tick behind (10 ms at 100 Hz, `clock_gettime(2)`).
const FILE_CLOCK_LAG_MS: u64 = 10;

/// What the tester saw of a run.
#[derive(Clone, Debug)]
pub struct JudgeInput<'a> {
    /// The suite as it binds.
    pub definition: &'a SuiteDefinition,
    /// What was found where the report should be.
    pub report: ReportFile<'a>,
    /// When the command was started, in milliseconds since 1970 by the clock that stamps files.
    pub started_ms: u64,
    /// How the command ended.
    pub exit: Exit,
    /// The exceptions whose owners and signatures have been checked, by pseudonym of the case.
    pub exceptions: &'a [Exception],
    /// The time against which their end dates count.
    pub now: Timestamp,
    /// The cases that passed when the last release was approved; empty before the first.
    pub baseline: &'a BTreeSet<CaseId>,
}

/// What was found where the report should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFile<'a> {
    /// Nothing.
    Missing,
    /// Something that is not a regular file or could not be read; the reason is for people.
    Unreadable(&'a str),
    /// One file, or several if the manifest has a pattern. An empty list is as good as nothing.
    Found(&'a [ReportPart<'a>]),
}

/// A file of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportPart<'a> {
    /// Its path in the workspace, for people.
    pub path: &'a str,
    /// Its bytes. Whoever reads them needs no more than `junit::REPORT_BYTES` and one of all files together.
    pub bytes: &'a [u8],
    /// When it was last written, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was ended because its time was over.
    TimedOut,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut => f.write_str("the end of its time"),
        }
    }
}

/// Leave for one case not to be run, granted by persons who did not contribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The pseudonym of the case, `CaseId::pseudonym`.
    pub case: Digest,
    /// The first moment at which it no longer counts.
    pub until: Timestamp,
}

/// Cases by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All.
    pub cases: u64,
    /// Passed at the first try.
    pub passed: u64,
    /// Passed, but not at the first try.
    pub flaky: u64,
    /// Not run.
    pub skipped: u64,
    /// A check did not hold.
    pub failed: u64,
    /// Broke.
    pub errors: u64,
    /// Milliseconds of all cases that say how long they took.
    pub time_ms: u64,
}

/// What a run is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Why it does not count, most telling first. Empty if it counts.
    pub reasons: Vec<Reason>,
    /// Cases by outcome; all zero if there was no report that could be read.
    pub totals: Totals,
    /// The requirements that passing cases cover. Empty unless tested.
    pub covers: BTreeSet<RequirementId>,
    /// The cases that passed only after a failed try.
    pub flaky: Vec<CaseId>,
    /// The cases that were skipped by leave of an exception, or are gone by leave of one.
    pub excepted: Vec<CaseId>,
    /// Every case, for the body of the evidence; `None` if there was no report that could be read.
    pub cases: Option<CaseList>,
}

impl Judgement {
    /// Whether what the suite ran on counts as tested by it.
    pub const fn is_tested(&self) -> bool {
        self.reasons.is_empty()
    }

    fn unread(reasons: Vec<Reason>) -> Self {
        Self {
            reasons,
            totals: Totals::default(),
            covers: BTreeSet::new(),
            flaky: Vec::new(),
            excepted: Vec::new(),
            cases: None,
        }
    }
}

/// Judges a run.
pub fn judge(input: &JudgeInput<'_>) -> Judgement {
    let mut reasons = Vec::new();
    if input.exit == Exit::TimedOut {
        reasons.push(Reason::TimedOut { limit_s: input.definition.timeout_s });
    }
    let report = match read(input) {
        Ok(report) => report,
        Err(reason) => {
            reasons.push(reason);
            reasons.extend(unexplained_exit(input.exit));
            return Judgement::unread(reasons);
        }
    };
    let excepted: BTreeSet<Digest> = input.exceptions.iter().filter(|e| input.now < e.until).map(|e| e.case).collect();
    let is_excepted = |id: &CaseId| excepted.contains(&id.pseudonym());
    let with =
        |wanted: fn(Outcome) -> bool| report.cases.iter().filter(move |c| wanted(c.outcome)).map(|c| c.id.clone());
    let failed: Vec<CaseId> = with(Outcome::is_failing).collect();
    let (leave, skipped): (Vec<CaseId>, Vec<CaseId>) = with(|o| o == Outcome::Skipped).partition(is_excepted);
    let there: BTreeSet<&CaseId> = report.cases.iter().map(|c| &c.id).collect();
    let (gone_by_leave, gone): (Vec<CaseId>, Vec<CaseId>) =
        input.baseline.iter().filter(|id| !there.contains(id)).cloned().partition(is_excepted);
    let passing = report.cases.iter().any(|c| c.outcome.is_passing());

    if report.cases.is_empty() {
        reasons.push(Reason::NoCases);
    } else if !passing && failed.is_empty() && skipped.is_empty() {
        reasons.push(Reason::NothingRan);
    }
    let has_failed = !failed.is_empty();
    if has_failed {
        reasons.push(Reason::Failed { cases: failed });
    }
    if !report.contradictions.is_empty() {
        reasons.push(Reason::Contradicted { counts: report.contradictions.clone() });
    }
    if !skipped.is_empty() {
        reasons.push(Reason::SkippedWithoutException { cases: skipped });
    }
    if !gone.is_empty() {
        reasons.push(Reason::MissingFromBaseline { cases: gone });
    }
    if !has_failed {
        reasons.extend(unexplained_exit(input.exit));
    }
    reasons.sort_by_key(Reason::kind);

    let covers = if reasons.is_empty() { covered(input.definition, &report) } else { BTreeSet::new() };
    let mut excepted_cases: Vec<CaseId> = leave.into_iter().chain(gone_by_leave).collect();
    excepted_cases.sort();
    Judgement {
        totals: totals(&report),
        covers,
        flaky: with(|o| o == Outcome::Flaky).collect(),
        excepted: excepted_cases,
        cases: Some(CaseList::of(input.definition, &report)),
        reasons,
    }
}

fn read(input: &JudgeInput<'_>) -> Result<Report, Reason> {
    let path = || input.definition.report.clone();
    match input.report {
        ReportFile::Missing | ReportFile::Found([]) => Err(Reason::NoReport { path: path() }),
        ReportFile::Unreadable(why) => Err(Reason::UnreadableReport { path: path(), why: why.to_owned() }),
        ReportFile::Found(parts) => {
            // A file that was there before would count for a class that no longer runs.
            let is_old = |part: &&ReportPart<'_>| part.modified_ms.saturating_add(FILE_CLOCK_LAG_MS) < input.started_ms;
            if let Some(old) = parts.iter().find(is_old) {
                let older_by_ms = input.started_ms.saturating_sub(old.modified_ms);
                return Err(Reason::OldReport { path: old.path.to_owned(), older_by_ms });
            }
            let files: Vec<&[u8]> = parts.iter().map(|part| part.bytes).collect();
            junit::parse_all(&files).map_err(|(number, error)| {
                let path = parts.get(number).map_or_else(path, |part| part.path.to_owned());
                Reason::Malformed { path, error }
            })
        }
    }
}

/// An exit that no failing case explains.
const fn unexplained_exit(exit: Exit) -> Option<Reason> {
    match exit {
        Exit::Code(0) | Exit::TimedOut => None,
        Exit::Code(_) | Exit::Signal(_) => Some(Reason::ExitMismatch { exit }),
    }
}

/// A requirement is covered if cases that name it are there and at least one of them passed. One that the definition
/// claims and no case names is covered by the suite as a whole, since all of it passed.
fn covered(definition: &SuiteDefinition, report: &Report) -> BTreeSet<RequirementId> {
    let mut named: BTreeMap<&RequirementId, bool> = BTreeMap::new();
    for case in &report.cases {
        for requirement in &case.requirements {
            *named.entry(requirement).or_default() |= case.outcome.is_passing();
        }
    }
    let claimed = definition.requirements.iter().filter(|r| !named.contains_key(r));
    claimed.chain(named.iter().filter(|(_, passed)| **passed).map(|(r, _)| *r)).cloned().collect()
}

fn totals(report: &Report) -> Totals {
    let mut totals = Totals::default();
    for case in &report.cases {
        totals.cases += 1;
        totals.time_ms = totals.time_ms.saturating_add(case.time_ms.unwrap_or(0));
        *match case.outcome {
            Outcome::Passed => &mut totals.passed,
            Outcome::Flaky => &mut totals.flaky,
            Outcome::Skipped => &mut totals.skipped,
            Outcome::Failed => &mut totals.failed,
            Outcome::Error => &mut totals.errors,
        } += 1;
    }
    totals
}

#[cfg(test)]
mod tests;
