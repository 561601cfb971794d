use super::*;

#[test]
fn targets_in_words() {
    assert_eq!(Target::parse("http://127.0.0.1:7070/").unwrap(), Target::Tcp("127.0.0.1:7070".parse().unwrap()));
    assert_eq!(Target::parse("[::1]:80").unwrap(), Target::Tcp("[::1]:80".parse().unwrap()));
    assert_eq!(Target::parse("unix:/run/x").unwrap(), Target::Unix("/run/x".into()));
    let fault = Target::parse("example.org").unwrap_err();
    assert_eq!(fault.message(), "`example.org` is not an address");
    assert_eq!(fault.kind(), Kind::Usage);
}

#[test]
fn a_prefix_may_have_a_path() {
    let address = Target::Tcp("192.0.2.1:7075".parse().unwrap());
    for (text, path) in [
        ("http://192.0.2.1:7075", ""),
        ("http://192.0.2.1:7075/", ""),
        ("http://192.0.2.1:7075/w/one/", "/w/one"),
        ("192.0.2.1:7075", ""),
    ] {
        assert_eq!(Target::parse_prefix(text).unwrap(), (address.clone(), path.to_owned()), "{text}");
    }
    for bad in ["http://192.0.2.1:7075/a b", "http://192.0.2.1:7075/a?b", "http://example.org/w"] {
        assert_eq!(Target::parse_prefix(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
    }
}

#[test]
fn nobody_there_is_unavailable_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Unix(folder.path().join("socket"));
    let fault = target.ask_blocking(Method::GET, "/", Vec::new(), Duration::from_secs(1)).unwrap_err();
    assert_eq!(fault.kind(), Kind::Unavailable);
    assert!(fault.message().contains("does not answer"), "{}", fault.message());
}
