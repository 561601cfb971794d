//! Whatever the text, reading it ends, and what is said about it points into it.

use proptest::prelude::*;

use crate::manifest::{Diagnostic, Manifest, diagnostic::render_all};

use super::good::{PAYDESK, SMALL};

fn check(text: &str) {
    let findings: Vec<Diagnostic> = match Manifest::parse(text) {
        Ok(parsed) => {
            let images = parsed.manifest.components.keys().map(|name| (name.clone(), crate::Digest::of(b""))).collect();
            let serial = crate::Serial::new(parsed.manifest.system.clone(), 1);
            if let Ok(release) = parsed.manifest.compose(serial, "00".repeat(20).parse().unwrap(), &images) {
                assert_eq!(crate::release::Release::from_bytes(&release.to_bytes().unwrap()).unwrap(), release);
            }
            for suite in parsed.manifest.suites.values() {
                suite.digest().unwrap();
            }
            parsed.warnings
        }
        Err(error) => {
            assert!(error.errors().count() > 0);
            error.findings
        }
    };
    let lines = text.split('\n').count();
    for finding in &findings {
        assert!((1..=lines).contains(&finding.line), "{finding:?}");
    }
    let shown = render_all(&findings, "countersign.toml", text);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
}

/// One of the examples with a part of it replaced by something else.
fn damaged() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any::<String>(),
        "[a-z_]{1,12} = [0-9\"\\[\\]{}., -]{0,12}",
        Just("[[flows]]\n".to_owned()),
        Just("\u{1b}[2J".to_owned()),
        Just("[".repeat(200)),
        Just("{a=".repeat(100)),
        Just("99999999999999999999".to_owned()),
        Just("nan".to_owned()),
        Just("1979-05-27".to_owned()),
    ];
    (prop::sample::select(vec![PAYDESK, SMALL]), any::<prop::sample::Index>(), 0_usize..40, part).prop_map(
        |(base, at, length, part)| {
            let chars: Vec<char> = base.chars().collect();
            let at = at.index(chars.len());
            let end = (at + length).min(chars.len());
            chars[..at].iter().copied().chain(part.chars()).chain(chars[end..].iter().copied()).collect()
        },
    )
}

/// An example with one value replaced by another kind of value, so that reading goes deep.
fn retyped() -> impl Strategy<Value = String> {
    let values = [
        "1",
        "-1",
        "0.5",
        "true",
        "\"x\"",
        "[]",
        "[1]",
        "[[]]",
        "{}",
        "{ a = 1 }",
        "1979-05-27",
        "\"\"",
        "nan",
        "inf",
        "9223372036854775807",
        "-9223372036854775808",
        "\"\\u0000\"",
        "\"/\"",
        "\"..\"",
        "\"sha256:\"",
        "\":0\"",
        "[\"\"]",
    ];
    (prop::sample::select(vec![PAYDESK, SMALL]), any::<prop::sample::Index>(), prop::sample::select(values.to_vec()))
        .prop_map(|(base, at, value)| {
            let lines: Vec<&str> = base.lines().collect();
            let keyed: Vec<usize> =
                (0..lines.len()).filter(|n| lines[*n].contains(" = ") && !lines[*n].starts_with('#')).collect();
            let chosen = keyed[at.index(keyed.len())];
            let key = lines[chosen].split(" = ").next().unwrap();
            let changed = format!("{key} = {value}");
            lines
                .iter()
                .enumerate()
                .map(|(n, line)| if n == chosen { changed.as_str() } else { line })
                .collect::<Vec<_>>()
                .join("\n")
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(error) = Manifest::parse_bytes(&bytes) {
            prop_assert!(error.errors().count() > 0);
        }
    }

    #[test]
    fn any_damage(text in damaged()) {
        check(&text);
    }

    #[test]
    fn any_other_type(text in retyped()) {
        check(&text);
    }
}
