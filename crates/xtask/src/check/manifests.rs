//! Manifests: versions stand once, in the workspace; lints hold everywhere; no features; nothing declared that is not
//! used; a crate is called like its folder.

use std::collections::BTreeSet;

use toml_edit::{DocumentMut, TableLike};

use super::{finding::Finding, tree::Tree};

const NAME: &str = "manifest";

const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Finds departures from it in `Cargo.toml` and `crates/*/Cargo.toml`.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for (path, file) in tree.files() {
        let parts: Vec<&str> = path.split('/').collect();
        if let ["crates", folder, "Cargo.toml"] = parts.as_slice() {
            let mut tell = |word: &str, text: String| {
                found.push(Finding::wrong(NAME, path, line_with(&file.text, word), text));
            };
            match file.text.parse::<DocumentMut>() {
                Ok(manifest) => member(tree, folder, &manifest, &mut used, &mut tell),
                Err(error) => tell("", format!("not TOML: {}", error.message())),
            }
        }
    }
    let Some(file) = tree.file("Cargo.toml") else { return found };
    match file.text.parse::<DocumentMut>() {
        Ok(manifest) => {
            let dependencies = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
            for (name, item) in dependencies.and_then(|item| item.as_table_like()).into_iter().flat_map(TableLike::iter)
            {
                // Rooms may stand there before another uses them.
                let ours = item.get("path").is_some();
                if !ours && !used.contains(name) {
                    let text = format!("no crate uses `{name}`: remove it");
                    found.push(Finding::wrong(NAME, "Cargo.toml", line_with(&file.text, name), text));
                }
            }
        }
        Err(error) => found.push(Finding::wrong(NAME, "Cargo.toml", 1, format!("not TOML: {}", error.message()))),
    }
    found
}

fn member(
    tree: &Tree,
    folder: &str,
    manifest: &DocumentMut,
    used: &mut BTreeSet<String>,
    tell: &mut dyn FnMut(&str, String),
) {
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    if name != Some(folder) {
        tell("name", format!("call the crate `{folder}`, like its folder"));
    }
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(|value| value.as_bool());
    if lints != Some(true) {
        tell("[lints]", "say `[lints] workspace = true`".to_owned());
    }
    if manifest.contains_key("features") {
        tell("[features]", "no features: two ways of doing a thing are two modules".to_owned());
    }
    let words: BTreeSet<&str> = tree
        .sources()
        .filter(|(path, ..)| path.starts_with(&format!("crates/{folder}/")))
        .flat_map(|(_, _, source)| source.tokens())
        .map(|token| token.text)
        .collect();
    let targets = manifest.get("target").and_then(|item| item.as_table_like());
    let tables = targets.into_iter().flat_map(TableLike::iter).map(|(_, target)| target).chain([manifest.as_item()]);
    for dependencies in tables.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(kind)?.as_table_like())) {
        for (dependency, item) in dependencies.iter() {
            used.insert(dependency.to_owned());
            if item.get("workspace").and_then(|value| value.as_bool()) != Some(true) {
                tell(
                    dependency,
                    format!("say `{dependency}.workspace = true`, and its version in the root Cargo.toml"),
                );
            }
            if !words.contains(dependency.replace('-', "_").as_str()) {
                tell(dependency, format!("nothing in `{folder}` uses `{dependency}`: remove it"));
            }
        }
    }
}

/// The first line that starts with a word, or the first.
fn line_with(text: &str, word: &str) -> usize {
    let starts = |line: &str| {
        line.strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(|char: char| char.is_alphanumeric() || matches!(char, '-' | '_')))
    };
    text.lines().position(starts).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests;
