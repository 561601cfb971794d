//! The checks that other programs make, as findings: rustfmt, clippy, cargo-deny, shellcheck.
//!
//! Their progress goes to the standard error as it comes. A program that is not there is a finding, not a pass.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{
    finding::{Finding, Level},
    tree::Tree,
};

/// What `cargo metadata` says of our own crates.
pub(super) fn metadata(root: &Path) -> anyhow::Result<String> {
    let output = run(root, "cargo", &["metadata", "--format-version=1", "--no-deps", "--locked"], Stdio::piped())?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("cargo metadata printed something else than UTF-8")
}

/// Every crate that `gate` is built with, a line each, as `cargo tree` prints it.
pub(super) fn auditor_tree(root: &Path) -> anyhow::Result<String> {
    // Not `--offline`: on a machine that built nothing yet this is what fetches the crates.
    let arguments = ["tree", "--package=gate", "--edges=normal", "--prefix=none", "--target=all", "--locked"];
    let output = run(root, "cargo", &arguments, Stdio::piped())?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("cargo tree printed something else than UTF-8")
}

/// Files that `cargo fmt` would change, also those of the examples, which are workspaces of their own.
pub(super) fn format(root: &Path, tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let is_workspace = |text: &str| text.lines().any(|line| line.trim_end() == "[workspace]");
    let manifests = tree.files().filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml"));
    let below = format!("{}/", root.display());
    let mut found = Vec::new();
    for (manifest, _) in manifests.filter(|(_, file)| is_workspace(&file.text)) {
        let arguments = ["fmt", "--all", "--manifest-path", manifest, "--", "--check", "--files-with-diff"];
        let output = run(root, "cargo", &arguments, Stdio::inherit())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let advice = format!("run cargo fmt --all --manifest-path {manifest}");
        let files = text.lines().map(|path| path.strip_prefix(&below).unwrap_or(path));
        let before = found.len();
        found.extend(files.map(|path| Finding::wrong("format", path, 1, advice.clone())));
        if found.len() == before && !output.status.success() {
            found.push(Finding::wrong("format", manifest, 1, "cargo fmt failed and says why above"));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// What shellcheck says of scripts.
pub(super) fn scripts(root: &Path, tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let scripts: Vec<&str> = shell_scripts(tree);
    if scripts.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = vec!["--format=gcc", "--"];
    arguments.extend(&scripts);
    let Ok(output) = run(root, "shellcheck", &arguments, Stdio::inherit()) else {
        let text = "shellcheck is not there: scripts/setup check installs it";
        return Ok(vec![Finding::wrong("shell", "scripts/setup", 1, text)]);
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<Finding> = text.lines().filter_map(gcc).collect();
    if found.is_empty() && !output.status.success() {
        found.push(Finding::wrong("shell", "scripts/setup", 1, "shellcheck failed and says why above"));
    }
    Ok(found)
}

/// Files that a shell runs, by their first line.
fn shell_scripts(tree: &Tree) -> Vec<&str> {
    let is_script = |text: &str| {
        let first = text.lines().next().unwrap_or_default();
        first.starts_with("#!")
            && ["/sh", "/bash", " sh", " bash"].iter().any(|shell| first.trim_end().ends_with(shell))
    };
    tree.files().filter(|(_, file)| is_script(&file.text)).map(|(path, _)| path).collect()
}

/// A line `path:line:column: level: words`.
fn gcc(line: &str) -> Option<Finding> {
    let mut parts = line.splitn(4, ':');
    let (path, number, _column, words) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Finding::wrong("shell", path, number.parse().ok()?, words.trim()))
}

/// What cargo-deny says of licences, bans and sources.
pub(super) fn deny(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let arguments = ["deny", "--locked", "--format=json", "--log-level=warn", "check", "licenses", "bans", "sources"];
    let output = run(root, "cargo", &arguments, Stdio::piped())?;
    let text = String::from_utf8_lossy(&output.stderr);
    let mut found: Vec<Finding> = text.lines().filter_map(denied).collect();
    if !output.status.success() && found.iter().all(|finding| finding.level == Level::Warned) {
        let said = text.lines().last().unwrap_or_default();
        let text = format!("cargo deny failed (is it there? scripts/setup check installs it): {said}");
        found.push(Finding::wrong("deny", "deny.toml", 1, text));
    }
    Ok(found)
}

/// A diagnostic of cargo-deny.
fn denied(line: &str) -> Option<Finding> {
    let value: Value = serde_json::from_str(line).ok()?;
    let fields = value.get("fields").filter(|_| value.get("type").and_then(Value::as_str) == Some("diagnostic"))?;
    let level = match fields.get("severity").and_then(Value::as_str)? {
        "error" => Level::Wrong,
        "warning" => Level::Warned,
        _ => return None,
    };
    let label = fields.get("labels").and_then(Value::as_array).and_then(|labels| labels.first());
    let in_label = |key: &str| label.and_then(|label| label.get(key));
    // Places are in deny.toml for what it bans, and in the lock file for what is found twice.
    let of_lock = fields.get("code").and_then(Value::as_str) == Some("duplicate");
    let number = in_label("line").and_then(Value::as_u64).and_then(|line| usize::try_from(line).ok()).unwrap_or(1);
    let mut text = fields.get("message").and_then(Value::as_str)?.to_owned();
    for note in fields.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        text.push_str("; ");
        text.push_str(note);
    }
    // The reason of a ban, which names what to use instead.
    let labels = fields.get("labels").and_then(Value::as_array).into_iter().flatten();
    for reason in labels.filter(|label| label.get("message").and_then(Value::as_str) == Some("reason")) {
        text.push_str(": ");
        text.push_str(reason.get("span").and_then(Value::as_str).unwrap_or_default().trim_matches('"'));
    }
    let path = if of_lock { "Cargo.lock" } else { "deny.toml" };
    Some(Finding { level, ..Finding::wrong("deny", path, number, text.replace('\n', " ")) })
}

/// What clippy and the compiler say of all targets.
pub(super) fn clippy(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--keep-going",
        "--message-format=json",
        "--",
        "-D",
        "warnings",
    ];
    let output = run(root, "cargo", &arguments, Stdio::inherit())?;
    let mut found: Vec<Finding> = String::from_utf8_lossy(&output.stdout).lines().filter_map(diagnostic).collect();
    // A library is compiled once more for its tests and says the same again.
    found.sort();
    found.dedup();
    if found.is_empty() && !output.status.success() {
        found.push(Finding::wrong("clippy", "Cargo.toml", 1, "cargo clippy failed and says why above"));
    }
    Ok(found)
}

/// A message of the compiler with a place.
fn diagnostic(line: &str) -> Option<Finding> {
    let value: Value = serde_json::from_str(line).ok()?;
    let message =
        value.get("message").filter(|_| value.get("reason").and_then(Value::as_str) == Some("compiler-message"))?;
    let spans = message.get("spans").and_then(Value::as_array)?;
    let primary = spans.iter().find(|span| span.get("is_primary").and_then(Value::as_bool) == Some(true))?;
    let path = primary.get("file_name").and_then(Value::as_str)?;
    let number = primary.get("line_start").and_then(Value::as_u64).and_then(|line| usize::try_from(line).ok())?;
    let code = message.get("code").and_then(|code| code.get("code")).and_then(Value::as_str);
    let words = message.get("message").and_then(Value::as_str)?.replace('\n', " ");
    let text = code.map_or_else(|| words.clone(), |code| format!("{words} ({code})"));
    Some(Finding::wrong("clippy", path, number, text))
}

fn run(root: &Path, program: &str, arguments: &[&str], stderr: Stdio) -> anyhow::Result<Output> {
    Command::new(program)
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .output()
        .with_context(|| format!("can not start `{program}`"))
}

#[cfg(test)]
mod tests;
