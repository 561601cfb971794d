//! No `pub use …::*`: what a module offers can be read from it, and a new item below does not become public by itself.

use super::{
    finding::Finding,
    source::{Token, starts_with},
    tree::Tree,
};

const NAME: &str = "glob-export";

/// Finds glob re-exports, whatever their visibility.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, _, source) in tree.sources() {
        let tokens = source.tokens();
        for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "pub") {
            let rest = tokens.get(index..).unwrap_or_default();
            let statement: Vec<Token<'_>> = rest.iter().copied().take_while(|token| token.text != ";").collect();
            let is_use = starts_with(&statement, &["pub", "use"])
                || (starts_with(&statement, &["pub", "("])
                    && statement
                        .iter()
                        .skip_while(|token| token.text != ")")
                        .nth(1)
                        .is_some_and(|token| token.text == "use"));
            if is_use && statement.iter().any(|token| token.text == "*") {
                found.push(Finding::wrong(NAME, path, source.line(token.at), "name what is exported instead of `*`"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
