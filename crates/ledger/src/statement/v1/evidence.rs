//! Evidence: what a suite showed, and about what.

use model::{Commit, Digest, RequirementId, SuiteName};
use serde::{Deserialize, Serialize};

use super::Image;

/// The result of one run of one suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The log index of the change.
    pub change: u64,
    /// The suite.
    pub suite: SuiteName,
    /// Its kind.
    pub kind: SuiteKind,
    /// The digest of its definition, as in the change.
    pub definition: Digest,
    /// The digest of the files that make it, as in the change.
    pub files: Digest,
    /// What it ran on.
    pub on: EvidenceOn,
    /// What came out.
    pub outcome: EvidenceOutcome,
    /// Why not, if not: every reason.
    pub reasons: Vec<EvidenceReason>,
    /// How many cases.
    pub totals: Totals,
    /// The evidence of the last approved release that it was compared with.
    pub baseline: Option<u64>,
    /// Pseudonyms of cases that passed there and are not here; the first `LISTED_CASES`.
    pub missing: Vec<Digest>,
    /// Pseudonyms of cases that were skipped or missing under an exception.
    pub excepted: Vec<Digest>,
    /// Requirements that passing cases cover.
    pub covers: Vec<RequirementId>,
    /// The digest of the case list, which is kept beside the log.
    pub cases: Option<Digest>,
}

impl Evidence {
    /// As many pseudonyms as a leaf lists: it must stay well below the 65,535 bytes of an entry.
    pub const LISTED_CASES: usize = 128;
}

/// What a suite ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum EvidenceOn {
    /// A source tree. Says nothing about images.
    Source {
        /// The commit.
        commit: Commit,
    },
    /// Containers started from these very images.
    Containers {
        /// The release document.
        release: Digest,
        /// The images that were started and seen to run.
        images: Vec<Image>,
    },
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceOutcome {
    /// Every case that binds passed.
    Passed,
    /// A case failed.
    Failed,
    /// The run does not count as a test.
    NotTested,
}

/// Why a run did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceReason {
    /// There was no report.
    NoReport,
    /// The report was older than the run.
    OldReport,
    /// The report could not be read.
    MalformedReport,
    /// It had no cases.
    NoCases,
    /// The command failed though the report is green.
    ExitMismatch,
    /// Cases failed.
    Failed,
    /// Cases were skipped without an exception.
    Skipped,
    /// Cases that passed at the last approved release are gone.
    Missing,
    /// The command did not end in its time.
    TimedOut,
    /// The system under test did not start or become healthy.
    NotStarted,
    /// The change could not be built, so nothing could be run.
    NotBuilt,
}

/// How many cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// That passed, flaky ones included.
    pub passed: u32,
    /// That failed or ended in an error.
    pub failed: u32,
    /// That were skipped.
    pub skipped: u32,
    /// That passed only when run again.
    pub flaky: u32,
}

/// The kinds of suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuiteKind {
    /// A quick look; never enough.
    Smoke,
    /// Everything that there is.
    Full,
    /// Under load.
    Load,
    /// Through the pages.
    Ui,
}

/// What a suite is declared to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuiteOn {
    /// The source tree.
    Source,
    /// The running containers.
    Containers,
}
