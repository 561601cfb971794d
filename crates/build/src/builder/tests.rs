#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use super::*;
use crate::{
    fetch::{DependencyDigest, FetchError},
    fixture::{World, itoa, listen, serve},
};

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(1_700_001_000)
    }
}

/// A sparse registry on loopback with one crate; `damage` makes it serve another archive than its index names.
fn registry(damage: bool) -> u16 {
    let (listener, port) = listen();
    let itoa = itoa();
    let mut archive = itoa.archive.clone();
    if damage {
        archive.push(0);
    }
    let cksum = Digest::of(&itoa.archive).hex();
    let index = format!(
        r#"{{"name":"itoa","vers":"{}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":false}}"#,
        itoa.version
    );
    let config = format!(r#"{{"dl":"http://127.0.0.1:{port}/dl"}}"#);
    let files = [
        ("/index/config.json".to_owned(), config.into_bytes()),
        ("/index/it/oa/itoa".to_owned(), index.into_bytes()),
        (format!("/dl/itoa/{}/download", itoa.version), archive),
    ];
    serve(&listener, files.into());
    port
}

impl World {
    fn request(&self) -> BuildRequest {
        BuildRequest {
            system: "paydesk".parse().unwrap(),
            serial: "paydesk-000042".parse().unwrap(),
            commit: self.commit,
            remote: "https://git.example/paydesk".into(),
            branch: "main".into(),
            builder: "urn:countersign:robot:builder".into(),
            builds: vec![BuildPlan {
                name: "rust".into(),
                fetch: Ecosystem::Cargo,
                registries: vec![format!("127.0.0.1:{}", self.port).parse().unwrap()],
                commands: vec![["cargo", "build", "--offline", "--locked", "--workspace"].map(str::to_owned).to_vec()],
                environment: BTreeMap::from([("PAYDESK_REGION".into(), "eu".into())]),
                timeout_s: Some(200),
            }],
            components: vec![ComponentPlan {
                name: "web".parse().unwrap(),
                build: "rust".into(),
                image: ImagePlan {
                    component: "web".into(),
                    files: BTreeMap::from([("/bin/web".into(), "target/debug/web".into())]),
                    command: vec!["/bin/web".into()],
                    environment: BTreeMap::new(),
                    mount_points: vec!["/data".into()],
                    port: Some(8080),
                },
            }],
        }
    }

    fn build(&self, store: &ImageStore) -> Result<(Built, Vec<String>), BuildError> {
        let mut said = Vec::new();
        let builder = Builder { mirror: &self.mirror, store, site: &self.site, clock: &Fixed };
        let built =
            builder.build(&self.request(), &mut |p, l| self.sandbox(p, l), &mut |p| said.push(p.to_string()))?;
        Ok((built, said))
    }
}

const MAIN: &str = r#"
fn main() {
    println!("{} {}", itoa::Buffer::new().format(42_u32), option_env!("COUNTERSIGN_SERIAL").unwrap_or("none"));
    println!("{}", env!("SEEN"));
}
"#;

/// Looks around while it is compiled, and fails the build if it finds more than it should.
const BUILD_SCRIPT: &str = r#"
fn main() {
    let registry = std::fs::read_to_string("registry-port").unwrap();
    assert!(std::net::TcpStream::connect(registry.trim()).is_err(), "the registry is still reachable");
    assert!(std::env::var_os("http_proxy").is_none() && std::env::var("PAYDESK_REGION").unwrap() == "eu");
    assert!(std::fs::read_dir("/root").is_err() && std::fs::read_dir("/home").is_err());
    println!("cargo:rustc-env=SEEN=nothing");
}
"#;

fn project(port: u16) -> Vec<(&'static str, String)> {
    let itoa = itoa();
    let version = &itoa.version;
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"itoa\"\nversion = \"{version}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
         checksum = \"{}\"\n\n[[package]]\nname = \"web\"\nversion = \"0.1.0\"\ndependencies = [\n \"itoa\",\n]\n",
        Digest::of(&itoa.archive).hex()
    );
    vec![
        (
            "Cargo.toml",
            format!(
                "[package]\nname = \"web\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"={version}\"\n"
            ),
        ),
        ("Cargo.lock", lock),
        (
            ".cargo/config.toml",
            format!(
                "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nregistry = \"sparse+http://127.0.0.1:{port}/index/\"\n"
            ),
        ),
        ("src/main.rs", MAIN.to_owned()),
        ("build.rs", BUILD_SCRIPT.to_owned()),
        ("registry-port", format!("127.0.0.1:{port}")),
    ]
}

