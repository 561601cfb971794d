//! From a judgement to the evidence that goes into the log: counts and pseudonyms, no names of cases. The same for
//! our own tester and for what other systems' robots bring.

use std::collections::BTreeSet;

use build::suite::{Judgement, Kind as Why, Reason};
use ledger::{
    bodies::KeptBody,
    statement::v1::{Evidence, EvidenceOn, EvidenceOutcome, EvidenceReason, SuiteFact, Totals},
};
use model::{CaseId, Digest};

use crate::fault::{Fault, Kind};

/// What was run and compared.
pub struct Run<'a> {
    /// The log index of the change.
    pub change: u64,
    /// The suite as the change declares it.
    pub suite: &'a SuiteFact,
    /// The evidence that it was compared with.
    pub baseline: Option<u64>,
}

/// The evidence of a run; without a judgement, the system under test did not start.
pub fn of(run: &Run<'_>, on: EvidenceOn, judged: Option<&Judgement>, cases: Option<Digest>) -> Evidence {
    let reasons: BTreeSet<EvidenceReason> = match judged {
        None => [EvidenceReason::NotStarted].into(),
        Some(judged) => judged.reasons.iter().map(|r| reason(r.kind())).collect(),
    };
    let outcome = if reasons.contains(&EvidenceReason::Failed) {
        EvidenceOutcome::Failed
    } else if reasons.is_empty() {
        EvidenceOutcome::Passed
    } else {
        EvidenceOutcome::NotTested
    };
    let missing = judged.into_iter().flat_map(|j| &j.reasons).find_map(|r| match r {
        Reason::MissingFromBaseline { cases } => Some(cases.as_slice()),
        _ => None,
    });
    Evidence {
        change: run.change,
        suite: run.suite.name.clone(),
        kind: run.suite.kind,
        definition: run.suite.definition,
        files: run.suite.files,
        on,
        outcome,
        reasons: reasons.into_iter().collect(),
        totals: judged.map(|j| totals(&j.totals)).unwrap_or_default(),
        baseline: run.baseline,
        missing: pseudonyms(missing.unwrap_or_default()),
        excepted: pseudonyms(judged.map(|j| j.excepted.as_slice()).unwrap_or_default()),
        covers: judged.into_iter().flat_map(|j| j.covers.iter().cloned()).collect(),
        cases,
    }
}

/// The kept list of cases of the evidence at this log index. Without it nothing can be compared with that run.
pub fn list_of(kept: KeptBody, index: u64) -> Result<Vec<u8>, Fault> {
    match kept {
        KeptBody::Kept(body) => Ok(body.bytes),
        KeptBody::Erased => {
            Err(Fault::new(Kind::Refused, format!("the list of cases of log index {index} was erased"))
                .hint("a run can not be compared with it; until another release runs, there is no baseline"))
        }
        KeptBody::Missing => {
            Err(Fault::new(Kind::Unavailable, format!("the list of cases of log index {index} is not kept any more")))
        }
    }
}

fn totals(t: &build::suite::Totals) -> Totals {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Totals {
        passed: count(t.passed + t.flaky),
        failed: count(t.failed + t.errors),
        skipped: count(t.skipped),
        flaky: count(t.flaky),
    }
}

fn pseudonyms(cases: &[CaseId]) -> Vec<Digest> {
    cases.iter().take(Evidence::LISTED_CASES).map(CaseId::pseudonym).collect()
}

const fn reason(why: Why) -> EvidenceReason {
    match why {
        Why::TimedOut => EvidenceReason::TimedOut,
        Why::NoReport => EvidenceReason::NoReport,
        Why::UnreadableReport | Why::Malformed | Why::Contradicted => EvidenceReason::MalformedReport,
        Why::OldReport => EvidenceReason::OldReport,
        Why::NoCases | Why::NothingRan => EvidenceReason::NoCases,
        Why::Failed => EvidenceReason::Failed,
        Why::SkippedWithoutException => EvidenceReason::Skipped,
        Why::MissingFromBaseline => EvidenceReason::Missing,
        Why::ExitMismatch => EvidenceReason::ExitMismatch,
    }
}
