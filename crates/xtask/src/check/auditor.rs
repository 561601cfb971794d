//! What an auditor builds with: the rooms `model`, `ledger`, `stats` and `gate`, and no crate that speaks to a network or to a
//! database server, however far down. A bundle is checked offline, and whoever does it should be able to see why.

use super::finding::Finding;

const NAME: &str = "auditor";

/// The rooms of whoever checks a bundle.
const ROOMS: &[&str] = &["model", "ledger", "stats", "gate"];

/// Crates that speak to others: sockets, HTTP, TLS, their runtimes, and clients of servers.
const SPEAKING: &[&str] = &[
    "async-io",
    "aws-lc-rs",
    "axum",
    "h2",
    "hyper",
    "hyper-util",
    "mio",
    "native-tls",
    "object_store",
    "openssl",
    "postgres",
    "quinn",
    "redis",
    "reqwest",
    "rustls",
    "socket2",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tonic",
    "tungstenite",
    "ureq",
];

/// Finds what does not belong there in what `cargo tree --prefix none` prints of `gate`: name, version, and the folder
/// of a crate of ours.
pub(super) fn check(tree: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let is_ours = line.contains("(/") && !line.contains("(proc-macro)");
        let mut tell = |text: String| found.push(Finding::wrong(NAME, "crates/gate/Cargo.toml", 1, text));
        if SPEAKING.contains(&name) {
            tell(format!(
                "an auditor would build `{name}`, which speaks to others: move what needs it to another room"
            ));
        } else if is_ours && !ROOMS.contains(&name) {
            tell(format!("an auditor would build the room `{name}`: {} are enough", ROOMS.join(", ")));
        }
    }
    if !tree.lines().any(|line| line.starts_with("gate ")) {
        found.push(Finding::wrong(NAME, "crates/gate/Cargo.toml", 1, "cargo tree did not name `gate` itself"));
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests;
