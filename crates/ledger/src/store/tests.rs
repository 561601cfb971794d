//! What SQLite's file does beyond what every store promises, which the laws in `sim` ask of each.

use std::sync::Arc;

use super::*;
use crate::fixtures::statement;

fn entry(number: u64) -> StoredEntry {
    let envelope = statement(number);
    StoredEntry { bytes: envelope.canonical_bytes(), identity: envelope.identity() }
}

fn batch(first: u64, count: u64) -> Batch {
    Batch {
        first,
        entries: (first..first + count).map(entry).collect(),
        tiles: vec![Tile { level: 0, index: 0, bytes: vec![first as u8; 32] }],
        note: format!("note {}", first + count).into_bytes(),
        ..Batch::default()
    }
}

#[test]
fn files_that_are_not_logs_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str| SqliteStore::open(&folder.path().join(name)).map(|_| ()).unwrap_err();
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(refused("other.db"), OpenStoreError::Store(_, StoreError::Foreign(_))));
    let text = folder.path().join("text.db");
    crate::durable::write(&text, &[b'x'; 4096], 0o600).unwrap();
    assert!(matches!(refused("text.db"), OpenStoreError::Store(_, StoreError::Foreign(_))));
    let newer = folder.path().join("newer.db");
    drop(SqliteStore::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(refused("newer.db"), OpenStoreError::Store(_, StoreError::Foreign(_))));
    assert!(SqliteStore::open(&folder.path().join("no").join("log.db")).is_err());
    assert!(SqliteStore::open_read_only(&folder.path().join("none.db")).is_err());
    assert!(!folder.path().join("none.db").exists(), "reading makes no file");
}

#[test]
fn the_file_and_its_side_files_are_for_the_log_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("log.db")).unwrap();
    store.commit(&batch(0, 1)).unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 3);
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn a_closed_log_is_read_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // A folder in the way of the side file does what a read-only medium does, for root too.
    let path = folder.path().join("a log?.db");
    drop(SqliteStore::open(&path).unwrap().commit(&batch(0, 2)));
    std::fs::create_dir(folder.path().join("a log?.db-shm")).unwrap();
    let store = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(store.head().unwrap().unwrap().size, 2);
    assert_eq!(store.entries(0, 9).unwrap(), [entry(0), entry(1)]);
}

#[test]
fn commits_that_wait_beside_a_copied_file_are_not_passed_over() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = SqliteStore::open(&here.path().join("log.db")).unwrap();
    store.commit(&batch(0, 2)).unwrap();
    for name in ["log.db", "log.db-wal"] {
        let bytes = std::fs::read(here.path().join(name)).unwrap();
        crate::durable::write(&there.path().join(name), &bytes, 0o600).unwrap();
    }
    std::fs::create_dir(there.path().join("log.db-shm")).unwrap();
    let copy = SqliteStore::open_read_only(&there.path().join("log.db")).unwrap();
    assert_eq!(copy.head().unwrap().unwrap().size, 2);
}

#[test]
fn readers_go_on_while_somebody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("log.db")).unwrap());
    store.commit(&batch(0, 1)).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| (1..200).for_each(|n| store.commit(&batch(n, 1)).unwrap()));
        let mut last = 0;
        while !writing.is_finished() {
            let size = store.head().unwrap().unwrap().size;
            assert!(size >= last);
            assert_eq!(store.entries(size - 1, 1).unwrap(), [entry(size - 1)]);
            last = size;
        }
    });
    assert_eq!(store.head().unwrap().unwrap().size, 200);
}
