use super::{ALL, ROOMS, check};

/// What cargo prints, of one crate with one dependency.
fn found(name: &str, used: &str, kind: Option<&str>, ours: bool) -> Vec<String> {
    let path = ours.then(|| format!("/somewhere/crates/{used}"));
    let metadata = serde_json::json!({ "packages": [
        { "name": name, "dependencies": [{ "name": used, "kind": kind, "path": path }] },
    ] });
    check(&metadata.to_string()).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn every_edge_is_as_the_table_says() {
    let rooms: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    for (room, may_use) in ROOMS {
        for used in &rooms {
            if (*room, *used) == ("countersign", "sim") {
                continue;
            }
            for kind in [None, Some("dev"), Some("build")] {
                assert_eq!(
                    found(room, used, kind, true).is_empty(),
                    may_use.contains(used),
                    "{room} -> {used} {kind:?}"
                );
            }
        }
    }
}

#[test]
fn fixtures_are_for_the_tests_of_the_binary_alone() {
    assert!(found("countersign", "sim", Some("dev"), true).is_empty());
    assert_eq!(
        found("countersign", "sim", None, true),
        ["crates/countersign/Cargo.toml:1: edge: `sim` is for tests: move it to `[dev-dependencies]`"]
    );
    assert_eq!(found("gate", "sim", Some("dev"), true).len(), 1);
}

#[test]
fn no_room_is_forgotten_and_none_leads_in_a_circle() {
    for name in ALL {
        let position = |wanted: &str| ROOMS.iter().position(|(room, _)| *room == wanted);
        let (_, may_use) = ROOMS[position(name).unwrap()];
        assert!(may_use.iter().all(|used| position(used) < position(name)), "{name}");
    }
}

#[test]
fn words_of_a_finding() {
    assert_eq!(
        found("edge", "ledger", None, true),
        [
            "crates/edge/Cargo.toml:1: edge: `edge` may use only model, not `ledger`: move the code, or pass what it needs as an argument"
        ]
    );
    assert_eq!(
        found("model", "ledger", None, true),
        [
            "crates/model/Cargo.toml:1: edge: `model` may use no room, not `ledger`: move the code, or pass what it needs as an argument"
        ]
    );
    assert_eq!(found("extra", "model", None, true).len(), 1);
}

#[test]
fn libraries_of_others() {
    assert!(found("gate", "serde", None, false).is_empty());
    assert!(found("gate", "tempfile", Some("dev"), false).is_empty());
    assert!(found("edge", "tokio", None, false).is_empty());
    assert_eq!(
        found("gate", "tokio", None, false),
        ["crates/gate/Cargo.toml:1: edge: `gate` only computes and may not use `tokio`: take its results as arguments"]
    );
    assert_eq!(
        found("build", "anyhow", None, false),
        [
            "crates/build/Cargo.toml:1: edge: `anyhow` is for programs (countersign, xtask): a room has an enum of errors for each operation"
        ]
    );
    // A crate of others that is called like a room is not the room.
    assert!(found("xtask", "gate", None, false).is_empty());
}

#[test]
fn other_output_is_an_error() {
    assert!(check("").is_err());
    assert!(check("{}").is_err());
    assert!(check("{\"packages\":[{}]}").is_err());
}
