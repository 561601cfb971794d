//! An installation of its own: keys, charter, witness, a repository with a remote, ports and addresses that nobody
//! else uses. It removes everything when it goes out of scope, also on panic, and fails if something is left.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use ledger::dsse::Envelope;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    fabric::Fabric,
    files::FILES,
    left::{command_line, left_behind, processes_of},
    request::get,
    wait::wait_for,
};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");
/// Long enough for a build, two suites and a rollout on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Long enough for one thing.
pub(crate) const SHORT: Duration = Duration::from_secs(20);

/// Two who write, two who release (`cora` with two keys), `fay` who does both, two who operate, three who guard the account;
/// and `eve`, whom no charter names.
const PEOPLE: [&str; 12] = ["ada", "ben", "cora", "cora-2", "dan", "fay", "olga", "pim", "gil", "hal", "ida", "eve"];

/// A running installation.
pub(crate) struct Installation {
    root: tempfile::TempDir,
    scope: String,
    pub(crate) front: SocketAddr,
    /// Where clients reach the system.
    pub(crate) exposed: SocketAddr,
    pub(crate) witness_at: SocketAddr,
    witness: Option<Child>,
    fabric: Fabric,
    log_vkey: String,
    mounts: Vec<PathBuf>,
}

impl Installation {
    /// Makes one and starts it. The remote is empty.
    pub(crate) fn start() -> Self {
        let installation = Self::make();
        installation.up();
        installation
    }

    /// Makes one, with the witness running and nothing else.
    pub(crate) fn make() -> Self {
        Self::make_with("")
    }

    /// The same with more in its founding file.
    pub(crate) fn make_with(founding_more: &str) -> Self {
        Self::make_edited(|_, text| text.to_owned() + founding_more)
    }

    /// The same with another founding file.
    pub(crate) fn make_edited(edit: impl FnOnce(&Self, &str) -> String) -> Self {
        must_be_root();
        let root = tempfile::Builder::new().prefix("cs-whole-").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let [front, exposed, witness_at] = free_ports();
        let dir = root.path().join("d");
        fs::create_dir(&dir).unwrap();
        let mut scope = model::Digest::of(dir.canonicalize().unwrap().to_string_lossy().as_bytes()).short();
        scope.truncate(8);
        let fabric = Fabric::take(u8::from_str_radix(&scope[..2], 16).unwrap());
        let mut made = Self {
            root,
            scope,
            front,
            exposed,
            witness_at,
            witness: None,
            fabric,
            log_vkey: String::new(),
            mounts: Vec::new(),
        };
        for person in PEOPLE {
            let key = made.key(person);
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", person, "-f"]).arg(key));
        }
        let remote = made.path("remote.git");
        run(Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(&remote));
        run(Command::new("git").args(["init", "-q", "-b", "main"]).arg(made.repository()));
        for (path, text) in FILES {
            made.write(path, &text.replace("@EXPOSED@", &exposed.port().to_string()));
        }
        let state = made.path("witness");
        let output = made.program(&["witness", "--new", "--state", &state.to_string_lossy()]);
        let vkey = String::from_utf8(output.stdout).unwrap();
        let founding = made.path("founding.toml");
        fs::write(&founding, edit(&made, &founding_file(&made, vkey.trim()))).unwrap();
        made.ok(&["init", "--founding", &founding.to_string_lossy(), "--demo"]);
        for founder in ["cora", "dan"] {
            made.ok_as(founder, &["init", "--sign"]);
        }
        made.change_settings();
        let charter: Value = serde_json::from_slice(&fs::read(made.dir().join("charter.draft.json")).unwrap()).unwrap();
        made.log_vkey = find(&charter, "log").and_then(|l| l["vkey"].as_str().map(str::to_owned)).unwrap();
        made.start_witness();
        made
    }

