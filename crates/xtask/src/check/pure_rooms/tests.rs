use super::check;
use crate::check::fixture::{places, printed};

#[test]
fn reaching_outside_is_found() {
    for room in ["model", "stats", "gate", "rollout"] {
        let path = format!("crates/{room}/src/a.rs");
        let text = "//! a\nuse std::fs;\nfn f() { std::time::SystemTime::now(); }\n";
        assert_eq!(places(check, &[(&path, text)]), [format!("{path}:2"), format!("{path}:3")]);
    }
    assert_eq!(
        printed(check, &[("crates/gate/src/a.rs", "use std::{\n    collections::BTreeMap,\n    env,\n};")]),
        ["crates/gate/src/a.rs:3: pure-room: `gate` only computes: take what `std::env` would give as an argument"]
    );
}

#[test]
fn tests_other_rooms_and_other_names_are_not() {
    let files = [
        ("crates/gate/src/a/tests.rs", "use std::fs;"),
        ("crates/build/src/a.rs", "use std::fs;"),
        ("crates/gate/src/a.rs", "use std::{collections::{env}, fmt};\nuse crate::process;\nuse std::time::Duration;"),
        ("crates/gate/src/b.rs", "//! std::fs\nfn f(env: u8) {}"),
    ];
    assert!(places(check, &files).is_empty());
}
