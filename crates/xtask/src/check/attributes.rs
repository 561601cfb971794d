//! Attributes that hide something: ignored tests, allowed lints without a proof, doors that only tests go through.

use super::{
    finding::Finding,
    source::{Token, starts_with},
    tree::{Tree, is_test_file},
};

const NAME: &str = "attribute";

/// Finds `ignore`, `allow`, `should_panic` without a message, and `cfg(test)` on anything but a module or an import.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, _, source) in tree.sources() {
        let tokens = source.tokens();
        for (index, token) in tokens.iter().enumerate() {
            let rest = tokens.get(index..).unwrap_or_default();
            if let Some(text) = judge(rest, is_test_file(path)) {
                found.push(Finding::wrong(NAME, path, source.line(token.at), text));
            }
        }
    }
    found
}

fn judge(rest: &[Token<'_>], test_file: bool) -> Option<&'static str> {
    let inner = match rest {
        [Token { text: "#", .. }, Token { text: "!", .. }, Token { text: "[", .. }, inner @ ..]
        | [Token { text: "#", .. }, Token { text: "[", .. }, inner @ ..] => inner,
        _ if starts_with(rest, &["cfg", "!", "(", "test", ")"]) => {
            return Some("the program that is tested must be the one that runs: take what differs as an argument");
        }
        _ => return None,
    };
    if starts_with(inner, &["ignore"]) {
        return Some("a test that is not run tests nothing: make it run, or remove it");
    }
    if starts_with(inner, &["allow"]) {
        return Some("use `#[expect(…, reason = \"…\")]`, which fails when it is no longer needed");
    }
    if starts_with(inner, &["cfg", "(", "test", ")", "]"]) && !test_file {
        let words =
            item(inner).iter().skip_while(|token| matches!(token.text, "pub" | "(" | ")" | "crate" | "super" | "in"));
        if !words.take(1).any(|token| matches!(token.text, "mod" | "use")) {
            return Some("product code has no doors for tests: fakes live in `sim`, fixtures in `tests.rs`");
        }
    }
    None
}

/// What follows the bracket that is open and all further attributes.
fn item<'t, 'a>(inner: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 1_usize;
    let mut rest = inner;
    while let [first, left @ ..] = rest {
        rest = left;
        match first.text {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            match rest {
                [Token { text: "#", .. }, Token { text: "[", .. }, next @ ..] => (rest, depth) = (next, 1),
                _ => break,
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests;
