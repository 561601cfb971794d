use super::check;
use crate::check::{
    finding::Level,
    fixture::{places, tree},
};

#[test]
fn limits() {
    let rows = [(400, None), (401, Some(Level::Warned)), (600, Some(Level::Warned)), (601, Some(Level::Wrong))];
    for (lines, level) in rows {
        let text = "//! a\n".repeat(lines);
        let found = check(&tree(&[("crates/a/src/lib.rs", &text)]));
        assert_eq!(found.first().map(|finding| finding.level), level, "{lines}");
    }
}

#[test]
fn only_our_rust_files_count() {
    let text = "a\n".repeat(700);
    assert!(places(check, &[("README.md", &text), ("examples/a/src/lib.rs", &text)]).is_empty());
}
