//! Rooms that must stay pure: no files, sockets, processes, clocks, environment or chance in `model`, `stats`, `gate`
//! and `rollout`, where all of these are arguments. An auditor computes a verdict again and gets the same one.

use super::{
    finding::Finding,
    source::{find, starts_with},
    tree::{Tree, is_test_file},
};

const NAME: &str = "pure-room";

/// Rooms that do nothing but compute (design: what lives where).
pub(super) const PURE: &[&str] = &["model", "stats", "gate", "rollout"];

/// Modules and functions of the standard library that reach outside.
const OUTSIDE: &[(&[&str], &str)] = &[
    (&["std", ":", ":", "fs"], "std::fs"),
    (&["std", ":", ":", "process"], "std::process"),
    (&["std", ":", ":", "env"], "std::env"),
    (&["std", ":", ":", "thread"], "std::thread"),
    (&["SystemTime", ":", ":", "now"], "SystemTime::now"),
    (&["Instant", ":", ":", "now"], "Instant::now"),
    (&["TcpStream"], "TcpStream"),
    (&["TcpListener"], "TcpListener"),
    (&["UdpSocket"], "UdpSocket"),
    (&["UnixStream"], "UnixStream"),
];

/// Finds uses of them outside tests, also in `use std::{fs, …}`.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, _, source) in tree.sources() {
        let Some(room) = PURE.iter().find(|room| path.starts_with(&format!("crates/{room}/src/"))) else { continue };
        if is_test_file(path) {
            continue;
        }
        let tokens = source.tokens();
        let mut tell = |at: usize, what: &str| {
            let text = format!("`{room}` only computes: take what `{what}` would give as an argument");
            found.push(Finding::wrong(NAME, path, source.line(at), text));
        };
        for (wanted, what) in OUTSIDE {
            for rest in find(&tokens, wanted) {
                tell(rest.first().map_or(0, |token| token.at), what);
            }
        }
        for group in find(&tokens, &["std", ":", ":", "{"]) {
            let mut depth = 0_usize;
            for (index, token) in group.iter().enumerate().skip(3) {
                match token.text {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                let first = group.get(index - 1).is_some_and(|before| matches!(before.text, "{" | ","));
                let rest = group.get(index..).unwrap_or_default();
                let outside = ["fs", "process", "env", "thread"].into_iter().find(|name| starts_with(rest, &[name]));
                if let Some(name) = outside.filter(|_| depth == 1 && first) {
                    tell(token.at, &format!("std::{name}"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
