use super::*;
use crate::fixtures::{log_signer, witness_signer};

fn other() -> VerifierKey {
    VerifierKey::new("other.example", NoteKeyType::Ed25519, witness_signer("x", 5).vkey().key()).unwrap()
}

fn refused(text: &str) -> String {
    parse_list(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn both_forms_are_read() {
    let (one, two) = (log_signer().vkey().clone(), other());
    let network = format!(
        "#\n# List: testing\n\nlogs/v0\n\n  vkey {one}\nqpd 86400\ncontact https://one.example/\n# next\nvkey {two}\n\
         origin go.sum database tree\nqpd 1\ncontact somebody (at) two.example\n"
    );
    let logs = parse_list(network.as_bytes()).unwrap();
    assert_eq!(logs[0], WitnessedLog::new(one.clone()).unwrap());
    assert_eq!((logs[1].origin(), logs[1].keys()), ("go.sum database tree", &[two.clone()][..]));
    let lines = format!("# ours\nlog {one} https://one.example/\n\tlog\t{two}\n");
    let logs = parse_list(lines.as_bytes()).unwrap();
    assert_eq!(logs.iter().map(WitnessedLog::origin).collect::<Vec<_>>(), [one.name(), "other.example"]);
    assert_eq!(parse_list(b"logs/v0\n"), Ok(Vec::new()));
}

#[test]
fn keys_of_one_origin_come_together() {
    let (one, two) = (log_signer().vkey().clone(), other());
    let entry = |key: &VerifierKey| format!("vkey {key}\norigin both\nqpd 1\ncontact x\n");
    let text = format!("logs/v0\n{}{}{}", entry(&one), entry(&two), entry(&one));
    let logs = parse_list(text.as_bytes()).unwrap();
    assert_eq!(logs.len(), 1);
    assert_eq!(logs[0].keys(), [one, two]);
}

#[test]
fn what_is_not_a_list() {
    let one = log_signer().vkey().to_string();
    let witness = witness_signer("w", 5).vkey().to_string();
    for (bad, why) in [
        ("rubbish\n".to_owned(), "line 1: not `log <vkey> [<url>]`, nor does the file begin with `logs/v0`"),
        (format!("log {one} a b\n"), "line 1: not `log <vkey> [<url>]`, nor does the file begin with `logs/v0`"),
        ("log x\n".to_owned(), "line 1: the verifier key does not hold up"),
        (format!("log {witness}\n"), "`w` is said to sign with a witness's key: a log's has the type 0x01"),
        ("logs/v0\nqpd 1\n".to_owned(), "line 2: a log begins with `vkey`"),
        (format!("logs/v0\nvkey {one}\ncontact x\n"), "line 2: `qpd` with a number belongs after `vkey` and `origin`"),
        (
            format!("logs/v0\nvkey {one}\nqpd 0\ncontact x\n"),
            "line 2: `qpd` with a number belongs after `vkey` and `origin`",
        ),
        (
            format!("logs/v0\nvkey {one}\nqpd 01\ncontact x\n"),
            "line 2: `qpd` with a number belongs after `vkey` and `origin`",
        ),
        (format!("logs/v0\nvkey {one}\nqpd 1\n"), "line 2: `contact` belongs after `qpd`"),
    ] {
        assert_eq!(refused(&bad), why, "{bad}");
    }
    assert!(WitnessedLog::named("", log_signer().vkey().clone()).is_err());
    assert!(WitnessedLog::named("a\nb", log_signer().vkey().clone()).is_err());
    assert_eq!(parse_list(&[0xff]), Err(LogListError::Text));
}
