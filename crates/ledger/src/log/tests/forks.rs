//! Forks and rollbacks, each attack against each who looks: a witness, a follower (which is what an agent is), an auditor,
//! and the log itself. Real files, the real witness; whoever refuses keeps both checkpoints.

use std::{convert::Infallible, fs, path::Path};

use super::*;
use crate::{
    check::{Damage, Evidence, check_log},
    follow::{Finding, FollowError, Follower, Fork, ForkError, WitnessPolicy},
    merkle::History,
    store::StoredNodes,
    witness::{AddCheckpoint, Reply, Witness, WitnessedLog, cosign},
};

const NOW: Timestamp = Timestamp::from_unix(1_000);
/// When the backup was made, and what everybody has seen since.
const BACKUP: u64 = 300;
const SEEN: u64 = 520;

/// The world before the attack: a log on disk, and three who have seen it at [`SEEN`] entries.
struct Scene {
    folder: tempfile::TempDir,
    log: Option<Log>,
    witness: Witness,
    follower: Follower,
    /// The same two as they were at the time of the backup.
    early: (Witness, Follower),
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = on_disk(&folder.path().join("log.sqlite3"));
        let vkey = log.vkey().clone();
        let witness = |name: &str| {
            let folder = folder.path().join(name);
            Witness::begin(&folder).unwrap();
            Witness::open(&folder, witness_signer("w.example", 9), vec![WitnessedLog::new(vkey.clone()).unwrap()])
                .unwrap()
        };
        let (late, early) = (witness("witness"), witness("early"));
        let mut follower = Follower::new(vkey.clone(), WitnessPolicy::unwitnessed());
        fill(&log, 0, BACKUP);
        for witness in [&late, &early] {
            ask(&log, witness).unwrap();
        }
        read(&mut follower, &log, &log.head().to_bytes()).unwrap();
        let early = (early, follower.clone());
        drop(log);
        // A closed file is whole, as one that a careful backup made.
        copy(&folder.path().join("log.sqlite3"), &folder.path().join("backup.sqlite3"));
        let log = on_disk(&folder.path().join("log.sqlite3"));
        fill(&log, BACKUP, SEEN);
        ask(&log, &late).unwrap();
        read(&mut follower, &log, &log.head().to_bytes()).unwrap();
        Self { folder, log: Some(log), witness: late, follower, early }
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    /// The backup is put back, and a second process signs with the same key.
    fn restored(&self) -> Log {
        on_disk(&self.folder.path().join("backup.sqlite3"))
    }

    fn tamper(&mut self, sql: &str) {
        self.log = None;
        rusqlite::Connection::open(self.folder.path().join("log.sqlite3")).unwrap().execute(sql, []).unwrap();
    }

    fn reopened(&self) -> Result<Log, OpenLogError> {
        let store = SqliteStore::open(&self.folder.path().join("log.sqlite3")).unwrap();
        Log::open(Arc::new(store), log_signer(), Arc::new(OpenDoor))
    }

    /// What a witness keeps, as somebody else reads it.
    fn kept(&self, witness: &str, kind: &str) -> Vec<Finding> {
        let Ok(files) = fs::read_dir(self.folder.path().join(witness).join("forks")) else { return Vec::new() };
        let paths = files.map(|f| f.unwrap().path());
        paths
            .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(kind))
            .map(|p| Fork::parse(&fs::read(p).unwrap()).unwrap().judge(log_signer().vkey()).unwrap())
            .collect()
    }

    /// What an auditor finds, with what the last audit left; and both checkpoints as he keeps them.
    fn audited(&self, store: &dyn Store) -> (Damage, Result<Finding, ForkError>) {
        let signer = log_signer();
        let witnesses = WitnessPolicy::unwitnessed();
        let (kept, checkpoints) = (Some(&self.follower), &[][..]);
        let damage = check_log(store, &Evidence { log: signer.vkey(), witnesses: &witnesses, checkpoints, kept });
        let ours = self.follower.checkpoint().unwrap().to_bytes();
        let fork = Fork::new(ours, store.head().unwrap().unwrap().note).with_nodes(signer.vkey(), &StoredNodes(store));
        (damage.unwrap_err(), fork.judge(signer.vkey()))
    }
}

