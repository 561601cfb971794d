use std::path::Path;

use super::{distribution, open, root_is_allowed};
use crate::confine::{ConfineError, Confinement};
use landlock::AccessFs;

#[test]
fn a_path_that_is_not_there_is_named() {
    let error = open(Path::new("/no/such/folder"), AccessFs::ReadFile.into()).unwrap_err();
    assert_eq!(error.to_string(), "can not open `/no/such/folder`, which the process is to be confined to");
    let ConfineError::Path { source, .. } = error else { panic!("another kind of error") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_file_gets_no_rights_of_folders() {
    let rights = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::MakeReg;
    let (_, file) = open(Path::new("/proc/self/status"), rights).unwrap();
    assert_eq!(file, AccessFs::ReadFile);
    let (_, folder) = open(Path::new("/"), rights).unwrap();
    assert_eq!(folder, rights);
}

#[test]
fn the_root_folder_is_recognised() {
    assert!(!root_is_allowed(&Confinement { read: vec!["/etc".into()], ..Confinement::nothing() }));
    assert!(root_is_allowed(&Confinement { read: vec!["/etc".into(), "/".into()], ..Confinement::nothing() }));
    assert!(root_is_allowed(&Confinement { execute: vec!["//".into()], ..Confinement::nothing() }));
}

#[test]
fn the_distribution_has_programs_but_no_keys() {
    let distribution = distribution();
    assert!(distribution.execute.iter().any(|path| path.ends_with("bin")));
    for path in distribution.execute.iter().chain(&distribution.read).chain(&distribution.write) {
        assert!(!Path::new("/etc/shadow").starts_with(path), "{}", path.display());
        assert!(!Path::new("/root/.ssh/id_ed25519").starts_with(path), "{}", path.display());
        assert!(!Path::new("/var/lib/countersign").starts_with(path), "{}", path.display());
    }
}
