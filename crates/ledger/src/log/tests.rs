mod faults;
mod forks;
mod trouble;

use std::{collections::BTreeSet, thread};

use super::*;
use crate::{
    blobs::FileBlobs,
    bodies::{Body, Subject},
    fixtures::{ORIGIN, entries, fill, key, log_of, log_signer, open_log, open_log_with, statement, witness_signer},
    keys::{Scheme, Signer as _},
    merkle::{CompactRange, leaf_hash, verify_consistency},
    store::{MemoryStore, SqliteStore},
};
use model::Timestamp;

#[test]
fn a_receipt_proves_the_statement_is_in_the_log() {
    let (log, _) = log_of(0);
    assert_eq!(log.head().size(), 0);
    for number in 0..20 {
        let receipt = log.append(Submission::new(statement(number))).unwrap();
        assert_eq!(receipt.index, number);
        let checkpoint = receipt.verify(&statement(number), log.vkey()).unwrap();
        assert!(checkpoint.size() > number);
        assert!(receipt.verify(&statement(number + 1), log.vkey()).is_err());
        let elsewhere = Receipt { index: number + 1, ..receipt.clone() };
        assert!(elsewhere.verify(&statement(number), log.vkey()).is_err());
    }
    let later = log.receipt(3).unwrap();
    assert_eq!(later.verify(&statement(3), log.vkey()).unwrap().size(), 20);
    assert_eq!(log.envelope(3).unwrap(), statement(3));
    assert!(matches!(log.envelope(20), Err(ReadError::Beyond { asked: 20, size: 20 })));
    assert!(matches!(log.receipt(20), Err(ReadError::Beyond { .. })));
}

#[test]
fn the_same_statement_gets_its_first_index_however_it_comes() {
    let (log, _) = log_of(5);
    assert_eq!(log.append(Submission::new(statement(2))).unwrap().index, 2);
    let signed_again = crate::dsse::Envelope::from_parts(
        statement(2).payload_type(),
        statement(2).payload().to_vec(),
        statement(2).signer(),
        vec![7; 64],
    );
    assert_eq!(log.append(Submission::new(signed_again.unwrap())).unwrap().index, 2);
    let batch: Vec<_> = [5, 6, 5, 0, 6].map(|n| Submission::new(statement(n))).into();
    let indices: Vec<u64> = log.append_all(batch).into_iter().map(|r| r.unwrap().index).collect();
    assert_eq!(indices, [5, 6, 5, 0, 6], "also within one batch");
    assert_eq!(log.head().size(), 7);
    assert_eq!(log.find(statement(6).identity()).unwrap(), Some(6));
    assert_eq!(log.find(statement(7).identity()).unwrap(), None);
}

#[test]
fn many_threads_append_the_same_statements_and_each_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(Arc::new(SqliteStore::open(&folder.path().join("log.db")).unwrap()));
    let threads = 8;
    let each = 40;
    let results: Vec<Vec<(u64, u64)>> = thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    // Each thread starts elsewhere, so that they meet in every order.
                    let order = (0..each).map(|n| (n + thread * 5) % each);
                    order.map(|n| (n, log.append(Submission::new(statement(n))).unwrap().index)).collect()
                })
            })
            .collect();
        spawned.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(log.head().size(), each);
    let first: BTreeSet<_> = results[0].iter().collect();
    for other in &results[1..] {
        assert_eq!(other.iter().collect::<BTreeSet<_>>(), first, "everybody was told the same places");
    }
    for (number, index) in &results[0] {
        assert_eq!(log.envelope(*index).unwrap(), statement(*number));
    }
}

#[test]
fn a_log_opens_as_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let open = || open_log(Arc::new(SqliteStore::open(&path).unwrap()));
    let log = open();
    fill(&log, 0, 300);
    let head = log.head();
    drop(log);
    let log = open();
    assert_eq!(log.head(), head);
    fill(&log, 300, 600);
    drop(log);
    let log = open();
    let mut range = CompactRange::new();
    (0..600).for_each(|n| range.push_entry(&statement(n).canonical_bytes()));
    assert_eq!((log.head().size(), log.head().root()), (600, range.root()));
    assert_eq!(entries(&log).len(), 600);
}

#[test]
fn two_processes_can_not_write_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let first = SqliteStore::open(&path).unwrap();
    let refused = SqliteStore::open(&path).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "the log is in use; stop the other process first");
    let reader = SqliteStore::open_read_only(&path).unwrap();
    let log = open_log(Arc::new(first));
    fill(&log, 0, 3);
    assert_eq!(reader.head().unwrap().unwrap().size, 3, "readers may");
    assert!(matches!(reader.commit(&crate::store::Batch::default()), Err(StoreError::ReadOnly)));
}

