#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]
#![expect(clippy::print_stderr, reason = "what is not checked on this machine is said")]

use std::{collections::BTreeMap, process::Command};

use base64::Engine as _;
use sha2::{Digest as _, Sha512};

use super::*;
use crate::{
    fixture::{World, listen, serve},
    sandbox::Phase,
    workspace::WorkspaceError,
};

/// Runs a program that makes something to be served, in a folder of its own, and gives a file of it.
fn make(script: &str, file: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("sh").args(["-euc", script]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(dir.path().join(file)).unwrap()
}

fn there(program: &str) -> bool {
    let found = Path::new(program).exists();
    if !found {
        eprintln!("`{program}` is not installed: what needs it is not checked");
    }
    found
}

#[test]
fn root_npm_packages_are_fetched_without_running_their_scripts() {
    if !there("/usr/bin/npm") {
        return;
    }
    let manifest = r#"{"name":"left","version":"1.2.3","scripts":{"install":"touch /workspace/ran","postinstall":"touch /workspace/ran"}}"#;
    let script = format!(
        "mkdir package; echo '{manifest}' > package/package.json; echo 'module.exports = 7' > package/index.js; tar czf left.tgz package"
    );
    let archive = make(&script, "left.tgz");
    let digest = Sha512::digest(&archive);
    let (listener, port) = listen();
    let lock = format!(
        r#"{{"name":"web","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{{
        "":{{"name":"web","version":"1.0.0","dependencies":{{"left":"1.2.3"}}}},
        "node_modules/left":{{"version":"1.2.3","resolved":"https://registry.npmjs.org/left/-/left-1.2.3.tgz","integrity":"sha512-{}","hasInstallScript":true}}}}}}"#,
        base64::engine::general_purpose::STANDARD.encode(digest)
    );
    let package = r#"{"name":"web","version":"1.0.0","dependencies":{"left":"1.2.3"},"scripts":{"preinstall":"touch /workspace/ran"}}"#;
    let Some(world) =
        World::new(port, &[("package.json", package), ("package-lock.json", &lock), (".npmrc", "save-exact=true\n")])
    else {
        return;
    };
    serve(&listener, [("/left/-/left-1.2.3.tgz".to_owned(), archive.clone())].into());
    let mut workspace = world.prepare(Ecosystem::Npm).unwrap();
    let found = workspace.dependencies().to_vec();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].purl.as_str()), ("left", "pkg:npm/left@1.2.3"));
    assert_eq!(found[0].digest, DependencyDigest::Sha512(hex::encode(digest)));
    assert!(!workspace.dir().join("ran").exists());
    let command = ["node", "-e", "console.log(require('left'))"].map(str::to_owned);
    let plan = workspace.plan(&world.site, Phase::Offline, &command, BTreeMap::new()).unwrap();
    let mut said = String::new();
    workspace.succeed(&plan, &mut |p, l| world.sandbox(p, l), &mut |line| said.push_str(line)).unwrap();
    assert_eq!(said, "7");

    // Another archive under the same name.
    let (listener, port) = listen();
    let Some(world) = World::new(port, &[("package.json", package), ("package-lock.json", &lock)]) else { return };
    serve(&listener, [("/left/-/left-1.2.3.tgz".to_owned(), [archive.as_slice(), b"x"].concat())].into());
    let error = world.prepare(Ecosystem::Npm).unwrap_err();
    assert!(matches!(&error, WorkspaceError::Command { tail, .. } if tail.join(" ").contains("EINTEGRITY")), "{error}");
}

