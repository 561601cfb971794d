//! Keys and a log that are the same in every run, so that seeds verify and a finding can be repeated.

use std::sync::{Arc, LazyLock};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme, Signer as _},
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    store::MemoryStore,
};
use model::Timestamp;
use tempfile::TempDir;

/// The log's origin.
pub const ORIGIN: &str = "fuzz.example/log";
/// When witnesses sign here.
pub const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// A private key by number.
pub fn key(scheme: Scheme, number: u8) -> PrivateKey {
    PrivateKey::from_seed(scheme, &[number; 32]).expect("the seed is not weak")
}

/// A signer of notes.
pub fn signer(name: &str, key_type: NoteKeyType, number: u8) -> NoteSigner {
    NoteSigner::new(name, key_type, Arc::new(key(Scheme::Ed25519, number))).expect("the name fits")
}

/// The log's signer.
pub fn log_signer() -> &'static NoteSigner {
    static SIGNER: LazyLock<NoteSigner> = LazyLock::new(|| signer(ORIGIN, NoteKeyType::Ed25519, 1));
    &SIGNER
}

/// The witness's signer.
pub fn witness_signer() -> &'static NoteSigner {
    static SIGNER: LazyLock<NoteSigner> = LazyLock::new(|| signer("fuzz.example/witness", NoteKeyType::Cosignature, 2));
    &SIGNER
}

/// A statement by number, signed.
pub fn statement(number: u64) -> Envelope {
    let payload = format!(r#"{{"statement":{number}}}"#).into_bytes();
    Envelope::seal("application/vnd.in-toto+json", payload, &key(Scheme::Ed25519, 3)).expect("it fits")
}

/// A log in memory with these statements.
pub fn log_of(numbers: impl IntoIterator<Item = u64>) -> Log {
    let log = Log::open(Arc::new(MemoryStore::new()), log_signer().clone(), Arc::new(OpenDoor)).expect("it is empty");
    for number in numbers {
        log.append(Submission::new(statement(number))).expect("it has room");
    }
    log
}

/// The whole note over a text, signed by the log.
pub fn signed(text: &str) -> String {
    let line = log_signer().sign(text, NOW).expect("the key is here");
    format!("{text}\n{line}")
}

/// Whether the log's key would have signed this text with one of these lines: Ed25519 is deterministic (RFC 8032).
pub fn is_signed_by_log(note: &ledger::note::Note) -> bool {
    let line = log_signer().sign(note.text(), NOW).expect("the key is here");
    note.signatures().contains(&line)
}

/// The public half.
pub fn public(scheme: Scheme, number: u8) -> ledger::keys::PublicKey {
    key(scheme, number).key().clone()
}

/// A folder that is removed again; `TMPDIR` says where (in memory, if runs are to be quick).
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}
