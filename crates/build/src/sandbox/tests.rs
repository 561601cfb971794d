#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]
#![expect(clippy::print_stderr, reason = "what is not checked on this machine is said")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::{fs::chown, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use super::*;

mod killed;

const UID: u32 = 20_001;

/// A folder that an executor works in, with one workspace.
struct Place {
    dir: tempfile::TempDir,
    rules: Rules,
}

impl Place {
    /// Explains and gives nothing where the tests can not make namespaces.
    fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("the sandbox needs root: run the tests as root to check it");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        fs::create_dir_all(root.join("ws")).unwrap();
        chown(root.join("ws"), Some(UID), Some(UID)).unwrap();
        let rules = Rules {
            state: dir.path().join("state"),
            root,
            uids: UID..=UID,
            mounts: Vec::new(),
            netns: Some("/run/netns".into()),
            registries: None,
        };
        Some(Self { dir, rules })
    }

    fn plan(&self, script: &str) -> SandboxPlan {
        SandboxPlan {
            name: format!(
                "test-{}",
                std::thread::current().name().unwrap().rsplit(':').next().unwrap().replace('_', "-")
            )
            .chars()
            .take(60)
            .collect(),
            phase: Phase::Offline,
            workspace: self.rules.root.join("ws"),
            directory: WORKSPACE.into(),
            command: vec!["/bin/sh".into(), "-c".into(), script.into()],
            environment: BTreeMap::new(),
            mounts: Vec::new(),
            limits: SandboxLimits { memory_mib: 256, pids: 64, time_s: 60, ..SandboxLimits::default() },
            uid: UID,
            gid: UID,
            log: self.rules.root.join("log"),
        }
    }

    fn run(&self, plan: &SandboxPlan) -> (Outcome, String) {
        fs::remove_file(&plan.log).ok();
        let mut lines = Vec::new();
        let outcome = run(plan, &self.rules, &mut |l| lines.push(l.to_owned())).unwrap();
        let log = fs::read_to_string(&plan.log).unwrap();
        for line in &lines {
            assert!(log.contains(line), "{line} is not in the log");
        }
        self.nothing_is_left(plan);
        (outcome, lines.join("\n"))
    }

    /// No mount, group or process of the sandbox.
    fn nothing_is_left(&self, plan: &SandboxPlan) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.path().to_str().unwrap()), "{mounts}");
        for parent in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"] {
            let group =
                Path::new(parent).join("countersign-sandbox").join(format!("{}.{}", plan.name, std::process::id()));
            assert!(!group.exists(), "{}", group.display());
        }
        let left: Vec<PathBuf> = fs::read_dir(&self.rules.state).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_command_sees_little_and_may_do_less() {
    let Some(place) = Place::new() else { return };
    fs::write(place.dir.path().join("secret"), "key").unwrap();
    let script = format!(
        r#"
        echo uid=$(id -u) gid=$(id -g) pid=$$ host=$(hostname)
        grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
        for path in /x /usr/x /etc/x /proc/sys/x /dev/x /bin/x /opt/x; do (echo > $path) 2>/dev/null && echo "wrote $path"; done
        for path in /workspace/x /tmp/x /dev/null; do echo > $path && echo "may write $path"; done
        for path in /root /home /var /work /mnt /srv /etc/shadow /etc/ssh /etc/ssl/private {}; do ls $path >/dev/null 2>&1 && echo "sees $path"; done
        unshare -U true 2>/dev/null && echo "made a user namespace"
        unshare -n true 2>/dev/null && echo "made a network namespace"
        mount -t tmpfs x /tmp 2>/dev/null && echo "mounted"
        tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '
        ls /proc | grep -c '^[0-9]'
        "#,
        place.dir.path().join("secret").display()
    );
    let (outcome, said) = place.run(&place.plan(&script));
    assert!(outcome.exit == 0 || outcome.exit == 1, "{outcome:?}");
    let expected = format!(
        "uid={UID} gid={UID} pid=1 host=countersign\nCapBnd:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
         may write /workspace/x\nmay write /tmp/x\nmay write /dev/null\nlo\n"
    );
    let mut expected: Vec<&str> = expected.trim().lines().collect();
    let mut found: Vec<&str> = said.lines().collect();
    let processes: u32 = found.pop().unwrap().parse().unwrap();
    assert!(processes < 6, "{processes}");
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn its_own_loopback_works_and_the_hosts_is_out_of_reach() {
    let Some(place) = Place::new() else { return };
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let script = format!(
        r#"/usr/bin/python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname()); print("own loopback")
s = socket.create_server(("::1", 0), family=socket.AF_INET6); c = socket.create_connection(s.getsockname()[:2]); print("own loopback 6")
for address in [("127.0.0.1", {port}), ("1.1.1.1", 80)]:
    try: socket.create_connection(address, 2); print("reached", address)
    except OSError as e: print("no", e.errno)
try: socket.getaddrinfo("example.com", 80); print("resolved")
except OSError: print("no name")
'"#
    );
    let (outcome, said) = place.run(&place.plan(&script));
    assert!(outcome.succeeded(), "{outcome:?} {said}");
    assert_eq!(said, "own loopback\nown loopback 6\nno 111\nno 101\nno name");
}

#[test]
fn limits_end_a_command_and_say_which() {
    let Some(place) = Place::new() else { return };
    let plan = |script: &str, change: fn(&mut SandboxLimits)| {
        let mut plan = place.plan(script);
        change(&mut plan.limits);
        plan
    };
    let slow = plan("sleep 1000 & trap '' TERM; sleep 1000", |l| l.time_s = 1);
    let (outcome, _) = place.run(&slow);
    assert!(outcome.timed_out && !outcome.succeeded() && outcome.duration_ms < 20_000, "{outcome:?}");
    assert_eq!(outcome.reason(&slow.limits), "it did not end within 1 s and was killed");

    let greedy = plan("/usr/bin/python3 -c 'x = bytearray(200 << 20); print(len(x))'", |l| l.memory_mib = 64);
    let (outcome, _) = place.run(&greedy);
    assert!(outcome.oom && !outcome.succeeded(), "{outcome:?}");

    // The complaint and the code come through two pipes, and either may stand in the middle of the other's line.
    let hungry = plan("head -c 200000000 /dev/zero > /tmp/x; echo code $?", |l| l.tmp_mib = 16);
    let (_, said) = place.run(&hungry);
    assert!(said.contains("code 1") && said.contains("No space left"), "{said}");

    let many = "/usr/bin/python3 -c '\nimport os, signal\nn = 0\ntry:\n  while n < 1000:\n    if os.fork() == 0: signal.pause()\n    n += 1\nexcept OSError: pass\nprint(n)'";
    let (outcome, said) = place.run(&plan(many, |l| l.pids = 16));
    assert!(outcome.exit == 0 && said.parse::<u32>().unwrap() < 16, "{outcome:?} {said}");

    let (outcome, said) = place.run(&plan("yes | head -c 3000000; echo; echo end >&2", |l| l.output_mib = 1));
    assert!(outcome.succeeded() && outcome.dropped_bytes > 1_900_000, "{outcome:?}");
    assert!(!said.contains("end"));
    assert!(fs::metadata(&outcome.log).unwrap().len() < (1 << 20) + 100);

    let full = plan("sleep 1000", |l| l.disk_floor_mib = u32::MAX);
    let (outcome, _) = place.run(&full);
    assert!(outcome.disk_full && !outcome.succeeded(), "{outcome:?}");
}

#[test]
fn exit_codes_and_what_can_not_be_started() {
    let Some(place) = Place::new() else { return };
    assert_eq!(place.run(&place.plan("exit 7")).0.exit, 7);
    assert_eq!(
        place.run(&place.plan("kill -9 $$; exit 0")).0.exit,
        0,
        "the first process is immune to its own signals"
    );
    let mut plan = place.plan("");
    plan.command = vec!["/no/such/program".into()];
    fs::remove_file(&plan.log).ok();
    let error = run(&plan, &place.rules, &mut |_| {}).unwrap_err();
    assert!(matches!(&error, SandboxError::Start { program, .. } if program == "/no/such/program"), "{error:?}");
    place.nothing_is_left(&plan);
    // A process that survives its parent must not survive the sandbox.
    let (outcome, _) = place.run(&place.plan("setsid sleep 1000 >/dev/null 2>&1 & exit 0"));
    assert!(outcome.succeeded() && outcome.duration_ms < 20_000);
}

/// Answers every HTTP request with `hello`; gives its port.
fn registry() -> u16 {
    registry_at("127.0.0.1")
}

fn registry_at(host: &str) -> u16 {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            if stream.read(&mut head).unwrap() > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").unwrap();
            }
        }
    });
    port
}

