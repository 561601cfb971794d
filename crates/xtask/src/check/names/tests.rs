use super::{check, is_empty_name};
use crate::check::fixture::{places, printed};

#[test]
fn declarations_and_files_are_found() {
    let files = [
        ("crates/a/src/lib.rs", "//! a\nmod utils;\nstruct KeyManager;\nenum E {}\n"),
        ("crates/a/src/utils.rs", "//! a\n"),
    ];
    assert_eq!(places(check, &files), ["crates/a/src/lib.rs:2", "crates/a/src/lib.rs:3", "crates/a/src/utils.rs:1"]);
    assert_eq!(
        printed(check, &[("crates/a/src/lib.rs", "trait Helper {}")]),
        ["crates/a/src/lib.rs:1: empty-name: `Helper` says nothing; take the operators' word for what it is or does"]
    );
}

#[test]
fn names_by_words() {
    for name in
        ["Manager", "KeyManager", "HelperOfA", "test_helpers", "Util", "Utilities", "HTTPInfo", "common", "BuildInfo"]
    {
        assert!(is_empty_name(name), "{name}");
    }
    for name in ["Management", "Information", "Utilization", "Informed", "uncommon", "Release"] {
        assert!(!is_empty_name(name), "{name}");
    }
}

#[test]
fn uses_of_others_are_not() {
    let files = [("crates/a/src/lib.rs", "//! Manager\nuse b::Manager;\nfn helper() {}\nlet common = 1;\n")];
    assert!(places(check, &files).is_empty());
}
