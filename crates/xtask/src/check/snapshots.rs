//! No snapshot or golden file that no test reads: it would be kept, reviewed and trusted, and prove nothing.

use super::{finding::Finding, tree::Tree};

const NAME: &str = "orphan-snapshot";

/// Folders of files that tests compare with or read.
const GOLDEN: &[&str] = &["golden", "goldens", "testdata", "fixtures"];

/// Finds snapshots whose test is gone, snapshots to be reviewed, and golden files that no Rust file of their crate names.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, file) in tree.files().filter(|(path, _)| path.starts_with("crates/")) {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.ends_with(".snap.new") || name.ends_with(".pending-snap") {
            found.push(Finding::wrong(NAME, path, 1, "review it: cargo insta review"));
        } else if name.ends_with(".snap") {
            if let Some(why) = snapshot(tree, name, &file.text) {
                found.push(Finding::wrong(NAME, path, 1, why));
            }
        } else if path.split('/').any(|part| GOLDEN.contains(&part)) && !name.ends_with(".rs") && !is_read(tree, path) {
            found.push(Finding::wrong(NAME, path, 1, "no test of its crate names it: use it or remove it"));
        }
    }
    found
}

/// Why a snapshot is an orphan. Its head names the file of its test; its name ends with the test's, or with the one given.
fn snapshot(tree: &Tree, name: &str, text: &str) -> Option<String> {
    let Some(source) = text.lines().find_map(|line| line.strip_prefix("source: ")) else {
        return Some("it does not say which test it is of: remove it and run the test again".to_owned());
    };
    let Some(test) = tree.file(source) else {
        return Some(format!("its test file `{source}` is gone: remove it"));
    };
    let stem = name.trim_end_matches(".snap");
    let last = stem.rsplit("__").next().unwrap_or(stem);
    // The second snapshot of a test is called `test-2`.
    let first =
        last.rsplit_once('-').filter(|(_, number)| number.parse::<u32>().is_ok()).map_or(last, |(first, _)| first);
    let names = [last, first];
    let there = names.iter().any(|name| {
        test.text.contains(&format!("fn {name}("))
            || test.text.contains(&format!("fn test_{name}("))
            || test.text.contains(&format!("\"{name}\""))
    });
    (!there).then(|| format!("`{source}` has no test or name `{last}`: remove it"))
}

/// Whether a Rust file of the same crate names the file, or reads all of its folder.
fn is_read(tree: &Tree, path: &str) -> bool {
    let crate_folder: String = path.split('/').take(2).map(|part| format!("{part}/")).collect();
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let folder = parts.next().unwrap_or_default();
    tree.sources()
        .filter(|(source, ..)| source.starts_with(&crate_folder))
        .any(|(_, text, _)| text.contains(name) || (text.contains("read_dir") && text.contains(folder)))
}

#[cfg(test)]
mod tests;
