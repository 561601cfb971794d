//! Most files under 400 lines, none over 600: one concept a file.

use super::{finding::Finding, tree::Tree};

const NAME: &str = "length";
const MOST: usize = 600;
const MANY: usize = 400;

/// Finds Rust files that are too long.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources()
        .filter_map(|(path, text, _)| {
            let lines = text.lines().count();
            let text = format!(
                "{lines} lines; move a concept to a file of its own ({MANY} at most are usual, {MOST} allowed)"
            );
            if lines > MOST {
                Some(Finding::wrong(NAME, path, MOST + 1, text))
            } else {
                (lines > MANY).then(|| Finding::warned(NAME, path, MANY + 1, text))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