fn world(port: u16, files: &[(&'static str, String)]) -> Option<World> {
    World::new(port, &files.iter().map(|(p, c)| (*p, c.as_str())).collect::<Vec<_>>())
}

#[test]
fn a_commit_with_a_dependency_becomes_the_same_image_twice() {
    let port = registry(false);
    let Some(world) = world(port, &project(port)) else { return };
    let (built, said) = world.build(&world.store).unwrap();
    assert_eq!(said[0], "fetching the dependencies of build rust");
    assert!(said.iter().any(|l| l.contains("Compiling itoa")), "{said:#?}");
    assert!(said.contains(&"making the image of web".to_owned()));

    // Everything again, into another store.
    let other = ImageStore::open(&world.dir.path().join("other")).unwrap();
    let (again, _) = world.build(&other).unwrap();
    assert_eq!(built.digests(), again.digests());
    assert_eq!(built.sbom, again.sbom);
    assert_eq!(built.provenance, again.provenance);
    other.verify(again.images[0].1.digest).unwrap();

    // What is in the documents.
    let locked = &built.dependencies["rust"][0];
    assert_eq!(
        (locked.name.as_str(), locked.purl.as_str()),
        ("itoa", format!("pkg:cargo/itoa@{}", itoa().version).as_str())
    );
    assert_eq!(locked.digest, DependencyDigest::Sha256(Digest::of(&itoa().archive)));
    let provenance: serde_json::Value = serde_json::from_slice(&built.provenance).unwrap();
    let image = built.images[0].1.digest;
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], image.hex());
    let resolved = &provenance["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert_eq!(resolved[0]["digest"]["gitCommit"], world.commit.to_string());
    assert_eq!(resolved[1]["uri"], locked.purl);
    let tools = provenance["predicate"]["runDetails"]["builder"]["builderDependencies"].as_array().unwrap();
    assert!(
        tools
            .iter()
            .any(|t| t["name"] == "rustc" && t["annotations"]["version"].as_str().unwrap().starts_with("rustc 1."))
    );
    let sbom: serde_json::Value = serde_json::from_slice(&built.sbom).unwrap();
    let purls: Vec<&str> = sbom["components"].as_array().unwrap().iter().filter_map(|c| c["purl"].as_str()).collect();
    assert!(purls.contains(&locked.purl.as_str()), "{purls:?}");
    assert!(purls.iter().any(|p| p.contains("libc6")) || !Path::new("/var/lib/dpkg").exists(), "{purls:?}");

    // The image runs, from nothing but itself.
    let root = world.dir.path().join("rootfs");
    let layer = fs::File::open(world.store.blob(built.images[0].1.layer)).unwrap();
    tar::Archive::new(layer).unpack(&root).unwrap();
    let output = Command::new("chroot").arg(&root).arg("/bin/web").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "42 paydesk-000042\nnothing\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    assert_eq!(fs::read_dir(&world.site.workspaces).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&world.site.logs).unwrap().count(), 2);
}

#[test]
fn a_registry_that_serves_something_else_is_caught() {
    let port = registry(true);
    let Some(world) = world(port, &project(port)) else { return };
    let error = world.build(&world.store).unwrap_err();
    let BuildError::Build { source: WorkspaceError::Command { command, tail, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(command.starts_with("cargo fetch --locked"), "{command}");
    assert!(tail.join(" ").contains("checksum"), "{tail:#?}");
}

#[test]
fn nothing_of_the_repository_runs_while_fetching() {
    let port = registry(false);
    let mut files = project(port);
    let spy = "#!/bin/sh\necho ran >> /workspace/ran\nexec \"$@\"\n";
    files.push(("spy.sh", spy.to_owned()));
    files.push(("rust-toolchain.toml", "[toolchain]\nchannel = \"nightly\"\n".to_owned()));
    let config = files.iter_mut().find(|(p, _)| *p == ".cargo/config.toml").unwrap();
    config.1.push_str(
        "[build]\nrustc = \"/workspace/spy.sh\"\nrustc-wrapper = \"/workspace/spy.sh\"\n[registry]\nglobal-credential-providers = [\"/workspace/spy.sh\"]\n\
         [net]\ngit-fetch-with-cli = true\n[alias]\nfetch = \"build\"\n",
    );
    let Some(world) = world(port, &files) else { return };
    let workspace = world.prepare(Ecosystem::Cargo).unwrap();
    assert!(!workspace.dir().join("ran").exists());
    assert_eq!(workspace.dependencies().len(), 1);
    // What was fetched is compared again by us; so exchanging it afterwards is seen as well.
    let archive = workspace.dir().join(".countersign/cargo/registry/cache");
    let archive = fs::read_dir(fs::read_dir(archive).unwrap().next().unwrap().unwrap().path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(&archive, "other").unwrap();
    assert!(matches!(Ecosystem::Cargo.verify(workspace.dir()), Err(FetchError::Mismatch { .. })));
    fs::remove_file(&archive).unwrap();
    assert!(matches!(Ecosystem::Cargo.verify(workspace.dir()), Err(FetchError::Missing { .. })));
}

#[test]
fn a_build_that_fails_shows_its_last_lines() {
    let port = registry(false);
    let mut files = project(port);
    files.iter_mut().find(|(p, _)| *p == "src/main.rs").unwrap().1 = "fn main() { missing() }".to_owned();
    let Some(world) = world(port, &files) else { return };
    let error = world.build(&world.store).unwrap_err();
    assert_eq!(error.to_string(), "build `rust` failed");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.starts_with("`cargo build --offline --locked --workspace` did not succeed: it ended with exit code 101"),
        "{source}"
    );
    assert!(source.contains("cannot find function `missing`"), "{source}");
}

#[test]
fn a_component_needs_a_build() {
    let port = 1;
    let Some(world) = world(port, &project(port)) else { return };
    let mut request = world.request();
    request.components[0].build = "go".into();
    let builder = Builder { mirror: &world.mirror, store: &world.store, site: &world.site, clock: &Fixed };
    let error = builder.build(&request, &mut |_, _| panic!("nothing may run"), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "component `web` is made by build `go`, which is not among the builds");
}
