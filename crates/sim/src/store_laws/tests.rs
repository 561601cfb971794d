mod turns;

use ledger::{
    copy::{CopyError, copy_keys, copy_log},
    store::{MemoryStore, SqliteStore},
};

use super::*;
use crate::postgres_server::PostgresServer;

#[test]
fn every_store_keeps_its_promises_and_every_log_is_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let server = PostgresServer::start().unwrap();
    a_store_keeps_its_promises(&MemoryStore::new());
    a_store_keeps_its_promises(&SqliteStore::open(&folder.path().join("promises")).unwrap());
    a_store_keeps_its_promises(&PostgresServer::store(&server.new_database().unwrap()).unwrap());
    keys_are_kept_and_destroyed(&MemoryStore::new());
    keys_are_kept_and_destroyed(&SqliteStore::open(&folder.path().join("keys")).unwrap());
    keys_are_kept_and_destroyed(&PostgresServer::store(&server.new_database().unwrap()).unwrap());

    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let served = a_log_is_a_log(|| memory.clone());
    let path = folder.path().join("log");
    assert_eq!(a_log_is_a_log(|| Arc::new(SqliteStore::open(&path).unwrap())), served);
    let url = server.new_database().unwrap();
    assert_eq!(a_log_is_a_log(|| Arc::new(PostgresServer::store(&url).unwrap())), served);

    databases_that_are_not_logs_are_left_alone(&server);
    a_changed_database_does_not_open(&server, &url);
}

#[test]
fn a_log_moves_to_a_database_and_back_without_a_byte_changed() {
    let folder = tempfile::tempdir().unwrap();
    let server = PostgresServer::start().unwrap();
    let path = folder.path().join("log");
    let source = SqliteStore::open(&path).unwrap();
    keys_are_kept_and_destroyed(&source);
    let source = Arc::new(source);
    let served = a_log_is_a_log(|| source.clone());
    let signer = signer();
    let witness = NoteSigner::new("w.example", NoteKeyType::Cosignature, Arc::new(key(9))).unwrap();
    for checkpoint in source.checkpoints(0, 1_000).unwrap().into_iter().step_by(2) {
        let opened = ledger::checkpoint::SignedCheckpoint::open(&checkpoint.note, signer.vkey()).unwrap();
        let line = witness.sign(opened.note().text(), model::Timestamp::from_unix(50)).unwrap();
        source.add_cosignature(checkpoint.size, "w.example", &line.to_string()).unwrap();
    }
    drop(source);
    let before = std::fs::read(&path).unwrap();

    let read = SqliteStore::open_read_only(&path).unwrap();
    let url = server.new_database().unwrap();
    let database = PostgresServer::store(&url).unwrap();
    let mut told = Vec::new();
    let whole = copy_log(&read, &database, signer.vkey(), |size| told.push(size)).unwrap();
    assert_eq!((whole.range.size(), told.last()), (310, Some(&310)));
    assert_eq!(copy_keys(&read, &database).unwrap(), 3);
    let again = copy_log(&read, &database, signer.vkey(), |_| ()).unwrap_err();
    assert!(again.to_string().starts_with("the target is not empty: it holds 310 entries"), "{again}");
    let elsewhere = MemoryStore::new();
    let running = open(Arc::new(PostgresServer::store(&url).unwrap()));
    assert!(matches!(copy_log(&database, &elsewhere, signer.vkey(), |_| ()), Err(CopyError::SourceInUse(_))));
    drop(running);

    let back_path = folder.path().join("back");
    let back = SqliteStore::open(&back_path).unwrap();
    copy_log(&database, &back, signer.vkey(), |_| ()).unwrap();
    copy_keys(&database, &back).unwrap();
    same(&read, &database);
    same(&read, &back);
    let log = open(Arc::new(back));
    let now: Vec<_> = PATHS.map(|path| log.resource(path.parse().unwrap()).unwrap().unwrap()).into();
    assert_eq!(now[1..], served[1..], "tiles and entries");
    assert!(now[0].starts_with(&served[0][..]), "and the checkpoint, with its cosignatures");
    assert_eq!(std::fs::read(&path).unwrap(), before, "the source is as it was");
}

/// Whatever can be asked of two logs, and of their keys.
fn same<A: Store + SubjectKeys, B: Store + SubjectKeys>(left: &A, right: &B) {
    assert_eq!(left.entries(0, 1_000).unwrap(), right.entries(0, 1_000).unwrap());
    let checkpoints = left.checkpoints(0, 1_000).unwrap();
    assert_eq!(checkpoints, right.checkpoints(0, 1_000).unwrap());
    for size in checkpoints.iter().map(|c| c.size) {
        assert_eq!(left.cosignatures(size).unwrap(), right.cosignatures(size).unwrap());
    }
    for (level, index) in [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)] {
        assert_eq!(left.tile(level, index).unwrap(), right.tile(level, index).unwrap(), "{level}/{index}");
    }
    assert_eq!(left.subjects(None, 99).unwrap(), right.subjects(None, 99).unwrap());
}

fn databases_that_are_not_logs_are_left_alone(server: &PostgresServer) {
    let url = server.new_database().unwrap();
    server.run_at(&url, "CREATE SCHEMA countersign; CREATE TABLE countersign.x (y int)").unwrap();
    let refused = PostgresServer::store(&url).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused, format!("`{url}` is not a log of this version"));
    let url = server.new_database().unwrap();
    drop(PostgresServer::store(&url).unwrap());
    server.run_at(&url, "UPDATE countersign.format SET version = 2").unwrap();
    let refused = PostgresServer::store(&url).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused, format!("`{url}` is not a log of this version"));
    let nothing = server.new_database().unwrap();
    let address = stores::postgres::Address::parse(&nothing).unwrap();
    assert!(stores::postgres::PostgresStore::open_read_only(address).is_err());
    assert_eq!(
        server.run_at(&nothing, "SELECT count(*) FROM pg_namespace WHERE nspname = 'countersign'").unwrap(),
        "0"
    );
}

fn a_changed_database_does_not_open(server: &PostgresServer, url: &str) {
    server
        .run_at(
            url,
            "UPDATE countersign.tiles SET bytes = decode(repeat('00', 1728), 'hex') WHERE level = 0 AND idx = 1",
        )
        .unwrap();
    let refused = Log::open(Arc::new(PostgresServer::store(url).unwrap()), signer(), Arc::new(OpenDoor));
    let told = refused.map(|_| ()).unwrap_err().to_string();
    assert!(told.starts_with("the stored hashes give the root sha256:"), "{told}");
}
