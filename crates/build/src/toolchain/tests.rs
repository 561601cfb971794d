#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use std::fs;

use super::*;

#[test]
fn the_tools_of_this_machine_have_versions_digests_and_mounts() {
    let mut known = ProgramDigests::default();
    let path = std::env::var_os("PATH").unwrap();
    let found = Toolchain::detect(&path, &mut known).unwrap();
    let tool = |name: &str| found.tools.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("{name} is missing"));
    assert!(tool("rustc").version.starts_with("rustc 1."), "{}", tool("rustc").version);
    assert!(tool("cargo").version.starts_with("cargo 1."));
    assert!(tool("cc").version.contains("cc"), "{}", tool("cc").version);
    assert_ne!(tool("rust-sysroot").digest, tool("rustc").digest);
    if let Some(mount) = found.mounts.iter().find(|m| m.target == Path::new(TOOLCHAIN)) {
        assert!(mount.source.join("bin/cargo").is_file());
    }
    // What is known is not read again, and survives being written down.
    let json = serde_json::to_string(&known).unwrap();
    let mut again: ProgramDigests = serde_json::from_str(&json).unwrap();
    let started = Instant::now();
    assert_eq!(Toolchain::detect(&path, &mut again).unwrap(), found);
    assert_eq!(again, known);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_changed_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tool");
    let mut known = ProgramDigests::default();
    fs::write(&file, "one").unwrap();
    assert_eq!(known.of(&file).unwrap(), Digest::of(b"one"));
    fs::write(&file, "three").unwrap();
    assert_eq!(known.of(&file).unwrap(), Digest::of(b"three"));
    assert!(known.of(&dir.path().join("absent")).is_err());
}

#[test]
fn a_machine_without_rust_has_no_rust() {
    let found = Toolchain::detect(OsStr::new("/nonexistent"), &mut ProgramDigests::default()).unwrap();
    assert!(!found.has("rustc") && found.mounts.is_empty());
}