#[test]
fn root_python_wheels_are_fetched_by_their_hashes() {
    let has_pip =
        Command::new("/usr/bin/python3").args(["-m", "pip", "--version"]).output().is_ok_and(|o| o.status.success());
    assert!(has_pip, "the distribution's python3 has no pip: `scripts/setup test` installs it");
    let script = "mkdir left left-1.2.3.dist-info; echo 'seven = 7' > left/__init__.py
        printf 'Metadata-Version: 2.1\nName: left\nVersion: 1.2.3\n' > left-1.2.3.dist-info/METADATA
        printf 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n' > left-1.2.3.dist-info/WHEEL
        touch left-1.2.3.dist-info/RECORD
        /usr/bin/python3 -c \"import shutil; shutil.make_archive('left', 'zip')\"";
    let wheel = make(script, "left.zip");
    let digest = Digest::of(&wheel);
    let (listener, port) = listen();
    let page = br#"<!DOCTYPE html><html><body><a href="/files/left-1.2.3-py3-none-any.whl">left-1.2.3-py3-none-any.whl</a></body></html>"#;
    let files = [("/simple/left/".to_owned(), page.to_vec()), ("/files/left-1.2.3-py3-none-any.whl".to_owned(), wheel)];
    serve(&listener, files.into());
    let other = Digest::of(b"other").hex();
    let lock = format!(
        "# made by pip-compile\nLeft==1.2.3 ; python_version >= '3.0' \\\n    --hash=sha256:{other} \\\n    --hash=sha256:{}\n    # via web\n",
        digest.hex()
    );
    let Some(world) = World::new(port, &[("requirements.txt", &lock)]) else { return };
    let workspace = world.prepare(Ecosystem::Pip).unwrap();
    let found = workspace.dependencies();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].purl.as_str(), &found[0].digest), ("pkg:pypi/left@1.2.3", &DependencyDigest::Sha256(digest)));
    fs::write(workspace.dir().join(".countersign/wheels/other-1-py3-none-any.whl"), "x").unwrap();
    assert!(matches!(Ecosystem::Pip.verify(workspace.dir()), Err(FetchError::Mismatch { .. })));

    let Some(world) = World::new(port, &[("requirements.txt", &format!("left==1.2.3 --hash=sha256:{other}\n"))]) else {
        return;
    };
    let error = world.prepare(Ecosystem::Pip).unwrap_err().to_string();
    assert!(error.contains("DO NOT MATCH THE HASHES"), "{error}");
}

#[test]
fn root_debian_packages_are_fetched_and_unpacked_but_not_installed() {
    if !there("/usr/lib/apt/apt-helper") || !there("/usr/bin/dpkg-deb") {
        return;
    }
    let script = "mkdir -p left/DEBIAN left/usr/bin; printf '#!/bin/sh\\necho 7\\n' > left/usr/bin/left; chmod 755 left/usr/bin/left
        printf 'Package: left\\nVersion: 1:1.2.3-1\\nArchitecture: all\\nMaintainer: A <a@b>\\nDescription: x\\n' > left/DEBIAN/control
        printf '#!/bin/sh\\ntouch /workspace/ran\\n' > left/DEBIAN/postinst; chmod 755 left/DEBIAN/postinst
        dpkg-deb --root-owner-group --build left left.deb";
    let package = make(script, "left.deb");
    let digest = Digest::of(&package);
    let (listener, port) = listen();
    serve(&listener, [("/pool/main/l/left/left_1.2.3-1_all.deb".to_owned(), package)].into());
    let lock = format!(
        "# package version sha256 filename\nleft 1:1.2.3-1 {} pool/main/l/left/left_1.2.3-1_all.deb\n",
        digest.hex()
    );
    let Some(world) = World::new(port, &[("debian.lock", &lock)]) else { return };
    let workspace = world.prepare(Ecosystem::Debian).unwrap();
    let found = workspace.dependencies();
    assert_eq!(
        (found[0].purl.as_str(), &found[0].digest),
        ("pkg:deb/debian/left@1:1.2.3-1", &DependencyDigest::Sha256(digest))
    );
    assert_eq!(
        fs::read_to_string(workspace.dir().join(".countersign/debian/usr/bin/left")).unwrap(),
        "#!/bin/sh\necho 7\n"
    );
    assert!(!workspace.dir().join("ran").exists());

    let lock = lock.replace(&digest.hex(), &Digest::of(b"other").hex());
    let Some(world) = World::new(port, &[("debian.lock", &lock)]) else { return };
    let error = world.prepare(Ecosystem::Debian).unwrap_err();
    assert!(matches!(&error, WorkspaceError::Command { command, .. } if command.contains("apt-helper")), "{error}");
}

