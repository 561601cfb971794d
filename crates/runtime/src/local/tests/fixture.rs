//! One world a test: its own folders, scope and fabric, and images made on the spot from the host's static busybox.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::SocketAddr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddress, UnixListener},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    Clock, Digest, Timestamp,
    release::{Component, Health, Limits, Volume},
};
use rollout::{
    instance::{InstanceId, InstanceSpec, InstanceState, Observed, ObservedInstance},
    step::Step,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    driver::{Driver as _, DriverError},
    local::{Keep, Local, LocalConfig, Tools},
};

/// The longest that a condition is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The host's clock.
pub(crate) struct HostClock;

impl Clock for HostClock {
    #[expect(clippy::disallowed_methods, reason = "the tests run real programs in real time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_unix(since.as_secs())
    }
}

/// Folders, a fabric that no other test uses, and a driver once it is opened.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) config: LocalConfig,
    _fabric: UnixListener,
}

/// One file of an image.
pub(crate) struct Entry<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: tar::EntryType,
    pub(crate) mode: u32,
    pub(crate) content: &'a [u8],
    pub(crate) link: &'a str,
}

impl World {
    /// `None`, with the reason on the standard error, where containers can not be run.
    pub(crate) fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            writeln!(std::io::stderr(), "not run: needs root, because it mounts and makes namespaces").unwrap();
            return None;
        }
        let (number, reserved) = (0..=255_u8).find_map(reserve).expect("a fabric that no other test uses");
        let folder = tempfile::Builder::new().prefix("countersign-runtime-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("images/blobs/sha256")).unwrap();
        fs::create_dir_all(at("secrets")).unwrap();
        let config = LocalConfig {
            state_dir: at("state"),
            images_dir: at("images"),
            volumes_dir: at("volumes"),
            restore_dir: at("restore"),
            secrets_dir: at("secrets"),
            fabric: [100, number],
            scope: format!("test-{number}"),
            first_uid: 300_000,
            tools: Tools::default(),
            clock: Arc::new(HostClock),
        };
        Some(Self { folder, config, _fabric: reserved })
    }

    pub(crate) fn open(&self) -> Local {
        Local::open(self.config.clone()).unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    /// An image of busybox, with these files beside it.
    pub(crate) fn busybox(&self, more: &[Entry<'_>]) -> Digest {
        let busybox = fs::read("/bin/busybox").expect("install busybox-static");
        let mut entries = vec![
            folder("bin"),
            file("bin/busybox", 0o755, &busybox),
            folder("www"),
            file("www/health", 0o644, b"well\n"),
        ];
        for applet in [
            "sh", "cat", "sleep", "wget", "id", "httpd", "nc", "env", "ls", "mount", "dd", "touch", "kill", "true",
            "stat", "od",
        ] {
            entries.push(link(Box::leak(format!("bin/{applet}").into_boxed_str()), "busybox"));
        }
        entries.extend(more.iter().map(|e| Entry {
            path: e.path,
            kind: e.kind,
            mode: e.mode,
            content: e.content,
            link: e.link,
        }));
        self.image(
            &[archive(&entries)],
            json!({ "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"] }),
        )
    }

    /// An image of these archives, not compressed.
    pub(crate) fn image(&self, layers: &[Vec<u8>], config: serde_json::Value) -> Digest {
        let mut descriptors = Vec::new();
        let mut diffs = Vec::new();
        for layer in layers {
            let digest = self.blob(layer);
            diffs.push(digest.to_string());
            descriptors.push(json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest.to_string(), "size": layer.len() }));
        }
        self.manifest(&descriptors, &diffs, config)
    }

    pub(crate) fn manifest(&self, layers: &[serde_json::Value], diffs: &[String], config: serde_json::Value) -> Digest {
        let config = serde_json::to_vec(&json!({
            "architecture": "amd64", "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diffs },
        }))
        .unwrap();
        let config_digest = self.blob(&config);
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest.to_string(), "size": config.len() },
            "layers": layers,
        }))
        .unwrap();
        self.blob(&manifest)
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        put(&self.config.images_dir.join("blobs/sha256").join(digest.hex()), bytes);
        digest
    }

    pub(crate) fn blob_path(&self, digest: Digest) -> PathBuf {
        self.config.images_dir.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn secret(&self, name: &str, content: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.config.secrets_dir.join(name);
        put(&path, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Drop for World {
    /// Leaves nothing behind, also after a failed test.
    fn drop(&mut self) {
        let purged = Local::open(self.config.clone()).and_then(|mut local| local.purge(Keep::Nothing));
        if let Err(error) = purged
            && !std::thread::panicking()
        {
            panic!("could not clean up: {}", error.chain());
        }
    }
}

/// Holds a number by a name that ends with the process, so that tests beside each other use different addresses.
fn reserve(number: u8) -> Option<(u8, UnixListener)> {
    let name = UnixAddress::from_abstract_name(format!("countersign-runtime-test-{number}")).unwrap();
    UnixListener::bind_addr(&name).ok().map(|held| (number, held))
}

#[expect(clippy::disallowed_methods, reason = "a torn file of a test is thrown away with the test")]
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

pub(crate) fn file<'a>(path: &'a str, mode: u32, content: &'a [u8]) -> Entry<'a> {
    Entry { path, kind: tar::EntryType::Regular, mode, content, link: "" }
}

pub(crate) fn folder(path: &str) -> Entry<'_> {
    Entry { path, kind: tar::EntryType::Directory, mode: 0o755, content: b"", link: "" }
}

pub(crate) fn link<'a>(path: &'a str, target: &'a str) -> Entry<'a> {
    Entry { path, kind: tar::EntryType::Symlink, mode: 0o777, content: b"", link: target }
}

pub(crate) fn hard_link<'a>(path: &'a str, target: &'a str) -> Entry<'a> {
    Entry { path, kind: tar::EntryType::Link, mode: 0o644, content: b"", link: target }
}

/// An archive of these entries, with names written as they are, however bad.
pub(crate) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        header.as_ustar_mut().unwrap().linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(entry.content.len() as u64);
        header.set_cksum();
        builder.append(&header, entry.content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A component of this image that runs this command.
pub(crate) fn component(name: &str, image: Digest, command: &[&str]) -> Component {
    Component {
        name: name.parse().unwrap(),
        image,
        command: command.iter().map(|part| (*part).to_owned()).collect(),
        port: 8080,
        health: Health { path: Some("/health".to_owned()), interval_ms: 50, timeout_ms: 1_000, deadline_ms: 20_000 },
        zone: "front".parse().unwrap(),
        replicas: 4,
        limits: Limits { memory_mib: 48, cpu_percent: 100, pids: 24, tmp_mib: 4, stop_timeout_ms: 300 },
        volumes: Vec::new(),
        migrations: Vec::new(),
        environment: BTreeMap::new(),
        secrets: BTreeMap::new(),
        values: Vec::new(),
        drain: None,
    }
}

/// A component that runs this script.
pub(crate) fn script(name: &str, image: Digest, text: &str) -> Component {
    component(name, image, &["/bin/sh", "-c", text])
}

pub(crate) fn volume(path: &str, exclusive: bool) -> Volume {
    Volume { name: "data".parse().unwrap(), path: path.to_owned(), exclusive }
}

/// The plan of instance `number` of version `ordinal`.
pub(crate) fn spec(component: &Component, ordinal: u64, number: u32) -> InstanceSpec {
    InstanceSpec {
        id: InstanceId {
            environment: "production".parse().unwrap(),
            serial: model::Serial::new("paydesk".parse().unwrap(), ordinal),
            component: component.name.clone(),
            number,
        },
        release: Digest::of(b"release"),
        component: component.clone(),
        peers: BTreeMap::new(),
        from_edge: true,
        values: Vec::new(),
    }
}

pub(crate) fn start(spec: &InstanceSpec) -> Step {
    Step::Start(Box::new(spec.clone()))
}

/// Does a step that is to work.
pub(crate) fn do_step(local: &mut Local, step: &Step) {
    local.execute(step).unwrap_or_else(|error| panic!("{}", error.chain()));
}

/// Does a step that is not to work; returns the whole message.
pub(crate) fn refused(local: &mut Local, step: &Step) -> String {
    match local.execute(step) {
        Ok(()) => panic!("this was to fail"),
        Err(error) => error.chain(),
    }
}

pub(crate) fn seen(local: &mut Local, id: &InstanceId) -> Option<ObservedInstance> {
    observed(local).instances.into_iter().find(|instance| instance.id == *id)
}

pub(crate) fn observed(local: &mut Local) -> Observed {
    local.observe().unwrap_or_else(|error: DriverError| panic!("{}", error.chain()))
}

/// Observes until the state is as wanted.
pub(crate) fn wait_for(local: &mut Local, id: &InstanceId, wanted: impl Fn(&InstanceState) -> bool) -> InstanceState {
    let begun = Instant::now();
    loop {
        let state = seen(local, id).expect("the instance").state;
        if wanted(&state) {
            return state;
        }
        let log: Vec<String> = local.logs(id).iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
        assert!(begun.elapsed() < LIMIT, "still {state:?}; its log: {log:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn wait_healthy(local: &mut Local, id: &InstanceId) {
    wait_for(local, id, |state| matches!(state, InstanceState::Healthy { .. }));
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end; returns the code and whether memory ran out.
pub(crate) fn wait_exit(local: &mut Local, id: &InstanceId) -> (i32, bool) {
    match wait_for(local, id, |state| matches!(state, InstanceState::Exited { .. })) {
        InstanceState::Exited { code, out_of_memory, .. } => (code, out_of_memory),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn address(local: &mut Local, id: &InstanceId) -> SocketAddr {
    seen(local, id).expect("the instance").address
}

/// What a component has said so far.
pub(crate) fn log(local: &Local, id: &InstanceId) -> String {
    local.logs(id).iter().rev().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
}

/// Runs a script as a component to its end; returns its log.
pub(crate) fn run_script(world: &World, local: &mut Local, text: &str) -> (String, i32) {
    let image = world.busybox(&[]);
    let spec = spec(&script("probe", image, text), 1, 1);
    do_step(local, &start(&spec));
    let (code, _) = wait_exit(local, &spec.id);
    let said = log(local, &spec.id);
    do_step(local, &Step::Delete(spec.id));
    (said, code)
}

/// Stops and deletes.
pub(crate) fn end(local: &mut Local, id: &InstanceId) {
    do_step(local, &Step::Stop(id.clone()));
    do_step(local, &Step::Delete(id.clone()));
}

/// Whatever of the host still has this word in its name: mounts, namespaces, links, cgroups, processes.
pub(crate) fn left_on_host(world: &World) -> Vec<String> {
    let scope = &world.config.scope;
    let [a, b] = world.config.fabric;
    let state = world.config.state_dir.display().to_string();
    let mut left = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(mounts.lines().filter(|line| line.contains(&state)).map(str::to_owned));
    for (folder, word) in [("/run/netns", format!("csn-{scope}")), ("/sys/class/net", format!("cs{a}.{b}"))] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        left.extend(names.filter(|name| *name == word || name.starts_with(&format!("{word}."))));
    }
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        let deep = folder.components().count();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && deep < 7 {
                if path.ends_with(format!("countersign/{scope}")) {
                    left.push(path.display().to_string());
                }
                folders.push(path);
            }
        }
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&state) {
            left.push(line);
        }
    }
    left
}
