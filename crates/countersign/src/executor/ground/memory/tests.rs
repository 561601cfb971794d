use super::*;

fn wanted(release: &[u8], account: Option<&[u8]>) -> Wanted {
    Wanted {
        system: "bank".parse().unwrap(),
        environment: "production".parse().unwrap(),
        release: Digest::of(release),
        stays: false,
        values: account.map(|account| ("payout".parse().unwrap(), Digest::of(account))).into_iter().collect(),
    }
}

#[test]
fn exactly_what_had_ground_last_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("started.json");
    let open = || Memory::open(path.clone());
    assert!(!open().has(&wanted(b"1", None)), "of nothing");
    let mut memory = open();
    memory.add(&wanted(b"1", None));
    memory.add(&wanted(b"2", Some(b"theirs")));
    assert!(open().has(&wanted(b"1", None)) && open().has(&wanted(b"2", Some(b"theirs"))));
    for other in [wanted(b"2", Some(b"mine")), wanted(b"2", None), wanted(b"1", Some(b"theirs")), wanted(b"3", None)] {
        assert!(!open().has(&other), "{other:?}");
    }
    let elsewhere = Wanted { environment: "staging".parse().unwrap(), ..wanted(b"1", None) };
    assert!(!open().has(&elsewhere));

    memory.retain(|wanted| wanted.release == Digest::of(b"2"));
    assert!(!open().has(&wanted(b"1", None)), "forgotten in the file as well");
    assert!(open().has(&wanted(b"2", Some(b"theirs"))));

    // It does not grow without end.
    for number in 0..=STARTED_LIMIT {
        memory.add(&wanted(&number.to_be_bytes(), None));
    }
    assert_eq!(open().started.len(), STARTED_LIMIT);
    assert!(!open().has(&wanted(b"2", Some(b"theirs"))));

    for damaged in [&b"[{\"system\":\"bank\"}]"[..], b"", b"{}"] {
        durable::write(&path, damaged, 0o600).unwrap();
        assert!(open().started.is_empty(), "a damaged file starts nothing");
    }
}