/// The error of preparing to fetch from a folder with these files.
fn refused(ecosystem: Ecosystem, files: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let registries = ["127.0.0.1:1".parse().unwrap()];
    let steps = ecosystem.steps(dir.path(), &registries).and_then(|_| ecosystem.verify(dir.path()));
    steps.unwrap_err().to_string()
}

#[test]
fn lock_files_that_do_not_lock_are_refused() {
    use Ecosystem::{Cargo, Debian, Npm, Pip};
    let sha = "0".repeat(64);
    let package = |rest: &str| format!("[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n{rest}\n");
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    let npm =
        |rest: &str| format!(r#"{{"lockfileVersion":3,"packages":{{"node_modules/a":{{"version":"1.0.0"{rest}}}}}}}"#);
    for (ecosystem, file, content, expected) in [
        (
            Cargo,
            "other",
            String::new(),
            "there is no `Cargo.lock` at the commit: run `cargo generate-lockfile` and commit it",
        ),
        (Cargo, "Cargo.lock", "= =".to_owned(), "`Cargo.lock` can not be read"),
        (Cargo, "Cargo.lock", "package = 1".to_owned(), "`package` is not a list of tables"),
        (Cargo, "Cargo.lock", "[[package]]\nname = \"a\"\n".to_owned(), "a package has no name or no version"),
        (Cargo, "Cargo.lock", package("").replace("1.0.0", "../../x"), "characters that no package has"),
        (Cargo, "Cargo.lock", package(registry), "names no digest that can be checked for `a 1.0.0`"),
        (
            Cargo,
            "Cargo.lock",
            package("source = \"git+https://x/y#short\""),
            "names no digest that can be checked for `a 1.0.0`",
        ),
        (
            Cargo,
            "Cargo.lock",
            package(&format!("{registry}checksum = \"{sha}\"")),
            "`a 1.0.0` was not fetched, though `Cargo.lock` names it",
        ),
        (Npm, "other", String::new(), "there is no `package-lock.json`"),
        (Npm, "package-lock.json", "[]".to_owned(), "`package-lock.json` can not be read"),
        (Npm, "package-lock.json", r#"{"lockfileVersion":1}"#.to_owned(), "its version is 1 instead of 2 or 3"),
        (Npm, "package-lock.json", npm(""), "names no digest that can be checked for `a 1.0.0`"),
        (
            Npm,
            "package-lock.json",
            npm(r#","integrity":"sha1-AAAA""#),
            "names no digest that can be checked for `a 1.0.0`",
        ),
        (Pip, "other", String::new(), "there is no `requirements.txt`"),
        (Pip, "requirements.txt", "a==1\n".to_owned(), "names no digest that can be checked for `a 1`"),
        (Pip, "requirements.txt", "a>=1\n".to_owned(), "`a>=1` does not name one version"),
        (Pip, "requirements.txt", "-e .\n".to_owned(), "`-e .` is an option, and only requirements are allowed"),
        (Pip, "requirements.txt", "--index-url http://x\n".to_owned(), "is an option"),
        (Pip, "requirements.txt", "./a.whl --hash=sha256:00\n".to_owned(), "does not name one version"),
        (Pip, "requirements.txt", "a==1 --hash=md5:00\n".to_owned(), "has an option that is not a SHA-256 hash"),
        (Pip, "requirements.txt", "a==1 --hash=sha256:00\n".to_owned(), "has a hash that is not one"),
        (Debian, "other", String::new(), "there is no `debian.lock`"),
        (Debian, "debian.lock", "# nothing\n".to_owned(), "it names no package"),
        (Debian, "debian.lock", "a 1 x\n".to_owned(), "line 1: it does not have four words"),
        (Debian, "debian.lock", "a 1 x pool/a.deb\n".to_owned(), "line 1: the third word is not a SHA-256"),
        (Debian, "debian.lock", format!("a 1 {sha} ../a.deb\n"), "line 1: the file name is not a path to a package"),
        (Debian, "debian.lock", format!("-a 1 {sha} a.deb\n"), "line 1: the name or the version has characters"),
        (Debian, "debian.lock", format!("a 1 {sha} a.deb\n"), "`a 1` was not fetched"),
    ] {
        let error = refused(ecosystem, &[(file, &content)]);
        assert!(error.contains(expected), "{ecosystem:?} {content}: {error}");
    }
    let lock = r#"{"lockfileVersion":3,"packages":{}}"#;
    for setting in
        ["git=./evil", "script-shell=/workspace/x", "//registry.example/:_authToken=x", "node-options=--require ./x"]
    {
        let error = refused(Npm, &[("package-lock.json", lock), (".npmrc", setting)]);
        assert!(error.contains("which is not allowed while fetching"), "{setting}: {error}");
        assert!(!error.contains("=x"), "{error}");
    }
}

#[test]
fn debian_packages_are_looked_for_where_each_server_has_them() {
    let lock = format!("a 1 {} pool/main/a.deb\nb 1 {} pool/updates/main/b.deb\n", "0".repeat(64), "1".repeat(64));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("debian.lock"), lock).unwrap();
    for (registry, a, b) in [
        ("deb.debian.org:80", "http://deb.debian.org:80/debian/", "http://deb.debian.org:80/debian-security/"),
        ("archive.ubuntu.com:443", "https://archive.ubuntu.com:443/ubuntu/", "https://archive.ubuntu.com:443/ubuntu/"),
        ("127.0.0.1:8790", "http://127.0.0.1:8790/", "http://127.0.0.1:8790/"),
    ] {
        let steps = Ecosystem::Debian.steps(dir.path(), &[registry.parse().unwrap()]).unwrap();
        assert!(steps[0].command.contains(&format!("{a}pool/main/a.deb")), "{:?}", steps[0].command);
        assert!(steps[0].command.contains(&format!("{b}pool/updates/main/b.deb")), "{:?}", steps[0].command);
    }
    assert!(matches!(Ecosystem::Debian.steps(dir.path(), &[]), Err(FetchError::NoRegistry)));
}

#[test]
fn only_where_packages_come_from_is_taken_of_cargos_configuration() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".cargo")).unwrap();
    fs::write(dir.path().join("Cargo.lock"), "version = 4\n").unwrap();
    let config = r#"
        [source.crates-io]
        replace-with = "vendored"
        [source.vendored]
        directory = "third-party"
        [registries.own]
        index = "sparse+http://127.0.0.1:1/"
        credential-provider = ["/workspace/evil"]
        token = "secret"
        [registry]
        default = "own"
        credential-provider = "/workspace/evil"
        [build]
        rustc-wrapper = "/workspace/evil"
        [env]
        LD_PRELOAD = "/workspace/evil"
    "#;
    fs::write(dir.path().join(".cargo/config.toml"), config).unwrap();
    let steps = Ecosystem::Cargo.steps(dir.path(), &[]).unwrap();
    assert_eq!(steps[0].directory, Path::new("/tmp"));
    let kept = fs::read_to_string(dir.path().join(".countersign/cargo/config.toml")).unwrap();
    for gone in ["evil", "secret", "build", "env"] {
        assert!(!kept.contains(gone), "{kept}");
    }
    for there in [
        "replace-with = \"vendored\"",
        "directory = \"/workspace/third-party\"",
        "index = \"sparse+http://127.0.0.1:1/\"",
        "default = \"own\"",
    ] {
        assert!(kept.contains(there), "{there}: {kept}");
    }
}