#[test]
fn the_fetch_phase_reaches_what_is_declared_and_nothing_else() {
    let Some(place) = Place::new() else { return };
    let (declared, other) = (registry(), registry());
    let script = format!(
        r#"/usr/bin/python3 -c '
import urllib.request
for url in ["http://127.0.0.1:{declared}/x", "http://127.0.0.1:{other}/x", "http://registry.example/x", "https://registry.example/x", "http://localhost.example:{declared}/"]:
    try: print(urllib.request.urlopen(url, timeout=10).read().decode())
    except Exception as e: print(e)
'"#
    );
    let mut plan = place.plan(&script);
    plan.phase = Phase::Fetch {
        allow: vec![format!("127.0.0.1:{declared}").parse().unwrap(), "mirror.example:443".parse().unwrap()],
    };
    let (outcome, said) = place.run(&plan);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "hello");
    assert!(lines[1].contains("Connection refused"), "{said}");
    assert!(lines[2].contains("403"), "{said}");
    assert!(lines[3].contains("403"), "{said}");
    assert!(lines[4].contains("403"), "{said}");
    let denied: Vec<(&str, u64)> = outcome.denied.iter().map(|d| (d.target.as_str(), d.count)).collect();
    assert_eq!(
        denied,
        [(&*format!("localhost.example:{declared}"), 1), ("registry.example:443", 1), ("registry.example:80", 1)]
    );
    assert!(
        outcome.reason(&plan.limits).contains("not declared: `localhost.example"),
        "{}",
        outcome.reason(&plan.limits)
    );
}

