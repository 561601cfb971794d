use model::Digest;
use proptest::prelude::*;

use super::*;
use crate::{
    fixtures::{log_signer, witness_signer},
    follow::WitnessKey,
    note::NoteSigner,
};

fn vkey(number: u8) -> VerifierKey {
    witness_signer(&format!("w{number}.example"), number).vkey().clone()
}

fn signed(cosigners: &[u8]) -> SignedCheckpoint {
    let mut checkpoint = SignedCheckpoint::sign(7, Digest::of(b"root"), &log_signer()).unwrap();
    for number in cosigners {
        let signer: NoteSigner = witness_signer(&format!("w{number}.example"), *number);
        let line = signer.sign(checkpoint.note().text(), Timestamp::from_unix(1_000)).unwrap();
        checkpoint.add(line);
    }
    checkpoint
}

/// The example of the specification, with keys.
fn example() -> String {
    let mut text = format!("# An example.\n\n\tlog {} https://log.example/\n", log_signer().vkey());
    for (number, name) in (1..).zip(["X1", "X2", "X3"]) {
        text += &format!("witness {name} {}\n", vkey(number));
    }
    text += "group X-witnesses 2 X1 X2 X3\n";
    for (number, name) in (4..).zip(["Y1", "Y2", "Y3"]) {
        text += &format!("witness {name} \t {} https://{name}.example\n", vkey(number));
    }
    text + "group Y-witnesses any Y1 Y2 Y3\ngroup X-and-Y all X-witnesses Y-witnesses\n   quorum X-and-Y \n"
}

#[test]
fn the_specifications_example_counts_as_it_says() {
    let policy = TlogPolicy::parse(example().as_bytes()).unwrap();
    assert_eq!(policy.logs()[0].url.as_deref(), Some("https://log.example/"));
    for (cosigners, enough) in [
        (&[][..], false),
        (&[1, 2], false),
        (&[1, 4], false),
        (&[4, 5, 6], false),
        (&[1, 2, 4], true),
        (&[2, 3, 6], true),
        (&[1, 2, 3, 4, 5, 6], true),
        (&[7, 8, 9], false),
    ] {
        let opened = policy.open(&signed(cosigners).to_bytes());
        assert_eq!(opened.is_ok(), enough, "{cosigners:?}");
        if let Err(error) = opened {
            assert_eq!(error.to_string(), "the quorum `X-and-Y` of the policy has not cosigned the checkpoint");
        }
    }
    assert_eq!(TlogPolicy::parse(policy.to_string().as_bytes()).unwrap(), policy);
}

#[test]
fn other_logs_and_wrong_cosignatures_are_refused() {
    let policy = TlogPolicy::parse(example().as_bytes()).unwrap();
    let good = String::from_utf8(signed(&[1, 2, 4]).to_bytes()).unwrap();
    let foreign = policy.open(good.replace(log_signer().vkey().name(), "other.example").as_bytes()).unwrap_err();
    assert_eq!(foreign.to_string(), "the checkpoint is not of a log in the policy");
    // The cosignature of another checkpoint: the note is malformed, however many others are right.
    let mut spoiled = signed(&[1, 2, 4]);
    spoiled.add(witness_signer("w3.example", 3).sign("another\n", Timestamp::from_unix(1)).unwrap());
    let wrong = policy.open(&spoiled.to_bytes()).unwrap_err();
    assert_eq!(wrong.to_string(), "a cosignature of a known witness does not verify");
    let none = TlogPolicy::parse(format!("log {}\nquorum none\n", log_signer().vkey()).as_bytes()).unwrap();
    none.open(&signed(&[]).to_bytes()).unwrap();
}

