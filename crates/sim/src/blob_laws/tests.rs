use std::sync::Arc;

use ledger::{
    blobs::{BLOB_LIMIT_BYTES, BlobError, BlobName, Blobs, FileBlobs},
    bodies::{Bodies, Body, KeepError, KeptBody, Subject, copy_blobs},
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{AppendError, Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    store::MemoryStore,
};
use stores::s3::{S3Blobs, S3Place};

use crate::s3_server::S3Server;

fn name(text: &str) -> BlobName {
    text.parse().unwrap()
}

/// The laws, asked of a store with nothing in it.
fn keeps_the_laws(blobs: &dyn Blobs) {
    let (one, two) = (name("aaaaa1"), name("aaaaa2"));
    assert_eq!(blobs.get(&one).unwrap(), None);
    assert!(!blobs.exists(&one).unwrap());
    assert_eq!(blobs.names(None, 9).unwrap(), []);
    blobs.delete(&one).unwrap();

    for _ in 0..2 {
        blobs.put(&one, b"bytes").unwrap();
        assert_eq!(blobs.get(&one).unwrap().unwrap(), b"bytes");
    }
    for other in [&b"other"[..], b"", b"bytes and more", b"byte"] {
        let refused = blobs.put(&one, other).unwrap_err();
        assert!(matches!(&refused, BlobError::Taken(taken) if *taken == one), "{refused:?}");
        assert_eq!(blobs.get(&one).unwrap().unwrap(), b"bytes", "nothing is overwritten");
    }
    blobs.put(&two, b"").unwrap();
    assert_eq!(blobs.get(&two).unwrap().unwrap(), b"", "nothing is something");
    assert!(blobs.exists(&two).unwrap());

    let mut all: Vec<BlobName> = (0..20).map(|n| name(&format!("{:02x}{:02x}beef", n * 11, 255 - n))).collect();
    for name in &all {
        blobs.put(name, name.as_str().as_bytes()).unwrap();
    }
    all.extend([one.clone(), two.clone()]);
    all.sort();
    assert_eq!(blobs.names(None, 99).unwrap(), all);
    let mut paged = Vec::new();
    while let Some(page) = Some(blobs.names(paged.last(), 7).unwrap()).filter(|p| !p.is_empty()) {
        assert!(page.len() <= 7);
        paged.extend(page);
    }
    assert_eq!(paged, all, "a page at a time");
    assert_eq!(blobs.names(Some(&name("ffffffff")), 9).unwrap(), []);
    assert_eq!(blobs.names(Some(&one), 1).unwrap(), std::slice::from_ref(&two), "after, not from");

    for _ in 0..2 {
        blobs.delete(&one).unwrap();
        assert_eq!((blobs.get(&one).unwrap(), blobs.exists(&one).unwrap()), (None, false));
    }
    assert!(blobs.exists(&two).unwrap(), "others stay");

    let large: Vec<u8> = (0..BLOB_LIMIT_BYTES).map(|n| (n % 251) as u8).collect();
    blobs.put(&one, &large).unwrap();
    assert!(blobs.get(&one).unwrap().unwrap() == large);
    let refused = blobs.put(&name("bbbbbb"), &vec![0; BLOB_LIMIT_BYTES + 1]).unwrap_err();
    assert!(matches!(refused, BlobError::TooLarge { .. }));

    // The same bytes from many at once are kept once, and everybody is told so.
    let shared = name("cccccc");
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| blobs.put(&shared, b"the same"))).collect();
        threads.into_iter().for_each(|t| t.join().unwrap().unwrap());
    });
    assert_eq!(blobs.get(&shared).unwrap().unwrap(), b"the same");
}

#[test]
fn files_keep_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    keeps_the_laws(&FileBlobs::open(&folder.path().join("bodies")).unwrap());
}

#[test]
fn of_two_who_come_at_once_with_different_bytes_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FileBlobs::open(folder.path()).unwrap();
    for round in 0..50_u32 {
        let name = name(&format!("{round:08x}"));
        let put = |bytes: &'static [u8]| blobs.put(&name, bytes).is_ok();
        let (first, second) = std::thread::scope(|scope| {
            let (first, second) = (scope.spawn(|| put(b"first")), scope.spawn(|| put(b"second")));
            (first.join().unwrap(), second.join().unwrap())
        });
        assert!(first != second, "round {round}");
        let kept = blobs.get(&name).unwrap().unwrap();
        assert_eq!(kept, if first { &b"first"[..] } else { b"second" });
    }
}