#[test]
fn declared_registries_elsewhere_are_reached_through_the_proxy() {
    let Some(place) = Place::new() else { return };
    // An address of this machine that is not its loopback stands for another machine; no packet is sent to find it.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|a| a.ip());
    let Ok(own) = own.map_err(|e| eprintln!("this machine has no network: the proxy is not checked ({e})")) else {
        return;
    };
    let port = registry_at(&own.to_string());
    let script = format!(
        r#"/usr/bin/python3 -c '
import http.client, os, urllib.request
print(urllib.request.urlopen("http://{own}:{port}/x", timeout=10).read().decode())
proxy = os.environ["https_proxy"].removeprefix("http://")
connection = http.client.HTTPConnection(proxy, timeout=10)
connection.set_tunnel("{own}", {port})
connection.request("GET", "/x")
print(connection.getresponse().read().decode())
'"#
    );
    let mut plan = place.plan(&script);
    plan.phase = Phase::Fetch { allow: vec![format!("{own}:{port}").parse().unwrap()] };
    let (outcome, said) = place.run(&plan);
    assert!(outcome.succeeded(), "{said}");
    assert_eq!((said.as_str(), outcome.denied.len()), ("hello\nhello", 0));
}

#[test]
fn a_given_network_namespace_is_joined_but_never_the_hosts() {
    let Some(place) = Place::new() else { return };
    let name = format!("cs-build-{}", std::process::id());
    let ip = |args: &[&str]| assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
    ip(&["netns", "add", &name]);
    ip(&["-n", &name, "link", "add", "probe0", "type", "bridge"]);
    let mut plan = place.plan("cut -d: -f1 /proc/net/dev | grep -c probe0");
    plan.phase = Phase::Network { netns: format!("/run/netns/{name}").into() };
    let result = run(&plan, &place.rules, &mut |_| {});
    ip(&["netns", "del", &name]);
    assert!(result.unwrap().succeeded());
    fs::remove_file(&plan.log).unwrap();
    let error = run(&plan, &place.rules, &mut |_| {}).unwrap_err();
    assert!(matches!(error, SandboxError::Open { .. }), "{error}");
    let mut rules = place.rules.clone();
    rules.netns = Some("/proc/self/ns".into());
    plan.phase = Phase::Network { netns: "/proc/self/ns/net".into() };
    fs::remove_file(&plan.log).unwrap();
    assert!(matches!(run(&plan, &rules, &mut |_| {}), Err(SandboxError::Netns(_))));
}

