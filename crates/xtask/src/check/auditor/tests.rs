use super::check;

fn texts(tree: &str) -> Vec<String> {
    check(tree).into_iter().map(|finding| finding.text).collect()
}

#[test]
fn what_an_auditor_builds() {
    let good = "gate v0.1.0 (/src/crates/gate)\nledger v0.1.0 (/src/crates/ledger)\nserde v1.0.0\nserde_derive v1.0.0 (proc-macro)\n";
    assert_eq!(texts(good), [] as [String; 0]);
    let bad = format!("{good}tokio v1.0.0\nstores v0.1.0 (/src/crates/stores)\ntokio v1.0.0 (*)\n");
    assert_eq!(
        texts(&bad),
        [
            "an auditor would build `tokio`, which speaks to others: move what needs it to another room",
            "an auditor would build the room `stores`: model, ledger, stats, gate are enough",
        ]
    );
    assert_eq!(texts(""), ["cargo tree did not name `gate` itself"]);
}