#[test]
fn tiles_and_bundles_are_served_as_specified() {
    let (log, _) = log_of(300);
    let get = |path: &str| log.resource(path.parse().unwrap()).unwrap();
    let full = get("tile/0/000").unwrap();
    assert_eq!(full.len(), 8192);
    assert_eq!(full[..32], *leaf_hash(&statement(0).canonical_bytes()).as_bytes());
    assert_eq!(get("tile/0/001.p/44").unwrap().len(), 44 * 32);
    assert_eq!(get("tile/0/001.p/10").unwrap().len(), 320, "a smaller tree's partial tile");
    assert_eq!(get("tile/1/000.p/1").unwrap().len(), 32);
    for missing in [
        "tile/0/001",
        "tile/0/001.p/45",
        "tile/0/002",
        "tile/2/000",
        "tile/entries/001",
        "tile/entries/001.p/45",
        "tile/entries/x018/x446/x744/x073/x709/x551/615",
    ] {
        assert_eq!(get(missing), None, "{missing}");
    }
    let bundle = get("tile/entries/001.p/44").unwrap();
    let first = statement(256).canonical_bytes();
    assert_eq!(usize::from(u16::from_be_bytes([bundle[0], bundle[1]])), first.len());
    assert_eq!(bundle[2..2 + first.len()], *first);
    let (mut at, mut count) = (0, 0);
    while at < bundle.len() {
        at += 2 + usize::from(u16::from_be_bytes([bundle[at], bundle[at + 1]]));
        count += 1;
    }
    assert_eq!((at, count), (bundle.len(), 44));
    assert_eq!(get("checkpoint").unwrap(), log.head().to_bytes());
}

#[test]
fn consistency_proofs_join_any_two_heads() {
    let (log, store) = log_of(0);
    for size in [1, 5, 90, 256, 257, 400] {
        fill(&log, log.head().size(), size);
    }
    let heads: Vec<_> = store.checkpoints(0, 100).unwrap();
    let heads: Vec<_> = heads.iter().map(|c| SignedCheckpoint::open(&c.note, log.vkey()).unwrap()).collect();
    assert!(heads.len() >= 7);
    for (place, old) in heads.iter().enumerate() {
        for new in &heads[place..] {
            let proof = log.consistency_proof(old.size(), new.size()).unwrap();
            verify_consistency(old.size(), &old.root(), new.size(), &new.root(), &proof).unwrap();
        }
    }
    assert!(matches!(log.consistency_proof(0, 401), Err(ReadError::Beyond { asked: 401, size: 400 })));
    assert!(matches!(log.consistency_proof(5, 4), Err(ReadError::Beyond { .. })));
    assert!(matches!(log.inclusion_proof(4, 4), Err(ReadError::Beyond { .. })));
}

#[test]
fn bodies_are_kept_beside_before_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("log.db")).unwrap());
    let blobs = Arc::new(FileBlobs::open(&folder.path().join("bodies")).unwrap());
    let log = open_log(store.clone());
    let subject = Subject::Change(0);
    let body = Body::new(b"names, times and output".to_vec()).unwrap();
    let again = Body::new(body.bytes.clone()).unwrap();
    assert_ne!(body.commitment(), again.commitment(), "the salt hides equal bodies");
    let bodies = vec![body.clone().about(subject.clone()), again.about(subject.clone())];
    let submission = Submission { envelope: statement(0), bodies };
    assert!(matches!(log.append(submission.clone()), Err(AppendError::NoBodies)));
    assert_eq!(log.body(&body.commitment()).unwrap(), KeptBody::Missing);
    let log = log.keeping(Bodies::new(blobs.clone(), store));
    for _ in 0..2 {
        assert_eq!(log.append(submission.clone()).unwrap().index, 0, "again is the first index");
        assert_eq!(log.body(&body.commitment()).unwrap(), KeptBody::Kept(body.clone()));
    }
    assert_eq!(log.body(&Digest::of(b"x")).unwrap(), KeptBody::Missing);
    let huge = Body { salt: [0; 32], bytes: vec![0; BODY_LIMIT_BYTES + 1] }.about(subject.clone());
    let refused = log.append(Submission { envelope: statement(1), bodies: vec![huge] });
    assert!(matches!(refused, Err(AppendError::Bodies)));
    let many = vec![body.clone().about(subject.clone()); BODY_COUNT_LIMIT + 1];
    assert!(matches!(log.append(Submission { envelope: statement(1), bodies: many }), Err(AppendError::Bodies)));
    let lost = Body::new(b"no place for it".to_vec()).unwrap();
    let outer = folder.path().join("bodies").join(&lost.commitment().hex()[..2]);
    drop(std::fs::remove_dir_all(&outer));
    crate::durable::write(&outer, b"", 0o600).unwrap();
    let refused = log.append(Submission { envelope: statement(1), bodies: vec![lost.about(subject.clone())] });
    assert!(matches!(refused, Err(AppendError::Keep(_))), "no entry without its body");
    assert_eq!(log.head().size(), 1);
    log.bodies().unwrap().erase(subject.digest()).unwrap();
    assert_eq!(log.body(&body.commitment()).unwrap(), KeptBody::Erased);
    let late = Body::new(b"late".to_vec()).unwrap().about(subject);
    let refused = log.append(Submission { envelope: statement(1), bodies: vec![late] }).unwrap_err();
    let AppendError::Keep(reason) = &refused else { panic!("{refused:?}") };
    assert_eq!(reason.to_string(), "`change:0` was erased; nothing new is kept about it");
    assert_eq!(log.append(Submission::new(statement(1))).unwrap().index, 1, "without the body it is taken");
}

