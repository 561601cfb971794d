//! Two `log` processes, each with a folder of its own as on two hosts, confined as everywhere, on one PostgreSQL and one
//! S3-compatible server. The one that orders is killed again and again under load.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ledger::merkle::unbundle;
use sim::{
    postgres_server::PostgresServer,
    s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY},
};

use crate::{
    installation::{Installation, PROGRAM, SHORT, charter_hash},
    request::get_unix,
    speaker::{Said, Speaker},
    wait::wait_for,
};

/// In `make test`; docs/operating.md says how two hundred are run.
const ROUNDS: u32 = 6;
/// As long as a turn that was lost may cost, from the kill to a receipt.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(5);
/// Callers at each of the two.
const CALLERS: usize = 2;
/// Statements that are taken between two kills, at moments of which no two are the same.
const BETWEEN: usize = 12;
const LOG_USER: u32 = 2_200_001;
const ROLES_GROUP: u32 = 2_200_000;

/// One of the two.
struct Twin<'a> {
    it: &'a Installation,
    dir: PathBuf,
    child: Option<Child>,
}

impl<'a> Twin<'a> {
    /// A host's folder for the log alone: what `init` made and `up` lays out.
    fn make(it: &'a Installation, name: &str, store: &str, blobs: &str) -> Self {
        let dir = it.path(name);
        for folder in ["", "keys", "log", "run", "run/log", "status", "status/log"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        for file in ["charter.jsonl", "settings.json", "keys/log.key"] {
            fs::copy(it.dir().join(file), dir.join(file)).unwrap();
        }
        for (path, group, mode) in [
            ("log", LOG_USER, 0o700),
            ("run/log", ROLES_GROUP, 0o2750),
            ("status/log", ROLES_GROUP, 0o2755),
            ("keys/log.key", LOG_USER, 0o600),
        ] {
            chown(dir.join(path), Some(LOG_USER), Some(group)).unwrap();
            fs::set_permissions(dir.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut twin = Self { it, dir, child: None };
        twin.keep_at(store, blobs);
        twin
    }

    fn keep_at(&mut self, store: &str, blobs: &str) {
        let path = self.dir.join("settings.json");
        let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        settings["store"] = store.into();
        settings["blobs"] = blobs.into();
        fs::write(&path, settings.to_string()).unwrap();
    }

    fn start(&mut self) {
        let output = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("output")).unwrap();
        // Of a process that was killed the socket stays.
        drop(fs::remove_file(self.socket()));
        let child = Command::new(PROGRAM)
            .args(["process", "log", "--charter", &charter_hash(&self.it.dir()).unwrap(), "--dir"])
            .arg(&self.dir)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.child = Some(child);
        wait_for("it serves", SHORT, || self.story(), || get_unix(&self.socket(), "/checkpoint").ok());
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// As `down` ends it.
    fn end(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        child.wait().unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("run/log/socket")
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn story(&self) -> String {
        let output = fs::read_to_string(self.dir.join("output")).unwrap_or_default();
        let lines: Vec<&str> = output.lines().collect();
        format!("{}: {:#?}", self.dir.display(), &lines[lines.len().saturating_sub(30)..])
    }
}

impl Drop for Twin<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.story());
        }
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Two of them on a database and a bucket.
struct Pair {
    database: PostgresServer,
    _s3: S3Server,
    url: String,
    bucket: String,
}

impl Pair {
    fn new(it: &Installation) -> Self {
        let (database, s3) = (PostgresServer::start().unwrap(), S3Server::start().unwrap());
        let file = |name: &str, text: &str| {
            fs::write(it.path(name), text).unwrap();
            it.path(name).to_string_lossy().into_owned()
        };
        let (access, secret) = (file("access", ACCESS_KEY), file("secret", SECRET_KEY));
        let bucket =
            format!("s3://{BUCKET}?endpoint=http://{}&access-key-file={access}&secret-key-file={secret}", s3.address());
        let url = database.new_database().unwrap();
        Self { database, _s3: s3, url, bucket }
    }

    /// The process id of the one that orders, as the database knows it.
    fn sequencer(&self, url: &str) -> Option<u32> {
        let holder = self.database.run_at(url, "SELECT holder FROM countersign.turn").unwrap();
        holder.split('-').next()?.parse().ok()
    }

    fn size(&self, url: &str) -> u64 {
        let size = self.database.run_at(url, "SELECT max(size) FROM countersign.checkpoints").unwrap();
        size.parse().unwrap()
    }
}

#[test]
fn root_the_sequencer_is_killed_under_load_again_and_again_and_nothing_is_lost_or_doubled() {
    let rounds = std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let it = Installation::make();
    let pair = Pair::new(&it);
    let mut twins = ["one", "two"].map(|name| Twin::make(&it, name, &pair.url, &pair.bucket));
    twins.iter_mut().for_each(Twin::start);
    let sockets = [twins[0].socket(), twins[1].socket()];
    let speaker = Speaker::operator(&it);
    let (stop, said) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        for caller in 0..2 * CALLERS {
            let (stop, said, speaker, sockets) = (&stop, &said, &speaker, &sockets);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let halt = speaker.halt("under load");
                    if let Some(index) = at_last(&halt, sockets, caller % 2, stop) {
                        said.lock().unwrap().push((halt, index));
                    }
                }
            });
        }
        let killing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..rounds {
                let taken = said.lock().unwrap().len();
                let why = || twins.iter().map(Twin::story).collect::<Vec<_>>().join("\n");
                wait_for("statements are taken", SHORT, why, || {
                    (said.lock().unwrap().len() >= taken + BETWEEN).then_some(())
                });
                let sequencer = wait_for("one has the turn", SHORT, why, || {
                    let pid = pair.sequencer(&pair.url)?;
                    twins.iter().position(|twin| twin.pid() == pid)
                });
                twins[sequencer].kill();
                let killed = Instant::now();
                let probe = speaker.halt("after the kill");
                let other = [sockets[1 - sequencer].clone(), sockets[1 - sequencer].clone()];
                let index = at_last(&probe, &other, 0, &stop).unwrap();
                let took = killed.elapsed();
                assert!(took < TAKE_OVER_LIMIT, "round {round}: {took:?}\n{}", twins[1 - sequencer].story());
                longest = longest.max(took);
                said.lock().unwrap().push((probe, index));
                twins[sequencer].start();
            }
        }));
        stop.store(true, Ordering::SeqCst);
        if let Err(panic) = killing {
            std::panic::resume_unwind(panic);
        }
    });
    let said = said.into_inner().unwrap();
    println!("{rounds} kills, {} receipts, the longest take-over {} ms", said.len(), longest.as_millis());

    let size = pair.size(&pair.url);
    for twin in &twins {
        is_all_there(&twin.socket(), &said, size);
    }
    wait_for(
        "everything is cosigned",
        SHORT,
        || twins[0].story(),
        || twins.iter().all(|twin| cosigned_at(&twin.socket()) == Some(size)).then_some(()),
    );
    twins.iter_mut().for_each(Twin::end);
    it.set(&[("store", pair.url.clone().into()), ("blobs", pair.bucket.clone().into())]);
    let audited = it.ok(&["audit"]);
    assert!(audited.contains(&format!("audited {size} statements")), "{audited}");
}