fn on_disk(path: &Path) -> Log {
    open_log(Arc::new(SqliteStore::open(path).unwrap()))
}

fn copy(from: &Path, to: &Path) {
    crate::durable::write(to, &fs::read(from).unwrap(), 0o600).unwrap();
}

fn ask(log: &Log, witness: &Witness) -> Result<(u64, Timestamp), crate::witness::CosignError<Infallible>> {
    let asked = cosign(log, witness.vkey(), 0, |body| {
        let response = witness.add_checkpoint(body, NOW);
        Ok(Reply { status: response.status, body: response.body })
    });
    // This witness is the quorum, so its word stops the log, as in the log's process.
    if let Some(reason) = asked.as_ref().err().and_then(crate::witness::CosignError::set_back) {
        log.stop_taking_in(reason);
    }
    asked
}

/// Follows a log as an agent does: the checkpoint first, then what the log hands out up to it.
fn read(follower: &mut Follower, log: &Log, note: &[u8]) -> Result<(), FollowError> {
    let mut advance = follower.begin(note, NOW)?;
    while advance.next() < advance.target() {
        let left = usize::try_from(advance.target() - advance.next()).unwrap();
        let more = log.entries(advance.next(), left).unwrap();
        if more.is_empty() {
            break;
        }
        more.iter().for_each(|entry| advance.push(entry));
    }
    follower.finish(advance)
}

/// What a follower that refuses has in its hands, with what it can show of the larger tree.
fn shown(error: FollowError, nodes: &impl crate::merkle::Nodes) -> Finding {
    let (FollowError::Shrunk { evidence, .. } | FollowError::Forked { evidence, .. }) = error else {
        panic!("no evidence in: {error}")
    };
    let file = evidence.with_nodes(log_signer().vkey(), nodes).to_bytes();
    Fork::parse(&file).unwrap().judge(log_signer().vkey()).unwrap()
}

fn unproven(at: u64, size: u64) -> Finding {
    Finding::Unproven { at, size }
}

fn takes_nothing_in(log: &Log) -> String {
    let Err(AppendError::SetBack(reason)) = log.append(Submission::new(statement(9_999))) else {
        panic!("it takes statements in")
    };
    assert_eq!(log.entries(7, 1).unwrap().len(), 1, "reading goes on");
    reason.to_string()
}

