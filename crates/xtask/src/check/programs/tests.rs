use super::{denied, diagnostic, gcc, shell_scripts};
use crate::check::fixture::tree;

fn printed(finding: Option<super::Finding>) -> String {
    finding.map(|finding| finding.to_string()).unwrap_or_default()
}

#[test]
fn scripts_are_known_by_their_first_line() {
    let tree = tree(&[
        ("scripts/a", "#!/bin/sh\n"),
        ("scripts/b.py", "#!/usr/bin/python3\n"),
        ("scripts/c", "#!/usr/bin/env bash\n"),
        ("scripts/d.sh", "echo no first line\n"),
    ]);
    assert_eq!(shell_scripts(&tree), ["scripts/a", "scripts/c"]);
}

#[test]
fn lines_of_shellcheck() {
    assert_eq!(
        printed(gcc("scripts/a:3:5: warning: Quote: this [SC2046]")),
        "scripts/a:3: shell: warning: Quote: this [SC2046]"
    );
    assert_eq!(gcc("something else"), None);
}

#[test]
fn diagnostics_of_cargo_deny() {
    let banned = r#"{"type":"diagnostic","fields":{"severity":"error","code":"banned","message":"crate 'chrono = 0.4.45' is explicitly banned","labels":[{"line":43,"column":3,"message":"banned here","span":"chrono"},{"line":43,"column":30,"message":"reason","span":"use jiff at the edge"}],"notes":[]}}"#;
    assert_eq!(
        printed(denied(banned)),
        "deny.toml:43: deny: crate 'chrono = 0.4.45' is explicitly banned: use jiff at the edge"
    );
    let twice = r#"{"type":"diagnostic","fields":{"severity":"warning","code":"duplicate","message":"found 2 duplicate entries for crate 'syn'","labels":[{"line":300,"column":1,"message":"lock entries","span":"syn"}]}}"#;
    assert_eq!(printed(denied(twice)), "Cargo.lock:300: warning: deny: found 2 duplicate entries for crate 'syn'");
    assert_eq!(denied(r#"{"type":"summary","fields":{}}"#), None);
    assert_eq!(denied("error: no such subcommand"), None);
}

#[test]
fn messages_of_the_compiler() {
    let message = r#"{"reason":"compiler-message","message":{"message":"used `unwrap()`","code":{"code":"clippy::unwrap_used"},"level":"error","spans":[{"file_name":"crates/a/src/b.rs","line_start":9,"is_primary":false},{"file_name":"crates/a/src/lib.rs","line_start":7,"is_primary":true}]}}"#;
    assert_eq!(printed(diagnostic(message)), "crates/a/src/lib.rs:7: clippy: used `unwrap()` (clippy::unwrap_used)");
    let summary = r#"{"reason":"compiler-message","message":{"message":"aborting due to 1 previous error","level":"error","spans":[]}}"#;
    assert_eq!(diagnostic(summary), None);
    assert_eq!(diagnostic(r#"{"reason":"build-finished","success":false}"#), None);
}
