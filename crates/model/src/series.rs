//! Which samples of a component's metrics are meant: a name and labels, as operators write them in queries.
//!
//! It refuses to know values and how an exposition is read.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, as_text};

/// Longer ones are generated, and nobody could approve what they mean.
const SERIES_LIMIT: usize = 256;
/// More labels than this choose one series among millions.
const LABELS_LIMIT: usize = 8;

/// A metric's name and labels, as in `payments_total{result="rejected"}`: all samples of that name that have these labels
/// with these values, whatever other labels they have. Labels are in the order of their names, each once, so that one
/// meaning has one text. Names are those of OpenMetrics 1.0 (`metricname` and `label-name`), escapes too (`\\`, `\"`, `\n`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    name: String,
    labels: Vec<(String, String)>,
}

/// Why a text names no series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// Longer than the limit.
    #[error("a series has at most {SERIES_LIMIT} bytes")]
    Long,
    /// More labels than the limit.
    #[error("`{0}` has more labels than {LABELS_LIMIT}")]
    Labels(String),
    /// Not a name with labels.
    #[error("`{0}` names no series: write a name and labels, as in `payments_total{{result=\"rejected\"}}`")]
    Form(String),
    /// One label twice.
    #[error("`{text}` has the label `{label}` twice")]
    Twice {
        /// What was given.
        text: String,
        /// The label.
        label: String,
    },
}

impl Series {
    /// The name of its samples.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels that samples must have, in the order of their names.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What stands for it in the log.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_string().as_bytes())
    }
}

impl FromStr for Series {
    type Err = SeriesError;

    fn from_str(text: &str) -> Result<Self, SeriesError> {
        if text.len() > SERIES_LIMIT {
            return Err(SeriesError::Long);
        }
        let form = || SeriesError::Form(text.to_owned());
        let (name, rest) = sample_name(text).ok_or_else(form)?;
        let (mut labels, rest) = match rest.strip_prefix('{') {
            None => (Vec::new(), rest),
            Some(rest) => sample_labels(rest).ok_or_else(form)?,
        };
        if !rest.is_empty() {
            return Err(form());
        }
        if labels.len() > LABELS_LIMIT {
            return Err(SeriesError::Labels(text.to_owned()));
        }
        labels.sort();
        let twice = labels.iter().zip(labels.iter().skip(1)).find(|(one, next)| one.0 == next.0);
        match twice {
            Some(((label, _), _)) => Err(SeriesError::Twice { text: text.to_owned(), label: label.clone() }),
            None => Ok(Self { name: name.to_owned(), labels }),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (n, (label, value)) in self.labels.iter().enumerate() {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{}{label}=\"{escaped}\"", if n == 0 { "{" } else { "," })?;
        }
        if self.labels.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

as_text!(Series);

/// The metric name at the start of a sample, and what follows it.
pub fn sample_name(text: &str) -> Option<(&str, &str)> {
    named(text, |byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':')
}

/// Labels with their values.
pub type Labels = Vec<(String, String)>;

/// The labels of a sample after its opening brace, in the order in which they stand, and what follows the closing one.
pub fn sample_labels(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        // OpenMetrics forbids a comma before the closing brace, and the older text format allows it.
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = named(text, |byte| byte.is_ascii_alphabetic() || byte == b'_')?;
        let (value, rest) = quoted(rest.strip_prefix("=\"")?)?;
        labels.push((name.to_owned(), value));
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

fn named(text: &str, begins: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let first = text.bytes().next().filter(|byte| begins(*byte));
    first?;
    let end = text.bytes().position(|byte| !begins(byte) && !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end)
}

/// A text up to its closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other @ ('\\' | '"') => other,
                _ => return None,
            }),
            '\n' => return None,
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests;
