use super::is_test_file;
use crate::check::fixture::tree;

#[test]
fn files_and_folders() {
    let tree = tree(&[("crates/a/src/lib.rs", "//! a"), ("crates/b.md", ""), ("examples/x/src/main.rs", "")]);
    for path in ["", "crates", "crates/a/src", "crates/a/src/lib.rs", "docs", "docs/picture.png", "examples"] {
        assert!(tree.has(path), "{path}");
    }
    for path in ["crate", "crates/a/src/lib", "crates/c", "docs/picture", "picture.png"] {
        assert!(!tree.has(path), "{path}");
    }
    assert_eq!(tree.len(), 4);
    assert_eq!(tree.sources().map(|(path, ..)| path).collect::<Vec<_>>(), ["crates/a/src/lib.rs"]);
}

#[test]
fn test_files_by_name() {
    assert!(is_test_file("crates/a/src/b/tests.rs") && is_test_file("crates/a/tests/suite/main.rs"));
    assert!(!is_test_file("crates/a/src/tests_of_b.rs") && !is_test_file("crates/a/src/contests.rs"));
}
