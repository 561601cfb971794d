use super::check;
use crate::check::fixture::{places, printed};

#[test]
fn files_that_nobody_names_are_found() {
    let files = [
        ("crates/a/src/lib.rs", "//! a\nmod b;\n"),
        ("crates/a/src/b.rs", "//! b\n"),
        ("crates/a/src/b/tests.rs", "#[test]\nfn a() {}\n"),
        ("crates/a/src/c.rs", "//! c\nmod d;\n"),
        ("crates/a/src/c/d.rs", "//! d\n"),
    ];
    assert_eq!(places(check, &files), ["crates/a/src/b/tests.rs:1", "crates/a/src/c.rs:1", "crates/a/src/c/d.rs:1"]);
    assert_eq!(
        printed(check, &[("crates/a/src/x.rs", "")]),
        ["crates/a/src/x.rs:1: orphan: no compiled file says `mod` for it: name it where it belongs, or remove it"]
    );
}

#[test]
fn every_way_of_naming_is_followed() {
    let files = [
        ("crates/a/build.rs", "mod generated;"),
        ("crates/a/generated.rs", ""),
        ("crates/a/src/main.rs", "mod b;\n#[cfg(test)]\nmod tests;\ninclude!(\"table.rs\");"),
        ("crates/a/src/tests.rs", ""),
        ("crates/a/src/table.rs", ""),
        ("crates/a/src/b/mod.rs", "mod c;\n#[cfg(unix)]\n#[path = \"../odd/place.rs\"]\npub(crate) mod d;"),
        ("crates/a/src/b/c.rs", "mod e { mod f; mod g {} }\nmod h;\n"),
        ("crates/a/src/b/c/e/f.rs", ""),
        ("crates/a/src/b/c/h.rs", ""),
        ("crates/a/src/odd/place.rs", ""),
        ("crates/a/src/bin/tool.rs", ""),
        ("crates/a/tests/suite/main.rs", "mod story;"),
        ("crates/a/tests/suite/story.rs", ""),
    ];
    assert_eq!(places(check, &files), [""; 0]);
}

#[test]
fn names_in_comments_and_strings_lead_nowhere() {
    let files = [("crates/a/src/lib.rs", "// mod b;\nconst A: &str = \"mod b;\";"), ("crates/a/src/b.rs", "")];
    assert_eq!(places(check, &files), ["crates/a/src/b.rs:1"]);
}

#[test]
fn tests_in_the_product_are_found() {
    let files = [("crates/a/src/lib.rs", "//! a\nmod tests;"), ("crates/a/src/tests.rs", "")];
    assert_eq!(places(check, &files), ["crates/a/src/lib.rs:2"]);
    let files = [
        ("crates/a/src/lib.rs", "#[cfg(test)]\n#[rustfmt::skip]\npub(crate) mod tests;"),
        ("crates/a/src/tests.rs", ""),
    ];
    assert_eq!(places(check, &files), [""; 0]);
    let files = [
        ("crates/a/src/lib.rs", "#[cfg(test)]\nmod stories;"),
        ("crates/a/src/stories.rs", "mod tests;"),
        ("crates/a/src/stories/tests.rs", ""),
    ];
    assert_eq!(places(check, &files), [""; 0]);
}
