//! Tests wait for a condition with a limit, never for a time: a sleep is too short on a busy machine and too long on
//! every other.

use super::{
    finding::Finding,
    source::{Token, starts_with},
    tree::{Tree, is_test_file},
};

const NAME: &str = "sleep";

/// Functions that look again and again with a pause between are named so, and say their limit.
const WAITING: &[&str] = &["wait", "await", "poll", "until", "eventually"];

/// Finds sleeps in test files, but for those in a function that waits for a condition.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, _, source) in tree.sources().filter(|(path, _, _)| is_test_file(path)) {
        let tokens = source.tokens();
        let mut function = "";
        for (index, token) in tokens.iter().enumerate() {
            let rest = tokens.get(index..).unwrap_or_default();
            if let [Token { text: "fn", .. }, name, ..] = rest {
                function = name.text;
            }
            let sleeps = ["thread", "time"].iter().any(|module| starts_with(rest, &[module, ":", ":", "sleep"]));
            if sleeps && !WAITING.iter().any(|start| function.starts_with(start)) {
                let text = "wait for a condition with a limit, in a function named `wait_…`, instead of sleeping";
                found.push(Finding::wrong(NAME, path, source.line(token.at), text));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
