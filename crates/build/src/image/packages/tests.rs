#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use super::*;

const STATUS: &str = "Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9+deb12u10
Description: GNU C Library
 Version: 0 is not a field but text

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36-9

Package: redis
Architecture: all
Version: 5:7.0.15-1
";

fn files(names: &[&str]) -> BTreeSet<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

#[test]
fn files_have_packages_under_either_name() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("info")).unwrap();
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
    write("status", STATUS);
    write("info/libc6:amd64.list", "/.\n/lib\n/lib/x86_64-linux-gnu/libc.so.6\n");
    write("info/libc6:i386.list", "/.\n/lib/i386-linux-gnu/libc.so.6\n");
    write("info/redis.list", "/usr/bin/redis-server\n");
    write("info/libc6:amd64.postinst", "/usr/bin/other\n");
    let wanted =
        files(&["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/redis-server", "/usr/bin/other", "/opt/own.so"]);
    let found = of(place.path(), &wanted);
    let shown: Vec<String> =
        found.iter().map(|(f, p)| format!("{} {} {} {}", f.display(), p.name, p.version, p.architecture)).collect();
    assert_eq!(
        shown,
        [
            "/usr/bin/redis-server redis 5:7.0.15-1 all",
            "/usr/lib/x86_64-linux-gnu/libc.so.6 libc6 2.36-9+deb12u10 amd64"
        ]
    );
}

#[test]
fn a_machine_without_the_database_names_no_packages() {
    let place = tempfile::tempdir().unwrap();
    assert!(of(place.path(), &files(&["/usr/bin/env"])).is_empty());
}
