//! One finding about a manifest, and how it is shown: the line, a caret under the place, and what would be right.
//!
//! What is shown never carries a control character from the manifest to the terminal, and never a line that
//! seems to hold a secret.

use std::{fmt, ops::Range};

/// Whether a finding stops anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// The manifest is taken, but probably says something that is not meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops anything.
    pub severity: Severity,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key, such as `components.web.port`; empty for the whole text.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: String,
    /// Whether the line must not be shown, because it seems to hold a secret.
    pub concealed: bool,
}

impl fmt::Display for Diagnostic {
    /// One line, for logs and editors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}: {}", self.line, self.column, self.severity, self.message)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// Characters of a line that are shown; longer ones are cut around the place.
const SHOWN: usize = 110;
/// Characters that are kept in front of the place when a line is cut.
const BEFORE: usize = 40;

impl Diagnostic {
    /// The finding over several lines, as compilers show theirs. `file` is the name to show, `text` the manifest.
    pub fn render(&self, file: &str, text: &str) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let mut out =
            format!("{}: {}\n{margin}--> {}:{}:{}", self.severity, self.message, plain(file), self.line, self.column);
        if !self.key.is_empty() {
            out.push_str(&format!(" ({})", self.key));
        }
        out.push('\n');
        if self.concealed {
            out.push_str(&format!("{margin} |\n{number} | (not shown, because it looks like a secret)\n{margin} |\n"));
        } else if let Some(line) = text.split('\n').nth(self.line.saturating_sub(1)) {
            let line: Vec<char> = line.strip_suffix('\r').unwrap_or(line).chars().map(harmless).collect();
            let start = self.column.saturating_sub(1);
            let width = text.get(self.span.clone()).and_then(|s| s.lines().next()).map_or(1, |s| s.chars().count());
            let skip = if line.len() > SHOWN { start.saturating_sub(BEFORE) } else { 0 };
            let shown: String = line.iter().skip(skip).take(SHOWN).collect();
            let left = start.saturating_sub(skip);
            let carets = width.clamp(1, shown.chars().count().saturating_sub(left).max(1));
            out.push_str(&format!(
                "{margin} |\n{number} | {}\n{margin} | {}{}\n",
                shown.trim_end(),
                " ".repeat(left),
                "^".repeat(carets)
            ));
        }
        if !self.hint.is_empty() {
            out.push_str(&format!("{margin} = {}\n", self.hint));
        }
        out
    }
}

/// All findings over several lines each, with an empty line between.
pub fn render_all(findings: &[Diagnostic], file: &str, text: &str) -> String {
    findings.iter().map(|d| d.render(file, text)).collect::<Vec<_>>().join("\n")
}

/// Whether a character can move the cursor, change the direction of reading, or be there without being seen
/// (Unicode TR 36, section 3; "Trojan Source", CVE-2021-42574).
pub(super) const fn is_treacherous(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e01ef}')
}

fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_treacherous(c) || c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A text that can be shown on one line: treacherous characters written out.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_treacherous(c) || c.is_control() { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Characters of a quotation from the manifest within a message.
const QUOTED: usize = 60;

/// A quotation from the manifest: on one line, in back quotes, and not too long.
pub(super) fn quoted(text: &str) -> String {
    let mut cut: String = text.chars().take(QUOTED).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("`{}`", plain(&cut))
}
