use super::check;
use crate::check::fixture::{places, printed};

const TEST: (&str, &str) = (
    "crates/a/src/b/tests.rs",
    "fn refusals() { assert_snapshot!(c); assert_snapshot!(\"given\", c); }\nlet p = \"golden/used.json\";",
);

fn snapshot(name: &str, text: &str) -> Vec<String> {
    printed(check, &[TEST, (&format!("crates/a/src/b/snapshots/{name}"), text)])
}

const HEAD: &str = "---\nsource: crates/a/src/b/tests.rs\nexpression: c\n---\n";

#[test]
fn snapshots_of_tests_that_are_there_are_not_found() {
    for name in ["a__b__tests__refusals.snap", "a__b__tests__refusals-2.snap", "a__b__tests__given.snap"] {
        assert_eq!(snapshot(name, HEAD), [""; 0], "{name}");
    }
}

#[test]
fn orphans_are_found() {
    let rows = [
        ("a__b__tests__gone.snap", HEAD, "`crates/a/src/b/tests.rs` has no test or name `gone`: remove it"),
        (
            "a__b__tests__refusals.snap",
            "---\nsource: crates/a/src/c.rs\n",
            "its test file `crates/a/src/c.rs` is gone: remove it",
        ),
        (
            "a__b__tests__refusals.snap",
            "---\n",
            "it does not say which test it is of: remove it and run the test again",
        ),
        ("a__b__tests__refusals.snap.new", HEAD, "review it: cargo insta review"),
    ];
    for (name, text, why) in rows {
        assert_eq!(snapshot(name, text), [format!("crates/a/src/b/snapshots/{name}:1: orphan-snapshot: {why}")]);
    }
}

#[test]
fn golden_files_are_named_by_a_test_of_their_crate() {
    let files = [
        TEST,
        ("crates/a/src/b/golden/used.json", "{}"),
        ("crates/a/src/b/golden/unused.json", "{}"),
        ("crates/a/tests/fixtures/stories/one.txt", ""),
        ("crates/a/tests/suite/main.rs", "read_dir(\"tests/fixtures/stories\")"),
        ("crates/c/golden/used.json", "{}"),
    ];
    assert_eq!(places(check, &files), ["crates/a/src/b/golden/unused.json:1", "crates/c/golden/used.json:1"]);
}
