//! No unfinished work: no macros that stand for code to be written, no marks to come back to.

use super::{
    finding::Finding,
    source::{find, line_of},
    tree::Tree,
};

const NAME: &str = "unfinished";

const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
/// Written apart, so that this file is not a finding.
const MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO"), concat!("HA", "CK")];

/// Finds the macros in Rust, and the marks in Rust comments and in all other files that people write.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, file) in tree.files() {
        if let Some(source) = &file.source {
            let tokens = source.tokens();
            for name in MACROS {
                for rest in find(&tokens, &[name, "!"]) {
                    let at = rest.first().map_or(0, |token| token.at);
                    found.push(Finding::wrong(
                        NAME,
                        path,
                        source.line(at),
                        format!("finish what `{name}!` stands for"),
                    ));
                }
            }
        }
        if path.ends_with(".lock") || path.starts_with(".git") {
            continue;
        }
        let text = file.source.as_ref().map_or(file.text.as_str(), |source| source.comments());
        for (at, word) in words(text).filter(|(_, word)| MARKS.contains(word)) {
            let text = format!("do what `{word}` says, or make it an issue and say here what holds now");
            found.push(Finding::wrong(NAME, path, line_of(text_before(file.text.as_str(), at), at), text));
        }
    }
    found
}

/// Words with their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| !word.is_empty()).map(|word| {
        // Both are of one allocation; the difference of addresses is the place.
        (word.as_ptr().addr() - text.as_ptr().addr(), word)
    })
}

fn text_before(text: &str, at: usize) -> &str {
    text.get(..at).unwrap_or(text)
}

#[cfg(test)]
mod tests;
