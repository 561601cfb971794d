//! What has been found in a manifest so far, and where.

use std::{collections::BTreeSet, fmt::Display, ops::Range};

use super::{
    diagnostic::{Diagnostic, Severity, plain},
    limits, secrets,
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

/// Findings that are kept of each severity until they are cut to `limits::FINDINGS`. Working out the line of each
/// costs a pass over the text, so a text of mistakes only must not have one for each of its keys.
const KEPT: usize = 4 * limits::FINDINGS;

/// What has been found so far.
pub(super) struct Findings<'t> {
    text: &'t str,
    list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    /// Lines that must not be shown, whatever is said about them.
    secret: BTreeSet<usize>,
}

impl<'t> Findings<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new(), errors: 0, warnings: 0, secret: BTreeSet::new() }
    }

    /// Something that is refused. The hint says what would be right; it may be empty if the message does.
    pub(super) fn error(&mut self, place: &Place, message: impl Display, hint: impl Display) {
        self.errors += 1;
        if self.errors <= KEPT {
            self.add(Severity::Error, place, message, hint, false);
        }
    }

    /// Something that is taken but probably not meant.
    pub(super) fn warning(&mut self, place: &Place, message: impl Display, hint: impl Display) {
        self.warnings += 1;
        if self.warnings <= KEPT {
            self.add(Severity::Warning, place, message, hint, false);
        }
    }

    /// Something that is refused and must not be repeated.
    pub(super) fn concealed(&mut self, place: &Place, message: impl Display, hint: impl Display) {
        self.errors += 1;
        if self.errors <= KEPT {
            self.add(Severity::Error, place, message, hint, true);
        }
    }

    /// How many errors have been found, to see whether a part added to them.
    pub(super) const fn errors(&self) -> usize {
        self.errors
    }

    fn add(&mut self, severity: Severity, place: &Place, message: impl Display, hint: impl Display, concealed: bool) {
        let start =
            (0..=place.span.start.min(self.text.len())).rev().find(|i| self.text.is_char_boundary(*i)).unwrap_or(0);
        let (before, after) = self.text.split_at_checked(start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let left = before.rsplit('\n').next().unwrap_or_default();
        let right = after.split('\n').next().unwrap_or_default();
        // Whatever is wrong with a line, a secret in it stays unseen.
        if concealed || secrets::looks_like(&format!("{left}{right}")).is_some() {
            self.secret.insert(line);
        }
        let mut message = plain(&message.to_string());
        if secrets::looks_like(&message).is_some() {
            message = format!("`{}` looks like a secret, and is not what is wanted here either", plain(&place.key));
        }
        self.list.push(Diagnostic {
            severity,
            span: place.span.clone(),
            line,
            column: left.chars().count() + 1,
            key: plain(&place.key),
            message,
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
        for finding in &mut self.list {
            finding.concealed |= self.secret.contains(&finding.line);
        }
        self.list.sort_by_key(|d| (d.line, d.column, d.severity));
        self.list
    }
}
