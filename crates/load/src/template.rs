//! Texts with places for values: `{{symbol}}` for a column of the data file, `{{number}}` for the number of the request,
//! `{{random}}` for 16 hex digits.
//!
//! It refuses to know where a text goes; who uses it says which bytes a value may not have there.

use std::io::Write as _;

use thiserror::Error;

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Column(usize),
    Number,
    Random,
}

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A place that does not end.
    #[error("`{{{{` without `}}}}` in `{0}`")]
    Open(String),
    /// A name that nothing gives a value.
    #[error("`{name}` is no value; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
}

/// What a text is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// A row of the data file.
    pub row: &'a [String],
    /// Which request it is.
    pub number: u64,
    /// Something else for each request.
    pub random: u64,
}

impl Template {
    /// Reads a text; `columns` are the data file's.
    pub fn parse(text: &str, columns: &[String]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, left) = after.split_once("}}").ok_or_else(|| TemplateError::Open(text.to_owned()))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.as_bytes().to_vec()));
            }
            let name = name.trim();
            parts.push(match (columns.iter().position(|c| c == name), name) {
                (Some(column), _) => Part::Column(column),
                (None, "number") => Part::Number,
                (None, "random") => Part::Random,
                (None, _) => {
                    let known: Vec<String> = columns
                        .iter()
                        .map(String::as_str)
                        .chain(["number", "random"])
                        .map(|c| format!("`{c}`"))
                        .collect();
                    return Err(TemplateError::Unknown { name: name.to_owned(), known: known.join(", ") });
                }
            });
            rest = left;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.as_bytes().to_vec()));
        }
        Ok(Self(parts))
    }

    /// A text without places.
    pub fn fixed(text: impl Into<Vec<u8>>) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// Whether it is the same for every request.
    pub fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The columns that it uses.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(column) => Some(*column),
            _ => None,
        })
    }

    /// Adds the filled text to a buffer.
    pub fn fill(&self, values: &Values<'_>, to: &mut Vec<u8>) {
        for part in &self.0 {
            // Writing to a buffer does not fail.
            let _written = match part {
                Part::Text(text) => to.write_all(text),
                Part::Column(column) => to.write_all(values.row.get(*column).map_or(b"", |value| value.as_bytes())),
                Part::Number => write!(to, "{}", values.number),
                Part::Random => write!(to, "{:016x}", values.random),
            };
        }
    }
}

#[cfg(test)]
mod tests;
