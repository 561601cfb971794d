//! A Rust file with its code and comments apart, so that rules do not stumble over words in strings.
//!
//! A lexer, not a parser: rules look for a few tokens in a row. It knows comments, strings, characters and lifetimes
//! (The Rust Reference, "Tokens"); it refuses to know grammar.

/// The two views. Both are as long as the file, byte by byte, with blanks for what is not theirs, so that a place in
/// one is the same place in the file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Code; of strings and characters, of every form, only two `"` are left.
    code: String,
    /// Comments, `//!` and `///` too.
    comments: String,
}

/// A word (identifier, keyword, number) or one other character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Where it starts, in bytes.
    pub(crate) at: usize,
    /// The token.
    pub(crate) text: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Blank,
}

impl Source {
    /// Takes a file apart. Never fails: what does not close goes on to the end, and the compiler will say so.
    pub(crate) fn parse(text: &str) -> Self {
        let mut kinds: Vec<(char, Kind)> = Vec::with_capacity(text.len());
        let mut rest = text;
        let mut after_word = false;
        while let Some(first) = rest.chars().next() {
            let (length, kind) = if rest.starts_with("//") {
                (rest.find('\n').unwrap_or(rest.len()), Kind::Comment)
            } else if rest.starts_with("/*") {
                (block_comment(rest), Kind::Comment)
            } else if let Some(length) = (!after_word || first == '"').then(|| string(rest)).flatten() {
                (length, Kind::Blank)
            } else {
                (first.len_utf8(), Kind::Code)
            };
            // Every length ends at a boundary of characters: `find` and the counters below give those.
            let (taken, left) = rest.split_at_checked(length).unwrap_or((rest, ""));
            let last = taken.char_indices().next_back().map_or(0, |(index, _)| index);
            kinds.extend(taken.char_indices().map(|(index, char)| {
                let quote = kind == Kind::Blank && char.is_ascii() && (index == 0 || index == last);
                if quote { ('"', Kind::Code) } else { (char, kind) }
            }));
            after_word = kind == Kind::Code && is_word(first);
            rest = left;
        }
        let view = |wanted: Kind| {
            let mut view = String::with_capacity(text.len());
            for (char, kind) in &kinds {
                if *kind == wanted || *char == '\n' {
                    view.push(*char);
                } else {
                    view.extend(std::iter::repeat_n(' ', char.len_utf8()));
                }
            }
            view
        };
        Self { code: view(Kind::Code), comments: view(Kind::Comment) }
    }

    /// The comments.
    pub(crate) fn comments(&self) -> &str {
        &self.comments
    }

    /// The tokens of the code.
    pub(crate) fn tokens(&self) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        let mut rest = self.code.as_str();
        let mut at = 0;
        while let Some(first) = rest.chars().next() {
            let length =
                if is_word(first) { rest.find(|char| !is_word(char)).unwrap_or(rest.len()) } else { first.len_utf8() };
            let (text, left) = rest.split_at_checked(length).unwrap_or((rest, ""));
            if !first.is_whitespace() {
                tokens.push(Token { at, text });
            }
            at += text.len();
            rest = left;
        }
        tokens
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        line_of(&self.code, at)
    }
}

/// The line of a place in a text, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Whether the tokens start with these.
pub(crate) fn starts_with(tokens: &[Token<'_>], wanted: &[&str]) -> bool {
    tokens.len() >= wanted.len() && tokens.iter().zip(wanted).all(|(token, wanted)| token.text == *wanted)
}

/// Every place where these tokens are in a row, with all that follow.
pub(crate) fn find<'t, 'a>(
    tokens: &'t [Token<'a>],
    wanted: &'t [&str],
) -> impl Iterator<Item = &'t [Token<'a>]> + use<'t, 'a> {
    (0..tokens.len()).filter_map(|index| tokens.get(index..)).filter(|rest| starts_with(rest, wanted))
}

fn is_word(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

/// The length of a block comment, in which others may be.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut skip = false;
    let mut pairs = text.char_indices().zip(text.chars().skip(1));
    for ((index, first), second) in &mut pairs {
        if std::mem::take(&mut skip) {
            continue;
        }
        match (first, second) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => continue,
        }
        skip = true;
        if depth == 0 {
            return index + 2;
        }
    }
    text.len()
}

/// The length of a string or character at the start of the text, if there is one.
fn string(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c', 'r']);
    let prefix = text.len() - body.len();
    let raw = text.get(..prefix)?.ends_with('r');
    // Longer than `br`: a word that ends so.
    if prefix > 2 {
        return None;
    }
    if raw {
        let after = body.trim_start_matches('#');
        let hashes = body.len() - after.len();
        let inside = after.strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = inside.find(&close).map_or(inside.len(), |at| at + close.len());
        return Some(prefix + hashes + 1 + end);
    }
    if let Some(inside) = body.strip_prefix('"') {
        return Some(prefix + 1 + quoted(inside, '"'));
    }
    let inside = body.strip_prefix('\'')?;
    let mut chars = inside.chars();
    let first = chars.next()?;
    // A lifetime has no closing quote after one character.
    (first == '\\' || chars.next() == Some('\'')).then(|| prefix + 1 + quoted(inside, '\''))
}

/// The length up to and with the closing quote; a backslash takes the next character along.
fn quoted(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, char) in inside.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match char {
            '\\' => escaped = true,
            _ if char == quote => return index + char.len_utf8(),
            _ => {}
        }
    }
    inside.len()
}

#[cfg(test)]
mod tests;
