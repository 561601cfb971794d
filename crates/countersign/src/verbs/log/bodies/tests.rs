use std::sync::Arc;

use ledger::{
    blobs::{BlobName, Blobs as _, FileBlobs},
    bodies::{Bodies, Body, KeptBody, Subject, SubjectBody},
    store::SqliteStore,
};
use model::HostName;
use sim::{
    postgres_server::PostgresServer,
    s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY},
};

use super::*;
use crate::log_store::FILE;

/// The folder of a host whose log is stopped, and the bodies that it keeps, of which one was erased.
fn stopped() -> (tempfile::TempDir, Flags, Vec<SubjectBody>) {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags { dir: folder.path().to_owned(), server: None, format: Format::Text, key: None };
    std::fs::create_dir_all(folder.path().join("log")).unwrap();
    set(&flags, |_| ());
    let said: Vec<SubjectBody> =
        (0..5).map(|n| Body::new(format!("body {n}").into_bytes()).unwrap().about(Subject::Change(n))).collect();
    let bodies = bodies_at(&flags, None);
    said.iter().for_each(|said| bodies.keep(said).unwrap());
    bodies.erase(Subject::Change(2).digest()).unwrap();
    (folder, flags, said)
}

fn set(flags: &Flags, change: impl Fn(&mut Settings)) {
    let layout = flags.layout();
    let mut settings =
        Settings::read(&layout).unwrap_or_else(|_| Settings::of_host("main".parse::<HostName>().unwrap()));
    change(&mut settings);
    ledger::durable::write(&layout.settings(), &serde_json::to_vec(&settings).unwrap(), 0o600).unwrap();
}

/// As the log of this host keeps them, in its own folder or elsewhere.
fn bodies_at(flags: &Flags, place: Option<&str>) -> Bodies {
    let store = SqliteStore::open(&flags.dir.join("log").join(FILE)).unwrap();
    Bodies::new(BlobPlace::of_host(&flags.layout(), place).unwrap().open().unwrap(), Arc::new(store))
}

fn moved(to: &str, from: Option<&str>, flags: &Flags) -> Result<String, Fault> {
    let mut out = Vec::new();
    run(to, from, flags, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn are_read(bodies: &Bodies, said: &[SubjectBody]) {
    for SubjectBody { subject, body } in said {
        let kept = bodies.read(&body.commitment()).unwrap();
        let erased = *subject == Subject::Change(2);
        assert_eq!(kept, if erased { KeptBody::Erased } else { KeptBody::Kept(body.clone()) }, "{subject}");
    }
}

#[test]
fn bodies_move_to_a_bucket_and_back_into_a_folder_byte_for_byte() {
    let (folder, flags, said) = stopped();
    let server = S3Server::start().unwrap();
    for (name, text) in [("access", ACCESS_KEY), ("secret", SECRET_KEY)] {
        ledger::durable::write(&folder.path().join(name), text.as_bytes(), 0o600).unwrap();
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let bucket = format!(
        "s3://{BUCKET}/here?endpoint=http://{}&access-key-file={}&secret-key-file={}",
        server.address(),
        file("access"),
        file("secret")
    );
    for _ in 0..2 {
        let told = moved(&bucket, None, &flags).unwrap();
        assert!(told.starts_with("copied 5 bodies from `") && told.contains(", byte for byte\n"), "{told}");
        assert!(told.contains(&format!("now set \"blobs\": \"{bucket}\" in `")), "{told}");
    }
    assert_eq!(server.objects().unwrap(), 5);
    are_read(&bodies_at(&flags, Some(&bucket)), &said);

    // With the setting the bucket is the source, and its name need not be given.
    set(&flags, |settings| settings.blobs = Some(bucket.clone()));
    let back = file("back");
    let told = moved(&back, None, &flags).unwrap();
    assert!(told.starts_with("copied 5 bodies from `s3://bodies/here/ at http://"), "{told}");
    are_read(&bodies_at(&flags, Some(&back)), &said);
    let (old, new) = (folder.path().join("log/bodies"), folder.path().join("back"));
    let (old, new) = (FileBlobs::open(&old).unwrap(), FileBlobs::open(&new).unwrap());
    for SubjectBody { body, .. } in &said {
        let name = BlobName::from(&body.commitment());
        assert_eq!(old.get(&name).unwrap(), new.get(&name).unwrap());
    }
}

#[test]
fn bodies_of_a_log_that_runs_stay_where_they_are() {
    let (folder, flags, said) = stopped();
    let to = folder.path().join("to");
    let to = to.to_str().unwrap();
    let running = SqliteStore::open(&flags.dir.join("log").join(FILE)).unwrap();
    let refused = moved(to, None, &flags).unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.message().starts_with("the log is in use"), "{refused}");
    drop(running);

    // In a database somebody else's turn says that it runs.
    let server = PostgresServer::start().unwrap();
    let url = server.new_database().unwrap();
    set(&flags, |settings| settings.store = Some(url.clone()));
    let running = PostgresServer::store(&url).unwrap();
    ledger::store::Shared::take_turn(&running).unwrap();
    let refused = moved(to, None, &flags).unwrap_err();
    assert!(refused.message().starts_with("the log is in use by `"), "{refused}");
    ledger::store::Shared::end_turn(&running).unwrap();
    moved(to, None, &flags).unwrap();
    set(&flags, |settings| settings.store = None);
    are_read(&bodies_at(&flags, Some(to)), &said);

    // What is there with other bytes is told, and neither is lost.
    let name = BlobName::from(&said[0].body.commitment());
    let (there, here) =
        (FileBlobs::open(Path::new(to)).unwrap(), FileBlobs::open(&folder.path().join("log/bodies")).unwrap());
    there.delete(&name).unwrap();
    there.put(&name, b"something else").unwrap();
    let refused = moved(to, None, &flags).unwrap_err();
    assert!(refused.message().contains("is kept with other bytes"), "{refused}");
    assert_eq!(there.get(&name).unwrap().unwrap(), b"something else");
    assert_ne!(here.get(&name).unwrap().unwrap(), b"something else");
}
