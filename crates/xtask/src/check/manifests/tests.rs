use super::check;
use crate::check::fixture::{places, printed};

const ROOT: &str = "[workspace.dependencies]\na = { path = \"crates/a\" }\nserde-json = \"1\"\ntempfile = \"3\"\n";
const GOOD: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n\n[dependencies]\nserde-json.workspace = true\n\n[dev-dependencies]\ntempfile = { workspace = true }\n";
const SOURCE: (&str, &str) = ("crates/a/src/lib.rs", "use serde_json::Value;\nuse tempfile::tempdir;");

#[test]
fn good_ones_are_not_found() {
    assert_eq!(printed(check, &[("Cargo.toml", ROOT), ("crates/a/Cargo.toml", GOOD), SOURCE]), [""; 0]);
}

#[test]
fn departures_are_found() {
    let rows = [
        (GOOD.replace("\"a\"", "\"b\""), "crates/a/Cargo.toml:2: manifest: call the crate `a`, like its folder"),
        (GOOD.replace("[lints]", "[other]"), "crates/a/Cargo.toml:1: manifest: say `[lints] workspace = true`"),
        (
            GOOD.to_owned() + "\n[features]\nextra = []\n",
            "crates/a/Cargo.toml:13: manifest: no features: two ways of doing a thing are two modules",
        ),
        (
            GOOD.replace("serde-json.workspace = true", "serde-json = \"1\""),
            "crates/a/Cargo.toml:8: manifest: say `serde-json.workspace = true`, and its version in the root Cargo.toml",
        ),
        (
            GOOD.to_owned() + "\n[target.'cfg(unix)'.dependencies]\nnix.workspace = true\n",
            "crates/a/Cargo.toml:14: manifest: nothing in `a` uses `nix`: remove it",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(printed(check, &[("Cargo.toml", ROOT), ("crates/a/Cargo.toml", &text), SOURCE]), [expected]);
    }
}

#[test]
fn what_no_crate_uses_is_found() {
    let root = format!("{ROOT}tokio = \"1\"\n");
    assert_eq!(
        printed(check, &[("Cargo.toml", &root), ("crates/a/Cargo.toml", GOOD), SOURCE]),
        ["Cargo.toml:5: manifest: no crate uses `tokio`: remove it"]
    );
}

#[test]
fn what_is_not_toml_is_found() {
    assert_eq!(
        places(check, &[("Cargo.toml", "["), ("crates/a/Cargo.toml", "]")]),
        ["Cargo.toml:1", "crates/a/Cargo.toml:1"]
    );
}
