//! No type and no module whose name says nothing: `Manager`, `Helper`, `Util`, `Info`, `common`.

use super::{finding::Finding, tree::Tree};

const NAME: &str = "empty-name";

/// In the singular and lower case.
const EMPTY: &[&str] = &["manager", "helper", "util", "utility", "utilities", "info", "common"];

const ITEMS: &[&str] = &["struct", "enum", "trait", "type", "union", "mod"];

/// Finds such names where they are declared, and files called so.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, _, source) in tree.sources() {
        let stems = path.trim_end_matches(".rs").split('/');
        for stem in stems.filter(|stem| is_empty_name(stem)) {
            found.push(Finding::wrong(NAME, path, 1, advice(stem)));
        }
        let tokens = source.tokens();
        for pair in tokens.windows(2) {
            if let [item, name] = pair
                && ITEMS.contains(&item.text)
                && is_empty_name(name.text)
            {
                found.push(Finding::wrong(NAME, path, source.line(name.at), advice(name.text)));
            }
        }
    }
    found
}

fn advice(name: &str) -> String {
    format!("`{name}` says nothing; take the operators' word for what it is or does")
}

/// Whether a word of the name, in `CamelCase` or `snake_case`, is an empty one.
fn is_empty_name(name: &str) -> bool {
    let mut word = String::new();
    let mut before = ' ';
    let mut chars = name.chars().chain(['_']).peekable();
    while let Some(char) = chars.next() {
        // `KeyManager` and `HTTPInfo` have two words each.
        let ends_capitals = before.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase());
        if matches!(char, '_' | '-') || (char.is_uppercase() && (before.is_lowercase() || ends_capitals)) {
            if is_empty_word(&word) {
                return true;
            }
            word.clear();
        }
        word.extend(char.to_lowercase());
        before = char;
    }
    false
}

fn is_empty_word(word: &str) -> bool {
    let word = word.trim_start_matches(['_', '-']);
    EMPTY.contains(&word) || EMPTY.contains(&word.strip_suffix('s').unwrap_or(word))
}

#[cfg(test)]
mod tests;
