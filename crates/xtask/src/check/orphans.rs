//! Every Rust file is compiled: it is a crate's root, or some compiled file says `mod` for it. A test file that nobody
//! names looks like a test and is none.

use std::collections::BTreeSet;

use super::{
    finding::Finding,
    source::{Source, Token},
    tree::Tree,
};

const NAME: &str = "orphan";

/// Finds files that no `mod`, `#[path]` or `include!` leads to, and `mod tests` that are built into the product.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::new();
    // Files to follow, and whether only tests lead to them.
    let roots = tree.sources().map(|(path, ..)| path).filter(|path| is_root(path));
    let mut waiting: Vec<(String, bool)> = roots.map(|path| (path.to_owned(), path.contains("/tests/"))).collect();
    while let Some((path, in_tests)) = waiting.pop() {
        let Some(file) = tree.file(&path) else { continue };
        let Some(source) = file.source.as_ref().filter(|_| reached.insert(path.clone())) else { continue };
        for module in named(&path, &file.text, source) {
            let only_tests = in_tests || module.only_tests;
            if module.name == "tests" && !only_tests {
                let text = "put `#[cfg(test)]` before `mod tests`: it would be part of the product";
                found.push(Finding::wrong(NAME, &path, source.line(module.at), text));
            }
            let there = module.candidates.into_iter().filter(|candidate| tree.file(candidate).is_some());
            waiting.extend(there.map(|candidate| (candidate, only_tests)));
        }
    }
    for (path, ..) in tree.sources().filter(|(path, ..)| !reached.contains(*path)) {
        let text = "no compiled file says `mod` for it: name it where it belongs, or remove it";
        found.push(Finding::wrong(NAME, path, 1, text));
    }
    found
}

/// Whether cargo compiles the file by its place (The Cargo Book, "Package Layout").
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    matches!(
        parts.as_slice(),
        ["src", "lib.rs" | "main.rs"]
            | ["build.rs"]
            | ["src", "bin", _]
            | ["src", "bin", _, "main.rs"]
            | ["tests" | "examples" | "benches", _]
            | ["tests" | "examples" | "benches", _, "main.rs"]
    )
}

/// A `mod name;` or `include!("…")`, and the files that it may mean.
struct Named<'a> {
    at: usize,
    name: &'a str,
    only_tests: bool,
    candidates: Vec<String>,
}

fn named<'a>(path: &str, text: &str, source: &'a Source) -> Vec<Named<'a>> {
    let tokens = source.tokens();
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let own = if is_root(path) || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    // Modules in braces around the place, with the depth of braces that they end at.
    let mut inline: Vec<(&str, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut named = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match tokens.get(index..).unwrap_or_default() {
            [Token { text: "mod", .. }, name, Token { text: ";", .. }, ..] => {
                let before = tokens.get(..index).unwrap_or_default();
                let around: String = inline.iter().map(|(name, _)| format!("/{name}")).collect();
                let candidates = match path_attribute(before, text) {
                    Some(given) => vec![join(folder, &given)],
                    None => {
                        vec![format!("{own}{around}/{}.rs", name.text), format!("{own}{around}/{}/mod.rs", name.text)]
                    }
                };
                let only_tests = attributes(before)
                    .iter()
                    .any(|attribute| attribute.iter().map(|token| token.text).collect::<String>() == "cfg(test)");
                named.push(Named { at: token.at, name: name.text, only_tests, candidates });
            }
            [Token { text: "mod", .. }, name, Token { text: "{", .. }, ..] => inline.push((name.text, depth)),
            [Token { text: "include", .. }, Token { text: "!", .. }, Token { text: "(", .. }, open, ..] => {
                let candidates = vec![join(folder, &quoted(text, open.at))];
                named.push(Named { at: token.at, name: "", only_tests: false, candidates });
            }
            [Token { text: "{", .. }, ..] => depth += 1,
            [Token { text: "}", .. }, ..] => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(_, ends_at)| *ends_at == depth);
            }
            _ => {}
        }
    }
    named
}

/// What stands in the brackets of the attributes right before an item.
fn attributes<'t, 'a>(before: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut found = Vec::new();
    let mut rest = before;
    // A visibility may stand between: `pub`, `pub(crate)`.
    while let Some((last, left)) =
        rest.split_last().filter(|(last, _)| matches!(last.text, "pub" | "(" | ")" | "crate" | "super" | "in"))
    {
        let _: &Token<'a> = last;
        rest = left;
    }
    while rest.last().is_some_and(|token| token.text == "]") {
        let mut depth = 0_usize;
        let Some(open) = rest.iter().rposition(|token| {
            match token.text {
                "]" => depth += 1,
                "[" => depth -= 1,
                _ => {}
            }
            depth == 0
        }) else {
            break;
        };
        found.push(rest.get(open + 1..rest.len() - 1).unwrap_or_default());
        let hash = open.saturating_sub(1);
        if rest.get(hash).is_none_or(|token| token.text != "#") {
            break;
        }
        rest = rest.get(..hash).unwrap_or_default();
    }
    found
}

/// The value of `#[path = "…"]` right before an item.
fn path_attribute(before: &[Token<'_>], text: &str) -> Option<String> {
    attributes(before).into_iter().find_map(|attribute| match attribute {
        [Token { text: "path", .. }, Token { text: "=", .. }, open, ..] => Some(quoted(text, open.at)),
        _ => None,
    })
}

/// The string that opens at this place.
fn quoted(text: &str, at: usize) -> String {
    text.get(at + 1..).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

fn join(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests;