#[test]
fn waiting_ends_when_the_log_grows_or_the_time_is_up() {
    let (log, _) = log_of(1);
    assert_eq!(log.wait_beyond(0, Duration::from_secs(60)).size(), 1);
    assert_eq!(log.wait_beyond(1, Duration::from_millis(5)).size(), 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| log.wait_beyond(1, Duration::from_secs(60)).size());
        fill(&log, 1, 2);
        assert_eq!(waiting.join().unwrap(), 2);
    });
}

#[test]
fn cosignatures_are_kept_and_served() {
    let (log, _) = log_of(3);
    let witness = witness_signer("w.example", 9);
    let at_three = log.head();
    assert!(log.cosigned(|_| true).unwrap().is_none());
    let line = witness.sign(at_three.note().text(), Timestamp::from_unix(50)).unwrap();
    log.add_cosignature(3, &line).unwrap();
    fill(&log, 3, 5);
    let found = log.cosigned(|c| c.note().cosigned_at(witness.vkey()).is_ok_and(|t| t.is_some())).unwrap().unwrap();
    assert_eq!(found.size(), 3, "the largest that was cosigned, not the head");
    assert!(log.cosigned(|_| false).unwrap().is_none());
    let later = witness.sign(at_three.note().text(), Timestamp::from_unix(90)).unwrap();
    log.add_cosignature(3, &later).unwrap();
    let found = log.cosigned(|_| true).unwrap().unwrap();
    assert_eq!(found.note().cosigned_at(witness.vkey()), Ok(Some(Timestamp::from_unix(90))));
    assert_eq!(found.note().signatures().len(), 2, "the later one replaces the earlier");
}

/// Verifies signatures, and does not want one statement.
#[derive(Default)]
struct Guard;

#[derive(Debug, thiserror::Error)]
#[error("statement {0} is not wanted")]
struct NotWanted(u64);

impl Door for Guard {
    fn check(&self, _: &Log, submission: &Submission) -> Result<(), Refusal> {
        submission.envelope.verify(key(Scheme::Ed25519, 1).key()).map_err(Refusal::new)?;
        if submission.envelope == statement(1_313) { Err(Refusal::new(NotWanted(1_313))) } else { Ok(()) }
    }
}

#[test]
fn the_root_at_every_size_is_what_it_was() {
    let (log, _) = log_of(0);
    let mut range = CompactRange::new();
    for size in [1, 2, 255, 256, 257, 300, 700] {
        (range.size()..size).for_each(|n| range.push_entry(&statement(n).canonical_bytes()));
        fill(&log, log.head().size(), size);
        assert_eq!(log.root_at(size).unwrap(), Some(range.root()), "{size}");
        assert_eq!(log.root_at(size + 1).unwrap(), None);
    }
    assert_eq!(log.root_at(0).unwrap(), Some(CompactRange::new().root()));
    assert_eq!(log.root_at(2).unwrap(), Some(log_of(2).0.head().root()), "also long after");
}

