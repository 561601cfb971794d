//! What a rule found: where, which rule, and what to do.

use std::fmt;

/// Whether a finding fails the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// It does.
    Wrong,
    /// It is only told.
    Warned,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, from the root of the repository.
    pub(crate) path: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The rule's name.
    pub(crate) rule: &'static str,
    /// What is there and what to do.
    pub(crate) text: String,
    /// Whether it fails the check.
    pub(crate) level: Level,
}

impl Finding {
    /// A finding that fails the check.
    pub(crate) fn wrong(rule: &'static str, path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, text: text.into(), level: Level::Wrong }
    }

    /// A finding that does not.
    pub(crate) fn warned(rule: &'static str, path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { level: Level::Warned, ..Self::wrong(rule, path, line, text) }
    }
}

impl fmt::Display for Finding {
    /// `path:line: rule: what to do`, which editors jump to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Wrong => "",
            Level::Warned => "warning: ",
        };
        write!(f, "{}:{}: {level}{}: {}", self.path, self.line, self.rule, self.text)
    }
}