#[test]
fn restored_from_an_old_backup() {
    let mut scene = Scene::new();
    let log = scene.restored();
    let error = ask(&log, &scene.witness).unwrap_err().to_string();
    assert_eq!(error, "witness `w.example` has cosigned 520 entries, this log has 300: the log was set back");
    assert_eq!(scene.kept("witness", "smaller-"), [unproven(BACKUP, SEEN)]);
    assert_eq!(takes_nothing_in(&log), "witness `w.example` has cosigned 520 entries, and the log has 300");

    let error = read(&mut scene.follower, &log, &log.head().to_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the log shrank from 520 to 300 entries");
    assert_eq!(shown(error, &StoredNodes(&*log.store)), unproven(BACKUP, SEEN), "an old state is no lie yet");

    let (damage, evidence) = scene.audited(&*log.store);
    assert!(matches!(damage, Damage::Shrunk { size: BACKUP, vouched: SEEN, .. }), "{damage}");
    assert_eq!(evidence.unwrap(), unproven(BACKUP, SEEN));
}

#[test]
fn two_logs_with_one_key() {
    for size in [SEEN, 600] {
        let mut scene = Scene::new();
        let log = scene.restored();
        fill(&log, 1_000 + BACKUP, 1_000 + size);
        let expected = match size {
            SEEN => Finding::TwoRoots { size },
            size => Finding::Rewritten { at: SEEN, size },
        };

        let error = ask(&log, &scene.witness).unwrap_err().to_string();
        assert_eq!(error, "witness `w.example` refuses: the log does not continue what it cosigned before");
        assert_eq!(scene.kept("witness", "fork-"), [expected]);
        assert_eq!(takes_nothing_in(&log), "the log does not continue what witness `w.example` has cosigned");

        let error = read(&mut scene.follower, &log, &log.head().to_bytes()).unwrap_err();
        let words = format!("the log forked: its {size} entries do not continue the ones that were seen before");
        assert_eq!(error.to_string(), words);
        assert_eq!(shown(error, &StoredNodes(&*log.store)), expected);

        let (damage, evidence) = scene.audited(&*log.store);
        assert!(matches!(&damage, Damage::Rewritten { place, .. } if place.end > BACKUP), "{damage}");
        assert_eq!(evidence.unwrap(), expected);
    }
}

#[test]
fn a_checkpoint_that_shrinks() {
    let mut scene = Scene::new();
    let vkey = log_signer().vkey().clone();
    // The true log shows what it once was; a smaller tree that never was is shown by a second one.
    let once = scene.log().store.checkpoints(BACKUP, 1).unwrap().pop().unwrap().note;
    let never = scene.restored();
    fill(&never, 1_000 + BACKUP, 1_000 + 400);
    let mut history = History::new();
    entries(scene.log()).iter().for_each(|entry| history.push_entry(entry));
    for (note, size, expected) in [
        (once, BACKUP, unproven(BACKUP, SEEN)),
        (never.head().to_bytes(), 400, Finding::Rewritten { at: 400, size: SEEN }),
    ] {
        let request = AddCheckpoint::new(0, Vec::new(), note.clone()).unwrap();
        let response = scene.witness.add_checkpoint(&request.to_bytes(), NOW);
        assert_eq!((response.status, response.body.as_slice()), (409, &b"520\n"[..]));
        assert!(scene.kept("witness", "smaller-").contains(&unproven(size, SEEN)));

        let error = read(&mut scene.follower, scene.log.as_ref().unwrap(), &note).unwrap_err();
        assert_eq!(error.to_string(), format!("the log shrank from 520 to {size} entries"));
        assert_eq!(shown(error, &history), expected, "who read every entry knows what there was");

        let auditor = Fork::new(scene.follower.checkpoint().unwrap().to_bytes(), note).with_nodes(&vkey, &history);
        assert_eq!(auditor.judge(&vkey).unwrap(), expected);
    }
    let (damage, _) = scene.audited(&*never.store);
    assert!(matches!(damage, Damage::Shrunk { size: 400, vouched: SEEN, .. }), "{damage}");
}

#[test]
fn a_tile_that_changed() {
    // The hashes that the way from the backup to now leads over.
    let mut scene = Scene::new();
    scene.tamper("UPDATE tiles SET bytes = zeroblob(length(bytes)) WHERE level = 0 AND idx = 1");
    let log = scene.reopened().unwrap();
    let error = ask(&log, &scene.early.0).unwrap_err().to_string();
    assert_eq!(error, "witness `w.example` refuses: the log does not continue what it cosigned before");
    assert!(scene.kept("early", "fork-").is_empty(), "damage is no lie");
    assert_eq!(scene.kept("early", "unproven-"), [unproven(BACKUP, SEEN)]);
    assert_eq!(takes_nothing_in(&log), "the log does not continue what witness `w.example` has cosigned");
    let (damage, _) = scene.audited(&*log.store);
    assert_eq!(damage.to_string(), "the stored hashes at level 0, tile 1 are not those of the entries");

    // An entry that is handed out changed.
    let mut scene = Scene::new();
    scene.tamper("UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE idx = 5) WHERE idx = 310");
    let log = scene.reopened().unwrap();
    let error = read(&mut scene.early.1, &log, &log.head().to_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the log forked: its 520 entries do not continue the ones that were seen before");
    assert_eq!(shown(error, &StoredNodes(&*log.store)), unproven(BACKUP, SEEN), "the hashes are the signed ones");
    let (damage, _) = scene.audited(&*log.store);
    assert!(matches!(damage, Damage::Identity(310)), "{damage}");

    // The log itself looks at its right edge.
    for sql in [
        "UPDATE tiles SET bytes = zeroblob(length(bytes)) WHERE level = 1",
        "UPDATE tiles SET bytes = zeroblob(length(bytes)) WHERE level = 0 AND idx = 2",
        "UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE idx = 5) WHERE idx = 519",
        "DELETE FROM entries WHERE idx >= 519",
    ] {
        let mut scene = Scene::new();
        scene.tamper(sql);
        assert!(scene.reopened().is_err(), "{sql}");
    }
}