#[test]
fn the_door_decides() {
    let log = open_log_with(Arc::new(MemoryStore::new()), Arc::new(Guard));
    let batch: Vec<_> = [0, 1_313, 1].map(|n| Submission::new(statement(n))).into();
    let results = log.append_all(batch);
    let indices: Vec<Option<u64>> = results.iter().map(|r| r.as_ref().ok().map(|r| r.index)).collect();
    assert_eq!(indices, [Some(0), None, Some(1)]);
    let Err(AppendError::Refused(refusal)) = &results[1] else { panic!("{:?}", results[1]) };
    assert_eq!(refusal.to_string(), "statement 1313 is not wanted");
    assert!(refusal.reason::<NotWanted>().is_some_and(|r| r.0 == 1_313));
    let forged = Envelope::from_parts("t", b"x".to_vec(), statement(0).signer(), vec![0; 64]).unwrap();
    assert!(matches!(log.append(Submission::new(forged)), Err(AppendError::Refused(_))));
    assert_eq!(log.head().size(), 2);
}

#[test]
fn more_at_once_than_may_wait_are_all_taken_in() {
    let (log, _) = log_of(0);
    let count = 3 * queue::QUEUE_LIMIT as u64;
    let envelopes = (0..count).map(|n| Submission::new(statement(n))).collect();
    let indices: Vec<u64> = log.append_all(envelopes).into_iter().map(|r| r.unwrap().index).collect();
    assert_eq!(indices, (0..count).collect::<Vec<_>>());
}

#[test]
fn a_closed_log_takes_nothing_in_and_is_read_on() {
    let (log, _) = log_of(3);
    log.close();
    assert!(matches!(log.append(Submission::new(statement(9))), Err(AppendError::Closed)));
    assert_eq!(entries(&log).len(), 3);
}

#[test]
fn a_log_that_was_set_back_says_so_and_is_read_on() {
    let (log, _) = log_of(3);
    assert_eq!(log.set_back(), None);
    let reason = SetBack::Witness { witness: "w".to_owned(), theirs: 5, ours: 3 };
    log.stop_taking_in(reason.clone());
    log.stop_taking_in(SetBack::Fork("another".to_owned()));
    let Err(AppendError::SetBack(told)) = log.append(Submission::new(statement(9))) else { panic!("taken in") };
    assert_eq!(told, reason, "the first reason stays");
    assert_eq!(told.to_string(), "witness `w` has cosigned 5 entries, and the log has 3");
    assert_eq!((entries(&log).len(), log.set_back()), (3, Some(reason)));
    log.receipt(1).unwrap().verify(&statement(1), log.vkey()).unwrap();
}

#[test]
fn opening_reads_the_right_edge_and_nothing_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let log = open_log(Arc::new(SqliteStore::open(&path).unwrap()));
    fill(&log, 0, 520);
    drop(log);
    let side_door = rusqlite::Connection::open(&path).unwrap();
    // What is before the edge is not looked at: that is what the whole-log check is for, which takes its time.
    side_door.execute("UPDATE entries SET bytes = x'00' WHERE idx < 519", []).unwrap();
    side_door.execute("UPDATE tiles SET bytes = x'00' WHERE level = 0 AND idx < 2", []).unwrap();
    let open = || Log::open(Arc::new(SqliteStore::open(&path).unwrap()), log_signer(), Arc::new(OpenDoor));
    let log = open().unwrap();
    fill(&log, 520, 530);
    assert_eq!(log.receipt(525).unwrap().verify(&statement(525), log.vkey()).unwrap().size(), 530);
    drop(log);
    let changes = [
        ("UPDATE entries SET bytes = x'00' WHERE idx = 529", "entry 529 of the log is damaged"),
        ("DELETE FROM entries WHERE idx = 529", "the log signed 530 entries, but fewer are stored"),
        (
            "INSERT INTO entries VALUES (530, zeroblob(32), x'00')",
            "the log signed 530 entries, but 531 or more are stored",
        ),
        ("DELETE FROM tiles WHERE level = 1", "the stored hashes of the last entries are missing"),
    ];
    drop(side_door);
    for (sql, told) in changes {
        let copy = tempfile::tempdir().unwrap();
        let to = copy.path().join("log.db");
        std::fs::copy(&path, &to).unwrap();
        rusqlite::Connection::open(&to).unwrap().execute_batch(sql).unwrap();
        let refused = Log::open(Arc::new(SqliteStore::open(&to).unwrap()), log_signer(), Arc::new(OpenDoor));
        assert_eq!(refused.map(|_| ()).unwrap_err().to_string(), told, "{sql}");
    }
}

#[test]
fn a_log_of_another_key_is_not_opened() {
    let (log, store) = log_of(3);
    drop(log);
    let other =
        crate::note::NoteSigner::new(ORIGIN, crate::note::NoteKeyType::Ed25519, Arc::new(key(Scheme::Ed25519, 99)));
    let refused = Log::open(store, other.unwrap(), Arc::new(OpenDoor)).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "the stored checkpoint is not signed by this log's key");
}
