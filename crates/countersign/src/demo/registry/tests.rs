#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use std::io::BufRead;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::{collect::ORDINARY, *};

const MANIFEST: &str = r#"
[package]
name = "purse"
version = "1.2.3"
links = "purse"
rust-version = "1.70"

[features]
default = ["std"]
std = []
log = ["dep:log", "coin?/log"]

[dependencies.coin]
version = "^2"
features = ["gold"]
optional = true
default-features = false

[dependencies.log]
version = "0.4"
optional = true

[dependencies.old]
version = "0.1"
package = "very-old"

[build-dependencies]
cc = "1"

[dev-dependencies.check]
version = "1"

[target."cfg(windows)".dependencies.win]
version = "0.5"
"#;

fn package(manifest: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in [("purse-1.2.3/src/Cargo.toml", "not this one"), ("purse-1.2.3/Cargo.toml", manifest)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn get(address: SocketAddr, paths: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answers = Vec::new();
    let mut reader = io::BufReader::new(stream.try_clone().unwrap());
    for path in paths {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: registry\r\n\r\n").unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let length = lines.iter().find_map(|l| l.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        answers.push((lines[0].clone(), body));
    }
    answers
}

#[test]
fn an_entry_has_what_the_manifest_says() {
    let bytes = package(MANIFEST);
    let package = index::read(&bytes).unwrap();
    assert_eq!(package.index_path(), "pu/rs/purse");
    let entry: serde_json::Value = serde_json::from_slice(&package.line).unwrap();
    let dependency = |name: &str, req: &str, kind: &str| {
        serde_json::json!({
            "name": name, "req": req, "features": [], "optional": false, "default_features": true,
            "target": null, "kind": kind, "package": null,
        })
    };
    let with = |mut value: serde_json::Value, changes: serde_json::Value| {
        value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        value
    };
    assert_eq!(
        entry,
        serde_json::json!({
            "name": "purse",
            "vers": "1.2.3",
            "deps": [
                with(dependency("coin", "^2", "normal"), serde_json::json!({
                    "features": ["gold"], "optional": true, "default_features": false,
                })),
                with(dependency("log", "0.4", "normal"), serde_json::json!({ "optional": true })),
                with(dependency("old", "0.1", "normal"), serde_json::json!({ "package": "very-old" })),
                dependency("cc", "1", "build"),
                dependency("check", "1", "dev"),
                with(dependency("win", "0.5", "normal"), serde_json::json!({ "target": "cfg(windows)" })),
            ],
            "features": { "default": ["std"], "std": [] },
            "features2": { "log": ["dep:log", "coin?/log"] },
            "cksum": hex::encode(Sha256::digest(&bytes)),
            "yanked": false,
            "links": "purse",
            "rust_version": "1.70",
            "v": 2,
        })
    );
}

#[test]
fn short_names_have_paths_of_their_own() {
    let path = |name: &str| {
        index::read(&package(&format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\n"))).unwrap().index_path()
    };
    assert_eq!(path("a"), "1/a");
    assert_eq!(path("cc"), "2/cc");
    assert_eq!(path("syn"), "3/s/syn");
    assert_eq!(path("Libc"), "li/bc/libc");
}

#[test]
fn what_is_no_package_is_named() {
    let refused = |manifest: &str| index::read(&package(manifest)).err().unwrap().to_string();
    assert_eq!(refused("["), "its Cargo.toml can not be understood");
    assert_eq!(refused("[package]\nname = \"../a\"\nversion = \"1.0.0\"\n"), "`../a` is not a name for a package");
    assert_eq!(
        refused("[package]\nname = \"a\"\nversion = \"1.0.0\"\n[dependencies.b]\npath = \"../b\"\n"),
        "its Cargo.toml has a dependency `b` without a version, or from elsewhere"
    );
    assert!(matches!(index::read(b"nothing").err().unwrap(), PackageError::Io(_)));
}

#[test]
fn a_folder_is_served_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = package(MANIFEST);
    fs::write(folder.path().join("purse-1.2.3.crate"), &bytes).unwrap();
    fs::write(folder.path().join("notes.txt"), "not a package").unwrap();
    let registry = Registry::serve(folder.path(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = registry.address();
    assert_eq!(registry.packages(), 1);
    let answers = get(
        address,
        &[
            "/index/config.json",
            "/index/pu/rs/purse",
            "/crates/purse/1.2.3.crate",
            "/index/no/ne/none",
            "/../etc/passwd",
        ],
    );
    let config: serde_json::Value = serde_json::from_slice(&answers[0].1).unwrap();
    assert_eq!(config["dl"], format!("http://{address}/crates/{{crate}}/{{version}}.crate"));
    assert_eq!(answers[1].1, index::read(&bytes).unwrap().line);
    assert_eq!(answers[2].1, bytes);
    assert_eq!(answers[3].0, "HTTP/1.1 404 Not Found");
    assert_eq!(answers[4].0, "HTTP/1.1 404 Not Found");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "POST /index/config.json HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut closed = String::new();
    stream.read_to_string(&mut closed).unwrap();
    assert_eq!(closed, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    let again = Registry::serve(folder.path(), address).unwrap_err();
    assert!(matches!(again, RegistryError::Listen { .. }), "{again}");
    drop(registry);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_empty_folder_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Registry::serve(folder.path(), "127.0.0.1:0".parse().unwrap()).unwrap_err();
    assert!(matches!(refused, RegistryError::Empty(_)), "{refused}");
}

#[test]
fn packages_are_collected_by_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let (cargo_home, out) = (folder.path().join("home"), folder.path().join("out"));
    let bytes = package(MANIFEST);
    let lock = folder.path().join("Cargo.lock");
    let sum = hex::encode(Sha256::digest(&bytes));
    fs::write(
        &lock,
        format!(
            "version = 4\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"purse\"\n\
             version = \"1.2.3\"\nsource = \"{ORDINARY}\"\nchecksum = \"{sum}\"\n"
        ),
    )
    .unwrap();
    let cached = |registry: &str, bytes: &[u8]| {
        let cache = cargo_home.join("registry/cache").join(registry);
        fs::create_dir_all(&cache).unwrap();
        fs::write(cache.join("purse-1.2.3.crate"), bytes).unwrap();
    };
    let missing = collect(&lock, &cargo_home, &out).unwrap_err().to_string();
    assert_eq!(
        missing,
        "cargo has not downloaded 1 of the packages in the lock file, such as `purse-1.2.3`; \
         run scripts/fetch-example-crates"
    );
    cached("one", b"something else");
    assert!(matches!(collect(&lock, &cargo_home, &out), Err(CollectError::Missing { count: 1, .. })));
    cached("two", &bytes);
    assert_eq!(collect(&lock, &cargo_home, &out).unwrap(), 1);
    assert_eq!(fs::read(out.join("purse-1.2.3.crate")).unwrap(), bytes);
    // A torn copy of before is replaced.
    fs::write(out.join("purse-1.2.3.crate"), "torn").unwrap();
    assert_eq!(collect(&lock, &cargo_home, &out).unwrap(), 1);
    assert_eq!(fs::read(out.join("purse-1.2.3.crate")).unwrap(), bytes);
}

#[test]
fn packages_from_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("Cargo.lock");
    fs::write(&lock, "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/a\"\n")
        .unwrap();
    let refused = collect(&lock, folder.path(), folder.path()).unwrap_err();
    assert!(matches!(refused, CollectError::Source(package) if package == "a-1.0.0"));
}