#[test]
fn links_and_foreign_folders_are_not_workspaces() {
    let Some(place) = Place::new() else { return };
    let root = &place.rules.root;
    std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
    fs::create_dir(root.join("foreign")).unwrap();
    let attempt = |workspace: &str, log: &str| {
        let mut plan = place.plan("true");
        plan.workspace = root.join(workspace);
        plan.log = root.join(log);
        run(&plan, &place.rules, &mut |_| {}).unwrap_err()
    };
    assert!(matches!(attempt("link", "l1"), SandboxError::Open { .. }));
    assert!(matches!(attempt("link/ssl", "l2"), SandboxError::Open { .. }));
    assert!(matches!(attempt("absent", "l3"), SandboxError::Open { .. }));
    assert!(matches!(attempt("foreign", "l4"), SandboxError::Owner { owner: 0, uid: UID, .. }));
    fs::write(root.join("there"), "").unwrap();
    assert!(matches!(attempt("ws", "there"), SandboxError::Open { .. }));
    assert!(matches!(attempt("ws", "link/log"), SandboxError::Open { .. }));
}

#[test]
fn an_executor_refuses_what_its_rules_do_not_allow() {
    let rules = Rules {
        root: "/srv/builds".into(),
        state: "/run/builds".into(),
        uids: 100..=200,
        mounts: vec![Mount { source: "/opt/rust".into(), target: "/opt/toolchain".into() }],
        netns: None,
        registries: Some(vec!["127.0.0.1:8790".parse().unwrap()]),
    };
    let plan = SandboxPlan {
        name: "b1".into(),
        phase: Phase::Fetch { allow: vec!["127.0.0.1:8790".parse().unwrap()] },
        workspace: "/srv/builds/ws".into(),
        directory: "/workspace/sub".into(),
        command: vec!["cargo".into()],
        environment: BTreeMap::from([("A".into(), "b".into())]),
        mounts: rules.mounts.clone(),
        limits: SandboxLimits::default(),
        uid: 100,
        gid: 100,
        log: "/srv/builds/log".into(),
    };
    assert_eq!(plan.check(&rules), Ok(()));
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<SandboxPlan>(&json).unwrap(), plan);
    let bad = |change: &dyn Fn(&mut SandboxPlan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan.check(&rules).unwrap_err().to_string()
    };
    assert_eq!(
        bad(&|p| p.name = "../x".into()),
        "`../x` is not a name for a sandbox: use lower-case letters, digits and hyphens, at most 60"
    );
    assert_eq!(
        bad(&|p| p.workspace = "/srv/builds/../x".into()),
        "`/srv/builds/../x` is not an absolute path without `.` and `..`"
    );
    assert_eq!(
        bad(&|p| p.workspace = "/srv/builds".into()),
        "`/srv/builds` is not below `/srv/builds`, the only folder that this executor works in"
    );
    assert_eq!(
        bad(&|p| p.log = "/etc/x".into()),
        "`/etc/x` is not below `/srv/builds`, the only folder that this executor works in"
    );
    assert_eq!(
        bad(&|p| p.log = "/srv/builds/ws/log".into()),
        "the log `/srv/builds/ws/log` is in the workspace, where the command could change it"
    );
    assert_eq!(
        bad(&|p| p.directory = "/etc".into()),
        "`/etc` is not a folder to start in: use `/workspace`, a folder below it, or `/tmp`"
    );
    assert!(bad(&|p| p.command.clear()).starts_with("the command is empty"));
    assert!(bad(&|p| p.command.push("a\0b".into())).starts_with("the command is empty"));
    assert!(
        bad(&|p| drop(p.environment.insert("A=B".into(), String::new())))
            .contains("`A=B` is not an environment variable")
    );
    assert_eq!(bad(&|p| p.uid = 0), "user 0 is not one that this executor runs commands as (100 to 200)");
    assert_eq!(bad(&|p| p.gid = 0), "user 100 is not one that this executor runs commands as (100 to 200)");
    assert_eq!(bad(&|p| p.uid = 300), "user 300 is not one that this executor runs commands as (100 to 200)");
    assert!(
        bad(&|p| p.mounts.push(Mount { source: "/root".into(), target: "/opt/x".into() }))
            .contains("`/root` is not one of the tools")
    );
    assert!(
        bad(&|p| p.phase = Phase::Fetch { allow: vec!["127.0.0.1:22".parse().unwrap()] })
            .contains("`127.0.0.1:22` is not one of the registries")
    );
    assert!(
        bad(&|p| p.phase = Phase::Network { netns: "/run/netns/x".into() })
            .contains("not a network namespace that this executor may join")
    );
    assert!(bad(&|p| p.limits.pids = 0).contains("`pids`"));
    assert!(bad(&|p| p.limits.time_s = 100_000).contains("`time_s`"));
}

