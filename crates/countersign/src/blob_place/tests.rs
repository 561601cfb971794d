use super::*;

fn refused(text: &str) -> String {
    BlobPlace::parse(text).map(|_| ()).unwrap_err().message()
}

#[test]
fn a_bucket_is_named_with_its_keys_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        ledger::durable::write(&path, text.as_bytes(), 0o600).unwrap();
        path.display().to_string()
    };
    let (access, secret) = (file("access", "AKIA\n"), file("secret", "s3cret\n"));
    let keys = format!("access-key-file={access}&secret-key-file={secret}");
    let BlobPlace::S3(place) =
        BlobPlace::parse(&format!("s3://bank/log/one?endpoint=https://s3.example.org:9443&region=eu-1&{keys}"))
            .unwrap()
    else {
        panic!("not a bucket")
    };
    assert_eq!((place.bucket.as_str(), place.prefix.as_str(), place.region.as_str()), ("bank", "log/one", "eu-1"));
    assert_eq!((place.access_key.as_str(), place.secret_key.as_str()), ("AKIA", "s3cret"));
    let mut confinement = Confinement::nothing();
    BlobPlace::S3(place).allow(&mut confinement).unwrap();
    assert_eq!(confinement.connect_tcp, Some(vec![9443, 53]));
    assert_eq!(confinement.sockets, Sockets::TcpAndUdp);

    let here = BlobPlace::parse(&format!("s3://bank?endpoint=http://127.0.0.1:9000&{keys}")).unwrap();
    let mut confinement = Confinement { sockets: Sockets::Tcp, ..Confinement::nothing() };
    here.allow(&mut confinement).unwrap();
    assert_eq!(
        (confinement.connect_tcp, confinement.sockets),
        (Some(vec![9000]), Sockets::Tcp),
        "no name, no name server"
    );
    assert!(here.open().unwrap().place().starts_with("s3://bank/ at http://127.0.0.1:9000"));

    for (text, words) in [
        ("s3://?endpoint=https://s3.example.org", "names no bucket"),
        ("s3://bank", "has no `endpoint`"),
        ("s3://bank?endpoint=https://s3.example.org", "has no `access-key-file`"),
        ("s3://bank?endpoint", "`endpoint` has no value"),
        ("s3://bank?secret-key=s3cret", "`secret-key=s3cret` says nothing about a store"),
        ("gs://bank", "bodies can not be kept at `gs://bank`"),
        (
            "s3://bank?endpoint=https://s3.example.org&access-key-file=/no/file&secret-key-file=/no",
            "`/no/file` can not be read",
        ),
    ] {
        assert!(refused(text).contains(words), "{text}: {}", refused(text));
    }
    let plain = BlobPlace::parse(&format!("s3://bank?endpoint=http://s3.example.org&{keys}")).unwrap();
    let fault = plain.open().map(|_| ()).unwrap_err();
    assert!(fault.message().ends_with("is not encrypted, and not on this machine"), "{fault}");
}
