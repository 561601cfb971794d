use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
};

use super::*;
use crate::{
    fetch::{DependencyDigest, FetchError},
    sandbox::{self, Rules, SandboxLimits},
    toolchain::{ProgramDigests, Toolchain},
};

const UID: u32 = 20_002;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(1_700_001_000)
    }
}

/// A crate that this project depends on itself, from the cache that Cargo keeps.
struct Crate {
    version: String,
    archive: Vec<u8>,
}

fn itoa() -> Crate {
    let home = std::env::var_os("CARGO_HOME").map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"), PathBuf::from);
    let caches = fs::read_dir(home.join("registry/cache")).expect("Cargo keeps what it fetched for this project");
    let files = caches.flat_map(|c| fs::read_dir(c.unwrap().path()).unwrap()).map(|f| f.unwrap().path());
    let file = files.filter(|f| f.file_name().unwrap().to_str().unwrap().starts_with("itoa-1.")).max().expect("serde_json depends on itoa");
    let version = file.file_stem().unwrap().to_str().unwrap().strip_prefix("itoa-").unwrap().to_owned();
    Crate { version, archive: fs::read(file).unwrap() }
}

/// A sparse registry on loopback with one crate; `damage` makes it serve another archive than its index names.
fn registry(damage: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, port, damage));
        }
    });
    port
}

fn serve(stream: TcpStream, port: u16, damage: bool) {
    let itoa = itoa();
    let mut archive = itoa.archive.clone();
    let cksum = Digest::of(&archive).hex();
    if damage {
        archive.push(0);
    }
    let mut lines = BufReader::new(&stream).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let index = format!(r#"{{"name":"itoa","vers":"{}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":false}}"#, itoa.version);
        let (status, body) = match path.as_str() {
            "/index/config.json" => (200, format!(r#"{{"dl":"http://127.0.0.1:{port}/dl"}}"#).into_bytes()),
            "/index/it/oa/itoa" => (200, index.into_bytes()),
            p if p.starts_with("/dl/itoa/") => (200, archive.clone()),
            _ => (404, Vec::new()),
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        if (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(&body)).is_err() {
            return;
        }
    }
}

struct World {
    dir: tempfile::TempDir,
    mirror: Mirror,
    store: ImageStore,
    site: Site,
    rules: Rules,
    port: u16,
    commit: Commit,
}

fn toolchain() -> &'static Toolchain {
    static FOUND: OnceLock<Toolchain> = OnceLock::new();
    FOUND.get_or_init(|| Toolchain::detect(&std::env::var_os("PATH").unwrap(), &mut ProgramDigests::default()).unwrap())
}

impl World {
    fn new(port: u16, files: &[(&str, &str)]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("building needs the sandbox, which needs root: run the tests as root to check it");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let work = root.join("work");
        for (path, content) in files {
            let path = work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=Ada", "-c", "user.email=ada@paydesk.example"]).args(args).current_dir(&work);
            command.envs([("GIT_COMMITTER_DATE", "1700000000 +0000"), ("GIT_AUTHOR_DATE", "1700000000 +0000")]);
            let out = command.output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "-A"]);
        git(&["commit", "-q", "-m", "first"]);
        let commit = git(&["rev-parse", "HEAD"]).parse().unwrap();
        let mirror = Mirror::open(&root.join("mirror"), work.to_str().unwrap().parse().unwrap(), "main".parse().unwrap()).unwrap();
        mirror.fetch().unwrap();
        let site = Site {
            workspaces: root.join("ws"),
            logs: root.join("logs"),
            toolchain: toolchain().clone(),
            uid: UID,
            gid: UID,
            limits: SandboxLimits { time_s: 300, ..SandboxLimits::default() },
        };
        fs::create_dir_all(&site.workspaces).unwrap();
        fs::create_dir_all(&site.logs).unwrap();
        let rules = Rules {
            state: root.join("state"),
            root: root.clone(),
            uids: UID..=UID,
            mounts: site.toolchain.mounts.clone(),
            netns: None,
            registries: None,
        };
        let store = ImageStore::open(&root.join("images")).unwrap();
        Some(Self { dir, mirror, store, site, rules, port, commit })
    }

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
        let mut run = |plan: &sandbox::SandboxPlan, on_line: &mut dyn FnMut(&str)| Ok(sandbox::run(plan, &self.rules, on_line)?);
        let built = builder.build(&self.request(), &mut run, &mut |p| said.push(p.to_string()))?;
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
    assert!(std::env::var_os("http_proxy").is_none());
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
        ("Cargo.toml", format!("[package]\nname = \"web\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"={version}\"\n")),
        ("Cargo.lock", lock),
        (".cargo/config.toml", format!("[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nregistry = \"sparse+http://127.0.0.1:{port}/index/\"\n")),
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
    assert_eq!((locked.name.as_str(), locked.purl.as_str()), ("itoa", format!("pkg:cargo/itoa@{}", itoa().version).as_str()));
    assert_eq!(locked.digest, DependencyDigest::Sha256(Digest::of(&itoa().archive)));
    let provenance: serde_json::Value = serde_json::from_slice(&built.provenance).unwrap();
    let image = built.images[0].1.digest;
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], image.hex());
    let resolved = &provenance["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert_eq!(resolved[0]["digest"]["gitCommit"], world.commit.to_string());
    assert_eq!(resolved[1]["uri"], locked.purl);
    let tools = provenance["predicate"]["runDetails"]["builder"]["builderDependencies"].as_array().unwrap();
    assert!(tools.iter().any(|t| t["name"] == "rustc" && t["annotations"]["version"].as_str().unwrap().starts_with("rustc 1.")));
    let sbom: serde_json::Value = serde_json::from_slice(&built.sbom).unwrap();
    let purls: Vec<&str> = sbom["components"].as_array().unwrap().iter().filter_map(|c| c["purl"].as_str()).collect();
    assert!(purls.contains(&locked.purl.as_str()), "{purls:?}");
    assert!(purls.iter().any(|p| p.contains("libc6")) || !Path::new("/usr/bin/dpkg-query").exists(), "{purls:?}");

    // The image runs, from nothing but itself.
    let root = world.dir.path().join("rootfs");
    let layer = fs::File::open(world.store.blob(built.images[0].1.layer)).unwrap();
    tar::Archive::new(layer).unpack(&root).unwrap();
    let output = Command::new("chroot").arg(&root).arg("/bin/web").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42 paydesk-000042\nnothing\n", "{}", String::from_utf8_lossy(&output.stderr));

    assert_eq!(fs::read_dir(&world.site.workspaces).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&world.site.logs).unwrap().count(), 2);
}

