#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use super::*;

#[test]
fn folders_that_lock_their_owner_out_are_removed_all_the_same() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("ws");
    fs::create_dir_all(dir.join("a/b")).unwrap();
    fs::write(dir.join("a/b/c"), "x").unwrap();
    fs::create_dir(place.path().join("outside")).unwrap();
    std::os::unix::fs::symlink(place.path().join("outside"), dir.join("a/b/link")).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&place.path().join("outside"), 0o500);
    mode(&dir.join("a/b"), 0o000);
    mode(&dir.join("a"), 0o500);
    unlock(&dir, 0).unwrap();
    assert_eq!(dir.join("a/b").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(place.path().join("outside").metadata().unwrap().permissions().mode() & 0o777, 0o500);
    remove(&dir).unwrap();
    assert!(!dir.exists());
    remove(&dir).unwrap();
}
