mod turns;

use ledger::{
    copy::{CopyError, Place, copy_log},
    log::OpenLogError,
    store::{Mark, MemoryStore, SqliteStore},
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
    let (whole, subjects) =
        copy_log(Place::of(&read), Place::of(&database), signer.vkey(), None, |size| told.push(size)).unwrap();
    assert_eq!((whole.range.size(), told.last()), (310, Some(&310)));
    assert_eq!(subjects, 3);
    let again = copy_log(Place::of(&read), Place::of(&database), signer.vkey(), None, |_| ()).unwrap_err();
    assert!(again.to_string().starts_with("the target is not empty: it holds 310 entries"), "{again}");
    let elsewhere = MemoryStore::new();
    let running = open(Arc::new(PostgresServer::store(&url).unwrap()));
    let in_use = copy_log(Place::of(&database), Place::of(&elsewhere), signer.vkey(), None, |_| ());
    assert!(matches!(in_use, Err(CopyError::SourceInUse(_))));
    drop(running);

    let back_path = folder.path().join("back");
    let back = SqliteStore::open(&back_path).unwrap();
    copy_log(Place::of(&database), Place::of(&back), signer.vkey(), Some("back"), |_| ()).unwrap();
    assert_eq!(database.mark().unwrap(), Mark::Moved("back".to_owned()));
    assert!(matches!(log_of(Arc::new(PostgresServer::store(&url).unwrap())), Err(OpenLogError::Moved(_))));
    assert!(ledger::store::Shared::take_turn(&database).is_err(), "nor one that was open before");
    // A crash before the last step is finished by moving again; a copy that is broken off is no log before.
    back.set_mark(&Mark::Copying).unwrap();
    let back = Arc::new(back);
    assert!(matches!(log_of(back.clone()), Err(OpenLogError::Copying)));
    copy_log(Place::of(&database), Place::of(&*back), signer.vkey(), Some("back"), |_| ()).unwrap();
    same(&read, &database);
    same(&read, &*back);
    let log = open(back);
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

/// A dump reads every table until it ends; a turn must not be lost over it, and the key is out of use at once.
#[test]
fn a_key_is_destroyed_beside_a_long_reader() {
    let server = PostgresServer::start().unwrap();
    let url = server.new_database().unwrap();
    let store = PostgresServer::store(&url).unwrap();
    let ada = "person:ada".parse::<ledger::bodies::Subject>().unwrap().digest();
    store.get_or_make(ada, &SubjectKey::new().unwrap()).unwrap();
    let state = || server.run_at(&url, "SELECT key IS NULL, rewritten FROM countersign.subject_keys").unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| server.run_at(&url, "SELECT pg_sleep(3) FROM countersign.subject_keys").unwrap());
        let reads = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let start = std::time::Instant::now();
        while server.run_at(&url, reads).unwrap() != "1" {
            assert!(start.elapsed().as_secs() < 20, "the reader does not read");
        }
        assert!(store.destroy(ada).is_err());
        assert!(!reader.is_finished(), "nobody waited for the reader");
        assert_eq!((store.get(ada).unwrap(), state().as_str()), (KeyState::Destroyed, "t|f"));
        assert!(ledger::store::Shared::take_turn(&store).unwrap().is_ours());
        reader.join().unwrap();
    });
    store.destroy(ada).unwrap();
    assert_eq!(state(), "t|t");
}

fn databases_that_are_not_logs_are_left_alone(server: &PostgresServer) {
    let url = server.new_database().unwrap();
    server.run_at(&url, "CREATE SCHEMA countersign; CREATE TABLE countersign.x (y int)").unwrap();
    let refused = PostgresServer::store(&url).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused, format!("`{url}` is not a log of this version"));
    let url = server.new_database().unwrap();
    drop(PostgresServer::store(&url).unwrap());
    server.run_at(&url, "UPDATE countersign.format SET version = 99").unwrap();
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

fn log_of(store: Arc<dyn Store>) -> Result<(), OpenLogError> {
    ledger::log::Log::open(store, signer(), Arc::new(ledger::log::OpenDoor)).map(|_| ())
}
