use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn writes_replaces_and_leaves_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    write(&path, b"one", 0o600).unwrap();
    write(&path, b"two", 0o640).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(names(folder.path()), ["state"]);
}

#[test]
fn write_new_refuses_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    write_new(&path, b"one", 0o600).unwrap();
    let refused = write_new(&path, b"two", 0o600).unwrap_err();
    assert!(matches!(refused, DurableError::Exists(_)), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert_eq!(names(folder.path()), ["key"]);
}

#[test]
fn a_missing_folder_is_an_error_that_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone").join("state");
    let refused = write(&path, b"one", 0o600).unwrap_err();
    assert_eq!(refused.to_string(), format!("can not write `{}`", path.display()));
}

#[test]
fn folders_are_made_once_with_their_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a").join("b");
    create_folder(&path, 0o700).unwrap();
    create_folder(&path, 0o700).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_lock_is_held_once_and_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let first = Lock::take(&path).unwrap();
    assert!(matches!(Lock::take(&path), Err(LockError::Held(_))));
    drop(first);
    Lock::take(&path).unwrap();
}
