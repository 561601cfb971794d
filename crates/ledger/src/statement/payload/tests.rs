mod others;

use super::samples::{all, statement, verdict};
use super::*;
use crate::statement::v1::{AfterRule, Promotion, Reason, Resume, Ruling};

/// The frozen bytes: one line a statement, its name and its payload. Whoever changes them makes a new version beside
/// this one.
const GOLDEN: &str = include_str!("golden.txt");

fn golden() -> Vec<(&'static str, &'static str)> {
    GOLDEN.lines().map(|line| line.split_once(": ").unwrap()).collect()
}

#[test]
fn the_bytes_are_frozen() {
    let golden = golden();
    let all = all();
    assert_eq!(all.len(), golden.len());
    for ((name, statement), (golden_name, bytes)) in all.iter().zip(golden) {
        assert_eq!(*name, golden_name);
        assert_eq!(std::str::from_utf8(&statement.to_bytes().unwrap()).unwrap(), bytes, "{name}");
        assert_eq!(&Statement::from_bytes(bytes.as_bytes()).unwrap(), statement, "{name}");
    }
    let kinds: std::collections::BTreeSet<Kind> = all.iter().map(|(_, s)| s.claim.kind()).collect();
    assert_eq!(kinds.len(), Kind::ALL.len(), "every kind is frozen");
}