    fn change_settings(&self) {
        self.set(&[
            ("front", self.front.to_string().into()),
            ("fabric", serde_json::json!(self.fabric.prefix())),
            ("fetch_interval_ms", 200.into()),
            ("tick_interval_s", 1.into()),
        ]);
    }

    /// Changes settings of this host.
    pub(crate) fn set(&self, changes: &[(&str, Value)]) {
        let path = self.dir().join("settings.json");
        let mut settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (name, value) in changes {
            settings[*name] = value.clone();
        }
        // Several installations of a host would take it from each other.
        settings.as_object_mut().unwrap().remove("metrics");
        fs::write(&path, settings.to_string()).unwrap();
    }

    pub(crate) fn start_witness(&mut self) {
        let output = fs::OpenOptions::new().create(true).append(true).open(self.path("witness.out")).unwrap();
        let child = Command::new(PROGRAM)
            .args(["witness", "--state"])
            .arg(self.path("witness"))
            .args(["--log", &self.log_vkey, "--listen", &self.witness_at.to_string()])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.witness = Some(child);
        wait_for("the witness answers", SHORT, || self.read("witness.out"), || get(self.witness_at, "/health").ok());
    }

    pub(crate) fn kill_witness(&mut self) {
        if let Some(mut child) = self.witness.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.path("d")
    }

    /// Where the log itself listens.
    pub(crate) fn log_socket(&self) -> PathBuf {
        self.dir().join("run/log/socket")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.path("repo")
    }

    pub(crate) fn key(&self, person: &str) -> PathBuf {
        self.path(person)
    }

