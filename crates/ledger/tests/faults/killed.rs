//! kill -9 of the process that writes, under load, at moments by lot: whatever it had said to be in the log is there
//! once, where it said, and the log is whole.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use ledger::follow::Follower;

use crate::{
    chance::Chance,
    writer::{Said, check, follow, goes_on, log_key, program, witnesses},
};

/// As the issue of faults asks for; more with `KILL_ROUNDS`.
const ROUNDS: u64 = 200;
/// A process that opens a log and writes for a while; every moment of that is met, the opening too.
const LONGEST_LIFE: Duration = Duration::from_millis(60);
/// Lines that a process may say before it is killed, if it is killed by what it says.
const MOST_LINES: u64 = 60;
/// A process that says nothing for so long hangs.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Numbers that are sent again in the next round, though they may be in the log: they keep their places.
const AGAIN: u64 = 9;

/// When to kill: the disk makes time and lines different measures.
enum Moment {
    After(Duration),
    Lines(u64),
}

/// Runs until the moment, kills it, and hears everything that it said.
fn run_and_kill(folder: &Path, from: u64, moment: &Moment, said: &mut Said) {
    let mut command = Command::new(program());
    let mut child = command.arg(folder).arg(from.to_string()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).unwrap() == 0 || sender.send(line).is_err() {
                break;
            }
        }
    });
    let (end, most) = match moment {
        Moment::After(life) => (Instant::now() + *life, u64::MAX),
        Moment::Lines(lines) => (Instant::now() + SILENCE_LIMIT, *lines),
    };
    for _ in 0..most {
        let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) else { break };
        said.hear(&line);
    }
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    if let Moment::Lines(_) = moment {
        assert!(Instant::now() < end, "it hung");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died is in the pipe still.
    reader.join().unwrap();
    lines.iter().for_each(|line| said.hear(&line));
}

#[test]
fn killed_at_any_moment_under_load_it_keeps_what_it_said_and_stays_whole() {
    let mut chance = Chance::new("KILL_SEED");
    let rounds = std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut follower = Follower::new(log_key(), witnesses());
    let mut all = Said::default();
    let mut silent = 0;
    for round in 0..rounds {
        let from = all.indices.last_key_value().map_or(0, |(number, _)| number.saturating_sub(chance.below(AGAIN)));
        let moment = match chance.below(2) {
            0 => Moment::After(chance.duration_below(LONGEST_LIFE)),
            _ => Moment::Lines(chance.below(MOST_LINES)),
        };
        let mut said = Said::default();
        run_and_kill(folder.path(), from, &moment, &mut said);
        silent += u64::from(said.indices.is_empty());
        // Before anybody has repaired anything: what is read of a log whose writer died is right already.
        if folder.path().join("log.db-wal").exists() {
            follow(folder.path(), &mut follower, &said);
        }
        for (number, index) in said.indices {
            let before = all.indices.insert(number, index);
            assert!(before.is_none_or(|b| b == index), "round {round}: {number} moved from {before:?} to {index}");
        }
        all.cosigned.extend(said.cosigned);
        all.kept = all.kept.max(said.kept);
    }
    let size = check(folder.path(), &all);
    assert!(follower.size() <= size);
    goes_on(folder.path(), &all);
    println!("{rounds} kills, {silent} before anything was said; {} promises, {} entries", all.indices.len(), size);
    assert!(all.indices.len() as u64 > rounds, "it got somewhere: {}", all.indices.len());
    assert!(all.cosigned.len() as u64 > rounds / 10, "cosignatures were made: {}", all.cosigned.len());
}
