use std::sync::Arc;

use model::Timestamp;
use rusqlite::params;

use super::*;
use crate::{
    fixtures::{entries, fill, log_of, log_signer, open_log, statement, witness_signer},
    follow::WitnessKey,
    log::Log,
    store::{MemoryStore, SqliteStore},
};

const NOW: Timestamp = Timestamp::from_unix(1_000);

fn witness_policy() -> WitnessPolicy {
    let vkey = witness_signer("w.example", 9).vkey().clone();
    WitnessPolicy::new(vec![WitnessKey { vkey, operator: "w".to_owned() }], 1).unwrap()
}

fn check(store: &dyn Store, checkpoints: &[SignedCheckpoint], kept: Option<&Follower>) -> Result<WholeLog, Damage> {
    let witnesses = witness_policy();
    let signer = log_signer();
    check_log(store, &Evidence { log: signer.vkey(), witnesses: &witnesses, checkpoints, kept })
}

fn cosign_head(log: &Log) {
    let head = log.head();
    let line = witness_signer("w.example", 9).sign(head.note().text(), NOW).unwrap();
    log.add_cosignature(head.size(), &line).unwrap();
}

/// A log on disk with heads at 10, 20 … 60, of which 20, 40 and 60 are cosigned.
struct OnDisk {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl OnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let log = open_log(Arc::new(SqliteStore::open(&path).unwrap()));
        for size in (10..=60).step_by(10) {
            fill(&log, size - 10, size);
            if size % 20 == 0 {
                cosign_head(&log);
            }
        }
        Self { _folder: folder, path }
    }

    fn check(&self) -> Result<WholeLog, Damage> {
        check(&SqliteStore::open_read_only(&self.path).unwrap(), &[], None)
    }

    fn tamper(&self, sql: &str, parameters: impl rusqlite::Params) {
        rusqlite::Connection::open(&self.path).unwrap().execute(sql, parameters).unwrap();
    }

    fn open_error(&self) -> String {
        let store = Arc::new(SqliteStore::open(&self.path).unwrap());
        Log::open(store, log_signer(), Arc::new(crate::log::OpenDoor)).map(|_| ()).unwrap_err().to_string()
    }
}

/// The same statements but for one, put in by somebody who holds the database and the log key: everything is
/// hashed and signed again.
fn rewritten(at: u64, size: u64) -> Arc<MemoryStore> {
    let (log, store) = log_of(at);
    fill(&log, 1_000 + at, 1_001 + at);
    fill(&log, at + 1, size);
    store
}

fn follower(log: &Log) -> Follower {
    let mut follower = Follower::new(log.vkey().clone(), WitnessPolicy::unwitnessed());
    follower.advance(&entries(log), &log.head().to_bytes(), NOW).unwrap();
    follower
}

#[test]
fn a_whole_log_is_whole() {
    let whole = OnDisk::new().check().unwrap();
    assert_eq!((whole.range.size(), whole.checkpoint.size(), whole.cosignatures), (60, 60, 3));
    assert!(whole.checkpoints >= 7, "each signed checkpoint was compared");
    let (_, empty) = log_of(0);
    assert_eq!(check(&*empty, &[], None).unwrap().range.size(), 0);
    let nothing = MemoryStore::new();
    assert!(matches!(check(&nothing, &[], None), Err(Damage::Unsigned { size: 0, signed: 0 })));
}

