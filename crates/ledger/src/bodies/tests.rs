mod faults;

use super::*;
use crate::{
    blobs::FileBlobs,
    store::{MemoryStore, SqliteStore},
};

fn person(name: &str) -> Subject {
    Subject::Person(name.parse().unwrap())
}

fn said(subject: Subject, text: &str) -> SubjectBody {
    Body::new(text.as_bytes().to_vec()).unwrap().about(subject)
}

/// Bodies in a folder, under the keys of a store.
fn bodies_in(folder: &std::path::Path, keys: Arc<dyn SubjectKeys>) -> Bodies {
    Bodies::new(Arc::new(FileBlobs::open(&folder.join("bodies")).unwrap()), keys)
}

#[test]
fn subjects_have_one_spelling() {
    let value = Subject::Value(Digest::of(b"salt and account")).to_string();
    for good in ["person:ada", "change:0", "change:17", value.as_str()] {
        assert_eq!(good.parse::<Subject>().unwrap().to_string(), good);
    }
    for wrong in [
        "",
        "ada",
        "person:",
        "person:Ada Lovelace",
        "change:017",
        "change:+1",
        "change:-1",
        "release:1",
        "value:payout",
    ] {
        let refused = wrong.parse::<Subject>().unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("`{wrong}` is not a subject such as `person:ada`, `change:17` or `value:sha256:…`")
        );
    }
    let ada = Digest::of(b"countersign subject v1\nperson:ada");
    assert_eq!(*person("ada").digest().digest(), ada, "as documented");
}

/// The frozen form: a body that was kept once opens for ever.
#[test]
fn the_kept_form_is_frozen() {
    let key = SubjectKey::from_bytes([7; 32]);
    let body = Body { salt: [3; 32], bytes: b"a reason".to_vec() };
    let sealed = seal::seal(&key, person("ada").digest(), &body.commitment(), [9; 24], &body).unwrap();
    assert_eq!(hex::encode(&sealed[..4]), hex::encode("csb1"));
    assert_eq!(sealed.len(), 4 + 32 + 24 + 32 + body.bytes.len() + 16);
    assert_eq!(Digest::of(&sealed).hex(), GOLDEN);
    assert_eq!(seal::open(&key, &body.commitment(), &sealed), Some((person("ada").digest(), body.clone())));
    for at in 0..sealed.len() {
        let mut torn = sealed.clone();
        torn[at] ^= 1;
        assert_eq!(seal::open(&key, &body.commitment(), &torn), None, "byte {at}");
        assert_eq!(seal::open(&key, &body.commitment(), &sealed[..at]), None, "the first {at} bytes");
    }
    assert_eq!(seal::open(&SubjectKey::from_bytes([8; 32]), &body.commitment(), &sealed), None);
    assert_eq!(seal::open(&key, &Digest::of(b"x"), &sealed), None);
}

const GOLDEN: &str = "84335b511bb2c7dbe1f31f409d1e3b4d5693ae89afd2d56d5d18b75a9683b01c";

#[test]
fn keys_on_disk_and_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = SqliteStore::open(&path).unwrap();
    store.get_or_make(person("ada").digest(), &SubjectKey::new().unwrap()).unwrap();
    store.get_or_make(person("ben").digest(), &SubjectKey::new().unwrap()).unwrap();
    store.destroy(person("ada").digest()).unwrap();
    let before = store.subjects(None, 9).unwrap();
    assert_eq!(before.len(), 2);
    drop(store);
    assert_eq!(SqliteStore::open(&path).unwrap().subjects(None, 9).unwrap(), before);
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert!(matches!(reader.destroy(person("ada").digest()), Err(StoreError::ReadOnly)));
}

#[test]
fn a_destroyed_key_is_in_none_of_the_files_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("log.db")).unwrap();
    let (ada, key) = (person("ada").digest(), SubjectKey::new().unwrap());
    let others: Vec<_> = (0..50).map(|n| Subject::Change(n).digest()).collect();
    for other in &others {
        store.get_or_make(*other, &SubjectKey::new().unwrap()).unwrap();
    }
    store.get_or_make(ada, &key).unwrap();
    let holds = || {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|f| std::fs::read(f.unwrap().path()).unwrap());
        files.filter(|bytes| bytes.windows(32).any(|w| w == key.as_bytes())).count()
    };
    assert!(holds() > 0, "it was there");
    store.destroy(ada).unwrap();
    assert_eq!(holds(), 0);
    assert!(others.iter().all(|o| matches!(store.get(*o).unwrap(), KeyState::Kept(_))));
}

