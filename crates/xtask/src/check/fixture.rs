//! Small trees in memory, and what a rule says of them.

use super::{finding::Finding, tree::Tree};

/// A tree of these files; its root is `/somewhere/countersign`.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::of("/somewhere/countersign", files.iter().copied(), vec!["docs/picture.png".to_owned()])
}

/// `path:line` of what a rule finds in these files.
pub(super) fn places(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
    let mut found = rule(&tree(files));
    found.sort();
    found.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
}

/// What a rule finds in these files, as it is printed.
pub(super) fn printed(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
    let mut found = rule(&tree(files));
    found.sort();
    found.iter().map(Finding::to_string).collect()
}
