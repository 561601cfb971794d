//! Tests of what is remembered of clients.

use model::Serial;

use super::*;
use crate::counts::Counts;

fn version(counts: &Counts, ordinal: u64) -> Arc<VersionCounter> {
    counts.version(&"web".parse().unwrap(), &Serial::new("paydesk".parse().unwrap(), ordinal))
}

fn visit(counts: &Counts, version: &Arc<VersionCounter>, identity: &str, now: u64) -> Visit {
    Visit::new(version, &identity.into(), Timestamp::from_unix(now), &counts.clients_in_all)
}

fn row(counts: &Counts) -> VersionClients {
    counts.clients(7, (0, 0)).versions.into_iter().next().unwrap()
}

#[test]
fn connections_and_sessions_count_while_they_are_there() {
    let (counts, watch) = (Counts::default(), Arc::new(Watch::default()));
    let version = version(&counts, 1);
    let (alice, again, bob) = (
        visit(&counts, &version, "token:alice", 10),
        visit(&counts, &version, "token:alice", 20),
        visit(&counts, &version, "token:bob", 30),
    );
    let session = alice.session(&watch);
    let before = row(&counts);
    assert_eq!((before.connections, before.sessions, before.clients, before.more), (3, 1, 2, false));
    assert_eq!(before.last_seen, Some(Timestamp::from_unix(30)));
    let client = |identity: &str, connections, sessions, last_seen| Client {
        identity: identity.to_owned(),
        connections,
        sessions,
        last_seen: Timestamp::from_unix(last_seen),
    };
    assert_eq!(before.seen, [client("token:bob", 1, 0, 30), client("token:alice", 2, 1, 20)]);
    drop((again, bob));
    let after = row(&counts);
    assert_eq!((after.connections, after.sessions), (1, 1));
    // Who is there comes before who was there later.
    assert_eq!(after.seen, [client("token:alice", 1, 1, 20), client("token:bob", 0, 0, 30)]);
    drop((session, alice));
    let end = row(&counts);
    assert_eq!((end.connections, end.sessions, end.clients), (0, 0, 2));
    assert!(end.last_seen.unwrap() >= watch.since(), "seen at the end of the session");
}

#[test]
fn clients_are_bounded_and_what_is_beyond_is_said() {
    let counts = Counts::default();
    let first = version(&counts, 1);
    for n in 0..70_000 {
        drop(visit(&counts, &first, &format!("token:{n}"), n + 1));
    }
    let beyond = visit(&counts, &first, "token:beyond", 80_000);
    let full = row(&counts);
    assert_eq!((full.clients, full.more, full.connections), (MAX_CLIENTS as u64, true, 1));
    assert_eq!(full.last_seen, Some(Timestamp::from_unix(80_000)));
    assert_eq!((full.seen.len(), full.seen[0].last_seen.unix()), (MAX_CLIENTS_LISTED, MAX_CLIENTS as u64));
    drop(beyond);
    for ordinal in 2..=5 {
        let version = version(&counts, ordinal);
        for n in 0..70_000 {
            drop(visit(&counts, &version, &format!("token:{n}"), 1));
        }
    }
    let in_all: u64 = counts.clients(7, (0, 0)).versions.iter().map(|row| row.clients).sum();
    assert_eq!((in_all, counts.clients_in_all.load(Ordering::Relaxed)), (MAX_CLIENTS_IN_ALL, MAX_CLIENTS_IN_ALL));
}

#[test]
fn who_was_not_here_for_long_is_forgotten_and_makes_room() {
    let counts = Counts::default();
    let version = version(&counts, 1);
    let open = visit(&counts, &version, "token:open", 1);
    drop(visit(&counts, &version, "token:old", 1));
    drop(visit(&counts, &version, "token:new", CLIENT_MEMORY_S));
    version.clients.forget_old(Timestamp::from_unix(CLIENT_MEMORY_S + 2), &counts.clients_in_all);
    let names: Vec<_> = row(&counts).seen.into_iter().map(|client| client.identity).collect();
    assert_eq!(names, ["token:open", "token:new"]);
    assert_eq!(counts.clients_in_all.load(Ordering::Relaxed), 2);
    drop(open);
}

#[test]
fn what_was_cut_is_listed() {
    let counts = Counts::default();
    let version = version(&counts, 1);
    assert_eq!(counts.cut_rows(), []);
    version.clients.was_cut(Timestamp::from_unix(5), Timestamp::from_unix(9));
    version.clients.was_cut(Timestamp::from_unix(6), Timestamp::from_unix(10));
    let rows = counts.cut_rows();
    assert_eq!((rows.len(), rows[0].sessions, rows[0].since.unix(), rows[0].last.unix()), (1, 2, 6, 10));
}
