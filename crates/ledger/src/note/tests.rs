use proptest::prelude::*;

use super::*;
use crate::fixtures::{log_signer, witness_signer};

const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn signed(text: &str) -> Note {
    let mut note = Note::new(text.to_owned()).unwrap();
    note.add(log_signer().sign(text, Timestamp::default()).unwrap());
    note
}

/// The example of C2SP signed-note, "Verifier keys".
#[test]
fn the_specifications_example_verifies() {
    let key: VerifierKey = EXAMPLE_KEY.parse().unwrap();
    assert_eq!(key.to_string(), EXAMPLE_KEY);
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    note.verify(&key).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.to_string(), EXAMPLE);
    let tampered = Note::parse(EXAMPLE.replace("an example", "another").as_bytes()).unwrap();
    assert_eq!(tampered.verify(&key), Err(NoteError::BadSignature("example.com/foo".to_owned())));
}

#[test]
fn a_note_counts_only_with_a_valid_signature_of_the_key_that_is_asked_for() {
    let note = signed("text\n");
    note.verify(log_signer().vkey()).unwrap();
    let witness = witness_signer("witness.example", 9);
    assert_eq!(note.cosigned_at(witness.vkey()), Ok(None));
    assert_eq!(note.verify(witness.vkey()), Err(NoteError::KeyType("witness.example".to_owned())));
    assert_eq!(note.cosigned_at(log_signer().vkey()), Err(NoteError::KeyType(log_signer().vkey().name().to_owned())));
    let other: VerifierKey = EXAMPLE_KEY.parse().unwrap();
    assert_eq!(note.verify(&other), Err(NoteError::Unsigned("example.com/foo".to_owned())));
}

#[test]
fn signatures_of_unknown_keys_are_ignored_also_under_a_known_name() {
    let mut note = signed("text\n");
    let stranger = NoteSigner::new(
        log_signer().vkey().name(),
        NoteKeyType::Ed25519,
        std::sync::Arc::new(crate::fixtures::key(Scheme::Ed25519, 77)),
    );
    note.add(stranger.unwrap().sign("other text\n", Timestamp::default()).unwrap());
    for n in 0..20 {
        let filler = witness_signer(&format!("w{n}"), 100 + n);
        note.add(filler.sign("text\n", Timestamp::from_unix(5)).unwrap());
    }
    let note = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(note.signatures().len(), 22);
    note.verify(log_signer().vkey()).unwrap();
}

#[test]
fn one_bad_signature_of_a_known_key_spoils_the_note() {
    let mut note = signed("text\n");
    note.add(log_signer().sign("other\n", Timestamp::default()).unwrap());
    assert!(matches!(note.verify(log_signer().vkey()), Err(NoteError::BadSignature(_))));
}

#[test]
fn cosignatures_carry_their_time_and_are_of_this_text_and_time_only() {
    let witness = witness_signer("witness.example", 9);
    let mut note = signed("origin\n1\nroot\n");
    note.add(witness.sign(note.text(), Timestamp::from_unix(1_679_315_147)).unwrap());
    assert_eq!(note.cosigned_at(witness.vkey()), Ok(Some(Timestamp::from_unix(1_679_315_147))));
    note.add(witness.sign(note.text(), Timestamp::from_unix(1_679_315_200)).unwrap());
    assert_eq!(note.cosigned_at(witness.vkey()), Ok(Some(Timestamp::from_unix(1_679_315_200))), "the later of two");
    let mut moved = signed("origin\n2\nroot\n");
    moved.add(witness.sign(note.text(), Timestamp::from_unix(5)).unwrap());
    assert!(matches!(moved.cosigned_at(witness.vkey()), Err(NoteError::BadSignature(_))));
    for wrong in [0, u64::MAX] {
        let mut odd = signed("text\n");
        odd.add(witness.sign("text\n", Timestamp::from_unix(wrong)).unwrap());
        assert!(matches!(odd.cosigned_at(witness.vkey()), Err(NoteError::BadSignature(_))), "time {wrong}");
    }
    let mut late = witness.sign("text\n", Timestamp::from_unix(5)).unwrap();
    late.bytes[7] = 6;
    let mut note = signed("text\n");
    note.add(late);
    assert!(matches!(note.cosigned_at(witness.vkey()), Err(NoteError::BadSignature(_))), "the time is signed");
}

#[test]
fn the_text_ends_at_the_last_blank_line() {
    let note = signed("one\n\ntwo\n");
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read, note);
    read.verify(log_signer().vkey()).unwrap();
}

#[test]
fn malformed_notes() {
    let good = signed("text\n").to_string();
    for (case, text) in [
        ("nothing", String::new()),
        ("no blank line", good.replace("\n\n", "\n")),
        ("no signature", "text\n\n".to_owned()),
        ("no text", good.replace("text\n", "")),
        ("tab", good.replace("text", "te\txt")),
        ("carriage return", good.replace("text\n", "text\r\n")),
        ("hyphen for the dash", good.replace('\u{2014}', "-")),
        ("unfinished line", good.trim_end().to_owned()),
        (
            "not base64",
            good.replace("== \n", "\n")
                .replace("\u{2014} countersign.example/log ", "\u{2014} countersign.example/log !"),
        ),
        ("no signature bytes", "text\n\n\u{2014} a AAAAAA==\n".to_owned()),
        ("plus in the name", "text\n\n\u{2014} a+b AAAAAAAA\n".to_owned()),
        ("junk after", good.clone() + "more\n"),
    ] {
        assert!(Note::parse(text.as_bytes()).is_err(), "{case}");
    }
    assert!(Note::parse(&[0xff; 9]).is_err());
    assert_eq!(Note::parse(&vec![b'a'; NOTE_LIMIT_BYTES + 1]), Err(NoteError::TooLarge(NOTE_LIMIT_BYTES + 1)));
    let line = "\u{2014} a AAAAAAAA\n";
    assert!(Note::parse(format!("t\n\n{}", line.repeat(SIGNATURE_LIMIT)).as_bytes()).is_ok());
    assert!(Note::parse(format!("t\n\n{}", line.repeat(SIGNATURE_LIMIT + 1)).as_bytes()).is_err());
}

#[test]
fn vkeys_are_refused_with_the_reason() {
    let refused = |text: &str| text.parse::<VerifierKey>().unwrap_err();
    assert!(matches!(refused("example.com/foo"), VkeyError::Malformed(_)));
    assert!(matches!(refused("a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"), VkeyError::Name(_)));
    assert!(matches!(refused(&EXAMPLE_KEY.replace("foo", "bar")), VkeyError::Id(_)), "the id belongs to the name");
    assert!(matches!(refused(&EXAMPLE_KEY.replace("Aeky", "Auky")), VkeyError::Type(2)));
    assert!(matches!(refused("a+00000000+AQAA"), VkeyError::Key(_)));
    let sshsig = std::sync::Arc::new(crate::fixtures::key(Scheme::SshSig, 1));
    assert!(matches!(NoteSigner::new("a", NoteKeyType::Ed25519, sshsig), Err(VkeyError::Scheme)));
    let witness = witness_signer("w.example", 3);
    assert_eq!(witness.vkey().to_string().parse::<VerifierKey>().unwrap(), *witness.vkey());
}

proptest! {
    #[test]
    fn any_bytes_are_a_note_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,50}\n\n(\u{2014} \\PC{0,30}\n){0,3}") {
        for input in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(note) = Note::parse(input) {
                prop_assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
            }
        }
        drop(text.parse::<VerifierKey>());
    }
}