#[test]
fn a_registry_that_serves_something_else_is_caught() {
    let port = registry(true);
    let Some(world) = world(port, &project(port)) else { return };
    let error = world.build(&world.store).unwrap_err();
    let BuildError::Build { source: WorkspaceError::Command { command, tail, .. }, .. } = &error else { panic!("{error:?}") };
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
    let source = Source {
        serial: None,
        commit: world.commit,
        name: "unit".into(),
        fetch: Ecosystem::Cargo,
        registries: vec![format!("127.0.0.1:{port}").parse().unwrap()],
    };
    let mut run = |plan: &sandbox::SandboxPlan, on_line: &mut dyn FnMut(&str)| Ok(sandbox::run(plan, &world.rules, on_line)?);
    let workspace = Workspace::prepare(&world.mirror, &source, &world.site, &mut run, &mut |_| {}).unwrap();
    assert!(!workspace.dir().join("ran").exists());
    assert_eq!(workspace.dependencies().len(), 1);
    // What was fetched is compared again by us; so exchanging it afterwards is seen as well.
    let archive = workspace.dir().join(".countersign/cargo/registry/cache");
    let archive = fs::read_dir(fs::read_dir(archive).unwrap().next().unwrap().unwrap().path()).unwrap().next().unwrap().unwrap().path();
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
    assert!(source.starts_with("`cargo build --offline --locked --workspace` did not succeed: it ended with exit code 101"), "{source}");
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
