//! Which room may use which: the table of the design, as a table.
//!
//! Edges come from `cargo metadata`, so that what is checked is what cargo builds with.

use anyhow::Context as _;
use serde_json::Value;

use super::{finding::Finding, pure_rooms::PURE};

const NAME: &str = "edge";

/// A room and the rooms that it may use, also in its tests.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("ledger", &["model"]),
    ("stores", &["model", "ledger"]),
    ("stats", &[]),
    ("gate", &["model", "ledger", "stats"]),
    ("build", &["model", "ledger"]),
    ("rollout", &["model", "ledger", "stats"]),
    ("runtime", &["model", "rollout"]),
    ("edge", &["model"]),
    ("load", &["model", "stats"]),
    ("feeds", &["model", "ledger"]),
    ("vault", &["model", "ledger"]),
    ("inventory", &["model", "ledger"]),
    ("countersign", &ALL),
    ("sim", &ALL),
    ("xtask", &[]),
];

/// The rooms that `countersign` and `sim` may use.
const ALL: [&str; 13] = [
    "model",
    "ledger",
    "stores",
    "stats",
    "gate",
    "build",
    "rollout",
    "runtime",
    "edge",
    "load",
    "feeds",
    "vault",
    "inventory",
];

/// Fixtures and fakes: for the tests of the binary alone, so that no product code can lead to a fake.
const FIXTURES: (&str, &str) = ("countersign", "sim");

/// Crates that do input, output or waiting, which pure rooms have no use for.
const IMPURE: &[&str] = &[
    "axum",
    "getrandom",
    "hyper",
    "hyper-util",
    "jiff",
    "nix",
    "rand",
    "rusqlite",
    "rustix",
    "rustls",
    "tempfile",
    "tokio",
    "tower",
    "tracing",
];

/// Crates for programs, not for libraries: errors of rooms are enums.
const ONLY_PROGRAMS: &[&str] = &["anyhow", "clap", "indicatif", "tracing-subscriber"];
const PROGRAMS: &[&str] = &["countersign", "xtask"];

/// Finds edges that the table does not have.
///
/// # Errors
/// If the text is not what `cargo metadata --no-deps` prints.
pub(super) fn check(metadata: &str) -> anyhow::Result<Vec<Finding>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata printed something else than JSON")?;
    let list = |value: &Value, key: &'static str| -> anyhow::Result<Vec<Value>> {
        value.get(key).and_then(Value::as_array).cloned().with_context(|| format!("cargo metadata has no list `{key}`"))
    };
    let mut found = Vec::new();
    for package in list(&metadata, "packages")? {
        let name = text(&package, "name")?;
        let path = format!("crates/{name}/Cargo.toml");
        let mut tell = |text: String| found.push(Finding::wrong(NAME, &path, 1, text));
        let Some((_, may_use)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            tell(format!(
                "`{name}` is no room: add it to the table of crates/xtask/src/check/edges.rs and to ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in list(&package, "dependencies")? {
            let used = text(&dependency, "name")?;
            let in_tests = dependency.get("kind").and_then(Value::as_str) == Some("dev");
            let ours = dependency.get("path").is_some_and(Value::is_string);
            if ours && (name.as_str(), used.as_str()) == FIXTURES {
                if !in_tests {
                    tell("`sim` is for tests: move it to `[dev-dependencies]`".to_owned());
                }
            } else if ours && !may_use.contains(&used.as_str()) {
                let allowed =
                    if may_use.is_empty() { "no room".to_owned() } else { format!("only {}", may_use.join(", ")) };
                tell(format!(
                    "`{name}` may use {allowed}, not `{used}`: move the code, or pass what it needs as an argument"
                ));
            }
            if !in_tests && PURE.contains(&name.as_str()) && IMPURE.contains(&used.as_str()) {
                tell(format!("`{name}` only computes and may not use `{used}`: take its results as arguments"));
            }
            if ONLY_PROGRAMS.contains(&used.as_str()) && !PROGRAMS.contains(&name.as_str()) {
                tell(format!(
                    "`{used}` is for programs ({}): a room has an enum of errors for each operation",
                    PROGRAMS.join(", ")
                ));
            }
        }
    }
    Ok(found)
}

fn text(value: &Value, key: &'static str) -> anyhow::Result<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("cargo metadata has no `{key}`"))
}

#[cfg(test)]
mod tests;
