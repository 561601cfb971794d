//! Walking a TOML document so that whatever is wrong is known by its line and its key, and the walk goes on.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use toml_edit::{Item, Key, TableLike, Value};

use super::{
    diagnostic::quoted,
    document::Node,
    findings::{Findings, Place},
    limits,
    suggest::{listed, nearest},
};

/// A table of the document.
pub(super) struct Section<'d> {
    pub(super) place: Place,
    pub(super) table: &'d dyn TableLike,
}

impl<'d> Section<'d> {
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn field(&self, name: &str) -> Option<Field<'d>> {
        let (key, item) = self.table.get_key_value(name)?;
        Some(self.wrap(key, item))
    }

    fn wrap(&self, key: &'d Key, item: &'d Item) -> Field<'d> {
        let name = key.get();
        let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let shown = if bare { name.to_owned() } else { format!("{name:?}") };
        let path = if self.place.key.is_empty() { shown } else { format!("{}.{shown}", self.place.key) };
        let key_span = key.span();
        let span = Node::Item(item).span().or_else(|| key_span.clone()).unwrap_or_else(|| self.place.span.clone());
        Field {
            name,
            key_place: Place { key: path.clone(), span: key_span.unwrap_or_else(|| span.clone()) },
            place: Place { key: path, span },
            node: Node::Item(item),
        }
    }

    /// The value of a key, if it is there.
    pub(super) fn optional(&self, name: &str) -> Option<Field<'d>> {
        self.field(name)
    }

    /// The value of a key that must be there; the example says how it is written.
    pub(super) fn required(&self, name: &str, example: &str, findings: &mut Findings<'_>) -> Option<Field<'d>> {
        let field = self.field(name);
        if field.is_none() {
            let owner = if self.place.key.is_empty() { "the manifest".to_owned() } else { quoted(&self.place.key) };
            findings.error(&self.place, format!("{owner} has no `{name}`"), format!("add `{example}`"));
        }
        field
    }

    /// Every key with its value, in the order of the text.
    pub(super) fn fields(&self) -> Vec<Field<'d>> {
        self.table.iter().filter_map(|(name, _)| self.field(name)).collect()
    }

    /// Refuses every key but these.
    pub(super) fn only(&self, known: &[&str], what: &str, findings: &mut Findings<'_>) {
        // More than are shown need no "did you mean" worked out.
        for field in self.fields().iter().filter(|f| !known.contains(&f.name)).take(limits::FINDINGS) {
            let hint = match nearest(field.name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => format!("{what} has no keys; remove it"),
                None => format!("its keys are {}", listed(known)),
            };
            findings.error(&field.key_place, format!("{} is not a key of {what}", quoted(field.name)), hint);
        }
    }
}

/// A value of the document with the key in front of it.
pub(super) struct Field<'d> {
    name: &'d str,
    key_place: Place,
    pub(super) place: Place,
    pub(super) node: Node<'d>,
}

