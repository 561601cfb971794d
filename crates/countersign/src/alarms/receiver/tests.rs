use super::*;

fn http(url: &str) -> HttpSetting {
    HttpSetting { url: url.to_owned(), token_file: None, ca_file: None, repeat_s: None }
}

#[test]
fn what_can_not_be_told_is_refused_with_a_hint_and_shows_no_password() {
    let rows: [(ReceiverSetting, &str); 6] = [
        (ReceiverSetting::Webhook(http("ftp://example.org/")), "`ftp://example.org/` is not an address to send to"),
        (ReceiverSetting::Webhook(http("example.org")), "`example.org` is not an address to send to"),
        (ReceiverSetting::Webhook(http("http://bob:secret@example.org/")), "`http://…@example.org/` is not an address"),
        (ReceiverSetting::Alertmanager(http("/api")), "`/api` is not an address to send to"),
        (
            ReceiverSetting::Command(CommandSetting { argv: vec!["mail".to_owned()], repeat_s: None }),
            "`mail` is no program to tell alarms to",
        ),
        (ReceiverSetting::Command(CommandSetting { argv: vec![], repeat_s: None }), "`` is no program"),
    ];
    for (setting, words) in rows {
        let fault = Receiver::open_all(&[setting]).err().unwrap();
        assert!(fault.message().contains(words) && !fault.message().contains("secret@"), "{fault}");
        assert!(fault.hint_text().is_some(), "{fault}");
    }
    let twice = [ReceiverSetting::Webhook(http("http://a/")), ReceiverSetting::Webhook(http("http://a/"))];
    assert!(Receiver::open_all(&twice).err().unwrap().message().contains("names `http://a/` twice"));
}

#[test]
fn secrets_are_read_from_files_and_must_hold_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        ledger::durable::write(&path, text.as_bytes(), 0o600).unwrap();
        path
    };
    let with = |path: &PathBuf| HttpSetting { token_file: Some(path.clone()), ..http("http://127.0.0.1/") };
    let good = Receiver::open(&ReceiverSetting::Webhook(with(&file("good", "abc\n")))).unwrap();
    let Way::Webhook(place) = good.way else { panic!() };
    assert_eq!(place.token.as_ref().map(|t| t.as_str()), Some("abc"));
    for (name, text) in [("empty", "\n"), ("two", "a\nb"), ("space", "a b")] {
        let fault = Receiver::open(&ReceiverSetting::Webhook(with(&file(name, text)))).err().unwrap();
        assert!(fault.message().contains("holds no token of one line") && !fault.message().contains("a b"), "{fault}");
    }
    let missing = folder.path().join("missing");
    assert!(Receiver::open(&ReceiverSetting::Webhook(with(&missing))).is_err());
    let none = HttpSetting { ca_file: Some(file("none.pem", "nothing")), ..http("https://127.0.0.1/") };
    let fault = Receiver::open(&ReceiverSetting::Webhook(none)).err().unwrap();
    assert!(fault.message().contains("holds no certificate of an authority"), "{fault}");
}

#[test]
fn a_process_may_reach_what_it_tells_and_nothing_more() {
    let open = |setting| Receiver::open(&setting).unwrap();
    let mut confinement = Confinement::nothing();
    open(ReceiverSetting::Webhook(http("http://127.0.0.1:9999/hook"))).allow(&mut confinement);
    assert_eq!((confinement.connect_tcp.clone(), confinement.sockets), (Some(vec![9999]), Sockets::Tcp));
    assert!(confinement.execute.is_empty() && confinement.read.is_empty());
    open(ReceiverSetting::Alertmanager(http("http://alerts.example.org"))).allow(&mut confinement);
    assert_eq!((confinement.connect_tcp.clone(), confinement.sockets), (Some(vec![9999, 80]), Sockets::TcpAndUdp));
    let argv = vec!["/bin/true".to_owned()];
    open(ReceiverSetting::Command(CommandSetting { argv, repeat_s: None })).allow(&mut confinement);
    assert!(confinement.execute.contains(&PathBuf::from("/bin/true")));
    assert_eq!(confinement.connect_tcp, Some(vec![9999, 80]), "a command takes nothing away");
}