#[test]
fn a_real_s3_server_keeps_the_laws() {
    let server = S3Server::start().unwrap();
    keeps_the_laws(&server.blobs("").unwrap());
    // Two logs in one bucket do not see each other.
    let (one, other) = (server.blobs("one/log").unwrap(), server.blobs("other").unwrap());
    keeps_the_laws(&one);
    assert_eq!(other.names(None, 9).unwrap(), []);
}

#[test]
fn a_wrong_key_is_told() {
    let server = S3Server::start().unwrap();
    let wrong = S3Blobs::open(&S3Place { secret_key: "wrong".to_owned(), ..server.place("") }).unwrap();
    let refused = wrong.put(&name("abcdef"), b"x").unwrap_err();
    assert_eq!(refused.to_string(), "the store of blobs refuses access");
    assert!(std::error::Error::source(&refused).is_some());
    assert_eq!(std::fs::read_dir(server.bucket()).unwrap().count(), 0, "nothing was written");
}

fn statement(number: u64) -> Envelope {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[1; 32]).unwrap();
    Envelope::seal("application/vnd.in-toto+json", number.to_string().into_bytes(), &key).unwrap()
}

/// A log in memory whose bodies are kept there.
fn log(keys: &Arc<MemoryStore>, blobs: impl Blobs + 'static) -> Log {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[2; 32]).unwrap();
    let signer = NoteSigner::new("log.test/blobs", NoteKeyType::Ed25519, Arc::new(key)).unwrap();
    let log = Log::open(keys.clone(), signer, Arc::new(OpenDoor)).unwrap();
    log.keeping(Bodies::new(Arc::new(blobs), keys.clone()))
}

#[test]
fn a_store_that_is_killed_refuses_with_a_reason_and_loses_nothing_that_was_acknowledged() {
    let mut server = S3Server::start().unwrap();
    let store = Arc::new(MemoryStore::new());
    let log = log(&store, server.blobs("bodies").unwrap());
    let mut kept: Vec<Body> = Vec::new();
    let mut size = 0;
    for round in 0..3 {
        for _ in 0..4 {
            let body = Body::new(format!("body {size}").into_bytes()).unwrap();
            let said = body.clone().about(Subject::Change(round));
            log.append(Submission { envelope: statement(size), bodies: vec![said] }).unwrap();
            kept.push(body);
            size += 1;
        }
        server.kill();
        let lost = Body::new(b"not acknowledged".to_vec()).unwrap().about(Subject::Change(round));
        let refused = log.append(Submission { envelope: statement(99), bodies: vec![lost] }).unwrap_err();
        let AppendError::Keep(reason) = &refused else { panic!("{refused:?}") };
        assert!(matches!(**reason, KeepError::Blobs(BlobError::Unavailable(_))), "{reason:?}");
        assert_eq!(log.head().size(), size, "no entry without its body");
        assert!(log.body(&kept[0].commitment()).is_err(), "it can not be told from one that is not there");
        assert_eq!(log.append(Submission::new(statement(100 + round))).unwrap().index, size, "the log goes on");
        size += 1;
        server.start_again().unwrap();
        for body in &kept {
            assert_eq!(log.body(&body.commitment()).unwrap(), KeptBody::Kept(body.clone()));
        }
    }
}

#[test]
fn bodies_move_from_files_to_s3_as_they_are_and_erased_ones_stay_erased() {
    let (folder, server) = (tempfile::tempdir().unwrap(), S3Server::start().unwrap());
    let keys = Arc::new(MemoryStore::new());
    let here = Arc::new(FileBlobs::open(&folder.path().join("bodies")).unwrap());
    let bodies = Bodies::new(here.clone(), keys.clone());
    let all: Vec<_> = (0..6).map(|n| Body::new(vec![n; 100]).unwrap().about(Subject::Change(u64::from(n)))).collect();
    all.iter().for_each(|said| bodies.keep(said).unwrap());
    bodies.erase(Subject::Change(2).digest()).unwrap();
    let there = Arc::new(server.blobs("moved").unwrap());
    for _ in 0..2 {
        assert_eq!(copy_blobs(&*here, &*there).unwrap(), 6);
    }
    let moved = Bodies::new(there.clone(), keys);
    for (n, said) in all.iter().enumerate() {
        let name = BlobName::from(&said.body.commitment());
        assert_eq!(there.get(&name).unwrap(), here.get(&name).unwrap(), "byte for byte");
        let expected = if n == 2 { KeptBody::Erased } else { KeptBody::Kept(said.body.clone()) };
        assert_eq!(moved.read(&said.body.commitment()).unwrap(), expected);
    }
}
