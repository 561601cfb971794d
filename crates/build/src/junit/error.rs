//! Why bytes are not a report, with the line.

/// Why bytes are not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct JunitError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: JunitProblem,
}

/// What is wrong with a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JunitProblem {
    /// More bytes than are read.
    #[error("the report has {found} bytes; the limit is {limit}; let the runner keep less output")]
    TooLarge {
        /// Its bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More of something than is read.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Nothing but space.
    #[error("the report is empty")]
    Empty,
    /// Another encoding than UTF-8.
    #[error("the report is not UTF-8{0}; let the runner write UTF-8")]
    Encoding(String),
    /// A document type, which could define entities that grow without end or read files.
    #[error("document types and entities are not read")]
    Doctype,
    /// An entity that XML itself does not define.
    #[error("the entity `&{0};` is not one of XML's own")]
    Entity(String),
    /// Not well-formed.
    #[error("not well-formed XML: {0}")]
    Xml(String),
    /// It ends before the elements do.
    #[error("the report ends inside `<{0}>`; the runner may have been stopped while it wrote")]
    CutOff(String),
    /// Something behind the end.
    #[error("there is more behind the end of the report")]
    Trailing,
    /// Another root element.
    #[error("`<{0}>` is not a JUnit report; its first element is `<testsuites>` or `<testsuite>`")]
    Root(String),
    /// An element where it has no meaning.
    #[error("`<{element}>` inside `<{inside}>`")]
    Misplaced {
        /// The element.
        element: String,
        /// What it is in.
        inside: String,
    },
    /// A case without a name.
    #[error("a test case has neither a name nor a class")]
    Unnamed,
    /// A status that could mean anything.
    #[error("the status `{0}` of a test case is not known, so whether it passed is not either")]
    Status(String),
}

/// A text from a report that can be shown on one line of a terminal.
pub(super) fn plain(text: &str) -> String {
    /// Characters of a quotation.
    const QUOTED: usize = 80;
    let mut out: String = text
        .chars()
        .take(QUOTED)
        .flat_map(|c| {
            if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }.chars().collect::<Vec<_>>()
        })
        .collect();
    if text.chars().nth(QUOTED).is_some() {
        out.push('…');
    }
    out
}
