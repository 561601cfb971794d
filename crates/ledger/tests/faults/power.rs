//! The power is cut at every sync of a real process that writes a real log, a witness's records and an auditor's file:
//! whatever it had said by then is there after the files are opened again, and everything goes on.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    chance::Chance,
    disk::{Disk, Luck},
    trace::{Deed, Done, trace},
    writer::{Said, check, goes_on, program},
};

/// Frames of the write-ahead log, after which SQLite folds it into the file ("Write-Ahead Logging", section 2.1), and a
/// few less, so that it happens under the eyes of the test.
const FRAMES: u64 = 1000 - 60;
const FRAME_BYTES: u64 = 4096 + 24;

/// Cuts at the syncs from one to another, and gives how many states were looked at.
fn cut_everywhere(disk: &Disk, before: &Said, syncs: std::ops::Range<usize>, chance: &mut Chance) -> usize {
    let mut states = 0;
    for (number, sync) in disk.syncs.iter().enumerate().filter(|(number, _)| syncs.contains(number)) {
        let mut said = before.clone();
        let words = disk.said.iter().filter(|(line, _)| *line < sync.end);
        let words: Vec<u8> = words.flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        String::from_utf8(words).unwrap().split_inclusive('\n').for_each(|line| said.hear(line));
        for luck in [Luck::Worst, Luck::InOrder, Luck::AnyOrder, Luck::Best] {
            // A kill leaves the best: `killed` tries that two hundred times, so a few times are enough here.
            if luck == Luck::Best && number % 8 != 0 {
                continue;
            }
            let seed = chance.number();
            let folder = scratch();
            disk.cut(sync.end, luck, &mut Chance::of(seed), folder.path());
            // What is printed when an assertion fails: enough to look at it alone.
            println!("cut at sync {number} of {}, {luck:?}, chance {seed}", disk.syncs.len());
            let size = check(folder.path(), &said);
            if luck == Luck::AnyOrder && size > 0 {
                goes_on(folder.path(), &said);
            }
            states += 1;
        }
    }
    states
}

/// In memory: whether the copies are synced does not matter, and there are hundreds.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[test]
fn power_lost_at_any_sync_of_a_new_log_loses_nothing_that_was_said() {
    let mut chance = Chance::new("POWER_SEED");
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::of(folder.path());
    // Made and closed, then opened again and closed: some statements are sent a second time.
    disk.trace(trace(folder.path(), 0, 24));
    disk.trace(trace(folder.path(), 18, 18));
    disk.settle();
    let said = disk.said.iter().flat_map(|(_, bytes)| bytes.lines()).count();
    assert!(said > 24 + 18, "{said}");
    assert!(disk.syncs.len() > 60, "each commit, record and body is synced: {}", disk.syncs.len());
    let states = cut_everywhere(&disk, &Said::default(), 0..usize::MAX, &mut chance);
    println!("{} syncs, {states} states", disk.syncs.len());
}

#[test]
fn power_lost_while_the_write_ahead_log_is_folded_in_loses_nothing() {
    let mut chance = Chance::new("POWER_SEED");
    let folder = tempfile::tempdir().unwrap();
    let said = fill(folder.path());
    let mut disk = Disk::of(folder.path());
    let first = said.indices.last_key_value().map_or(0, |(number, _)| number + 16);
    let done = trace(folder.path(), first, 60);
    let is_of_the_file = |d: &Done| match &d.deed {
        Deed::Sync { path } => path.ends_with("log.db"),
        _ => false,
    };
    let folded = done.iter().position(is_of_the_file).expect("the log is folded in and the file is synced");
    let is_sync = |d: &&Done| matches!(d.deed, Deed::Sync { .. });
    let syncs_before = disk.syncs.len() + done[..folded].iter().filter(is_sync).count();
    disk.trace(done);
    disk.settle();
    // The commits before, and those that begin the write-ahead log anew after.
    let states = cut_everywhere(&disk, &said, syncs_before.saturating_sub(4)..syncs_before + 12, &mut chance);
    println!("{} syncs, {states} states", disk.syncs.len());
}

/// A log whose writer was killed just before it would have folded the write-ahead log in.
fn fill(folder: &Path) -> Said {
    let mut child = Command::new(program()).arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = Said::default();
    let wal = folder.join("log.db-wal");
    loop {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended by itself");
        said.hear(&line);
        if std::fs::metadata(&wal).is_ok_and(|m| m.len() >= FRAMES * FRAME_BYTES) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    rest.split_inclusive('\n').for_each(|line| said.hear(line));
    // The whole-log check looks at all of them; of what is asked for one by one, a part is enough.
    said.indices.retain(|number, _| number % 16 == 0);
    said.cosigned.retain(|size| size % 16 == 0);
    said
}
