//! Signed notes, verifier keys and signature lines (C2SP signed-note).

use ledger::note::{Note, NoteKeyType, NoteSignature, VerifierKey};

use crate::fixed;

/// A note, key or line that is read prints as what was read; one that verifies was signed by the key.
pub fn run(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data, "a note has one form");
        assert!(!note.signatures().is_empty() && note.text().ends_with('\n'));
        if note.verify(fixed::log_signer().vkey()).is_ok() {
            assert!(fixed::is_signed_by_log(&note), "only the key's own signature verifies");
        }
        let witness = fixed::witness_signer();
        if let Ok(Some(time)) = note.cosigned_at(witness.vkey()) {
            assert!(time.unix() > 0);
            let line = witness.sign(note.text(), time).expect("the key is here");
            assert!(note.signatures().contains(&line), "only the witness's own cosignature verifies");
        }
        assert!(note.cosigned_at(fixed::log_signer().vkey()).is_err(), "a log's key is not a witness's");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(vkey) = text.parse::<VerifierKey>() {
        assert_eq!(vkey.to_string(), text, "a key has one form");
        let again = VerifierKey::new(vkey.name(), vkey.key_type(), vkey.key());
        assert_eq!(again.as_ref().ok(), Some(&vkey));
    }
    if let Ok(lines) = NoteSignature::parse_lines(text) {
        let printed: String = lines.iter().map(ToString::to_string).collect();
        assert_eq!(printed, text, "a signature line has one form");
    }
    signed(text);
}

/// Any text that can be a note's, signed and read back, verifies; changed it does not.
fn signed(text: &str) {
    let Ok(note) = Note::new(text.to_owned()) else { return };
    let signer = fixed::log_signer();
    let line = signer.sign(text, fixed::NOW).expect("the key is here");
    let mut note = note;
    note.add(line);
    let bytes = note.to_string().into_bytes();
    let Ok(read) = Note::parse(&bytes) else {
        assert!(bytes.len() > ledger::note::NOTE_LIMIT_BYTES, "what is written can be read");
        return;
    };
    assert_eq!(read, note);
    assert_eq!(read.verify(signer.vkey()), Ok(()));
    assert_eq!(signer.vkey().key_type(), NoteKeyType::Ed25519);
    let mut other = bytes;
    other[0] ^= 1;
    if let Ok(changed) = Note::parse(&other) {
        assert!(changed.verify(signer.vkey()).is_err(), "a changed text does not verify");
    }
}