    /// Tells this installation's control groups and networks from others'.
    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// Puts a file system of this size at a folder, until the end.
    pub(crate) fn mount_tmpfs(&mut self, at: &Path, size: &str) {
        fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at));
        self.mounts.push(at.to_owned());
    }

    /// Puts a real file system of 16 MiB at a folder, in a file, until the end.
    pub(crate) fn mount_disk(&mut self, at: &Path) {
        fs::create_dir_all(at).unwrap();
        let image = self.path("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        // Nothing is kept back for root, so that full is full. Blocks as large as pages, as on disks of more than 512 MiB: SQLite
        // takes a byte of each page of the memory that it shares, so that a full disk is an error. Where a page is four blocks
        // that is not enough, and the kernel ends who writes there (SIGBUS).
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-b", "4096"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(at));
        self.mounts.push(at.to_owned());
    }

    /// Makes what is mounted read-only, or writable again.
    pub(crate) fn remount(&self, at: &Path, how: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(at));
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Runs a verb on this folder, whatever comes of it.
    pub(crate) fn program(&self, args: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(args)
            .arg("--dir")
            .arg(self.dir())
            .stdin(Stdio::null())
            .env_remove("SSH_AUTH_SOCK")
            .output()
            .unwrap()
    }

    /// Runs a verb that must do what it is for; what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.program(args);
        assert!(output.status.success(), "{args:?}: {}\n{}", both(&output), self.story());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, signed by somebody.
    pub(crate) fn ok_as(&self, person: &str, args: &[&str]) -> String {
        let key = self.key(person).to_string_lossy().into_owned();
        self.ok(&[args, &["--key", &key]].concat())
    }

    /// Runs a verb that must be refused with this exit code; what it said.
    pub(crate) fn refused(&self, code: i32, args: &[&str]) -> String {
        let output = self.program(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", both(&output));
        both(&output)
    }

    pub(crate) fn refused_as(&self, person: &str, code: i32, args: &[&str]) -> String {
        let key = self.key(person).to_string_lossy().into_owned();
        self.refused(code, &[args, &["--key", &key]].concat())
    }

    pub(crate) fn up(&self) {
        self.ok(&["up", "--detach"]);
    }

    /// Writes a file of the repository.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.repository().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    /// Changes a file of the repository.
    pub(crate) fn replace(&self, path: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.repository().join(path)).unwrap();
        assert!(text.contains(old), "`{path}` has no `{old}`");
        self.write(path, &text.replace(old, new));
    }

    /// Commits everything as ada, signed, with a requirement, and pushes it.
    pub(crate) fn push(&self, subject: &str) {
        self.commit("ada", &format!("{subject}\n\nRequirement: VIS-1"), &["-S"], "ada");
        self.push_head();
    }

    /// Commits everything under a name, with a message, flags and a key.
    pub(crate) fn commit(&self, name: &str, message: &str, flags: &[&str], key: &str) {
        run(self.git().args(["add", "-A"]));
        let email = format!("user.email={name}@example.org");
        let signing = format!("user.signingkey={}", self.key(key).display());
        run(self
            .git()
            .args(["-c", &format!("user.name={name}"), "-c", &email, "-c", "gpg.format=ssh", "-c", &signing])
            .args(["commit", "-q", "--allow-empty", "-m", message])
            .args(flags));
    }

    pub(crate) fn push_head(&self) {
        run(self.git().args(["push", "-q", "--force"]).arg(self.path("remote.git")).arg("HEAD:main"));
    }

    pub(crate) fn git(&self) -> Command {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.repository());
        git
    }

    /// Every statement of the log, as its signed payload.
    pub(crate) fn statements(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let Ok(answer) = get(self.front, &format!("/log/entries/{}", all.len())) else { return all };
            let mut bytes = answer.body.as_slice();
            if answer.status != 200 || bytes.is_empty() {
                return all;
            }
            while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
                let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
                let envelope = Envelope::from_entry(entry).unwrap();
                all.push(serde_json::from_slice(envelope.payload()).unwrap());
                bytes = rest;
            }
        }
    }

    /// The claims of one kind, with their log indices.
    pub(crate) fn claims(&self, kind: &str) -> Vec<(u64, Value)> {
        let tail = format!("/{kind}/v1");
        (0..)
            .zip(self.statements())
            .filter(|(_, s)| s["predicateType"].as_str().is_some_and(|t| t.ends_with(&tail)))
            .map(|(index, s)| (index, s["predicate"]["claim"].clone()))
            .collect()
    }

    /// The log index of the proposal of a serial, once there is one.
    pub(crate) fn proposal(&self, serial: &str) -> u64 {
        wait_for(
            &format!("{serial} is proposed"),
            LONG,
            || self.story(),
            || self.claims("proposal").iter().find(|(_, c)| c["serial"] == serial).map(|(index, _)| *index),
        )
    }

    /// Approves a serial's proposal as both who release. Its log index.
    pub(crate) fn approve(&self, serial: &str) -> u64 {
        let proposal = self.proposal(serial);
        for person in ["cora", "dan"] {
            self.ok_as(person, &["approve", &proposal.to_string(), "--yes"]);
        }
        proposal
    }

    /// The same while processes come and go: asks again until both are heard.
    pub(crate) fn approve_at_last(&self, serial: &str) {
        let proposal = self.proposal(serial).to_string();
        for person in ["cora", "dan"] {
            let key = self.key(person).to_string_lossy().into_owned();
            wait_for(
                &format!("{person} approves {serial}"),
                LONG,
                || self.story(),
                || self.program(&["approve", &proposal, "--yes", "--key", &key]).status.success().then_some(()),
            );
        }
    }

    /// The milestones of a serial, in order.
    pub(crate) fn milestones(&self, serial: &str) -> Vec<String> {
        self.claims("milestone")
            .iter()
            .filter(|(_, c)| c["serial"] == serial)
            .map(|(_, c)| c["what"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub(crate) fn wait_milestone(&self, serial: &str, what: &str) {
        wait_for(
            &format!("{serial}: {what}"),
            LONG,
            || self.story(),
            || self.milestones(serial).iter().any(|m| m == what).then_some(()),
        );
    }

    /// Waits until a serial's rollout has ended, one way or the other.
    pub(crate) fn wait_end(&self, serial: &str) -> String {
        wait_for(
            &format!("{serial} ends"),
            LONG,
            || self.story(),
            || {
                let last = self.milestones(serial).pop()?;
                (last == "live" || last == "stuck" || last.starts_with("went-back")).then_some(last)
            },
        )
    }

    /// Brings the first release live.
    pub(crate) fn first_release(&self) {
        self.push("First release");
        self.approve("visits-000001");
        self.wait_milestone("visits-000001", "live");
        assert_eq!(self.visit("visit-first"), ["visits-000001", "visits-000001"]);
    }

    /// One visit, which must be answered: the versions that answered, front first.
    pub(crate) fn visit(&self, query: &str) -> Vec<String> {
        let answer = get(self.exposed, &format!("/cgi-bin/visit?{query}")).unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{text}");
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// How often each visit is on the volume.
    pub(crate) fn kept(&self) -> BTreeMap<String, u32> {
        let mut kept = BTreeMap::new();
        for name in self.visit("list").into_iter().skip(1) {
            *kept.entry(name).or_default() += 1;
        }
        kept
    }

    /// What `front` says of everything.
    pub(crate) fn status(&self) -> Option<Value> {
        let answer = get(self.front, "/api/status").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// The process id of a process of this installation, such as `process log` or `executor agent components`.
    pub(crate) fn process(&self, words: &str) -> Option<i32> {
        let dir = self.dir().to_string_lossy().into_owned();
        processes_of(&dir).into_iter().find(|pid| command_line(*pid).contains(&format!(" {words} ")))
    }

    /// Sends a signal to one process of this installation.
    pub(crate) fn signal(&self, words: &str, signal: Signal) -> i32 {
        let pid = wait_for(&format!("`{words}` runs"), SHORT, || self.story(), || self.process(words));
        kill(Pid::from_raw(pid), signal).unwrap();
        pid
    }

    /// What an engineer would look at when something does not come.
    pub(crate) fn story(&self) -> String {
        use std::fmt::Write as _;
        let mut story = String::new();
        for process in self.status().iter().flat_map(|s| s["processes"].as_array().into_iter().flatten()) {
            writeln!(story, "{process}").unwrap();
        }
        for (index, statement) in self.statements().iter().enumerate().skip(2) {
            let kind = statement["predicateType"]
                .as_str()
                .unwrap_or_default()
                .trim_start_matches("https://countersign.dev/statement/");
            if kind != "tick/v1" {
                let mut claim = statement["predicate"]["claim"].to_string();
                claim.truncate(claim.floor_char_boundary(600));
                writeln!(story, "{index} {kind} {claim}").unwrap();
            }
        }
        let logs = ["output", "tester/logs", "builder/logs"].map(|part| fs::read_dir(self.dir().join(part)));
        for entry in logs.into_iter().flatten().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(12)..] {
                writeln!(story, "{}: {line}", entry.file_name().to_string_lossy()).unwrap();
            }
        }
        story
    }

    fn clean(&mut self) -> Vec<String> {
        let mut troubles = Vec::new();
        let down = self.program(&["down"]);
        if !down.status.success() {
            troubles.push(format!("down: {}", both(&down)));
        }
        if let Ok(charter) = charter_hash(&self.dir()) {
            for role in ["agent", "tester"] {
                let purge = self.program(&["executor", role, "components", "--purge", "--charter", &charter]);
                if !purge.status.success() {
                    troubles.push(format!("purge of {role}: {}", both(&purge)));
                }
            }
        }
        if let Some(mut child) = self.witness.take()
            && let Err(error) = child.kill().and_then(|()| child.wait().map(drop))
        {
            troubles.push(format!("the witness: {error}"));
        }
        for mount in self.mounts.drain(..) {
            if let Err(error) = nix::mount::umount(&mount) {
                troubles.push(format!("`{}` is still mounted: {error}", mount.display()));
            }
        }
        let left = left_behind(self.root.path(), &self.scope);
        troubles.extend(left.iter().map(|l| format!("left behind: {l}")));
        let root = self.root.path().to_string_lossy().into_owned();
        for pid in processes_of(&root) {
            if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
                troubles.push(format!("process {pid}: {error}"));
            }
        }
        troubles
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
        let troubles = self.clean();
        if std::thread::panicking() {
            for trouble in troubles {
                eprintln!("while cleaning: {trouble}");
            }
        } else {
            assert!(troubles.is_empty(), "{troubles:#?}");
        }
    }
}

/// Without root nothing here can be tested. Where a machine decides, that is a failure and not a pass.
fn must_be_root() {
    assert!(nix::unistd::geteuid().is_root(), "this test makes users, namespaces, mounts and cgroups: run it as root");
}

/// Ports of loopback that are free now.
pub(crate) fn free_ports() -> [SocketAddr; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|l| l.local_addr().unwrap())
}

