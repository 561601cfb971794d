//! Several processes on one PostgreSQL: each statement once, at the index that was promised, whoever dies or sleeps.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ledger::store::{Changes, Offer, Shared as _, Turn};
use model::Digest;

use super::*;

/// What a turn that was lost may cost at most, as the issue asks.
const FAILOVER_LIMIT: Duration = Duration::from_secs(5);
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn store(url: &str) -> Arc<stores::postgres::PostgresStore> {
    Arc::new(PostgresServer::store(url).unwrap())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// As if the process that has the turn had been paused for longer than a turn lasts.
fn let_the_turn_pass(server: &PostgresServer, url: &str) {
    server.run_at(url, "UPDATE countersign.turn SET ends = '-infinity'").unwrap();
}

#[test]
fn two_front_ends_make_one_log() {
    let server = PostgresServer::start().unwrap();
    let url = server.new_database().unwrap();
    let (first, second) = (open(store(&url)), open(store(&url)));
    assert_eq!(first.turn(), Turn::Sequencer { epoch: 1 });
    assert!(matches!(second.turn(), Turn::Follower { epoch: 1, .. }), "{:?}", second.turn());
    let places: Vec<BTreeMap<u64, u64>> = thread::scope(|scope| {
        let spawned: Vec<_> = (0..8_u64)
            .map(|thread| {
                let log = if thread % 2 == 0 { &first } else { &second };
                scope.spawn(move || {
                    // All append the same statements, each from another one on.
                    let order = (0..60).map(|n| (n + thread * 7) % 60);
                    order
                        .map(|n| {
                            let receipt = log.append(Submission::new(statement(n))).unwrap();
                            receipt.verify(&statement(n), log.vkey()).unwrap();
                            (n, receipt.index)
                        })
                        .collect()
                })
            })
            .collect();
        spawned.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(places.iter().all(|p| *p == places[0]), "everybody was told the same places");
    assert_eq!(whole(&*store(&url)).range.size(), 60, "each is there once");

    // Both serve what either took in, and both learn of it without being asked.
    let seen = first.wait_news(0, Duration::ZERO);
    second.append(Submission::new(statement(100))).unwrap();
    assert!(first.wait_beyond(60, PATIENCE).size() > 60 && first.wait_news(seen, PATIENCE) != seen);
    assert_eq!(first.envelope(60).unwrap(), statement(100));
    a_statement_that_no_door_let_in_stays_out(&server, &url, &second);

    // A clean end gives the turn back at once.
    first.close();
    let took = wait_until("the second takes over", || second.turn().is_ours());
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(second.append(Submission::new(statement(101))).unwrap().index, 62);
    assert_eq!(whole(&*store(&url)).range.size(), 63);
}

fn a_statement_that_no_door_let_in_stays_out(server: &PostgresServer, url: &str, log: &Log) {
    let identity = statement(666).identity();
    let seal = Digest::of(b"somebody who can write the database and has not the log's key");
    let offer = Offer { identity, bytes: statement(666).canonical_bytes(), seal };
    store(url).hand_over(&[offer]).unwrap();
    wait_until("it is thrown away", || server.run_at(url, "SELECT count(*) FROM countersign.offers").unwrap() == "0");
    assert_eq!(log.append(Submission::new(statement(667))).unwrap().index, 61);
    assert_eq!(log.find(identity).unwrap(), None);
}

#[test]
fn who_slept_through_the_end_of_its_turn_can_not_write() {
    let mut server = PostgresServer::start().unwrap();
    let url = server.new_database().unwrap();
    let (old, new) = (store(&url), store(&url));
    assert_eq!(old.take_turn().unwrap(), Turn::Sequencer { epoch: 1 });
    assert_eq!(old.take_turn().unwrap(), Turn::Sequencer { epoch: 1 }, "prolonged");
    assert!(matches!(new.take_turn().unwrap(), Turn::Follower { epoch: 1, .. }));
    let empty = Batch { note: b"note 0".to_vec(), ..Batch::default() };
    assert!(matches!(new.commit(&empty), Err(StoreError::Fenced { epoch: 1 })), "without a turn nothing is written");
    old.commit(&empty).unwrap();
    let_the_turn_pass(&server, &url);
    old.commit(&batch(0, 2)).unwrap();
    assert!(matches!(new.take_turn().unwrap(), Turn::Follower { .. }), "a commit prolongs");
    let_the_turn_pass(&server, &url);
    assert_eq!(new.take_turn().unwrap(), Turn::Sequencer { epoch: 2 });
    let late = old.commit(&batch(2, 1)).unwrap_err();
    assert!(matches!(late, StoreError::Fenced { epoch: 2 }) && late.nothing_changed(), "{late:?}");
    assert_eq!(new.head().unwrap().unwrap().size, 2);
    new.commit(&batch(2, 1)).unwrap();
    assert!(matches!(old.take_turn().unwrap(), Turn::Follower { epoch: 2, .. }));
    assert!(
        old.wait(Duration::ZERO).unwrap() == Changes { head: true, offers: true, turn: true },
        "first of all: look"
    );

    logs_change_places(&server);
    connections_may_break(&server);
    a_database_that_was_set_back_is_not_written(&server);
    a_database_may_crash(&mut server);
}

/// The same with logs: the one that lost its turn hands over what it has, and nobody notices.
fn logs_change_places(server: &PostgresServer) {
    let url = server.new_database().unwrap();
    let (first, second) = (open(store(&url)), open(store(&url)));
    first.append(Submission::new(statement(0))).unwrap();
    // As after a pause in which somebody else had a turn: whoever writes first under the old one is refused.
    let taken_away = "UPDATE countersign.turn SET epoch = epoch + 1, holder = 'somebody', \
                      ends = clock_timestamp() + interval '1 s'";
    server.run_at(&url, taken_away).unwrap();
    assert_eq!(first.append(Submission::new(statement(1))).unwrap().index, 1);
    assert_eq!(second.append(Submission::new(statement(2))).unwrap().index, 2);
    let epoch = |log: &Log| match log.turn() {
        Turn::Sequencer { epoch } | Turn::Follower { epoch, .. } => epoch,
        Turn::Only => 0,
    };
    assert_eq!(epoch(&first).max(epoch(&second)), 3, "one turn of ours, one of somebody's, one of ours");
    assert_eq!(whole(&*store(&url)).range.size(), 3);
}

fn connections_may_break(server: &PostgresServer) {
    let url = server.new_database().unwrap();
    let (first, second) = (open(store(&url)), open(store(&url)));
    let mut places = BTreeMap::new();
    for number in 0..8 {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'countersign'";
        if number % 4 == 0 {
            server.run_at(&url, cut).unwrap();
        }
        let log = if number % 2 == 0 { &first } else { &second };
        let receipt = log.append(Submission::new(statement(number))).unwrap();
        assert_eq!(places.insert(receipt.index, number), None);
    }
    let store = store(&url);
    assert_eq!(whole(&*store).range.size(), 8);
    for (index, number) in places {
        assert_eq!(store.entries(index, 1).unwrap()[0].bytes, statement(number).canonical_bytes());
    }
}

fn a_database_may_crash(server: &mut PostgresServer) {
    let url = server.new_database().unwrap();
    let (first, second) = (open(store(&url)), open(store(&url)));
    let acknowledged: BTreeMap<u64, u64> = thread::scope(|scope| {
        let appending: Vec<_> = [(&first, 0), (&second, 1_000)]
            .map(|(log, from)| {
                scope.spawn(move || {
                    let append = |n| (n, wait_for_index(log, n));
                    (from..from + 40).map(append).collect::<Vec<_>>()
                })
            })
            .into();
        server.crash().unwrap();
        appending.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let store = store(&url);
    assert_eq!(whole(&*store).range.size(), 80, "nothing lost, nothing twice");
    for (number, index) in acknowledged {
        assert_eq!(store.entries(index, 1).unwrap()[0].bytes, statement(number).canonical_bytes());
    }
}

/// Sends a statement again until somebody takes it in, as every client does.
fn wait_for_index(log: &Log, number: u64) -> u64 {
    let start = Instant::now();
    loop {
        match log.append(Submission::new(statement(number))) {
            Ok(receipt) => return receipt.index,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{number}: {error:?}"),
        }
    }
}

fn a_database_that_was_set_back_is_not_written(server: &PostgresServer) {
    let url = server.new_database().unwrap();
    let log = open(store(&url));
    for number in 0..5 {
        log.append(Submission::new(statement(number))).unwrap();
    }
    // What restoring a backup of two entries leaves.
    server
        .run_at(
            &url,
            "DELETE FROM countersign.entries WHERE idx >= 2; DELETE FROM countersign.checkpoints WHERE size > 2; \
             UPDATE countersign.tiles SET bytes = substr(bytes, 1, 64); \
             UPDATE countersign.turn SET size = 2, epoch = 1, holder = '', ends = '-infinity'",
        )
        .unwrap();
    wait_until("it notices", || log.set_back().is_some());
    let error = log.append(Submission::new(statement(9))).unwrap_err();
    assert_eq!(error.to_string(), "the log takes nothing in, because it was set back");
    let why = log.set_back().unwrap().to_string();
    assert_eq!(why, "the store holds 2 entries, but 5 were served: it was restored from an old state");
    assert_eq!(log.envelope(1).unwrap(), statement(1), "what is there is read on");
    assert_eq!(store(&url).head().unwrap().unwrap().size, 2);
}

/// A front end as a process of its own; see `examples/front_end.rs`.
struct FrontEnd {
    child: Child,
    said: std::io::Lines<BufReader<ChildStdout>>,
}

impl FrontEnd {
    fn start(url: &str, from: u64) -> Self {
        let mut child = Command::new(example()).arg(url).arg(from.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// The next statement that it says is in the log: number and index.
    fn next(&mut self) -> (u64, u64) {
        let line = self.said.next().unwrap().unwrap();
        let (number, index) = line.split_once(' ').unwrap();
        (number.parse().unwrap(), index.parse().unwrap())
    }

    /// Kills it without warning; what it said and nobody has read yet.
    fn kill(mut self) -> Vec<(u64, u64)> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let pair = |line: String| {
            let (number, index) = line.split_once(' ')?;
            Some((number.parse().ok()?, index.parse().ok()?))
        };
        self.said.map_while(Result::ok).filter_map(pair).collect()
    }
}

/// The example beside the tests; `cargo nextest` and `cargo test` build both.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let path = target.join("examples").join("front_end");
    assert!(path.is_file(), "build the examples first: `cargo build -p sim --examples`");
    path
}

#[test]
fn when_the_sequencer_is_killed_another_takes_over_in_under_five_seconds() {
    let server = PostgresServer::start().unwrap();
    let url = server.new_database().unwrap();
    let mut said: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut sequencer, mut from) = (FrontEnd::start(&url, 0), 0);
    said.insert(0, sequencer.next().1);
    for round in 0..3 {
        from += 100_000;
        let mut follower = FrontEnd::start(&url, from);
        for _ in 0..20 {
            said.extend([sequencer.next(), follower.next()]);
        }
        let rest = sequencer.kill();
        let killed = Instant::now();
        said.extend(rest);
        // What it had acknowledged by then may wait in the pipe; the ones after it need the new turn.
        let head = said.values().max().copied().unwrap();
        wait_until("another takes over", || {
            let (number, index) = follower.next();
            said.insert(number, index);
            index > head + 10
        });
        assert!(killed.elapsed() < FAILOVER_LIMIT, "round {round}: {:?}", killed.elapsed());
        sequencer = follower;
    }
    said.extend(sequencer.kill());
    let store = store(&url);
    let size = whole(&*store).range.size();
    let indices: std::collections::BTreeSet<u64> = said.values().copied().collect();
    assert_eq!(indices.len(), said.len(), "no place was promised twice");
    for (number, index) in said {
        assert!(index < size, "{number} was acknowledged at {index}");
        assert_eq!(store.entries(index, 1).unwrap()[0].bytes, statement(number).canonical_bytes(), "{number}");
    }
}
