//! What has been found in a manifest so far, and where.

use std::{collections::BTreeSet, fmt::Display, ops::Range};

use super::{
    diagnostic::{Diagnostic, Severity, plain},
    limits,
};

/// Where something is: its key path and the bytes that it takes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) span: Range<usize>,
}

impl Place {
    /// A place that has no key.
    pub(super) const fn of(span: Range<usize>) -> Self {
        Self { key: String::new(), span }
    }
}

/// What has been found so far.
pub(super) struct Findings<'t> {
    text: &'t str,
    list: Vec<Diagnostic>,
}

impl<'t> Findings<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// Something that is refused. The hint says what would be right; it may be empty if the message does.
    pub(super) fn error(&mut self, place: &Place, message: impl Display, hint: impl Display) {
        self.add(Severity::Error, place, message, hint, false);
    }

    /// Something that is taken but probably not meant.
    pub(super) fn warning(&mut self, place: &Place, message: impl Display, hint: impl Display) {
        self.add(Severity::Warning, place, message, hint, false);
    }

    /// Something that is refused and must not be repeated.
    pub(super) fn concealed(&mut self, place: &Place, message: impl Display, hint: impl Display) {
        self.add(Severity::Error, place, message, hint, true);
    }

    /// How much has been found, to see whether a part added to it.
    pub(super) fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    fn add(&mut self, severity: Severity, place: &Place, message: impl Display, hint: impl Display, concealed: bool) {
        let start =
            (0..=place.span.start.min(self.text.len())).rev().find(|i| self.text.is_char_boundary(*i)).unwrap_or(0);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        self.list.push(Diagnostic {
            severity,
            span: place.span.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: plain(&place.key),
            message: plain(&message.to_string()),
            hint: plain(&hint.to_string()),
            concealed,
        });
    }

    /// Everything found, in the order of the text; errors that do not fit the limit push warnings out first.
    pub(super) fn into_list(mut self) -> Vec<Diagnostic> {
        if self.list.len() > limits::FINDINGS {
            self.list.sort_by_key(|d| d.severity);
            self.list.truncate(limits::FINDINGS);
        }
        // A line that is concealed once is concealed in every finding about it.
        let secret: BTreeSet<usize> = self.list.iter().filter(|d| d.concealed).map(|d| d.line).collect();
        for finding in &mut self.list {
            finding.concealed |= secret.contains(&finding.line);
        }
        self.list.sort_by_key(|d| (d.line, d.column, d.severity));
        self.list
    }
}