/// Fields that came later stand only where they say something: what was frozen before stays as it is.
#[test]
fn where_a_release_must_have_run_is_written_only_if_it_is_asked() {
    let ask = |claim: &mut Claim| match claim {
        Claim::Charter(c) => {
            c.environments[0].after = Some(AfterRule { environment: "staging".parse().unwrap(), soak_s: 60 });
        }
        Claim::Change(c) => c.promotions.push(Promotion {
            environment: "production".parse().unwrap(),
            after: "staging".parse().unwrap(),
            soak_s: 60,
        }),
        _ => {}
    };
    let rows = [
        (Kind::Charter, r#""after":{"environment":"staging","soak_s":60}"#),
        (Kind::Change, r#""promotions":[{"environment":"production","after":"staging","soak_s":60}]"#),
    ];
    for (kind, words) in rows {
        let (_, mut statement) = all().into_iter().find(|(_, s)| s.claim.kind() == kind).unwrap();
        assert!(!String::from_utf8(statement.to_bytes().unwrap()).unwrap().contains(r#""soak_s""#));
        ask(&mut statement.claim);
        let text = String::from_utf8(statement.to_bytes().unwrap()).unwrap();
        assert!(text.contains(words), "{text}");
        assert_eq!(Statement::from_bytes(text.as_bytes()).unwrap(), statement);
        // One form: an empty list is not written out, and nothing unknown is in it.
        let wrong = text.replace(r#""soak_s":60"#, r#""soak_s":60,"x":1"#);
        assert!(Statement::from_bytes(wrong.as_bytes()).is_err());
    }
}

/// Every place in a payload where an object begins.
fn objects(bytes: &str) -> Vec<usize> {
    bytes.match_indices("{\"").map(|(at, _)| at + 1).collect()
}

#[test]
fn an_unknown_field_anywhere_is_refused() {
    for (name, bytes) in golden() {
        for at in objects(bytes) {
            let mut text = bytes.to_owned();
            text.insert_str(at, "\"aaa\":1,");
            assert!(Statement::from_bytes(text.as_bytes()).is_err(), "{name} at {at}");
        }
    }
}

#[test]
fn a_key_twice_anywhere_is_refused() {
    for (name, bytes) in golden() {
        for at in objects(bytes) {
            let key = bytes[at + 1..].split('"').next().unwrap();
            // The value that stands there, and another one: neither the first nor the last may win.
            for value in ["null", "\"x\"", "0"] {
                let mut text = bytes.to_owned();
                text.insert_str(at, &format!("\"{key}\":{value},"));
                assert!(Statement::from_bytes(text.as_bytes()).is_err(), "{name} at {at}: {key} = {value}");
            }
        }
    }
}

#[test]
fn another_spelling_of_the_same_is_refused() {
    for (name, bytes) in golden() {
        let spellings = [
            format!(" {bytes}"),
            format!("{bytes}\n"),
            bytes.replacen(':', ": ", 1),
            bytes.replacen("header", "\\u0068eader", 1),
            bytes.replacen("statement", "\\u0073tatement", 1),
            format!("{bytes}{bytes}"),
        ];
        for text in spellings.iter().filter(|t| *t != bytes) {
            assert!(Statement::from_bytes(text.as_bytes()).is_err(), "{name}: {text}");
        }
        // Every object's first two members the other way round is what a tolerant reader would take.
        let value: serde_json::Value = serde_json::from_str(bytes).unwrap();
        let mut members: Vec<(String, String)> =
            value.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.to_string())).collect();
        members.sort();
        members.reverse();
        let body: Vec<String> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        let turned = format!("{{{}}}", body.join(","));
        assert_ne!(turned, bytes);
        assert!(Statement::from_bytes(turned.as_bytes()).is_err(), "{name}: {turned}");
    }
}

#[test]
fn every_cut_and_every_changed_byte_is_refused_or_says_something_else() {
    for (name, bytes) in golden() {
        let known = Statement::from_bytes(bytes.as_bytes()).unwrap();
        for at in 0..bytes.len() {
            if let Some(cut) = bytes.as_bytes().get(..at) {
                assert!(Statement::from_bytes(cut).is_err(), "{name} cut at {at}");
            }
            let mut other = bytes.as_bytes().to_vec();
            other[at] ^= 1;
            if let Ok(read) = Statement::from_bytes(&other) {
                assert_ne!(read, known, "{name}: two payloads of one statement, at {at}");
                assert_eq!(read.to_bytes().unwrap(), other, "{name} at {at}");
            }
        }
    }
}

#[test]
fn the_subject_follows_from_the_claim() {
    for (name, bytes) in golden() {
        let wrong = r#"{"name":"other","digest":{"sha256":"00"}}"#;
        let start = bytes.find("\"subject\":[").unwrap() + "\"subject\":[".len();
        let mut more = bytes.to_owned();
        let comma = if bytes[start..].starts_with(']') { "" } else { "," };
        more.insert_str(start, &format!("{wrong}{comma}"));
        let error = Statement::from_bytes(more.as_bytes()).unwrap_err();
        assert!(error.to_string().ends_with("are not the ones that its claim implies"), "{name}: {error}");
        let end = start + bytes[start..].find("],\"predicate").or_else(|| bytes[start..].find("]}")).unwrap_or(0);
        let none = format!("{}{}", &bytes[..start], &bytes[end..]);
        if none != bytes {
            assert!(Statement::from_bytes(none.as_bytes()).is_err(), "{name}: {none}");
        }
    }
}

#[test]
fn types_must_be_known() {
    let bytes = |s: &Statement| String::from_utf8(s.to_bytes().unwrap()).unwrap();
    let resume = bytes(&statement(Claim::Resume(Resume { halt: 1 })));
    let error = |text: String| Statement::from_bytes(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error(resume.replace("in-toto.io/Statement/v1", "in-toto.io/Statement/v2")),
        "`https://in-toto.io/Statement/v2` is not the statement type `https://in-toto.io/Statement/v1`"
    );
    assert_eq!(
        error(resume.replace("/resume/v1", "/resume/v2")),
        "`https://countersign.dev/statement/resume/v2` is not a kind of statement that this version knows"
    );
    assert_eq!(error(resume.replace("/resume/v1", "/halt/v1")), "the halt does not fit its form");
    assert_eq!(error("nonsense".to_owned()), "the payload is not an in-toto statement");
    assert_eq!(error(String::new()), "the payload is not an in-toto statement");
    for kind in Kind::ALL {
        assert_eq!(Kind::of_predicate_type(&kind.predicate_type()), Some(kind));
    }
}

#[test]
fn a_summary_says_what_its_decision_says() {
    let granted = verdict(Ruling::Granted { until: Timestamp::from_unix(9) });
    let reason = Reason { rule: "r".to_owned(), found: "f".to_owned(), needed: "n".to_owned() };
    let refused = verdict(Ruling::Refused { reasons: vec![reason] });
    for (statement, edits) in [
        (
            &granted,
            vec![
                ("\"PASSED\"", "\"FAILED\""),
                ("[\"COUNTERSIGN_RELEASE\"]", "[]"),
                ("[\"COUNTERSIGN_RELEASE\"]", "[\"COUNTERSIGN_RELEASE\",\"SLSA_BUILD_LEVEL_3\"]"),
                ("bank/production/", "bank/staging/"),
                ("\"slsaVersion\":\"1.2\"", "\"slsaVersion\":\"1.1\""),
                ("countersign.dev/gate", "elsewhere.example/gate"),
                ("{\"decide\":\"1\"}", "{\"decide\":\"2\"}"),
                ("countersign:charter#policy", "https://elsewhere.example/policy"),
            ],
        ),
        (
            &refused,
            vec![
                ("\"FAILED\"", "\"PASSED\""),
                ("\"verifiedLevels\":[]", "\"verifiedLevels\":[\"COUNTERSIGN_RELEASE\"]"),
            ],
        ),
    ] {
        let bytes = String::from_utf8(statement.to_bytes().unwrap()).unwrap();
        for (from, to) in edits {
            let text = bytes.replacen(from, to, 1);
            assert_ne!(text, bytes, "{from}");
            assert!(Statement::from_bytes(text.as_bytes()).is_err(), "{from} to {to}");
        }
    }
}

#[test]
fn it_counts_until_it_expires() {
    let statement = statement(Claim::Resume(Resume { halt: 1 }));
    let end = statement.header.expires;
    assert!(statement.is_live_at(Timestamp::from_unix(end.unix() - 1)));
    assert!(!statement.is_live_at(end));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        drop(Statement::from_bytes(&bytes));
    }

    /// Golden bytes with pieces of others in them.
    #[test]
    fn no_splice_makes_it_panic_or_reads_as_two(from in 0usize..17, into in 0usize..17, a in 0usize..2000, b in 0usize..2000, len in 0usize..200) {
        let golden = golden();
        let (donor, text) = (golden[from].1.as_bytes(), golden[into].1.as_bytes());
        let (a, b) = (a.min(donor.len()), b.min(text.len()));
        let piece = &donor[a..(a + len).min(donor.len())];
        let spliced = [&text[..b], piece, &text[(b + piece.len()).min(text.len())..]].concat();
        if let Ok(read) = Statement::from_bytes(&spliced) {
            proptest::prop_assert_eq!(read.to_bytes().unwrap(), spliced);
        }
    }
}
