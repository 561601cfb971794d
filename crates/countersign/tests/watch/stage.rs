//! A host with a real log, gate, front and watch, started as the supervisor starts them; the agent and the processes that
//! these tests do not need are played. Everything ends with the test.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme, Signer as _},
    statement::{
        PAYLOAD_TYPE, Statement,
        v1::{Claim, Header, Milestone, MilestoneKind, Nonce},
    },
};
use model::{Digest, Timestamp, release};
use serde_json::{Value, json};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");
/// Long enough for one thing on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// What is promised: from a fault to the message. A build with all its checks on, beside other tests, gets three times that.
pub(crate) const PROMISED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 15 } else { 5 });

/// Processes that are there, and the numbers of their users (`identity.rs`).
const ROLES: [(&str, u32); 8] =
    [("log", 1), ("gate", 2), ("builder", 3), ("tester", 4), ("agent", 5), ("edge", 6), ("front", 7), ("watch", 9)];
/// Those of them that are real.
const STARTED: [&str; 4] = ["log", "gate", "front", "watch"];
const USERS: u32 = 2_200_000;

/// The host.
pub(crate) struct Stage {
    root: tempfile::TempDir,
    charter: String,
    front: SocketAddr,
    pub(crate) metrics: SocketAddr,
    processes: BTreeMap<&'static str, Child>,
    /// Who of those that are played gives signs of life.
    pub(crate) alive: Arc<Mutex<Vec<&'static str>>>,
    over: Arc<AtomicBool>,
    /// What the agent answers.
    pub(crate) agent: Arc<Mutex<Value>>,
}

impl Stage {
    /// A host whose components answer at these addresses, and whose settings tell these.
    pub(crate) fn start(components: &[SocketAddr], alarms: &Value) -> Self {
        let root = tempfile::Builder::new().prefix("cs-watch-").tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let [front, metrics] = free_ports();
        let mut stage = Self {
            root,
            charter: String::new(),
            front,
            metrics,
            processes: BTreeMap::new(),
            alive: Arc::new(Mutex::new(vec!["builder", "tester", "agent", "edge"])),
            over: Arc::default(),
            agent: Arc::default(),
        };
        stage.found(alarms);
        stage.lay_out();
        let release = stage.release(components);
        stage.play_agent(components);
        stage.play_heartbeats();
        for role in STARTED {
            stage.run(role);
        }
        stage.say_live(&release);
        stage
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("d")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Starts a process.
    pub(crate) fn run(&mut self, role: &'static str) {
        let output = fs::OpenOptions::new().create(true).append(true).open(self.path(&format!("{role}.out"))).unwrap();
        let child = Command::new(PROGRAM)
            .args(["process", role, "--charter", &self.charter, "--dir"])
            .arg(self.dir())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.processes.insert(role, child);
        if role == "log" {
            self.wait_until("the log answers", || self.dir().join("run/log/socket").exists());
        }
    }

    pub(crate) fn signal(&self, role: &str, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(role), signal).unwrap();
    }