#[test]
fn every_kind_of_tampering_with_the_file_is_found_and_placed() {
    let other = statement(999);
    let identity = *other.identity().digest().as_bytes();
    let rewritten = |at: u64| move |d: &Damage| matches!(d, Damage::Rewritten { place, .. } if place.contains(&at));
    type Finds<'a> = Box<dyn Fn(&Damage) -> bool + 'a>;
    let cases: [(&str, Finds<'_>, &str, &dyn rusqlite::ToSql); 9] = [
        (
            "an entry replaced",
            Box::new(rewritten(33)),
            "UPDATE entries SET bytes = ?1 WHERE idx = 33",
            &other.canonical_bytes(),
        ),
        (
            "an entry that is no envelope",
            Box::new(|d| matches!(d, Damage::Entry(33, _))),
            "UPDATE entries SET bytes = ?1 WHERE idx = 33",
            &"{}".as_bytes(),
        ),
        (
            "another name",
            Box::new(|d| matches!(d, Damage::Identity(33))),
            "UPDATE entries SET identity = ?1 WHERE idx = 33",
            &identity,
        ),
        ("deleted", Box::new(|d| matches!(d, Damage::Store(_))), "DELETE FROM entries WHERE idx = ?1", &33),
        (
            "cut off",
            Box::new(|d| matches!(d, Damage::Shrunk { size: 50, .. } | Damage::Tile { .. })),
            "DELETE FROM entries WHERE idx >= ?1",
            &50,
        ),
        (
            "a tile",
            Box::new(|d| matches!(d, Damage::Tile { level: 0, index: 0 })),
            "UPDATE tiles SET bytes = zeroblob(?1)",
            &1920,
        ),
        (
            "a checkpoint",
            Box::new(|d| matches!(d, Damage::Checkpoint { size: 20, .. })),
            "UPDATE checkpoints SET note = ?1 WHERE size = 20",
            &"x".as_bytes(),
        ),
        (
            "a checkpoint moved",
            Box::new(rewritten(12)),
            "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = ?1) WHERE size = 20",
            &10,
        ),
        (
            "a cosignature",
            Box::new(rewritten(25)),
            "UPDATE cosignatures SET line = (SELECT line FROM cosignatures WHERE size = ?1) WHERE size = 40",
            &20,
        ),
    ];
    for (case, finds, sql, parameter) in cases {
        let log = OnDisk::new();
        // The name is changed with the bytes where only the bytes are looked at, as a careful forger would.
        log.tamper(sql, [parameter]);
        if case == "an entry replaced" {
            log.tamper("UPDATE entries SET identity = ?1 WHERE idx = 33", [identity]);
        }
        let found = log.check().unwrap_err();
        assert!(finds(&found), "{case}: {found:?}");
        // Opening looks at the right edge alone.
        if ["cut off", "a tile"].contains(&case) {
            assert!(!log.open_error().is_empty(), "{case}");
        }
    }
}

#[test]
fn a_log_whose_entries_and_hashes_were_both_changed_does_not_open() {
    let log = OnDisk::new();
    let forged = rewritten(33, 60);
    for (index, entry) in (0_u64..).zip(forged.entries(0, 100).unwrap()) {
        let identity = *entry.identity.digest().as_bytes();
        log.tamper(
            "UPDATE entries SET bytes = ?1, identity = ?2 WHERE idx = ?3",
            params![entry.bytes, identity, index],
        );
    }
    log.tamper("UPDATE tiles SET bytes = ?1 WHERE level = 0 AND idx = 0", [forged.tile(0, 0).unwrap()]);
    assert!(log.open_error().starts_with("the stored hashes give the root sha256:"));
    let Damage::Rewritten { place, witness } = log.check().unwrap_err() else { panic!("not found") };
    assert_eq!(witness, Voucher::StoredCheckpoint);
    assert!(place.contains(&33), "{place:?}");
}

#[test]
fn a_consistent_rewrite_with_the_logs_key_is_found_by_what_was_kept_elsewhere() {
    let (log, _) = log_of(60);
    let kept = follower(&log);
    let head = (*log.head()).clone();
    let forged = rewritten(33, 70);
    check(&*forged, &[], None).unwrap();

    let found = check(&*forged, std::slice::from_ref(&head), None).unwrap_err();
    assert!(
        matches!(&found, Damage::Rewritten { place, witness: Voucher::KeptCheckpoint } if *place == (0..60)),
        "{found}"
    );
    assert_eq!(
        found.to_string(),
        "entries 0 to 59 are not those that a checkpoint kept elsewhere vouches for: history was rewritten"
    );

    let found = check(&*forged, &[], Some(&kept)).unwrap_err();
    assert!(
        matches!(&found, Damage::Rewritten { place, .. } if *place == (32..48)),
        "closer: 60 is 32, 16, 8 and 4: {found}"
    );

    let (early, _) = log_of(30);
    let later = check(&*forged, &[head.clone(), (*early.head()).clone()], None).unwrap_err();
    assert!(matches!(&later, Damage::Rewritten { place, .. } if *place == (30..60)), "{later}");

    check(&*log_of(70).1, std::slice::from_ref(&head), Some(&kept)).unwrap();
    let short = log_of(50).1;
    assert!(matches!(check(&*short, &[head], None), Err(Damage::Shrunk { size: 50, vouched: 60, .. })));
    assert!(matches!(check(&*short, &[], Some(&kept)), Err(Damage::Shrunk { size: 50, vouched: 60, .. })));
}

#[test]
fn stored_cosignatures_do_not_fit_a_rewritten_log() {
    let (log, _) = log_of(20);
    cosign_head(&log);
    let line = log.cosigned(|_| true).unwrap().unwrap();
    let (rewritten, store) = log_of(15);
    fill(&rewritten, 100, 105);
    let witness = line.note().signatures().iter().find(|s| s.name() == "w.example").unwrap();
    store.add_cosignature(20, "w.example", &witness.to_string()).unwrap();
    let found = check(&*store, &[], None).unwrap_err();
    assert_eq!(
        found.to_string(),
        "entries 0 to 19 are not those that witness `w.example` vouches for: history was rewritten"
    );
}

#[test]
fn entries_beyond_what_was_signed_are_not_believed() {
    let log = OnDisk::new();
    let other = statement(999);
    let identity = *other.identity().digest().as_bytes();
    log.tamper(
        "INSERT INTO entries (idx, identity, bytes) VALUES (60, ?1, ?2)",
        params![identity, other.canonical_bytes()],
    );
    let found = log.check().unwrap_err();
    assert!(matches!(found, Damage::Tile { .. } | Damage::Unsigned { size: 61, signed: 60 }), "{found}");
    assert!(!log.open_error().is_empty());
}