impl<'d> Field<'d> {
    /// The key.
    pub(super) const fn name(&self) -> &'d str {
        self.name
    }

    /// Where the key is.
    pub(super) const fn key_place(&self) -> &Place {
        &self.key_place
    }

    /// Where the value is.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    fn mistyped(&self, wanted: &str, hint: impl Display, findings: &mut Findings<'_>) {
        findings.error(
            &self.place,
            format!("{} is {}; it must be {wanted}", quoted(&self.place.key), self.node.kind()),
            hint,
        );
    }

    pub(super) fn is_text(&self) -> bool {
        self.node.value().is_some_and(Value::is_str)
    }

    pub(super) fn text(&self, findings: &mut Findings<'_>) -> Option<&'d str> {
        let text = self.node.value().and_then(Value::as_str);
        match text {
            None => {
                let hint =
                    if self.node.table().is_none() && self.node.elements().is_none() { "put it in quotes" } else { "" };
                self.mistyped("a text", hint, findings);
                None
            }
            Some(text) if text.len() > limits::TEXT_VALUE_BYTES => {
                let message = format!(
                    "{} has {} bytes; the limit is {}",
                    quoted(&self.place.key),
                    text.len(),
                    limits::TEXT_VALUE_BYTES
                );
                findings.error(&self.place, message, "put long texts into a file of the image");
                None
            }
            text => text,
        }
    }

    /// A text that is not empty and has no control characters.
    pub(super) fn line(&self, findings: &mut Findings<'_>) -> Option<&'d str> {
        let text = self.text(findings)?;
        if text.is_empty() {
            findings.error(&self.place, format!("{} is empty", quoted(&self.place.key)), "");
            None
        } else if text.chars().any(char::is_control) {
            findings.error(
                &self.place,
                format!("{} has control characters", quoted(&self.place.key)),
                "keep it on one line, without escapes such as `\\n`",
            );
            None
        } else {
            Some(text)
        }
    }

    pub(super) fn flag(&self, findings: &mut Findings<'_>) -> Option<bool> {
        let flag = self.node.value().and_then(Value::as_bool);
        if flag.is_none() {
            self.mistyped("true or false", "write `true` or `false`, without quotes", findings);
        }
        flag
    }

    /// A whole number within limits; `unit` says what it is, as in `in seconds`.
    pub(super) fn whole(&self, range: &RangeInclusive<u32>, unit: &str, findings: &mut Findings<'_>) -> Option<u32> {
        let Some(number) = self.node.value().and_then(Value::as_integer) else {
            let quoted_number = self.node.value().and_then(Value::as_str).is_some_and(|s| s.parse::<i64>().is_ok());
            self.mistyped(
                "a whole number",
                if quoted_number { "write it without quotes".to_owned() } else { format!("it is {unit}") },
                findings,
            );
            return None;
        };
        let fitting = u32::try_from(number).ok().filter(|n| range.contains(n));
        if fitting.is_none() {
            let message = format!("{} is {number}, out of its range", quoted(&self.place.key));
            findings.error(&self.place, message, format!("it is {unit}, from {} to {}", range.start(), range.end()));
        }
        fitting
    }

    /// A whole number that a float holds exactly, also below zero.
    pub(super) fn signed(&self, findings: &mut Findings<'_>) -> Option<i64> {
        let Some(number) = self.node.value().and_then(Value::as_integer) else {
            self.mistyped("a whole number", "write it without quotes and without a point, as in `0`", findings);
            return None;
        };
        if !limits::EQUALS.contains(&number) {
            let message = format!("{} is {number}, which metrics can not say exactly", quoted(&self.place.key));
            findings.error(&self.place, message, "write a number of at most 2^53");
            return None;
        }
        Some(number)
    }

    /// A share in percent, in hundredths of a percent.
    pub(super) fn percent_bp(&self, findings: &mut Findings<'_>) -> Option<u32> {
        let value = self.node.value();
        let share = value.and_then(|v| v.as_float().or_else(|| v.as_integer().map(|n| n.clamp(-1, 101) as f64)));
        let Some(share) = share else {
            self.mistyped("a number of percent", "write it without quotes and without `%`, as in `1.0`", findings);
            return None;
        };
        let hundredths = (share * 100.0).round();
        if !(0.0..=10_000.0).contains(&hundredths) {
            findings.error(
                &self.place,
                format!("{} is not from 0 to 100 percent", quoted(&self.place.key)),
                "write percent, as in `1.0` for one request in a hundred",
            );
            return None;
        }
        if (share * 100.0 - hundredths).abs() > 1e-6 {
            findings.error(
                &self.place,
                format!("{} is finer than a hundredth of a percent", quoted(&self.place.key)),
                "use at most two digits after the point",
            );
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to 10,000, checked above"
        )]
        Some(hundredths as u32)
    }

    /// A text that parses.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, findings: &mut Findings<'_>) -> Option<T> {
        parse_at(self.text(findings)?, &self.place, findings)
    }

    /// The key as a name.
    pub(super) fn named<T: FromStr<Err: Display>>(&self, findings: &mut Findings<'_>) -> Option<T> {
        parse_at(self.name, &self.key_place, findings)
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&self, choices: &[(&str, T)], findings: &mut Findings<'_>) -> Option<T> {
        let given = self.text(findings)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == given) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let hint = match nearest(given, &words) {
            Some(near) => format!("did you mean `{near}`?"),
            None if words.len() == 1 => format!("write {}", listed(&words)),
            None => format!("write one of {}", listed(&words)),
        };
        findings.error(&self.place, format!("{} can not be {}", quoted(&self.place.key), quoted(given)), hint);
        None
    }

    pub(super) fn section(&self, findings: &mut Findings<'_>) -> Option<Section<'d>> {
        let Some(table) = self.node.table() else {
            self.mistyped(
                "a table",
                format!("write `[{}]` on a line of its own, and its keys below", self.place.key),
                findings,
            );
            return None;
        };
        // A table's own span is its header; a table that is only implied by its parts has none, and its key stands for it.
        Some(Section { place: self.place.clone(), table })
    }

    /// The elements of a list, at most so many.
    pub(super) fn list(&self, limit: usize, example: &str, findings: &mut Findings<'_>) -> Option<Vec<Self>> {
        let Some(elements) = self.node.elements() else {
            self.mistyped("a list", format!("write {example}"), findings);
            return None;
        };
        if elements.len() > limit {
            findings.error(
                &self.place,
                format!("{} has {} entries; the limit is {limit}", quoted(&self.place.key), elements.len()),
                "",
            );
            return None;
        }
        let wrap = |(number, node): (usize, Node<'d>)| {
            let key = format!("{}[{number}]", self.place.key);
            let place = Place { key, span: node.span().unwrap_or_else(|| self.place.span.clone()) };
            Field { name: self.name, key_place: place.clone(), place, node }
        };
        Some(elements.into_iter().enumerate().map(wrap).collect())
    }

    /// The entries of a table of named things, at most so many.
    pub(super) fn entries(&self, limit: usize, findings: &mut Findings<'_>) -> Vec<Self> {
        let Some(section) = self.section(findings) else {
            return Vec::new();
        };
        let fields = section.fields();
        if fields.len() > limit {
            findings.error(
                &self.key_place,
                format!("{} has {} entries; the limit is {limit}", quoted(&self.place.key), fields.len()),
                "",
            );
            return Vec::new();
        }
        fields
    }
}

fn parse_at<T: FromStr<Err: Display>>(text: &str, place: &Place, findings: &mut Findings<'_>) -> Option<T> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            // Parsing constructors say what is wrong and, after a colon or semicolon, what would be right.
            let said = error.to_string();
            let cut = said.rfind(": ").or_else(|| said.rfind("; "));
            let (message, hint) = cut.and_then(|at| said.get(..at).zip(said.get(at + 2..))).unwrap_or((&said, ""));
            findings.error(place, message, hint);
            None
        }
    }
}
