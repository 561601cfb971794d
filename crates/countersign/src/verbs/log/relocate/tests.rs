use std::sync::Arc;

use ledger::{
    blobs::FileBlobs,
    bodies::Bodies,
    keys::{PrivateKey, Scheme},
    store::{SqliteStore, Store as _},
};
use model::HostName;
use sim::postgres_server::PostgresServer;

use super::*;
use crate::{
    charter_file,
    identity::RoleUser,
    log_store::FILE,
    processes,
    status::StatusFile,
    verbs::{
        audit,
        world::{World, arguments, printed},
    },
};

/// The folder of a host whose log is stopped, with what the log of a world holds.
fn stopped(world: &World) -> (tempfile::TempDir, Flags) {
    let folder = tempfile::tempdir().unwrap();
    let layout = crate::layout::Layout::new(folder.path());
    for below in ["log", "status/log", "keys"] {
        std::fs::create_dir_all(folder.path().join(below)).unwrap();
    }
    let written = |path: &Path, bytes: &[u8]| ledger::durable::write(path, bytes, 0o600).unwrap();
    for file in ["charter.jsonl", "keys/log.key"] {
        written(&folder.path().join(file), &std::fs::read(world.path(file)).unwrap());
    }
    let settings = Settings::of_host("main".parse::<HostName>().unwrap());
    written(&layout.settings(), &serde_json::to_vec(&settings).unwrap());
    let from = SqliteStore::open_read_only(&world.path("log/log.sqlite3")).unwrap();
    let to = SqliteStore::open(&folder.path().join("log").join(FILE)).unwrap();
    let (log, _) = ledger::reader::keys_of(world.members.charter()).unwrap();
    copy_log(Place::of(&from), Place::of(&to), &log, None, |_| ()).unwrap();
    let flags = Flags { dir: folder.path().to_owned(), server: None, format: Format::Text, key: None };
    (folder, flags)
}

