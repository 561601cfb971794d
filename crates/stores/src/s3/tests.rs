use super::*;

fn place(endpoint: &str) -> S3Place {
    S3Place {
        bucket: "bodies".to_owned(),
        prefix: String::new(),
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "a".to_owned(),
        secret_key: "s".to_owned(),
        authorities: None,
        plain_http: false,
    }
}

fn refused(place: &S3Place) -> String {
    S3Blobs::open(place).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn places_that_make_no_sense_are_refused() {
    for endpoint in ["", "s3.example.org", "ftp://s3.example.org", "https://"] {
        let expected = format!("`{endpoint}` is not the URL of a store, such as `https://s3.example.org`");
        assert_eq!(refused(&place(endpoint)), expected);
    }
    let endpoint = "https://s3.example.org";
    let slashes = S3Place { prefix: "a//b".to_owned(), ..place(endpoint) };
    assert_eq!(refused(&slashes), "`a//b` can not be in front of names");
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    let refusal = refused(&S3Place { authorities: Some(broken), ..place(endpoint) });
    assert!(
        refusal.starts_with("the certificates of the authorities") || refusal.starts_with("no client"),
        "{refusal}"
    );
}

#[test]
fn without_tls_only_this_machine_is_spoken_to() {
    for endpoint in ["http://s3.example.org", "http://localhost:9000", "http://10.0.0.1:9000"] {
        assert_eq!(refused(&place(endpoint)), format!("`{endpoint}` is not encrypted, and not on this machine"));
        S3Blobs::open(&S3Place { plain_http: true, ..place(endpoint) }).unwrap();
    }
    for endpoint in ["http://127.0.0.1:9000", "http://[::1]:9000", "https://s3.example.org"] {
        S3Blobs::open(&place(endpoint)).unwrap();
    }
}

#[test]
fn ports_and_names_are_told_for_confinement() {
    for (endpoint, port, has_name) in [
        ("https://s3.example.org", 443, true),
        ("http://s3.example.org", 80, true),
        ("http://127.0.0.1:9000", 9000, false),
        ("https://[2001:db8::1]:9443", 9443, false),
    ] {
        assert_eq!(
            (place(endpoint).port().unwrap(), place(endpoint).has_name().unwrap()),
            (port, has_name),
            "{endpoint}"
        );
    }
}
