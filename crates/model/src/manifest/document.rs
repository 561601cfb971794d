//! A manifest as a TOML document: read once, and walked by key path to say where something is.

use std::ops::Range;

use toml_edit::{Item, TableLike, Value};

use super::{
    diagnostic::is_treacherous,
    findings::{Findings, Place},
    limits,
    walk::Section,
};

/// A document that is TOML.
pub(super) struct Document {
    parsed: toml_edit::Document<String>,
}

impl Document {
    /// Reads TOML 1.0. Characters that are not seen are refused before, since what is reviewed must be what is read.
    pub(super) fn parse(text: &str, findings: &mut Findings<'_>) -> Option<Self> {
        if text.len() > limits::TEXT_BYTES {
            let message = format!("the manifest has {} bytes; the limit is {}", text.len(), limits::TEXT_BYTES);
            findings.error(&Place::of(0..0), message, "generate less, or move long texts into files of the repository");
            return None;
        }
        let marked = text.strip_prefix('\u{feff}').map_or(0, |_| '\u{feff}'.len_utf8());
        for (at, c) in text.char_indices().filter(|(at, c)| *at >= marked && is_treacherous(*c)).take(limits::FINDINGS)
        {
            let message = format!("U+{:04X} is not seen, or changes how the text around it is seen", u32::from(c));
            findings.error(
                &Place::of(at..at + c.len_utf8()),
                message,
                "remove it, or write it as an escape in a quoted string",
            );
        }
        match toml_edit::Document::parse(text.to_owned()) {
            Ok(parsed) => Some(Self { parsed }),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let mut lines = error.message().lines();
                let message = lines.next().unwrap_or("unreadable").to_owned();
                let mut hint: Vec<&str> = lines.collect();
                if hint.is_empty() {
                    hint.push(if message.contains("duplicate") {
                        "each key is written once; keep one of the two"
                    } else {
                        "a line is `key = value`, a section begins with `[name]`"
                    });
                }
                findings.error(&Place::of(span), format!("not TOML: {message}"), hint.join("; "));
                None
            }
        }
    }

    pub(super) fn root(&self) -> Section<'_> {
        Section { place: Place::of(0..0), table: self.parsed.as_table() }
    }

    /// The text at a key path.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        let (_, node, left) = self.walk(path);
        node.value().filter(|_| left == 0)?.as_str()
    }

    /// The keys of the table at a key path.
    pub(super) fn names(&self, path: &[&str]) -> Vec<&str> {
        let (_, node, left) = self.walk(path);
        node.table().filter(|_| left == 0).map(|t| t.iter().map(|(name, _)| name).collect()).unwrap_or_default()
    }

    /// The place of a key path, or of as much of it as there is. A part of it that is a number counts in a list.
    pub(super) fn place(&self, path: &[&str]) -> Place {
        self.walk(path).0
    }

    /// As far as a key path leads: where, what is there, and how many of its parts are left.
    fn walk(&self, path: &[&str]) -> (Place, Node<'_>, usize) {
        let mut here = self.root().place;
        let mut node = Node::Item(self.parsed.as_item());
        for (done, part) in path.iter().enumerate() {
            let left = path.len() - done;
            if let Some(table) = node.table() {
                let section = Section { place: here.clone(), table };
                let Some(field) = section.field(part) else {
                    return (here, node, left);
                };
                here = field.place.clone();
                node = field.node;
            } else if let (Some(elements), Ok(number)) = (node.elements(), part.parse::<usize>()) {
                let Some(element) = elements.get(number) else {
                    return (here, node, left);
                };
                here = Place { key: format!("{}[{number}]", here.key), span: element.span().unwrap_or(here.span) };
                node = *element;
            } else {
                return (here, node, left);
            }
        }
        (here, node, 0)
    }
}

/// Anything in a document that can have parts or a value.
#[derive(Clone, Copy)]
pub(super) enum Node<'d> {
    Item(&'d Item),
    Value(&'d Value),
    Table(&'d toml_edit::Table),
}

impl<'d> Node<'d> {
    pub(super) fn value(self) -> Option<&'d Value> {
        match self {
            Self::Item(item) => item.as_value(),
            Self::Value(value) => Some(value),
            Self::Table(_) => None,
        }
    }

    pub(super) fn table(self) -> Option<&'d dyn TableLike> {
        match self {
            Self::Item(item) => item.as_table_like(),
            Self::Value(value) => value.as_inline_table().map(|t| t as &dyn TableLike),
            Self::Table(table) => Some(table),
        }
    }

    pub(super) fn elements(self) -> Option<Vec<Self>> {
        if let Self::Item(Item::ArrayOfTables(tables)) = self {
            return Some(tables.iter().map(Node::Table).collect());
        }
        self.value().and_then(Value::as_array).map(|array| array.iter().map(Node::Value).collect())
    }

    pub(super) fn span(self) -> Option<Range<usize>> {
        match self {
            Self::Item(item) => item.span(),
            Self::Value(value) => value.span(),
            Self::Table(table) => table.span(),
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self.value() {
            Some(Value::String(_)) => "a text",
            Some(Value::Integer(_)) => "a whole number",
            Some(Value::Float(_)) => "a number with a fraction",
            Some(Value::Boolean(_)) => "true or false",
            Some(Value::Datetime(_)) => "a date",
            Some(Value::Array(_)) => "a list",
            Some(Value::InlineTable(_)) => "a table",
            None => match self {
                Self::Item(Item::ArrayOfTables(_)) => "a list of tables",
                _ => "a table",
            },
        }
    }
}
