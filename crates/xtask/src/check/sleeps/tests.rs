use super::check;
use crate::check::fixture::places;

#[test]
fn sleeps_in_tests_are_found() {
    let text = "#[test]\nfn a() {\n    std::thread::sleep(b);\n    tokio::time::sleep(b).await;\n}\n";
    let files = [("crates/a/src/b/tests.rs", text), ("crates/a/tests/suite/main.rs", text)];
    assert_eq!(
        places(check, &files),
        [
            "crates/a/src/b/tests.rs:3",
            "crates/a/src/b/tests.rs:4",
            "crates/a/tests/suite/main.rs:3",
            "crates/a/tests/suite/main.rs:4"
        ]
    );
}

#[test]
fn waiting_for_a_condition_and_product_code_are_not() {
    let waiting = "fn wait_for(a: A) {\n    while !a() { thread::sleep(b); }\n}\nfn c() { wait_for(d); }\n";
    let product = "//! a\nfn pace() { thread::sleep(b); }\n";
    assert!(places(check, &[("crates/a/src/b/tests.rs", waiting), ("crates/a/src/b.rs", product)]).is_empty());
}
