use super::check;
use crate::check::fixture::places;

fn found(path: &str, text: &str) -> bool {
    !places(check, &[(path, text)]).is_empty()
}

#[test]
fn hiding_is_found() {
    let texts = [
        "#[test]\n#[ignore]\nfn a() {}",
        "#[ignore = \"slow\"]\nfn a() {}",
        "#[allow(dead_code)]\nfn a() {}",
        "#![allow(clippy::all)]",
        "fn a() { if cfg!(test) { b() } }",
        "#[cfg(test)]\nfn for_tests() {}",
        "#[cfg(test)]\nimpl A {}",
    ];
    for text in texts {
        assert!(found("crates/a/src/lib.rs", text), "{text}");
    }
    assert_eq!(
        places(check, &[("crates/a/src/b/tests.rs", "#[test]\n#[ignore]\nfn a() {}")]),
        ["crates/a/src/b/tests.rs:2"]
    );
}

#[test]
fn the_rest_is_not() {
    let texts = [
        "#[cfg(test)]\nmod tests;",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;",
        "#[cfg(test)]\npub(crate) mod fixture;",
        "#[cfg(test)]\nuse a::b;",
        "#[cfg(target_os = \"linux\")]\nfn a() {}",
        "#[expect(dead_code, reason = \"b\")]\nfn a() {}",
        "// #[ignore]\nfn allow(ignore: u8) {}",
        "/// if cfg!(test)\nfn a() {}",
    ];
    for text in texts {
        assert!(!found("crates/a/src/lib.rs", text), "{text}");
    }
    assert!(!found("crates/a/src/b/tests.rs", "#[cfg(test)]\nfn a() {}"));
}
