//! Every case of a run, as the body of its evidence. Version 1 is frozen: names and order never change.
//!
//! The body stays beside the log, because names of cases say too much; the leaf has its salted digest.

use std::collections::BTreeSet;

use model::{
    CanonicalError, CaseId, Digest, RequirementId, SuiteName, from_json_strict, manifest::SuiteDefinition, to_json,
};
use serde::{Deserialize, Serialize};

use crate::junit::{CASES, Outcome, Report};

/// Bytes of a list: every case of the largest report at 600 bytes each, which is above the mean of real ones.
const LIST_BYTES: usize = CASES * 600;

/// Every case of a run of one suite.
///
/// Invariant `sorted-and-unique`: the cases are in the order of their ids, and no id is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseList {
    suite: SuiteName,
    cases: Vec<ListedCase>,
}

/// One case of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCase {
    /// Class and name.
    pub id: CaseId,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds that it took.
    pub time_ms: Option<u64>,
    /// The requirements that it names.
    pub requirements: BTreeSet<RequirementId>,
}

/// Why bytes are not a list of cases.
#[derive(Debug, thiserror::Error)]
pub enum CaseListError {
    /// More bytes than are read.
    #[error("the list of cases has {found} bytes; the limit is {LIST_BYTES}")]
    TooLarge {
        /// Its bytes.
        found: usize,
    },
    /// Not the wire form.
    #[error("the list of cases can not be read")]
    Form(#[from] CanonicalError),
    /// Not in order, or twice (invariant `sorted-and-unique`).
    #[error("the case `{0}` is not in its place in the list")]
    Order(CaseId),
    /// Another version.
    #[error("the list of cases is of version {0}; version 1 is read")]
    Version(u32),
}

mod v1 {
    //! The wire form.
    use super::{BTreeSet, CaseId, Deserialize, RequirementId, Serialize, SuiteName};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct List {
        pub(super) version: u32,
        pub(super) suite: SuiteName,
        pub(super) cases: Vec<Case>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Case {
        pub(super) id: CaseId,
        pub(super) outcome: Outcome,
        pub(super) time_ms: Option<u64>,
        pub(super) requirements: BTreeSet<RequirementId>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub(super) enum Outcome {
        Passed,
        Flaky,
        Skipped,
        Failed,
        Error,
    }
}

impl CaseList {
    /// The list of a report, whose cases are in order and unique already.
    pub(super) fn of(definition: &SuiteDefinition, report: &Report) -> Self {
        let listed = |case: &crate::junit::Case| ListedCase {
            id: case.id.clone(),
            outcome: case.outcome,
            time_ms: case.time_ms,
            requirements: case.requirements.clone(),
        };
        Self { suite: definition.name.clone(), cases: report.cases.iter().map(listed).collect() }
    }

    /// The suite.
    pub const fn suite(&self) -> &SuiteName {
        &self.suite
    }

    /// The cases, in the order of their ids.
    pub fn cases(&self) -> &[ListedCase] {
        &self.cases
    }

    /// The cases that passed in the end: what later runs are held against.
    pub fn baseline(&self) -> BTreeSet<CaseId> {
        self.cases.iter().filter(|c| c.outcome.is_passing()).map(|c| c.id.clone()).collect()
    }

    /// The bytes that are kept and digested.
    ///
    /// # Errors
    /// None that a list can cause; the writer of JSON has them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        let wire = |case: &ListedCase| v1::Case {
            id: case.id.clone(),
            outcome: match case.outcome {
                Outcome::Passed => v1::Outcome::Passed,
                Outcome::Flaky => v1::Outcome::Flaky,
                Outcome::Skipped => v1::Outcome::Skipped,
                Outcome::Failed => v1::Outcome::Failed,
                Outcome::Error => v1::Outcome::Error,
            },
            time_ms: case.time_ms,
            requirements: case.requirements.clone(),
        };
        to_json(&v1::List { version: 1, suite: self.suite.clone(), cases: self.cases.iter().map(wire).collect() })
    }

    /// Reads exactly those bytes.
    ///
    /// # Errors
    /// If they are too many, not canonical, of another version, or out of order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CaseListError> {
        if bytes.len() > LIST_BYTES {
            return Err(CaseListError::TooLarge { found: bytes.len() });
        }
        let list: v1::List = from_json_strict(bytes)?;
        if list.version != 1 {
            return Err(CaseListError::Version(list.version));
        }
        let mut cases: Vec<ListedCase> = Vec::with_capacity(list.cases.len());
        for case in list.cases {
            if cases.last().is_some_and(|last| last.id >= case.id) {
                return Err(CaseListError::Order(case.id));
            }
            let outcome = match case.outcome {
                v1::Outcome::Passed => Outcome::Passed,
                v1::Outcome::Flaky => Outcome::Flaky,
                v1::Outcome::Skipped => Outcome::Skipped,
                v1::Outcome::Failed => Outcome::Failed,
                v1::Outcome::Error => Outcome::Error,
            };
            cases.push(ListedCase { id: case.id, outcome, time_ms: case.time_ms, requirements: case.requirements });
        }
        Ok(Self { suite: list.suite, cases })
    }

    /// The digest of those bytes.
    ///
    /// # Errors
    /// As `to_bytes`.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Ok(Digest::of(&self.to_bytes()?))
    }
}