/// Posts to one and then the other, until one promises an index, as every client does; `None` if it is over before.
fn at_last(said: &Said, sockets: &[PathBuf; 2], first: usize, stop: &AtomicBool) -> Option<u64> {
    let until = Instant::now() + SHORT;
    for turn in first.. {
        if let Some(index) = said.index_at(&sockets[turn % 2]) {
            return Some(index);
        }
        if stop.load(Ordering::SeqCst) || Instant::now() > until {
            break;
        }
        std::thread::yield_now();
    }
    None
}

/// Every statement that somebody has a receipt for is where it was promised, and every statement is there once.
fn is_all_there(socket: &Path, said: &[(Said, u64)], size: u64) {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    while (entries.len() as u64) < size {
        let answer = get_unix(socket, &format!("/entries/{}", entries.len())).unwrap();
        let more = unbundle(&answer.body).unwrap();
        assert!(answer.status == 200 && !more.is_empty(), "{} of {size}", entries.len());
        entries.extend(more);
    }
    let once: BTreeSet<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    assert_eq!(once.len(), entries.len(), "a statement is there twice");
    let mut promised = BTreeMap::new();
    for (halt, index) in said {
        let entry = &entries[usize::try_from(*index).unwrap()];
        assert_eq!(*entry, halt.envelope.canonical_bytes(), "what was promised at {index}");
        assert!(promised.insert(index, ()).is_none(), "{index} was promised twice");
    }
}

/// The size of the checkpoint that it serves as cosigned.
fn cosigned_at(socket: &Path) -> Option<u64> {
    let answer = get_unix(socket, "/cosigned").ok().filter(|answer| answer.status == 200)?;
    String::from_utf8(answer.body).ok()?.lines().nth(1)?.parse().ok()
}

#[test]
fn root_a_database_of_an_old_backup_is_not_written_in_any_turn() {
    let it = Installation::make();
    let pair = Pair::new(&it);
    let mut twins = ["one", "two"].map(|name| Twin::make(&it, name, &pair.url, &pair.bucket));
    let speaker = Speaker::operator(&it);
    twins[0].start();
    speaker.halt("in the backup").index_at(&twins[0].socket()).unwrap();
    twins[0].end();
    let backup = pair.database.copy(&pair.url).unwrap();
    twins[0].start();
    for _ in 0..3 {
        speaker.halt("after the backup").index_at(&twins[0].socket()).unwrap();
    }
    let size = pair.size(&pair.url);
    wait_for(
        "it is cosigned",
        SHORT,
        || twins[0].story(),
        || (cosigned_at(&twins[0].socket()) == Some(size)).then_some(()),
    );
    twins[0].end();

    // The backup in place of the log, and both started again: nobody who runs has seen more than the backup has.
    twins.iter_mut().for_each(|twin| twin.keep_at(&backup, &pair.bucket));
    let old = pair.size(&backup);
    assert!(old < size);
    twins.iter_mut().for_each(Twin::start);
    let refused = speaker.halt("in the first turn").post(&twins[0].socket()).unwrap();
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(refused.status == 422 && text.contains("it was set back") && text.contains("has cosigned"), "{text}");

    // The other has no reason to refuse yet, and hands over what it is told. Then it gets the turn.
    let socket = twins[1].socket();
    std::thread::scope(|scope| {
        let handed_over = scope.spawn(|| speaker.halt("in a later turn").post(&socket).unwrap());
        wait_for(
            "it is handed over",
            SHORT,
            || twins[1].story(),
            || {
                let offers = pair.database.run_at(&backup, "SELECT count(*) FROM countersign.offers").unwrap();
                (offers == "1").then_some(())
            },
        );
        twins[0].kill();
        let refused = handed_over.join().unwrap();
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(refused.status == 422 && text.contains("it was set back"), "{} {text}", refused.status);
    });
    assert_eq!(pair.sequencer(&backup), Some(twins[1].pid()), "it had the turn");
    assert_eq!(pair.size(&backup), old, "nothing was written in any turn");
    assert_eq!(get_unix(&socket, &format!("/entries/{}", old - 1)).unwrap().status, 200, "reading goes on");
}
