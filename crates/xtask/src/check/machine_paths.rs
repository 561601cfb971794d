//! No absolute paths of the machine that somebody works at: they are wrong everywhere else, and tell who works there.

use super::{finding::Finding, source::line_of, tree::Tree};

const NAME: &str = "machine-path";

/// Folders that hold people's own. Written apart, so that this file is not a finding.
const HOMES: &[&str] = &[concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("C:\\Us", "ers\\")];

/// Finds the path of this repository, and people's home folders, in every file of text.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, file) in tree.files() {
        for prefix in HOMES.iter().copied().chain([tree.root()]) {
            for (at, _) in file.text.match_indices(prefix) {
                let after = file.text.get(at + prefix.len()..).unwrap_or_default();
                let before = file.text.get(..at).and_then(|text| text.chars().next_back());
                // `a/home/b` is another path, and so is `/root/countersigned`.
                let starts =
                    !before.is_some_and(|char| char.is_alphanumeric() || matches!(char, '.' | '_' | '-' | '}'));
                let ends = HOMES.contains(&prefix) == after.starts_with(|char: char| char.is_alphanumeric());
                if starts && ends {
                    let text = format!("`{prefix}…` is somebody's machine: use a path from the repository, or `~`");
                    found.push(Finding::wrong(NAME, path, line_of(&file.text, at), text));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
