use super::*;

fn refused(url: &str) -> String {
    Address::parse(url).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_could_leak_or_be_read_on_the_way_is_refused() {
    assert!(refused("mysql://x").contains("is not an address such as"));
    assert!(refused("postgres://u:secret@127.0.0.1/db").contains("password-file="));
    assert!(refused("postgres://u@127.0.0.1/db?password=secret").contains("password-file="));
    for mode in ["prefer", "allow", "verify-ca", "no"] {
        assert!(refused(&format!("postgres://u@127.0.0.1/db?sslmode={mode}")).contains("does not protect"), "{mode}");
    }
    assert_eq!(refused("postgres://u@127.0.0.1/db?sslrootcert=/nowhere"), "`/nowhere` can not be read");
    assert_eq!(refused("postgres://u@/db?host=/run&password-file=%2Fnowhere%20x"), "`/nowhere x` can not be read");
    assert!(refused("postgres://u@127.0.0.1/db?sslmode=disable&bogus=1").contains("is not understood"));
    assert!(refused("postgres://u@127.0.0.1/db?sslrootcert=/dev/null").contains("no certificates to trust"));
    assert!(refused("postgres:///db?user=u").contains("is not found"));
    assert!(refused("postgres://u@192.0.2.7/db?sslmode=disable").contains("`192.0.2.7` is not; use `verify-full`"));
    assert!(refused("postgres://u@127.0.0.1/db?hostaddr=192.0.2.7&sslmode=disable").contains("must be this one"));
    assert!(refused("postgres://u@%2Frun,192.0.2.7/db?sslmode=disable").contains("not both"));
    assert_eq!(
        refused("mysql://u:sec@ret@db.example.org/log"),
        "`mysql://…@db.example.org/log` is not an address such as postgres://user@host/database"
    );
}

#[test]
fn ports_are_those_of_tcp() {
    let ports = |url: &str| Address::parse(url).unwrap().ports();
    assert_eq!(ports("postgres://u@127.0.0.1/db?sslmode=disable"), [5432]);
    assert_eq!(ports("postgres://u@127.0.0.1:6000/db?sslmode=disable"), [6000]);
    assert!(ports("postgres:///db?host=/run/postgresql&user=u&port=6000").is_empty());
}
