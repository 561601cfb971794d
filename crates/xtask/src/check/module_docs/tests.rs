use super::check;
use crate::check::fixture::{places, printed};

#[test]
fn a_file_without_docs_is_found() {
    assert_eq!(
        printed(check, &[("crates/a/src/lib.rs", "mod b;\n")]),
        ["crates/a/src/lib.rs:1: module-docs: open the file with `//!`: what it is and what it refuses to know"]
    );
    for text in ["", "//!\n", "/// of an item\n", "\n//! too late\n", "// no\n"] {
        assert_eq!(places(check, &[("crates/a/src/b.rs", text)]), ["crates/a/src/b.rs:1"], "{text:?}");
    }
}

#[test]
fn docs_test_files_and_the_code_of_others_are_not() {
    let files = [
        ("crates/a/src/lib.rs", "//! A room.\n"),
        ("crates/a/src/b/tests.rs", "use super::b;\n"),
        ("examples/x/src/main.rs", "fn main() {}\n"),
    ];
    assert!(places(check, &files).is_empty());
}
