//! What the agent tells is shown, with who keeps a version and where it is reached.

use serde_json::json;

use super::{Row, write};

#[test]
fn a_version_is_shown_with_its_names_and_who_keeps_it() {
    let held: Vec<String> = (0..10).map(|n| format!("client `token:{n}`")).collect();
    let row: Row = serde_json::from_value(json!({
        "serial": "guestbook-000012", "release": format!("sha256:{}", "0".repeat(64)), "generation": 3, "kind": "beside",
        "why": "people retire it: `countersign retire`", "since": null,
        "addresses": [{ "component": "web", "name": "guestbook-000012.research.example:8088" }],
        "zones": ["front"], "requests": 7, "errors": 1, "connections": 2, "sessions": 1, "clients": 3,
        "cut_sessions": 4, "leases": [{}], "held_by": held, "client_s": 60, "most": 4,
    }))
    .unwrap();
    let mut out = Vec::new();
    write(&row, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for part in [
        "guestbook-000012 (beside), zones front",
        "web at guestbook-000012.research.example:8088",
        "7 requests, 1 failed; 3 clients, 2 connections, 1 sessions, 1 leases; nobody seen yet",
        "4 sessions were CUT",
        "kept by client `token:7`",
        "and 2 more",
        "people retire it",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("token:8"), "{text}");
}
