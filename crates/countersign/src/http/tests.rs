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
fn nobody_there_is_unavailable_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Unix(folder.path().join("socket"));
    let fault = target.ask_blocking(Method::GET, "/", Vec::new(), Duration::from_secs(1)).unwrap_err();
    assert_eq!(fault.kind(), Kind::Unavailable);
    assert!(fault.message().contains("does not answer"), "{}", fault.message());
}