#[test]
fn bodies_are_kept_under_their_subject_and_erased_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let bodies = bodies_in(folder.path(), Arc::new(MemoryStore::new()));
    let (first, second, other) =
        (said(person("ada"), "why"), said(person("ada"), "why not"), said(person("ben"), "because"));
    for body in [&first, &second, &other] {
        bodies.keep(body).unwrap();
        bodies.keep(body).unwrap();
        assert_eq!(bodies.read(&body.body.commitment()).unwrap(), KeptBody::Kept(body.body.clone()));
    }
    assert_eq!(bodies.read(&Digest::of(b"x")).unwrap(), KeptBody::Missing);
    let elsewhere = SubjectBody { subject: person("ben"), ..first.clone() };
    assert!(matches!(bodies.keep(&elsewhere), Err(KeepError::Conflict(_))), "one body has one subject");

    bodies.erase(person("ada").digest()).unwrap();
    for body in [&first, &second] {
        assert_eq!(bodies.read(&body.body.commitment()).unwrap(), KeptBody::Erased);
    }
    assert_eq!(bodies.read(&other.body.commitment()).unwrap(), KeptBody::Kept(other.body.clone()));
    for new in [first, said(person("ada"), "once more")] {
        let refused = bodies.keep(&new).unwrap_err();
        assert_eq!(refused.to_string(), "`person:ada` was erased; nothing new is kept about it");
    }
}

#[test]
fn nothing_readable_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let bodies = bodies_in(folder.path(), Arc::new(MemoryStore::new()));
    let reason = said(person("ada"), "the reason why Ada Lovelace stopped it");
    bodies.keep(&reason).unwrap();
    let name = BlobName::from(&reason.body.commitment());
    let kept = std::fs::read(folder.path().join("bodies").join(name.path())).unwrap();
    for secret in [reason.body.bytes.as_slice(), &reason.body.salt, b"Ada", b"person:ada"] {
        assert!(!kept.windows(secret.len()).any(|w| w == secret));
    }
}

#[test]
fn damaged_bodies_and_lost_keys_are_told_from_erased_ones() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Arc::new(MemoryStore::new());
    let bodies = bodies_in(folder.path(), keys.clone());
    let (one, two) = (said(person("ada"), "one"), said(person("ada"), "two"));
    bodies.keep(&one).unwrap();
    bodies.keep(&two).unwrap();
    let commitment = one.body.commitment();
    let path = |of: &SubjectBody| folder.path().join("bodies").join(BlobName::from(&of.body.commitment()).path());
    let whole = std::fs::read(path(&one)).unwrap();
    let other = std::fs::read(path(&two)).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&b""[..], b"csb1", &whole[..whole.len() - 1], &flipped, &other] {
        crate::durable::write(&path(&one), damaged, 0o600).unwrap();
        let refused = bodies.read(&commitment).unwrap_err();
        assert_eq!(refused.to_string(), format!("the body with the commitment {commitment} is damaged"));
        assert!(matches!(bodies.keep(&one), Err(KeepError::Conflict(_))));
    }
    crate::durable::write(&path(&one), &whole, 0o600).unwrap();
    let without = bodies_in(folder.path(), Arc::new(MemoryStore::new()));
    assert!(matches!(without.read(&commitment), Err(BodyError::KeyLost(c)) if c == commitment));
    bodies.erase(person("ada").digest()).unwrap();
    assert_eq!(bodies.read(&commitment).unwrap(), KeptBody::Erased);
}

#[test]
fn copying_moves_every_blob_as_it_is_and_may_be_done_again() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = Arc::new(MemoryStore::new());
    let bodies = bodies_in(here.path(), keys.clone());
    let all: Vec<_> = (0..20).map(|n| said(Subject::Change(n), &format!("cases of {n}"))).collect();
    for body in &all {
        bodies.keep(body).unwrap();
    }
    bodies.erase(Subject::Change(3).digest()).unwrap();
    let (from, to) =
        (FileBlobs::open(&here.path().join("bodies")).unwrap(), FileBlobs::open(&there.path().join("bodies")).unwrap());
    for _ in 0..2 {
        assert_eq!(copy_blobs(&from, &to).unwrap(), 20);
    }
    let moved = bodies_in(there.path(), keys);
    for (n, body) in all.iter().enumerate() {
        let name = BlobName::from(&body.body.commitment());
        assert_eq!(from.get(&name).unwrap(), to.get(&name).unwrap());
        let expected = if n == 3 { KeptBody::Erased } else { KeptBody::Kept(body.body.clone()) };
        assert_eq!(moved.read(&body.body.commitment()).unwrap(), expected);
    }
    let name = BlobName::from(&all[0].body.commitment());
    to.delete(&name).unwrap();
    to.put(&name, b"something else").unwrap();
    assert!(matches!(copy_blobs(&from, &to), Err(BlobError::Taken(n)) if n == name));
}
