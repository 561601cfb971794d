//! Markup that nothing from outside can get into: what is not written in this program goes through [`Markup::text`].
//!
//! It is HTML that is well-formed XML too, so that any parser reads it.

use std::fmt::Write as _;

/// Markup that grows.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// Markup as it stands in this program; a value can not be `'static` by accident.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, also in an attribute's value. Characters that XML can not hold become a mark in their place.
    pub fn text(&mut self, text: impl std::fmt::Display) -> &mut Self {
        for c in text.to_string().chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\t' | '\n' | '\r' => self.0.push(' '),
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => self.0.push('\u{fffd}'),
                // Marks that turn the direction of what follows could make one name look like another.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// A place in a drawing, to a tenth of a point.
    pub fn place(&mut self, at: f64) -> &mut Self {
        let at = if at.is_finite() { at } else { 0.0 };
        // Writing to a text does not fail.
        let _written = write!(self.0, "{at:.1}");
        self
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.0
    }
}