#[test]
fn addresses_are_a_host_and_a_port() {
    for good in ["127.0.0.1:8790", "registry.example:443", "[::1]:80", "localhost:1"] {
        assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
    }
    assert_eq!("Registry.Example:443".parse::<Endpoint>().unwrap().host(), "registry.example");
    for bad in [
        "",
        "host",
        "host:",
        "host:0",
        "host:70000",
        ":80",
        "a b:80",
        "http://x:80",
        "x/y:80",
        "::1:80",
        "-x:80",
        "a..b:80",
    ] {
        assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
    }
}

#[test]
fn plans_travel_to_an_executor_and_outcomes_back() {
    let Some(place) = Place::new() else { return };
    let (mut here, there) = UnixStream::pair().unwrap();
    let rules = place.rules.clone();
    let executor = thread::spawn(move || serve(&there, &rules));
    let mut lines = Vec::new();
    let outcome = ask(&mut here, &place.plan("echo one; echo two; exit 3"), &mut |l| lines.push(l.to_owned())).unwrap();
    assert_eq!((outcome.exit, lines.join(" ").as_str()), (3, "one two"));
    let mut foreign = place.plan("true");
    foreign.workspace = "/etc".into();
    let error = ask(&mut here, &foreign, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("`/etc` is not below"), "{error}");
    here.write_all(b"{}\n").unwrap();
    let mut second = place.plan("true");
    second.log = place.rules.root.join("second");
    let error = ask(&mut here, &second, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("can not be read"), "{error}");
    drop(here);
    executor.join().unwrap().ok();
}

#[test]
fn a_command_that_nobody_waits_for_is_ended() {
    let Some(place) = Place::new() else { return };
    let (mut here, there) = UnixStream::pair().unwrap();
    let rules = place.rules.clone();
    let executor = thread::spawn(move || serve(&there, &rules));
    let plan = place.plan("echo started; sleep 1000");
    here.write_all(format!("{}\n", serde_json::to_string(&plan).unwrap()).as_bytes()).unwrap();
    let mut answer = [0; 4];
    here.read_exact(&mut answer).unwrap();
    drop(here);
    let started = std::time::Instant::now();
    // The answer finds nobody, which ends the connection.
    executor.join().unwrap().unwrap_err();
    assert!(started.elapsed().as_secs() < 20);
    place.nothing_is_left(&plan);
}