#[test]
fn what_is_not_a_policy() {
    let log = log_signer().vkey().to_string();
    let w = vkey(1).to_string();
    let refused = |text: &str| TlogPolicy::parse(text.as_bytes()).unwrap_err().to_string();
    for (bad, why) in [
        (String::new(), "there is no line `quorum`"),
        (format!("log {log}\n"), "there is no line `quorum`"),
        (
            "quorum none".to_owned(),
            "a policy is UTF-8 without control characters but tab and newline, its last line ended",
        ),
        (
            "quorum none\r\n".to_owned(),
            "a policy is UTF-8 without control characters but tab and newline, its last line ended",
        ),
        ("quorum none\nquorum none\n".to_owned(), "line 2: there is a quorum already"),
        ("quorum W\n".to_owned(), "line 1: `W` is not defined on a line before"),
        (format!("quorum W\nwitness W {w}\n"), "line 1: `W` is not defined on a line before"),
        (format!("witness W {w}\nwitness V {w}\nquorum W\n"), "line 2: the key of this witness is listed twice"),
        (format!("log {log}\nlog {log}\nquorum none\n"), "line 2: the key of this log is listed twice"),
        (format!("witness none {w}\nquorum none\n"), "line 1: `none` is predefined"),
        (format!("witness W {w}\nwitness W {}\nquorum none\n", vkey(2)), "line 2: `W` is defined already"),
        (format!("witness W {w}\ngroup W any W\nquorum W\n"), "line 2: `W` is defined already"),
        (format!("witness W {w}\ngroup G any W W\nquorum G\n"), "line 2: `W` is a member already"),
        (format!("witness W {w}\ngroup G any W\ngroup H any W\nquorum G\n"), "line 3: `W` is a member already"),
        (format!("witness W {w}\ngroup G any none\nquorum G\n"), "line 2: `none` is not defined on a line before"),
        (
            format!("witness W {w}\ngroup G 2 W\nquorum G\n"),
            "line 2: a group asks for `all`, `any`, or from 1 up to all of its members",
        ),
        (
            format!("witness W {w}\ngroup G 01 W\nquorum G\n"),
            "line 2: a group asks for `all`, `any`, or from 1 up to all of its members",
        ),
        (
            format!("witness W {log}\nquorum W\n"),
            "line 1: the key is of the other type: logs sign with 0x01, witnesses with 0x04",
        ),
        ("log rubbish\nquorum none\n".to_owned(), "line 1: the verifier key does not hold up"),
    ] {
        assert_eq!(refused(&bad), why, "{bad}");
    }
    assert!(refused("group G any\nquorum none\n").starts_with("line 1: not `log <vkey> [<url>]`"));
}

/// Two witnesses with one operator, one of them with a name that the operator's group would like to have.
#[test]
fn a_charters_rule_is_written_as_groups_of_operators() {
    let named = |name: &str, number, operator: &str| WitnessKey {
        vkey: witness_signer(name, number).vkey().clone(),
        operator: operator.to_owned(),
    };
    let rule = WitnessPolicy::new(
        vec![named("none", 1, "the bank"), named("quorum", 2, "the bank"), named("w", 3, "auditor")],
        2,
    )
    .unwrap();
    let urls = BTreeMap::from([(rule.witnesses()[2].vkey.to_string(), "http://192.0.2.1:7075".to_owned())]);
    let policy = TlogPolicy::of(log_signer().vkey().clone(), Some("http://192.0.2.2/log".to_owned()), &rule, &urls);
    let text = policy.to_string();
    assert_eq!(TlogPolicy::parse(text.as_bytes()).unwrap(), policy);
    let tail: Vec<&str> = text.lines().skip(3).collect();
    assert!(tail[0].starts_with("witness w w+") && tail[0].ends_with(" http://192.0.2.1:7075"), "{text}");
    assert_eq!(
        tail[1..],
        ["group operator-the-bank 1 none-2 quorum", "group quorum-2 2 w operator-the-bank", "quorum quorum-2"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The file says yes exactly where the charter's own rule does.
    #[test]
    fn the_file_and_the_rule_agree(operators in proptest::collection::vec(0..3_u8, 1..6), quorum in 0..4_usize, by in proptest::collection::vec(any::<bool>(), 6)) {
        let keys = (1_u8..).zip(&operators).map(|(n, o)| WitnessKey { vkey: vkey(n), operator: format!("o{o}") });
        if let Ok(rule) = WitnessPolicy::new(keys.collect(), quorum) {
            let file = TlogPolicy::of(log_signer().vkey().clone(), None, &rule, &BTreeMap::new());
            let file = TlogPolicy::parse(file.to_string().as_bytes()).unwrap();
            let cosigners: Vec<u8> = (1_u8..).zip(&by).filter(|(_, yes)| **yes).map(|(n, _)| n).collect();
            let checkpoint = signed(&cosigners);
            prop_assert_eq!(file.open(&checkpoint.to_bytes()).is_ok(), rule.is_met_by(&checkpoint));
        }
    }

    #[test]
    fn any_text_is_refused_or_means_the_same_when_written(text in "(log|witness|group|quorum)[ \\PC]{0,30}\n", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for bytes in [text.into_bytes(), bytes] {
            if let Ok(policy) = TlogPolicy::parse(&bytes) {
                prop_assert_eq!(TlogPolicy::parse(policy.to_string().as_bytes()).unwrap(), policy);
            }
        }
    }
}
