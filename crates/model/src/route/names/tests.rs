//! A name stands for what it says, however it is written, and anything else for nothing.

use super::{Meant, Named, Names};

fn names() -> Names {
    let named = |host: &str, ordinal| Named {
        host: host.to_owned(),
        serial: crate::Serial::new("guestbook".parse().unwrap(), ordinal),
        closing: false,
        lease_s: 60,
    };
    Names {
        plain: vec!["research.example".to_owned(), "latest.research.example".to_owned()],
        versions: vec![named("guestbook-000012.research.example", 12), named("2026-10.research.example", 11)],
    }
}

#[test]
fn names_are_known_with_port_dot_and_any_case() {
    let names = names();
    for host in [
        "guestbook-000012.research.example",
        "guestbook-000012.research.example:8088",
        "GuestBook-000012.Research.Example.",
        "guestbook-000012.research.example.:8088",
    ] {
        let Meant::Version(named) = names.meant(host) else { panic!("{host}") };
        assert_eq!(named.serial.ordinal(), 12);
    }
    for host in [
        "research.example",
        "LATEST.research.example:1",
        "127.0.0.1:8088",
        "[::1]:8088",
        "::1",
        "[::1]",
        "localhost:80",
    ] {
        assert_eq!(names.meant(host), Meant::Plain, "{host}");
    }
}

#[test]
fn what_is_not_known_is_no_version() {
    let names = names();
    for host in [
        "",
        "example",
        "guestbook-000013.research.example",
        "guestbook-000012.other.example",
        "xguestbook-000012.research.example",
        "guestbook-000012.research.example.evil",
        "guestbook-000012.research.example:x",
        "guestbook-000012",
        "..",
        ":80",
        "127.0.0.1.research.example",
    ] {
        assert_eq!(names.meant(host), Meant::Unknown, "{host}");
    }
}
