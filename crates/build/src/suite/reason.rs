//! Why a run does not count, in words and with what would change it.

use std::fmt;

use model::CaseId;

use crate::junit::{Contradiction, JunitError};

use super::Exit;

/// Why a run does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It did not end in its time.
    TimedOut {
        /// Its time in seconds.
        limit_s: u32,
    },
    /// There is no report.
    NoReport {
        /// Where it should be.
        path: String,
    },
    /// There is something else than a report that can be read.
    UnreadableReport {
        /// Where it is.
        path: String,
        /// What the system says.
        why: String,
    },
    /// The report was there before the run.
    OldReport {
        /// Where it is.
        path: String,
        /// Milliseconds by which it is older.
        older_by_ms: u64,
    },
    /// The report can not be read.
    Malformed {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        error: JunitError,
    },
    /// The report has no case.
    NoCases,
    /// Every case was skipped, each by leave of an exception.
    NothingRan,
    /// Cases failed or broke.
    Failed {
        /// Which.
        cases: Vec<CaseId>,
    },
    /// The report's own counts contradict its cases.
    Contradicted {
        /// Where.
        counts: Vec<Contradiction>,
    },
    /// Cases were skipped, and no exception in force allows it.
    SkippedWithoutException {
        /// Which.
        cases: Vec<CaseId>,
    },
    /// Cases that passed at the last approved release are gone, and no exception in force allows it.
    MissingFromBaseline {
        /// Which.
        cases: Vec<CaseId>,
    },
    /// The command did not succeed, and no case says why.
    ExitMismatch {
        /// How it ended.
        exit: Exit,
    },
}

/// The reasons without what they carry, in the order in which they are shown. Written as it is in evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Reason::TimedOut`
    TimedOut,
    /// `Reason::NoReport`
    NoReport,
    /// `Reason::UnreadableReport`
    UnreadableReport,
    /// `Reason::OldReport`
    OldReport,
    /// `Reason::Malformed`
    Malformed,
    /// `Reason::NoCases`
    NoCases,
    /// `Reason::NothingRan`
    NothingRan,
    /// `Reason::Failed`
    Failed,
    /// `Reason::Contradicted`
    Contradicted,
    /// `Reason::SkippedWithoutException`
    SkippedWithoutException,
    /// `Reason::MissingFromBaseline`
    MissingFromBaseline,
    /// `Reason::ExitMismatch`
    ExitMismatch,
}

impl Kind {
    /// As it is written in evidence: it names no case and no path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed-out",
            Self::NoReport => "no-report",
            Self::UnreadableReport => "unreadable-report",
            Self::OldReport => "old-report",
            Self::Malformed => "malformed-report",
            Self::NoCases => "no-cases",
            Self::NothingRan => "nothing-ran",
            Self::Failed => "failed",
            Self::Contradicted => "counts-contradict",
            Self::SkippedWithoutException => "skipped-without-exception",
            Self::MissingFromBaseline => "missing-from-baseline",
            Self::ExitMismatch => "exit-mismatch",
        }
    }
}

impl Reason {
    /// Which reason it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::TimedOut { .. } => Kind::TimedOut,
            Self::NoReport { .. } => Kind::NoReport,
            Self::UnreadableReport { .. } => Kind::UnreadableReport,
            Self::OldReport { .. } => Kind::OldReport,
            Self::Malformed { .. } => Kind::Malformed,
            Self::NoCases => Kind::NoCases,
            Self::NothingRan => Kind::NothingRan,
            Self::Failed { .. } => Kind::Failed,
            Self::Contradicted { .. } => Kind::Contradicted,
            Self::SkippedWithoutException { .. } => Kind::SkippedWithoutException,
            Self::MissingFromBaseline { .. } => Kind::MissingFromBaseline,
            Self::ExitMismatch { .. } => Kind::ExitMismatch,
        }
    }

    /// What would change it.
    pub fn hint(&self) -> String {
        match self {
            Self::TimedOut { .. } => "find what hangs, or give the suite a larger `timeout_s`".to_owned(),
            Self::NoReport { path } => format!("let the command write JUnit XML to `{path}`, or correct `report` in the manifest"),
            Self::UnreadableReport { path, .. } => format!("let the command write `{path}` as an ordinary file"),
            Self::OldReport { path, .. } => format!("take `{path}` out of the repository, and let the command write it anew"),
            Self::Malformed { .. } => "correct the runner's reporter; a report that can not be read whole says nothing".to_owned(),
            Self::NoCases => "let the command run cases; a filter may leave none".to_owned(),
            Self::NothingRan => "let at least one case run; exceptions for all of them leave nothing that was tested".to_owned(),
            Self::Failed { .. } => "correct what they found; a suite that failed once on these digests stays failed".to_owned(),
            Self::Contradicted { .. } => "let the runner report every case that it counts, and count every case that it reports (`test.todo` of Jest is reported, but not counted)".to_owned(),
            Self::SkippedWithoutException { .. } => "let them run, or propose an exception with an owner and an end date, to be signed by two persons who did not contribute".to_owned(),
            Self::MissingFromBaseline { .. } => "put them back, or propose an exception for them; a case that was renamed is a new case and an old one that is gone".to_owned(),
            Self::ExitMismatch { .. } => "find what else failed: a runner that reports no failure and ends with one is not believed".to_owned(),
        }
    }
}

/// Names of cases that a message lists; the evidence has all.
const LISTED: usize = 5;

fn list(f: &mut fmt::Formatter<'_>, cases: &[CaseId]) -> fmt::Result {
    for (number, case) in cases.iter().take(LISTED).enumerate() {
        write!(f, "{}`{case}`", if number == 0 { "" } else { ", " })?;
    }
    match cases.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

fn counted<'w>(cases: &[CaseId], one: &'w str, many: &'w str) -> (usize, &'w str) {
    (cases.len(), if cases.len() == 1 { one } else { many })
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { limit_s } => write!(f, "the suite did not end within {limit_s} s"),
            Self::NoReport { path } => write!(f, "there is no report at `{path}`"),
            Self::UnreadableReport { path, why } => write!(f, "the report at `{path}` can not be read: {why}"),
            Self::OldReport { path, older_by_ms } => {
                write!(f, "the report at `{path}` is {older_by_ms} ms older than the run")
            }
            Self::Malformed { path, error } => write!(f, "the report at `{path}` can not be used: {error}"),
            Self::NoCases => f.write_str("the report has no test case"),
            Self::NothingRan => f.write_str("every test case was skipped"),
            Self::Failed { cases } => {
                let (count, words) = counted(cases, "case failed: ", "cases failed: ");
                write!(f, "{count} {words}")?;
                list(f, cases)
            }
            Self::Contradicted { counts } => {
                f.write_str("the report contradicts itself: ")?;
                for (number, count) in counts.iter().take(LISTED).enumerate() {
                    write!(f, "{}{count}", if number == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::SkippedWithoutException { cases } => {
                let (count, words) = counted(cases, "case was skipped", "cases were skipped");
                write!(f, "{count} {words} without an exception in force: ")?;
                list(f, cases)
            }
            Self::MissingFromBaseline { cases } => {
                let (count, words) = counted(
                    cases,
                    "case that passed at the last approved release is",
                    "cases that passed at the last approved release are",
                );
                write!(f, "{count} {words} gone: ")?;
                list(f, cases)
            }
            Self::ExitMismatch { exit } => write!(f, "the command ended with {exit}, but no test case failed"),
        }
    }
}