fn founding_file(of: &Installation, witness: &str) -> String {
    let mut text = format!(
        "origin = \"example.org/visits-{}\"\nwitness_quorum = 1\n[[witnesses]]\nname = \"witness.countersign.local\"\n\
         operator = \"else\"\nvkey = \"{witness}\"\nurl = \"http://{}\"\n",
        of.scope, of.witness_at
    );
    let people = [
        ("ada", "\"developer\"", false),
        ("ben", "\"developer\"", false),
        ("cora", "\"release-manager\"", true),
        ("dan", "\"release-manager\"", true),
        ("fay", "\"developer\", \"release-manager\"", false),
        ("olga", "\"operator\"", false),
        ("pim", "\"operator\"", false),
        ("gil", "\"guardian\"", false),
        ("hal", "\"guardian\"", false),
        ("ida", "\"guardian\"", false),
    ];
    for (person, roles, founder) in people {
        let second = if person == "cora" { ", \"cora-2.pub\"" } else { "" };
        text += &format!(
            "[people.{person}]\nkeys = [\"{person}.pub\"{second}]\nemails = [\"{person}@example.org\"]\nroles = [{roles}]\nfounder = {founder}\n"
        );
    }
    text += "[robots]\n";
    for (robot, controller) in
        [("gate", "pim"), ("builder", "olga"), ("tester", "pim"), ("agent", "olga"), ("watch", "pim")]
    {
        text += &format!("{robot} = {{ role = \"{robot}\", controllers = [\"{controller}\"], host = \"main\" }}\n");
    }
    text += &format!(
        "[hosts.main]\nadministrators = [\"olga\"]\n[systems.visits]\nremote = \"{}\"\nbranch = \"main\"\n",
        of.path("remote.git").display()
    );
    text +=
        "[[environments]]\nname = \"production\"\nquorum = { release-manager = 2 }\nresume = { release-manager = 2 }\n";
    text += "[[values]]\nname = \"payout\"\nsystem = \"visits\"\nenvironment = \"production\"\nformat = \"iban\"\n\
             guardians = { guardian = 2 }\ncool_off_s = 3\n";
    text += "[amendment]\nrelease-manager = 2\n";
    text
}

/// The hash of the charter in a folder: of the payload of its first envelope.
pub(crate) fn charter_hash(dir: &Path) -> Result<String, String> {
    let text = fs::read_to_string(dir.join("charter.jsonl")).map_err(|e| e.to_string())?;
    let first = text.lines().next().ok_or("empty")?;
    let envelope = Envelope::parse(first.as_bytes()).map_err(|e| e.to_string())?;
    Ok(model::Digest::of(envelope.payload()).to_string())
}

/// The first value of this key, at any depth.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|v| find(v, key))),
        Value::Array(list) => list.iter().find_map(|v| find(v, key)),
        _ => None,
    }
}

/// What a command printed, both ways.
pub(crate) fn both(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", both(&output));
}
