//! A real disk that is full, or becomes read-only under an open log: appends refuse with a reason and keep
//! nothing, reading goes on, and what can go on by itself does.
//!
//! The mounts are made in a namespace of the test's own thread, which the threads that it starts share.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use ledger::{
    blobs::FileBlobs,
    bodies::{Bodies, Body, KeptBody, Subject},
    check::{Evidence, check_log},
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{AppendError, Log, OpenDoor, Submission},
    merkle::{TilePath, unbundle},
    note::{NoteKeyType, NoteSigner},
    store::{SqliteStore, StoreError},
};
use nix::{
    mount::{MsFlags, mount, umount},
    sched::{CloneFlags, unshare},
};

use crate::writer::{log_key, witnesses};

/// A mount that ends with the test.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // What is still open ends with the thread, and the mount with it.
        umount(&self.0).unwrap_or_default();
    }
}

/// A namespace for mounts, so that nobody else sees them, and whatever happens they end with this thread.
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(Scheme::Ed25519, &[seed; 32]).unwrap()
}

fn open(folder: &Path) -> Log {
    let signer = NoteSigner::new("killed.example", NoteKeyType::Ed25519, Arc::new(key(8))).unwrap();
    let store = Arc::new(SqliteStore::open(&folder.join("log.db")).unwrap());
    let blobs = Arc::new(FileBlobs::open(&folder.join("bodies")).unwrap());
    Log::open(store.clone(), signer, Arc::new(OpenDoor)).unwrap().keeping(Bodies::new(blobs, store))
}

fn statement(number: u64) -> Submission {
    let payload = format!("{number} {}", "x".repeat(8000)).into_bytes();
    Submission::new(Envelope::seal("text/plain", payload, &key(7)).unwrap())
}

fn with_body(number: u64) -> (Submission, Body) {
    let body = Body { salt: [7; 32], bytes: vec![number.to_le_bytes()[0]; 60_000] };
    let payload = format!("{number} {}", body.commitment()).into_bytes();
    let envelope = Envelope::seal("text/plain", payload, &key(7)).unwrap();
    (Submission { envelope, bodies: vec![body.clone().about(Subject::Change(number))] }, body)
}

/// Everything that a reader may ask for.
fn is_read(log: &Log, size: u64, body: &Body) {
    assert_eq!(log.head().size(), size);
    let mut entries = 0;
    while entries < size {
        entries += log.entries(entries, usize::MAX).unwrap().len() as u64;
    }
    for index in [0, size / 2, size - 1] {
        let envelope = log.envelope(index).unwrap();
        log.receipt(index).unwrap().verify(&envelope, log.vkey()).unwrap();
        assert_eq!(log.find(envelope.identity()).unwrap(), Some(index));
    }
    log.consistency_proof(1, size).unwrap();
    let width = usize::try_from(size.min(255)).unwrap();
    let tile = log.resource(TilePath::Hashes { level: 0, index: 0, width }).unwrap().unwrap();
    assert_eq!(tile.len(), width * 32);
    let bundle = log.resource(TilePath::Entries { index: 0, width }).unwrap().unwrap();
    assert_eq!(unbundle(&bundle).unwrap().len(), width);
    assert!(log.resource(TilePath::Checkpoint).unwrap().is_some());
    assert_eq!(log.body(&body.commitment()).unwrap(), KeptBody::Kept(body.clone()));
}

fn is_whole(folder: &Path, size: u64) {
    let store = SqliteStore::open(&folder.join("log.db")).unwrap();
    let (log, witnesses) = (log_key(), witnesses());
    let evidence = Evidence { log: &log, witnesses: &witnesses, checkpoints: &[], kept: None };
    assert_eq!(check_log(&store, &evidence).unwrap().range.size(), size);
}

fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source))).unwrap_or_default();
    format!("{error}{source}")
}