    pub(crate) fn pid(&self, role: &str) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.processes[role].id()).unwrap())
    }

    /// Ends a process as the kernel would.
    pub(crate) fn kill(&mut self, role: &str) {
        let child = self.processes.get_mut(role).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs a verb.
    pub(crate) fn verb(&self, person: &str, args: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(args)
            .arg("--dir")
            .arg(self.dir())
            .arg("--key")
            .arg(self.path(person))
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn ok(&self, person: &str, args: &[&str]) -> String {
        let output = self.verb(person, args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {text}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.story()
        );
        text
    }

    /// What fires and what is silenced, by the verb.
    pub(crate) fn alarms(&self) -> Value {
        serde_json::from_str(&self.ok("olga", &["alarms", "--format", "json"])).unwrap()
    }

    /// The number of an alarm that fires, once it does.
    pub(crate) fn wait_firing(&self, what: &str, about: &str) -> u64 {
        let mut found = None;
        self.wait_until(&format!("{what} of {about} is in the log"), || {
            found = self.firing(what, about);
            found.is_some()
        });
        found.unwrap()
    }

    pub(crate) fn firing(&self, what: &str, about: &str) -> Option<u64> {
        let alarms = self.alarms();
        let row = alarms["firing"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["what"] == what && row["about"].as_str().unwrap().contains(about));
        row.map(|row| row["alarm"].as_u64().unwrap())
    }

    /// How often the log has the beginning of an alarm of a kind.
    pub(crate) fn begun(&self, what: &str) -> usize {
        self.ok("olga", &["log", "--kind", "alarm", "--limit", "100000"]).matches(&format!("{what} begins")).count()
    }

    /// Whether `watch` has kept in its file that somebody was told of a process: from then on a kill tells nobody again.
    pub(crate) fn has_kept_told(&self, process: &str) -> bool {
        let Ok(bytes) = fs::read(self.dir().join("watch/outbox.json")) else { return false };
        let kept: Value = serde_json::from_slice(&bytes).unwrap();
        kept["entries"].as_array().unwrap().iter().any(|entry| {
            let is_told = entry["told"].as_object().is_some_and(|told| !told.is_empty());
            is_told && entry["message"]["about"]["process"] == process
        })
    }

    /// Whether the log has the beginning of an alarm about something, as its payload names it.
    pub(crate) fn has_begun(&self, about: &str) -> bool {
        let Some((_, entries)) = request_bytes(self.front, "/log/entries/0") else { return false };
        let mut bytes = entries.as_slice();
        while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
            let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
            let envelope = Envelope::from_entry(entry).unwrap();
            if String::from_utf8_lossy(envelope.payload()).contains(about) {
                return true;
            }
            bytes = rest;
        }
        false
    }

    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}: not within {} s\n{}", LIMIT.as_secs(), self.story());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the processes said.
    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for role in STARTED {
            let out = fs::read_to_string(self.path(&format!("{role}.out"))).unwrap_or_default();
            let tail: Vec<&str> = out.lines().rev().take(8).collect();
            let status =
                fs::read_to_string(self.dir().join("status").join(role).join("status.json")).unwrap_or_default();
            story.push_str(&format!("--- {role}\n{}\n{status}\n", tail.join("\n")));
        }
        story
    }

    fn found(&mut self, alarms: &Value) {
        let people = [
            ("ben", "release-manager", true),
            ("cem", "release-manager", true),
            ("olga", "operator", false),
            ("pim", "operator", false),
            ("wes", "operator", false),
            ("dina", "duty-officer", false),
        ];
        let mut text = "origin = \"log.test/watch\"\n".to_owned();
        for ((name, role, founder), seed) in people.iter().zip(1..) {
            let key = PrivateKey::from_seed(Scheme::SshSig, &[seed; 32]).unwrap();
            key.write_new(&self.path(name), name).unwrap();
            text += &format!(
                "[people.{name}]\nkeys = [\"{}\"]\nemails = [\"{name}@example.org\"]\nroles = [\"{role}\"]\nfounder = {founder}\n",
                key.key().to_openssh()
            );
        }
        text += "[robots]\n";
        for (robot, controller) in
            [("gate", "pim"), ("builder", "olga"), ("tester", "pim"), ("agent", "olga"), ("watch", "wes")]
        {
            text += &format!("{robot} = {{ role = \"{robot}\", controllers = [\"{controller}\"], host = \"main\" }}\n");
        }
        text += "[hosts.main]\nadministrators = [\"olga\"]\n[silence]\nkinds = [\"probe-failed\"]\nlongest_s = 3600\n\
                 [systems.paydesk]\nremote = \"/nowhere\"\nbranch = \"main\"\n[[environments]]\nname = \"production\"\n\
                 quorum = { release-manager = 2 }\nresume = { release-manager = 2 }\nmax_age_s = 600\n\
                 [amendment]\nrelease-manager = 2\n";
        let founding = self.path("founding.toml");
        fs::write(&founding, text).unwrap();
        let founding = founding.to_string_lossy().into_owned();
        self.ok("ben", &["init", "--founding", &founding, "--demo"]);
        for founder in ["ben", "cem"] {
            self.ok(founder, &["init", "--sign"]);
        }
        let first = fs::read_to_string(self.dir().join("charter.jsonl")).unwrap();
        let envelope = Envelope::parse(first.lines().next().unwrap().as_bytes()).unwrap();
        self.charter = Digest::of(envelope.payload()).to_string();
        let path = self.dir().join("settings.json");
        let mut settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        settings["front"] = self.front.to_string().into();
        settings["metrics"] = self.metrics.to_string().into();
        settings["tick_interval_s"] = 1.into();
        settings["alarms"] = alarms.clone();
        fs::write(&path, settings.to_string()).unwrap();
    }

    /// The folders with their owners, as `up` makes them.
    fn lay_out(&self) {
        let is_root = nix::unistd::geteuid().is_root();
        let give = |path: &Path, user: u32, group: u32, mode: u32| {
            fs::create_dir_all(path).unwrap();
            if is_root {
                chown(path, Some(user), Some(group)).unwrap();
            }
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        for (role, number) in ROLES {
            let user = USERS + number;
            give(&self.dir().join(role), user, user, 0o700);
            give(&self.dir().join("run").join(role), user, USERS, 0o2750);
            give(&self.dir().join("status").join(role), user, USERS, 0o2755);
            let key = self.dir().join("keys").join(format!("{role}.key"));
            if is_root && key.exists() {
                chown(key, Some(user), Some(user)).unwrap();
            }
        }
        give(&self.dir().join("images/blobs/sha256"), USERS + 3, USERS, 0o2755);
    }

    /// A release with a component an address, each with a health check over HTTP.
    fn release(&self, components: &[SocketAddr]) -> release::Release {
        let component = |(at, address): (usize, &SocketAddr)| release::Component {
            name: format!("c{at}").parse().unwrap(),
            image: Digest::of(b"image"),
            command: Vec::new(),
            port: address.port(),
            health: release::Health {
                path: Some("/health".to_owned()),
                interval_ms: 1_000,
                timeout_ms: 1_000,
                deadline_ms: 10_000,
            },
            zone: "front".parse().unwrap(),
            replicas: 1,
            limits: release::Limits { memory_mib: 64, cpu_percent: 50, pids: 16, tmp_mib: 1, stop_timeout_ms: 1_000 },
            volumes: Vec::new(),
            migrations: Vec::new(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            values: Vec::new(),
            drain: None,
        };
        let mut all: Vec<release::Component> = components.iter().enumerate().map(component).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let release = release::Release {
            system: "paydesk".parse().unwrap(),
            serial: "paydesk-000001".parse().unwrap(),
            commit: "c0ffee0000000000000000000000000000000000".parse().unwrap(),
            components: all,
            flows: Vec::new(),
            environments: Vec::new(),
        };
        let bytes = release.to_bytes().unwrap();
        let path = self.dir().join("images/blobs/sha256").join(Digest::of(&bytes).hex());
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        release
    }

    /// The agent: it answers what it sees.
    fn play_agent(&self, components: &[SocketAddr]) {
        let instances: Vec<Value> = components
            .iter()
            .enumerate()
            .map(|(at, address)| {
                json!({ "component": format!("c{at}"), "serial": "paydesk-000001", "address": address, "state": "healthy" })
            })
            .collect();
        *self.agent.lock().unwrap() = json!({
            "paydesk in production": { "system": "paydesk", "environment": "production", "moves": false, "instances": instances },
        });
        let path = self.dir().join("run/agent/socket");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        if nix::unistd::geteuid().is_root() {
            chown(&path, None, Some(USERS)).unwrap();
        }
        let state = self.agent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut asked = [0; 1_024];
                drop(stream.read(&mut asked));
                let body = state.lock().unwrap().to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())));
            }
        });
    }

    /// Signs of life of the processes that are played.
    fn play_heartbeats(&self) {
        let (alive, over, dir) = (self.alive.clone(), self.over.clone(), self.dir());
        let beat = move || {
            let now = std::time::SystemTime::now();
            for role in alive.lock().unwrap().iter() {
                fs::write(dir.join("status").join(role).join("heartbeat"), format!("{now:?}")).unwrap();
            }
        };
        beat();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                beat();
                wait_beat();
            }
        });
    }

    /// The agent's word in the log that the release is live.
    fn say_live(&self, release: &release::Release) {
        let key = PrivateKey::read(Scheme::Ed25519, &self.dir().join("keys/agent.key"), &mut || None).unwrap();
        let claim = Milestone {
            environment: "production".parse().unwrap(),
            release: release.digest().unwrap(),
            serial: release.serial.clone(),
            other: None,
            proposal: 0,
            what: MilestoneKind::Live,
            component: None,
            requests: 0,
            errors: 0,
            placed: Vec::new(),
        };
        let header = Header {
            charter: Some(self.charter.parse().unwrap()),
            role: "agent".parse().unwrap(),
            system: Some(release.system.clone()),
            environment: Some("production".parse().unwrap()),
            seen: None,
            nonce: Nonce::from_bytes([7; 16]),
            expires: Timestamp::from_unix(
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 86_400,
            ),
            program: None,
        };
        let payload = Statement { header, claim: Claim::Milestone(Box::new(claim)) }.to_bytes().unwrap();
        let envelope = Envelope::seal(PAYLOAD_TYPE, payload, &key).unwrap();
        let envelope: Value = serde_json::from_slice(&envelope.canonical_bytes()).unwrap();
        let body = json!({ "envelope": envelope, "bodies": [] }).to_string();
        self.wait_until("the log takes the milestone", || {
            request(self.front, "POST", "/log/statements", &body).is_some_and(|(status, _)| status == 200)
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for child in self.processes.values_mut() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn wait_beat() {
    std::thread::sleep(Duration::from_millis(300));
}

/// Ports of loopback that are free now.
pub(crate) fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|l| l.local_addr().unwrap())
}

/// One HTTP request: status and body.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let (status, body) = ask(address, method, path, body)?;
    Some((status, String::from_utf8(body).ok()?))
}

fn request_bytes(address: SocketAddr, path: &str) -> Option<(u16, Vec<u8>)> {
    ask(address, "GET", path, "")
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: */*\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Some((head.get(9..12)?.parse().ok()?, bytes[end + 4..].to_vec()))
}
