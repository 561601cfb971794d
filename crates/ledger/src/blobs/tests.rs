use super::*;

fn name(text: &str) -> BlobName {
    text.parse().unwrap()
}

#[test]
fn names_are_hex_and_their_paths_lead_back() {
    for wrong in ["", "abcd", "ABCDE", "abcdg", "ab/cd", "../../etc", "abcde.", &"a".repeat(129)] {
        assert_eq!(wrong.parse::<BlobName>(), Err(BlobNameError(wrong.to_owned())));
    }
    let five = name("abcde");
    assert_eq!(five.path(), "ab/cd/abcde");
    assert_eq!(BlobName::of_path("ab/cd/abcde"), Some(five));
    for wrong in ["abcde", "cd/ab/abcde", "x/ab/cd/abcde", "ab/cd/.abcde.1-1.tmp", ""] {
        assert_eq!(BlobName::of_path(wrong), None, "{wrong}");
    }
    assert_eq!("`ab/cd` is not 5 to 128 lower-case hex digits", BlobNameError("ab/cd".to_owned()).to_string());
}

#[test]
fn files_are_for_their_owner_and_a_torn_put_is_not_seen() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let blobs = FileBlobs::open(&folder.path().join("bodies")).unwrap();
    blobs.put(&name("abcdef"), b"bytes").unwrap();
    let file = folder.path().join("bodies/ab/cd/abcdef");
    for (path, mode) in
        [("bodies", 0o700), ("bodies/ab", 0o700), ("bodies/ab/cd", 0o700), ("bodies/ab/cd/abcdef", 0o600)]
    {
        let found = std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    // What a power cut leaves: the temporary file that was never linked to its name.
    crate::durable::write(&file.with_file_name(".abcdee.1-0.tmp"), b"by", 0o600).unwrap();
    assert_eq!(blobs.names(None, 9).unwrap(), [name("abcdef")]);
    assert_eq!(blobs.get(&name("abcdee")).unwrap(), None);
    blobs.put(&name("abcdee"), b"bytes").unwrap();
    assert_eq!(blobs.names(None, 9).unwrap(), [name("abcdee"), name("abcdef")]);
}

#[test]
fn what_can_not_be_written_is_refused_and_reading_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FileBlobs::open(folder.path()).unwrap();
    blobs.put(&name("abcdef"), b"bytes").unwrap();
    // A file where a folder should be does what a broken file system does, for root too.
    crate::durable::write(&folder.path().join("cc"), b"in the way", 0o600).unwrap();
    assert!(matches!(blobs.put(&name("cccccc"), b"x"), Err(BlobError::Failed(_))));
    assert_eq!(blobs.get(&name("abcdef")).unwrap().unwrap(), b"bytes");
    let huge = vec![0; BLOB_LIMIT_BYTES + 1];
    assert!(matches!(blobs.put(&name("dddddd"), &huge), Err(BlobError::TooLarge { .. })));
    assert!(!blobs.exists(&name("dddddd")).unwrap());
    let full = of_io_error(std::io::ErrorKind::StorageFull);
    assert_eq!(full, "the store of blobs is full");
    assert_eq!(of_io_error(std::io::ErrorKind::ReadOnlyFilesystem), "the store of blobs is read-only");
}

fn of_io_error(kind: std::io::ErrorKind) -> String {
    files::of_io(kind.into()).to_string()
}