fn moved(to: &str, from: Option<&str>, flags: &Flags) -> Result<String, Fault> {
    let mut out = Vec::new();
    run(to, from, flags, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_stopped_log_moves_and_goes_on_where_it_went() {
    let world = World::new();
    world.released(1, None, [None, None]);
    let (folder, flags) = stopped(&world);
    let server = PostgresServer::start().unwrap();
    let url = server.new_database().unwrap();
    let own = folder.path().join("log").join(FILE);

    let running = Lock::take(&own.with_extension("lock")).unwrap();
    let refused = moved(&url, None, &flags).unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.message().starts_with("the log is in use"), "{}", refused.message());
    drop(running);
    let said = moved(&url, None, &flags).unwrap();
    let size = SqliteStore::open_read_only(&own).unwrap().head().unwrap().unwrap().size;
    assert!(said.starts_with(&format!("copied {size} statements from `{}` to `{url}`", own.display())), "{said}");
    assert!(said.contains(&format!("now set \"store\": \"{url}\" in `")), "{said}");
    // Without the setting, this host does not make a second history of it, and reads it on.
    let stale = LogPlace::of_host(&flags.layout(), &Settings::read(&flags.layout()).unwrap()).unwrap();
    let refused = stale.open().map(|_| ()).unwrap_err();
    assert_eq!(refused.message(), format!("the log at `{}` was moved to `{url}`", own.display()));
    assert!(refused.hint_text().unwrap().contains(&format!("set \"store\": \"{url}\"")));
    stale.open_read_only().map(|_| ()).unwrap();
    let elsewhere = folder.path().join("elsewhere.sqlite3");
    let again = moved(elsewhere.to_str().unwrap(), None, &flags).unwrap_err().message();
    assert!(again.contains("moved to `") && !elsewhere.exists(), "{again}");
    let there = moved(own.to_str().unwrap(), Some(&url), &flags).unwrap_err().message();
    assert!(there.starts_with("there is a file at `"), "{there}");

    // With the setting, everything that reads this host's log reads the database.
    let mut settings = Settings::read(&flags.layout()).unwrap();
    settings.store = Some(url.clone());
    ledger::durable::write(&flags.layout().settings(), &serde_json::to_vec(&settings).unwrap(), 0o600).unwrap();
    let audited = printed(|out| audit::run(&arguments::<audit::Args>(&[]), &flags, out));
    assert!(audited.contains(&format!("audited {size} statements")), "{audited}");
    two_front_ends_serve_it(&flags, size);

    let back = folder.path().join("back.sqlite3");
    moved(back.to_str().unwrap(), None, &flags).unwrap();
    let (there, here) = (SqliteStore::open_read_only(&back).unwrap(), SqliteStore::open_read_only(&own).unwrap());
    assert_eq!(there.entries(0, 10_000).unwrap(), here.entries(0, 10_000).unwrap());
    assert_eq!(there.head().unwrap(), here.head().unwrap());
}

/// Two processes on one database: one orders, both answer.
fn two_front_ends_serve_it(flags: &Flags, size: u64) {
    let layout = flags.layout();
    let charter = charter_file::read(&layout, None).unwrap();
    let serve = |name: &str| {
        let place = LogPlace::of_host(&layout, &Settings::read(&layout).unwrap()).unwrap().open().unwrap();
        let blobs = FileBlobs::open(&layout.root().join(name)).unwrap();
        let key = PrivateKey::read(Scheme::Ed25519, &layout.key(RoleUser::Log), &mut || None).unwrap();
        let status = StatusFile::new(&layout, RoleUser::Log, "not confined".to_owned());
        let bodies = Bodies::new(Arc::new(blobs), place.keys);
        let forks = layout.root().join(name).join("forks");
        processes::log::open(
            place.store,
            bodies,
            forks,
            Arc::new(key),
            &charter,
            (status, std::collections::BTreeSet::new()),
            None,
        )
        .unwrap()
    };
    let (first, second) = (serve("one"), serve("two"));
    assert!(first.log().turn().is_ours() && !second.log().turn().is_ours());
    for envelope in &charter.envelopes {
        // Known statements get their first index from either.
        let places =
            [&first, &second].map(|s| s.log().append(ledger::log::Submission::new(envelope.clone())).unwrap().index);
        assert_eq!(places[0], places[1]);
    }
    assert_eq!((first.log().head().size(), second.log().head().size()), (size, size));
    first.log().close();
    second.log().close();
}

#[test]
fn a_log_whose_new_place_was_lost_is_read_and_moves_there_again_and_nowhere_else() {
    let world = World::new();
    let (folder, flags) = stopped(&world);
    let own = folder.path().join("log").join(FILE);
    let new = folder.path().join("new.sqlite3");
    let to = new.to_str().unwrap();
    moved(to, None, &flags).unwrap();
    let size = SqliteStore::open_read_only(&own).unwrap().head().unwrap().unwrap().size;
    for beside in std::fs::read_dir(folder.path()).unwrap().flatten() {
        if beside.file_name().to_string_lossy().starts_with("new.") {
            std::fs::remove_file(beside.path()).unwrap();
        }
    }

    // No source can be written now: nobody adds to the old place, in whatever way it is opened, and it is read.
    let place = LogPlace::of_host(&flags.layout(), &Settings::read(&flags.layout()).unwrap()).unwrap();
    assert_eq!(place.open().map(|_| ()).unwrap_err().kind(), Kind::Refused);
    let signer = || {
        let key = PrivateKey::read(Scheme::Ed25519, &flags.layout().key(RoleUser::Log), &mut || None).unwrap();
        let origin = world.members.charter().log.origin.clone();
        ledger::note::NoteSigner::new(&origin, ledger::note::NoteKeyType::Ed25519, Arc::new(key)).unwrap()
    };
    let store = Arc::new(SqliteStore::open(&own).unwrap());
    let refused = ledger::log::Log::open(store, signer(), Arc::new(ledger::log::OpenDoor)).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), format!("this log was moved to `{to}`; set `store` to that"));
    let audited = printed(|out| audit::run(&arguments::<audit::Args>(&[]), &flags, out));
    assert!(audited.contains(&format!("audited {size} statements")), "{audited}");

    let elsewhere = folder.path().join("elsewhere.sqlite3");
    let refused = moved(elsewhere.to_str().unwrap(), None, &flags).unwrap_err().message();
    assert!(refused.contains(&format!("moved to `{to}`")) && !elsewhere.exists(), "{refused}");
    let said = moved(to, None, &flags).unwrap();
    assert!(said.starts_with(&format!("copied {size} statements")), "{said}");
    assert_eq!(SqliteStore::open_read_only(&new).unwrap().head().unwrap().unwrap().size, size);
    let again = moved(to, None, &flags).unwrap_err().message();
    assert!(again.contains("moved to `"), "what is there is not written over: {again}");
}
