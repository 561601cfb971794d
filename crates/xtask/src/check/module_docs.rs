//! Every module opens with `//!`: what it is, what it refuses to know, and, if it writes, what a crash here means.

use super::{
    finding::Finding,
    tree::{Tree, is_test_file},
};

const NAME: &str = "module-docs";

/// Finds Rust files without a first line of documentation; test files say what they test by their place.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources()
        .filter(|(path, text, _)| !is_test_file(path) && !opens_with_docs(text))
        .map(|(path, _, _)| {
            Finding::wrong(NAME, path, 1, "open the file with `//!`: what it is and what it refuses to know")
        })
        .collect()
}

fn opens_with_docs(text: &str) -> bool {
    text.lines().next().and_then(|line| line.strip_prefix("//!")).is_some_and(|words| !words.trim().is_empty())
}

#[cfg(test)]
mod tests;
