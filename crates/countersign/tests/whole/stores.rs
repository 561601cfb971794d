//! An installation whose log, confined as everywhere, keeps what it has in a real PostgreSQL and bodies in a real
//! S3-compatible server: it moves there from its own files, over a socket, over TCP, and over TLS by name.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use nix::sys::signal::Signal;
use sim::{
    postgres_server::PostgresServer,
    s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY},
    tls::{Authority, TlsProxy},
};

use crate::{
    installation::{Installation, SHORT, charter_hash},
    wait::wait_for,
};

/// Files that only root reads, as secrets are.
struct Secrets {
    authority: String,
    password: String,
    access: String,
    secret: String,
}

impl Secrets {
    fn write(it: &Installation, authority: &Authority) -> Self {
        let file = |name: &str, text: &str| {
            let path = it.path(name);
            fs::write(&path, format!("{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path.to_string_lossy().into_owned()
        };
        Self {
            authority: file("authority.pem", authority.pem()),
            password: file("password", PostgresServer::password()),
            access: file("access", ACCESS_KEY),
            secret: file("secret", SECRET_KEY),
        }
    }

    fn bucket(&self, endpoint: &str, more: &str) -> String {
        let Self { access, secret, .. } = self;
        format!("s3://{BUCKET}/visits?endpoint={endpoint}&access-key-file={access}&secret-key-file={secret}{more}")
    }
}

#[test]
fn root_a_log_moves_to_postgresql_and_its_bodies_to_s3_and_releases_go_on() {
    let authority = Authority::new().unwrap();
    let certificate = authority.certify("localhost").unwrap();
    let database = PostgresServer::start_over_tcp(&certificate).unwrap();
    let s3 = S3Server::start().unwrap();
    let proxy = TlsProxy::start(s3.address(), &certificate).unwrap();
    let it = Installation::start();
    let secrets = Secrets::write(&it, &authority);
    it.ask_to_erase("person:ada", "in a file");

    // From its own files into both, over the database's socket.
    it.ok(&["down", "--leave-components"]);
    let (url, bucket) = (database.new_database().unwrap(), secrets.bucket(&format!("http://{}", s3.address()), ""));
    let said = it.ok(&["log", "move-bodies", "--to", &bucket]);
    let kept = s3.objects().unwrap();
    assert!(said.starts_with(&format!("copied {kept} bodies from `")) && kept > 0, "{said}");
    let said = it.ok(&["log", "move", "--to", &url]);
    assert!(said.contains(&format!("to `{url}`, verified there, and compared")), "{said}");
    it.up_at(&url, &bucket);
    it.reason_is_read("in a file");
    it.ask_to_erase("person:ben", "over a socket");
    assert!(s3.objects().unwrap() > kept, "a body is kept in the bucket");
    it.first_release();

    // Over TCP on this machine, with a password.
    it.ok(&["down", "--leave-components"]);
    let plain = format!("sslmode=disable&password-file={}", secrets.password);
    it.up_at(&database.over_tcp(&url, "127.0.0.1", &plain).unwrap(), &bucket);
    it.ask_to_erase("person:olga", "over TCP");

    // Over TLS, both by name, and both vouched for by an authority that this machine does not know.
    it.ok(&["down", "--leave-components"]);
    let tls = format!("sslmode=verify-full&sslrootcert={}&password-file={}", secrets.authority, secrets.password);
    let endpoint = format!("https://localhost:{}", proxy.address().port());
    let bucket = secrets.bucket(&endpoint, &format!("&ca-file={}", secrets.authority));
    it.up_at(&database.over_tcp(&url, "localhost", &tls).unwrap(), &bucket);
    for reason in ["in a file", "over a socket", "over TCP"] {
        it.reason_is_read(reason);
    }
    it.write("version", "2");
    it.push("Version 2");
    it.proposal("visits-000002");
    it.signal("process log", Signal::SIGKILL);
    it.approve_at_last("visits-000002");
    assert_eq!(it.wait_end("visits-000002"), "live", "{}", it.story());
    it.ask_to_erase("person:pim", "over TLS");
    it.is_confined();

    it.audits_all();
    it.bundles_verify("visits-000002");
    it.refuses_whom_nobody_vouches_for(&database.over_tcp(&url, "127.0.0.1", &tls).unwrap());
}

impl Installation {
    /// Starts it with its log and bodies there.
    fn up_at(&self, store: &str, blobs: &str) {
        self.set(&[("store", store.into()), ("blobs", blobs.into())]);
        self.up();
        wait_for(
            "the log has its turn",
            SHORT,
            || self.story(),
            || self.log_status().is_some_and(|words| words.contains("; sequencer, epoch ")).then_some(()),
        );
    }

    /// What the log says that it does.
    pub(crate) fn log_status(&self) -> Option<String> {
        let status = fs::read(self.dir().join("status/log/status.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&status).ok()?["doing"].as_str().map(str::to_owned)
    }

    /// Says something with a body: that one person, who is not enough, wants somebody to be forgotten.
    fn ask_to_erase(&self, whom: &str, reason: &str) {
        self.ok_as("cora", &["erase", whom, "--yes", "--reason", reason]);
        self.reason_is_read(reason);
    }

    /// A body that was kept earlier is read, through every process on the way.
    fn reason_is_read(&self, reason: &str) {
        let indices = self.claims("erasure").into_iter().map(|(index, _)| index.to_string());
        let shown: Vec<String> = indices.map(|index| self.ok(&["log", "show", &index])).collect();
        assert!(shown.iter().any(|s| s.contains(reason)), "{reason}: {shown:#?}");
    }

    /// An audit reads every statement. Ticks go on while it runs.
    fn audits_all(&self) {
        let before = self.statements().len();
        let audited = self.ok(&["audit"]);
        let after = self.statements().len();
        let said = |size: usize| audited.contains(&format!("audited {size} statements"));
        assert!((before..=after).any(said), "{before} to {after}: {audited}");
    }

    /// The kernel keeps the log to what it needs, with all that it reaches.
    fn is_confined(&self) {
        let status = fs::read(self.dir().join("status/log/status.json")).unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        let confined = status["confined"].as_str().unwrap();
        assert!(confined.starts_with("user 2200001, files full, tcp ports "), "{confined}");
        // Landlock keeps to TCP ports since its version 4, which Linux 6.7 brought; Debian 12 has 6.1.
        assert_eq!(confined.contains("tcp ports full"), landlock_version() >= 4, "{confined}");
        let pid = self.process("process log").unwrap();
        let words = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(words.contains("Seccomp:\t2") && words.contains("NoNewPrivs:\t1"), "{words}");
    }

    fn bundles_verify(&self, serial: &str) {
        let file = self.path("release.bundle").to_string_lossy().into_owned();
        self.ok(&["bundle", serial, "--with-bodies", "--out", &file]);
        let charter = charter_hash(&self.dir()).unwrap();
        let said = self.ok(&["verify", &file, "--charter", &charter]);
        assert!(said.contains("granted"), "{said}");
    }

    /// A server whose certificate is for another name is not spoken to.
    fn refuses_whom_nobody_vouches_for(&self, by_address: &str) {
        let to = Path::new("/nonexistent").join("log.sqlite3");
        let said = self.refused(6, &["log", "move", "--from", by_address, "--to", &to.to_string_lossy()]);
        assert!(said.contains("the log's database can not be opened"), "{said}");
        let said =
            self.refused(2, &["log", "move", "--from", &by_address.replace("verify-full", "prefer"), "--to", "x"]);
        assert!(said.contains("`sslmode=prefer` does not protect"), "{said}");
    }
}

/// Which version of Landlock the kernel has, asked by its own system call, `landlock_create_ruleset(2)`.
fn landlock_version() -> i32 {
    let ask = "import ctypes; print(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))";
    let output = std::process::Command::new("/usr/bin/python3").args(["-c", ask]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}
