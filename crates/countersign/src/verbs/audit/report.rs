//! What an audit says: findings with their places, remarks, and counts.

use ledger::sweep::Flaw;
use serde::Serialize;

use super::super::{Format, line, print_json, show};
use crate::fault::Fault;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::verbs) struct Finding {
    /// The first log index that it is about, as closely as the evidence says.
    pub(in crate::verbs) index: Option<u64>,
    /// The last, if the evidence only says that it lies between.
    pub(in crate::verbs) up_to: Option<u64>,
    /// What.
    pub(in crate::verbs) what: String,
}

impl Finding {
    pub(super) const fn at(index: u64, what: String) -> Self {
        Self { index: Some(index), up_to: None, what }
    }

    pub(super) const fn nowhere(what: String) -> Self {
        Self { index: None, up_to: None, what }
    }

    pub(super) fn between(place: &std::ops::Range<u64>, what: String) -> Self {
        Self { index: Some(place.start), up_to: Some(place.end.saturating_sub(1)), what }
    }

    pub(in crate::verbs) fn of_flaw(flaw: &Flaw) -> Self {
        let what = Self::chain(flaw);
        match flaw.place() {
            Some((first, last)) if first < last => Self { index: Some(first), up_to: Some(last), what },
            Some((first, _)) => Self::at(first, what),
            None => Self::nowhere(what),
        }
    }

    /// An error with its causes on one line.
    pub(super) fn chain(error: &dyn std::error::Error) -> String {
        let mut words = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            words.push_str(&format!(": {error}"));
            cause = error.source();
        }
        words
    }
}

/// What an audit found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// How many statements the log has.
    pub(super) statements: u64,
    /// Of those, the first so many were audited before: this time they were hashed and compared.
    pub(super) audited_before: u64,
    /// Verdicts that were recomputed.
    pub(super) verdicts: u64,
    /// Statements of comparisons whose answers were recomputed.
    pub(super) analyses: u64,
    /// Signed checkpoints that were compared.
    pub(super) checkpoints: u64,
    /// Cosignatures that were verified.
    pub(super) cosignatures: u64,
    /// Operators of witnesses that have cosigned the latest cosigned checkpoint.
    pub(super) witness_operators: usize,
    /// What is wrong, the first place first.
    pub(super) findings: Vec<Finding>,
    /// What is worth saying.
    pub(super) remarks: Vec<String>,
    /// Files in which contradicting checkpoints were kept.
    pub(super) evidence: Vec<String>,
}

impl Report {
    /// Prints it.
    pub(super) fn print(&self, format: Format, out: &mut dyn std::io::Write) -> Result<(), Fault> {
        if format == Format::Json {
            return print_json(out, self);
        }
        for finding in &self.findings {
            line(out, format!("WRONG {}", finding.what))?;
        }
        for path in &self.evidence {
            line(out, format!("kept both checkpoints in `{path}`"))?;
        }
        for remark in &self.remarks {
            line(out, format!("note: {remark}"))?;
        }
        if self.audited_before > 0 {
            line(
                out,
                format!(
                    "the first {} were audited before; they are still the same",
                    show::plural(count(self.audited_before), "statement")
                ),
            )?;
        }
        let wrong = match self.findings.len() {
            0 => "nothing is wrong".to_owned(),
            n => format!("{} wrong", show::plural(n, "thing")),
        };
        let mut recomputed = show::plural(count(self.verdicts), "verdict");
        if self.analyses > 0 {
            let answers = if self.analyses == 1 { "answer" } else { "answers" };
            recomputed.push_str(&format!(" and {} {answers} of comparisons", self.analyses));
        }
        line(
            out,
            format!(
                "audited {}, {recomputed} recomputed, {}; {wrong}",
                show::plural(count(self.statements - self.audited_before), "statement"),
                show::plural(self.witness_operators, "witness operator"),
            ),
        )
    }
}

pub(super) fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
