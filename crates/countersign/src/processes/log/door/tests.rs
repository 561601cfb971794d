//! Two histories meet at the door, and a log that was set back takes nothing in: the real log over HTTP, with its witness.

use std::{path::Path, sync::Arc};

use ledger::{
    blobs::FileBlobs,
    bodies::{Bodies, Body},
    follow::{Fork, Sighting},
    keys::{PrivateKey, Scheme},
    statement::v1::{Claim, Halt, Seen, Tick},
    store::SqliteStore,
};
use model::{Clock as _, Digest};

use crate::{
    charter_file,
    clock::SystemClock,
    fault::{Fault, Kind},
    http::Target,
    identity::RoleUser,
    log_client::LogClient,
    processes,
    say::{About, Speaker},
    status::StatusFile,
    verbs::{
        file_signer,
        world::{World, listener, serve, system},
    },
    view::View,
};

fn halt(world: &World, log: &LogClient, seen: Option<Seen>) -> Result<u64, Fault> {
    let signer = file_signer(&world.path("people/olga")).unwrap();
    let speaker = Speaker::new(signer, world.members.hash(), "operator".parse().unwrap());
    let about = About { system: Some(system()), seen, ..About::default() };
    let said = speaker.say(log, Claim::Halt(Halt { environment: None, reason: None }), about, &[])?;
    Ok(said.index)
}

fn kept(folder: &Path, kind: &str) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = files.map(|f| f.unwrap().path());
    let of_kind = paths.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(kind));
    of_kind.map(|p| std::fs::read(p).unwrap()).collect()
}

#[test]
fn a_body_under_another_subject_does_not_come_in() {
    let world = World::new();
    let signer = file_signer(&world.path("people/olga")).unwrap();
    let speaker = Speaker::new(signer, world.members.hash(), "operator".parse().unwrap());
    let reason = Body::new(b"it burns".to_vec()).unwrap();
    let said = |subject: &str| {
        let claim = Claim::Halt(Halt { environment: None, reason: Some(reason.commitment()) });
        let about = About { system: Some(system()), ..About::default() };
        speaker.say(&world.log(), claim, about, &[reason.clone().about(subject.parse().unwrap())])
    };
    let size = world.view().facts().size();
    for other in ["person:ben", "change:1"] {
        let fault = said(other).unwrap_err();
        assert_eq!(fault.kind(), Kind::Refused, "{fault}");
        assert!(fault.message().contains(&format!("as about `{other}`")), "{}", fault.message());
    }
    assert_eq!(world.view().facts().size(), size, "nothing of it came in");
    said("person:olga").unwrap();
}

#[test]
fn a_statement_of_another_history_does_not_come_in() {
    let world = World::new();
    let seen = world.view().seen().unwrap();
    let index = halt(&world, &world.log(), Some(seen)).unwrap();
    world.wait(index);
    let size = world.view().facts().size();
    for (what, seen) in [
        ("had seen other entries", Seen { root: Digest::of(b"another tree"), ..seen }),
        ("had seen 900 entries", Seen { size: 900, ..seen }),
    ] {
        let fault = halt(&world, &world.log(), Some(seen)).unwrap_err();
        assert_eq!(fault.kind(), Kind::Untrue, "{fault}");
        assert!(fault.message().contains(what), "{}", fault.message());
    }
    assert_eq!(world.view().facts().size(), size, "nothing of it came in");
    let (log, _) = ledger::reader::keys_of(world.members.charter()).unwrap();
    let sightings: Vec<Sighting> =
        kept(&world.path("log/forks"), Sighting::KIND).iter().map(|b| Sighting::parse(b).unwrap()).collect();
    assert_eq!(sightings.len(), 2);
    assert_eq!(
        sightings.iter().filter(|s| s.is_shown(&world.members, &log)).count(),
        1,
        "the one that can be compared"
    );
}

#[test]
fn a_tick_that_tells_no_time_does_not_come_in() {
    let world = World::new();
    let key = world.common.layout().key(RoleUser::Gate);
    let signer = Arc::new(PrivateKey::read(Scheme::Ed25519, &key, &mut || None).unwrap());
    let speaker = Speaker::new(signer, world.members.hash(), "gate".parse().unwrap());
    let head = String::from_utf8(world.log().head().unwrap()).unwrap();
    let without_witness: String = head.lines().take(5).map(|l| format!("{l}\n")).collect();
    for checkpoint in ["x".to_owned(), without_witness] {
        let tick = Claim::Tick(Tick { checkpoint, at: SystemClock.now() });
        let fault = speaker.say(&world.log(), tick, About::default(), &[]).unwrap_err();
        assert!(fault.message().contains("too few witnesses cosigned it"), "{}", fault.message());
    }
}

#[test]
fn a_log_restored_from_a_backup_takes_nothing_in_and_is_not_believed() {
    let world = World::new();
    std::fs::create_dir_all(world.path("restored/agent")).unwrap();
    for name in ["log.sqlite3", "log.sqlite3-wal", "log.sqlite3-shm"] {
        drop(std::fs::copy(world.path("log").join(name), world.path("restored").join(name)));
    }
    let backup = world.view().facts().size();
    let home = world.path("restored/agent");
    let mut before = View::with_memory(world.log(), world.members.clone(), &home).unwrap();
    let last = halt(&world, &world.log(), None).unwrap();
    before.wait_for(last, std::time::Duration::from_secs(20)).unwrap();

    let layout = world.common.layout();
    let store = Arc::new(SqliteStore::open(&world.path("restored/log.sqlite3")).unwrap());
    let bodies = Bodies::new(Arc::new(FileBlobs::open(&world.path("restored/bodies")).unwrap()), store.clone());
    let key = PrivateKey::read(Scheme::Ed25519, &layout.key(RoleUser::Log), &mut || None).unwrap();
    let status = StatusFile::new(&layout, RoleUser::Log, "not confined".to_owned());
    let charter = charter_file::read(&layout, None).unwrap();
    let forks = world.path("restored/forks");
    let serving = processes::log::open(
        store,
        bodies,
        forks,
        Arc::new(key),
        &charter,
        (status, std::collections::BTreeSet::new()),
        None,
    )
    .unwrap();
    let (socket, address) = listener();
    serve(socket, axum::Router::new().nest("/log", serving.router()));
    let restored = LogClient::through_front(Target::parse(&format!("http://{address}")).unwrap());

    let fault = halt(&world, &restored, None).unwrap_err();
    assert_eq!(fault.kind(), Kind::Untrue);
    let size = last + 1;
    let words = format!("witness `witness.test` has cosigned {size} entries, and the log has {backup}");
    assert!(fault.message().contains(&words), "{}", fault.message());
    assert_eq!(restored.entries(0).unwrap().len() as u64, backup, "reading goes on");

    // Who has seen more is not taken in, now or after a new start.
    let mut after = View::with_memory(restored, world.members.clone(), &home).unwrap();
    let fault = after.refresh().unwrap_err();
    assert_eq!(fault.kind(), Kind::Untrue, "{fault}");
    assert_eq!(fault.message(), format!("{size} entries were signed and the log hands out {backup}"));
    let forks = kept(&home, Fork::KIND);
    let (log, _) = ledger::reader::keys_of(world.members.charter()).unwrap();
    let found = Fork::parse(forks.first().unwrap()).unwrap().judge(&log).unwrap();
    assert_eq!(found, ledger::follow::Finding::Unproven { at: backup, size });
}