#[test]
fn root_a_full_disk_refuses_with_its_reason_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    own_mounts();
    mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
    let mounted = Mounted(folder.path().to_owned());
    let log = open(folder.path());
    let (first, body) = with_body(0);
    log.append(first).unwrap();
    let mut size = 1 + log.append_all((1..20).map(statement).collect()).into_iter().map(Result::unwrap).count() as u64;

    for round in 0..3 {
        let filler = folder.path().join("filler");
        let full = fs::File::create(&filler).unwrap().write_all(&vec![1; 8 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        // The write-ahead log may have room of its own left: until that is used, nothing need be refused.
        let refused = (0..2000).find_map(|n| match log.append(statement(1000 * (round + 1) + n)) {
            Ok(receipt) => {
                assert_eq!(receipt.index, size);
                size += 1;
                None
            }
            Err(error) => Some(error),
        });
        let refused = refused.unwrap();
        assert_eq!(chain(&refused), "the statement could not be stored: the disk of the log is full");
        let (second, _) = with_body(1);
        let refused = log.append(second).unwrap_err();
        assert!(chain(&refused).contains("full"), "{}", chain(&refused));
        is_read(&log, size, &body);
        let line = witness_line(&log);
        assert!(matches!(log.add_cosignature(size, &line), Err(e) if chain(&e).contains("full")));
        is_read(&log, size, &body);

        fs::remove_file(&filler).unwrap();
        log.add_cosignature(size, &line).unwrap();
        assert_eq!(log.append(statement(100 + round)).unwrap().index, size, "it goes on by itself");
        size += 1;
    }
    is_read(&log, size, &body);
    drop(log);
    is_whole(folder.path(), size);
    drop(mounted);
}

fn witness_line(log: &Log) -> ledger::note::NoteSignature {
    let signer = NoteSigner::new("witness.example", NoteKeyType::Cosignature, Arc::new(key(9))).unwrap();
    signer.sign(log.head().note().text(), model::Timestamp::from_unix(1_800_000_000)).unwrap()
}

#[test]
fn root_a_disk_that_becomes_read_only_refuses_with_its_reason_and_is_read_on() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("mounted");
    let mounted = file_system(&scratch.path().join("image"), &folder);
    let log = open(&folder);
    let (first, body) = with_body(0);
    log.append(first).unwrap();
    let size = 1 + log.append_all((1..20).map(statement).collect()).into_iter().map(Result::unwrap).count() as u64;

    let device = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&folder).output().unwrap().stdout;
    let device = String::from_utf8(device).unwrap();
    let device = device.trim().rsplit('/').next().unwrap();
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a test\n").unwrap();

    let refused = log.append(statement(20)).unwrap_err();
    assert!(matches!(&refused, AppendError::Store(_)), "{refused:?}");
    let again = log.append(statement(21)).unwrap_err();
    assert_eq!(chain(&again), "the log has stopped writing after a failed write; start it again");
    let (second, _) = with_body(1);
    assert!(matches!(log.append(second).unwrap_err(), AppendError::Keep(_)));
    is_read(&log, size, &body);
    drop(log);

    // Started again there, it can not be opened for writing, and says why; it can be read.
    let refused = SqliteStore::open(&folder.join("log.db")).err().unwrap();
    let place = folder.join("log.db");
    assert_eq!(
        chain(&refused),
        format!("can not open the log at `{}`: the log can not be written: it is read-only", place.display())
    );
    let store = Arc::new(SqliteStore::open_read_only(&folder.join("log.db")).unwrap());
    let signer = NoteSigner::new("killed.example", NoteKeyType::Ed25519, Arc::new(key(8))).unwrap();
    let blobs = Arc::new(FileBlobs::open(&folder.join("bodies")).unwrap());
    let log = Log::open(store.clone(), signer, Arc::new(OpenDoor)).unwrap().keeping(Bodies::new(blobs, store));
    is_read(&log, size, &body);
    let refused = log.append(statement(22)).unwrap_err();
    assert!(matches!(&refused, AppendError::Store(e) if matches!(**e, StoreError::ReadOnly)), "{refused:?}");
    assert_eq!(chain(&refused), "the statement could not be stored: the log can not be written: it is read-only");
    assert_eq!(log.append(statement(1)).unwrap().index, 1, "what is in it is answered");
    is_read(&log, size, &body);
    drop(log);
    drop(mounted);
}

/// A file system of its own, in a file.
fn file_system(image: &Path, folder: &Path) -> Mounted {
    fs::File::create(image).unwrap().set_len(16 << 20).unwrap();
    fs::create_dir(folder).unwrap();
    own_mounts();
    run(Command::new("mkfs.ext4").arg("-q").arg(image));
    // What a kernel does when it finds its file system damaged, and most installations ask for.
    run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(image).arg(folder));
    Mounted(folder.to_owned())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
