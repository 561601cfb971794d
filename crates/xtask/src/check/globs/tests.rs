use super::check;
use crate::check::fixture::places;

fn found(text: &str) -> bool {
    !places(check, &[("crates/a/src/lib.rs", text)]).is_empty()
}

#[test]
fn globs_are_found_however_they_are_written() {
    assert_eq!(places(check, &[("crates/a/src/lib.rs", "//! a\npub use b::*;\n")]), ["crates/a/src/lib.rs:2"]);
    for text in ["pub(crate) use b::*;", "pub(in crate::c) use b::*;", "pub use b::{\n    c,\n    d::*,\n};"] {
        assert!(found(text), "{text}");
    }
}

#[test]
fn names_private_globs_and_pointers_are_not() {
    for text in [
        "pub use b::{c, d};",
        "use b::*;",
        "// pub use b::*;",
        "pub fn f(a: *const u8) {}",
        "pub use b;\nfn f() { a * b; }",
    ] {
        assert!(!found(text), "{text}");
    }
}
