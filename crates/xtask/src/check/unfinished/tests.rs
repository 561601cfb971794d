use super::{MARKS, check};
use crate::check::fixture::{places, printed};

#[test]
fn macros_are_found_in_code_only() {
    let files = [("crates/a/src/lib.rs", "//! a\nfn f() { todo!() }\nfn g() { unimplemented!(); dbg!(1); }\n")];
    assert_eq!(places(check, &files), ["crates/a/src/lib.rs:2", "crates/a/src/lib.rs:3", "crates/a/src/lib.rs:3"]);
    assert!(
        places(check, &[("crates/a/src/lib.rs", "//! Not `todo!()`.\nconst A: &str = \"dbg!\"; // dbg!\n")]).is_empty()
    );
}

#[test]
fn marks_are_found_in_comments_and_other_files() {
    let mark = MARKS[0];
    let rust = format!("//! a\n\nfn f() {{}} // {mark}: later\n");
    let script = format!("#!/bin/sh\n# {mark}\n");
    let files = [("crates/a/src/lib.rs", rust.as_str()), ("scripts/b", script.as_str())];
    assert_eq!(
        printed(check, &files),
        [
            format!(
                "crates/a/src/lib.rs:3: unfinished: do what `{mark}` says, or make it an issue and say here what holds now"
            ),
            format!("scripts/b:2: unfinished: do what `{mark}` says, or make it an issue and say here what holds now"),
        ]
    );
}

#[test]
fn words_like_them_are_not() {
    let mark = MARKS[0];
    let text = format!("//! a\n// {mark}D and {}\nconst A: &str = \"{mark}\";\n", mark.to_lowercase());
    assert!(places(check, &[("crates/a/src/lib.rs", &text), ("Cargo.lock", mark)]).is_empty());
}
