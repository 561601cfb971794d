mod turns;

use ledger::store::{MemoryStore, SqliteStore};

use super::*;
use crate::postgres_server::PostgresServer;

#[test]
fn every_store_keeps_its_promises_and_every_log_is_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let server = PostgresServer::start().unwrap();
    a_store_keeps_its_promises(&MemoryStore::new());
    a_store_keeps_its_promises(&SqliteStore::open(&folder.path().join("promises")).unwrap());
    a_store_keeps_its_promises(&PostgresServer::store(&server.new_database().unwrap()).unwrap());

    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let served = a_log_is_a_log(|| memory.clone());
    let path = folder.path().join("log");
    assert_eq!(a_log_is_a_log(|| Arc::new(SqliteStore::open(&path).unwrap())), served);
    let url = server.new_database().unwrap();
    assert_eq!(a_log_is_a_log(|| Arc::new(PostgresServer::store(&url).unwrap())), served);

    databases_that_are_not_logs_are_left_alone(&server);
    a_changed_database_does_not_open(&server, &url);
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
