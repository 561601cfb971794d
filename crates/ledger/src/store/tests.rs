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

/// What every store promises, asked of each.
fn keeps_its_promises(store: &dyn Store) {
    assert_eq!(store.head().unwrap(), None);
    store.commit(&Batch { note: b"note 0".to_vec(), ..Batch::default() }).unwrap();
    store.commit(&batch(0, 3)).unwrap();
    store.commit(&batch(3, 2)).unwrap();
    assert_eq!(store.head().unwrap(), Some(StoredCheckpoint { size: 5, note: b"note 5".to_vec() }));
    assert_eq!(store.entries(1, 2).unwrap(), [entry(1), entry(2)]);
    assert_eq!(store.entries(4, 100).unwrap(), [entry(4)]);
    assert_eq!(store.entries(5, 100).unwrap(), []);
    assert_eq!(store.entries(u64::MAX, 100).unwrap(), []);
    assert_eq!(store.find(entry(3).identity).unwrap(), Some(3));
    assert_eq!(store.find(entry(9).identity).unwrap(), None);
    assert_eq!(store.tile(0, 0).unwrap(), Some(vec![3; 32]), "the later tile replaces the earlier");
    assert_eq!(store.tile(1, 0).unwrap(), None);
    assert_eq!(store.tile(0, u64::MAX).unwrap(), None);
    let sizes = |from, limit| store.checkpoints(from, limit).unwrap().iter().map(|c| c.size).collect::<Vec<_>>();
    assert_eq!((sizes(0, 9), sizes(1, 1), sizes(6, 9)), (vec![0, 3, 5], vec![3], vec![]));

    // A commit is whole or not at all.
    let before = store.entries(0, 100).unwrap();
    for (case, wrong) in [
        ("behind", batch(4, 2)),
        ("ahead", batch(6, 2)),
        ("a statement that is there", Batch { entries: vec![entry(7), entry(0)], ..batch(5, 0) }),
        ("a statement twice", Batch { entries: vec![entry(7), entry(7)], ..batch(5, 0) }),
    ] {
        let error =
            store.commit(&Batch { tiles: vec![Tile { level: 9, index: 9, bytes: vec![1] }], ..wrong }).unwrap_err();
        assert!(error.nothing_changed(), "{case}: {error:?}");
        assert!(matches!(error, StoreError::OutOfStep { .. } | StoreError::Duplicate(_)), "{case}: {error:?}");
        assert_eq!(store.entries(0, 100).unwrap(), before, "{case}");
        assert_eq!(store.tile(9, 9).unwrap(), None, "{case}");
        assert_eq!(store.find(entry(7).identity).unwrap(), None, "{case}");
    }

    for (size, name, line) in [(3, "b", "line b"), (3, "a", "line a"), (5, "a", "line 5"), (3, "a", "line a again")] {
        store.add_cosignature(size, name, line).unwrap();
    }
    assert_eq!(store.cosignatures(3).unwrap(), ["line a again", "line b"]);
    assert_eq!(store.cosignatures(4).unwrap(), Vec::<String>::new());
    assert_eq!((store.cosigned_sizes(9).unwrap(), store.cosigned_sizes(1).unwrap()), (vec![5, 3], vec![5]));
}

#[test]
fn the_store_in_memory() {
    keeps_its_promises(&MemoryStore::new());
}

#[test]
fn the_store_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    keeps_its_promises(&SqliteStore::open(&folder.path().join("log.db")).unwrap());
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
    assert!(matches!(refused("text.db"), OpenStoreError::Store(_, StoreError::Failed(_))));
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
