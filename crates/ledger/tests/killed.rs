//! A process that appends is killed without warning, again and again, at moments that nobody chose; whatever it had
//! said to be in the log is in the log, and the log is whole.

#![expect(clippy::unwrap_used, reason = "a test file: what is unwrapped fails the test")]

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ledger::{
    check::{Evidence, check_log},
    dsse::Envelope,
    follow::WitnessPolicy,
    keys::{PrivateKey, Scheme, Signer as _},
    note::{NoteKeyType, VerifierKey},
    store::{SqliteStore, Store as _},
};

const KILLS: usize = 12;

/// The example beside the tests; `cargo nextest` and `cargo test` build both.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let path = target.join("examples").join("append");
    assert!(path.is_file(), "build the examples first: `cargo build -p ledger --examples`");
    path
}

/// Runs until it has said `lines` more, kills it, and gives everything that it said: number and index.
fn run_and_kill(log: &Path, from: u64, lines: usize) -> Vec<(u64, u64)> {
    let mut child = Command::new(example()).arg(log).arg(from.to_string()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = Vec::new();
    for line in said.by_ref().take(lines) {
        read.push(line.unwrap());
    }
    child.kill().unwrap();
    // What it said before it died is in the pipe still; the last line may be cut short.
    read.extend(said.map_while(Result::ok));
    child.wait().unwrap();
    let pairs = read.iter().filter_map(|line| line.split_once(' '));
    pairs.map_while(|(number, index)| Some((number.parse().ok()?, index.parse().ok()?))).collect()
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_said_and_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[8; 32]).unwrap();
    let vkey = VerifierKey::new("killed.example", NoteKeyType::Ed25519, key.key()).unwrap();
    let mut said = Vec::new();
    for round in 0..KILLS {
        // Starting a little before the end repeats statements that are in the log: they keep their places.
        let from = said.last().map_or(0, |(number, _): &(u64, u64)| number.saturating_sub(3));
        said.extend(run_and_kill(&path, from, 1 + round * 7));
        let store = SqliteStore::open_read_only(&path).unwrap();
        let witnesses = WitnessPolicy::unwitnessed();
        let evidence = Evidence { log: &vkey, witnesses: &witnesses, checkpoints: &[], kept: None };
        let whole = check_log(&store, &evidence).unwrap();
        for (number, index) in &said {
            assert!(*index < whole.range.size(), "round {round}");
            let entry = store.entries(*index, 1).unwrap().pop().unwrap();
            let envelope = Envelope::from_entry(&entry.bytes).unwrap();
            assert_eq!(envelope.payload(), number.to_string().as_bytes(), "round {round}, index {index}");
        }
    }
    assert!(said.len() > KILLS * 20, "it got somewhere: {}", said.len());
}
