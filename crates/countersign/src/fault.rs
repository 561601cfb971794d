//! What goes wrong at the edge of the program: a kind, which is the exit code, and a hint.

use std::fmt;

/// The kinds of fault, each with its own exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asked for wrongly: flags, names, files that are not there. Exit code 2.
    Usage,
    /// What was read does not hold up: a manifest, a report, an envelope. Exit code 3.
    Input,
    /// The rules say no. Exit code 4.
    Refused,
    /// A signature, a hash or a proof does not fit. Exit code 5.
    Untrue,
    /// A process does not answer, or the machine lacks something. Exit code 6.
    Unavailable,
    /// A defect of Countersign. Exit code 70 (`EX_SOFTWARE`).
    Internal,
}

impl Kind {
    /// The exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Input => 3,
            Self::Refused => 4,
            Self::Untrue => 5,
            Self::Unavailable => 6,
            Self::Internal => 70,
        }
    }

    /// The name in JSON output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Refused => "refused",
            Self::Untrue => "untrue",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

/// A fault with what caused it and what to do.
#[derive(Debug)]
pub struct Fault {
    kind: Kind,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Fault {
    /// A fault in these words.
    pub fn new(kind: Kind, words: impl fmt::Display) -> Self {
        Self { kind, error: anyhow::anyhow!("{words}"), hint: None }
    }

    /// A fault from an error.
    pub fn from_error(kind: Kind, error: impl Into<anyhow::Error>) -> Self {
        Self { kind, error: error.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with words in front.
    #[must_use]
    pub fn context(mut self, words: impl fmt::Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(words);
        self
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole chain in one line.
    pub fn message(&self) -> String {
        format!("{:#}", self.error)
    }

    /// The error of this type that caused it, if one did.
    pub fn cause<E: std::error::Error + Send + Sync + 'static>(&self) -> Option<&E> {
        self.error.chain().find_map(|error| error.downcast_ref())
    }

    /// What to do.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// Gives an error its kind where it reaches the edge.
pub trait Because<T> {
    /// As this kind of fault, with words in front.
    fn because(self, kind: Kind, words: impl fmt::Display + Send + Sync + 'static) -> Result<T, Fault>;
}

impl<T, E: Into<anyhow::Error>> Because<T> for Result<T, E> {
    fn because(self, kind: Kind, words: impl fmt::Display + Send + Sync + 'static) -> Result<T, Fault> {
        self.map_err(|e| Fault { kind, error: e.into().context(words), hint: None })
    }
}
